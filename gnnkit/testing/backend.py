"""The checks of a backend, by importance."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Optional

import torch

from gnnkit.backends import Backend, BackendCapabilities
from gnnkit.data import Graph, split_graphs
from gnnkit.devices import choose_device
from gnnkit.errors import CapabilityError
from gnnkit.nn import AGGREGATIONS, CONVS
from gnnkit.testing.backend_base import DTYPES, OPTIONAL_PARTS, BackendBase, unsuitable_devices
from gnnkit.testing.compare import compare, expect_error
from gnnkit.testing.conv_checks import ConvChecks
from gnnkit.testing.graph_checks import GraphChecks
from gnnkit.testing.graphs import CROWDED_BLOCKS, FLOWS, HARD_BLOCKS, coded_record, full_record
from gnnkit.testing.model_checks import ModelChecks
from gnnkit.testing.plugin import check_excludes
from gnnkit.testing.primitives import check_primitives
from gnnkit.testing.suite import check
from gnnkit.testing.training import MODELS, fit, model_for
from gnnkit.testing.typed_checks import TypedChecks
from gnnkit.testing.use_checks import UseChecks


class _DeclarationChecks(BackendBase):
    """What the backend says of itself."""

    @check()
    def test_declaration(self) -> None:
        """The declaration is sound.

        Name and interface version are right; at least one convolution, an aggregation, a device and float32 are
        declared, with words that gnnkit knows; ``versions`` names the libraries below.
        """
        self.check_identity()
        backend = self.make_backend()
        assert isinstance(backend, Backend), f"the plugin made a {type(backend).__name__}, expected a Backend."
        capabilities = backend.capabilities
        assert isinstance(capabilities, BackendCapabilities), f"capabilities are {capabilities!r}."
        for what, declared, known in (
            ("convolutions", capabilities.convs, set(CONVS)),
            ("aggregations", capabilities.aggregations, set(AGGREGATIONS)),
            ("dtypes", capabilities.dtypes, set(DTYPES)),
        ):
            assert declared, f"no {what} are declared."
            unknown = sorted(set(declared) - known)
            assert not unknown, f"{what} {unknown} are declared, known are {sorted(known)}."
        assert capabilities.devices, "no devices are declared."
        assert "float32" in capabilities.dtypes, "float32 is not declared, which all training starts from."
        check_excludes(capabilities.excludes)
        versions = backend.versions()
        texts = all(isinstance(key, str) and isinstance(value, str) for key, value in versions.items())
        assert texts, f"versions() is {versions!r}, expected text by text."


class _OtherChecks(BackendBase):
    """Primitives, conversions, refusals."""

    @check(needs=["message-passing primitives"])
    def test_primitives(self) -> None:
        """Message-passing primitives equal their definition.

        ``ops()`` gathers, scatters (sum, mean, maximum, minimum; 0 over no edges), aggregates and normalises by softmax
        over in-edges as defined, edge by edge, on graphs that hurt, with 5,000 edges, and from nodes to graphs, which
        are not among the nodes; with weights of either sign, in float32 and, where it is declared, in float64.
        """
        backend = self.make_backend()
        for name, block in {**HARD_BLOCKS, "5,000 edges": CROWDED_BLOCKS["5,000 edges"], **FLOWS}.items():
            for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
                if str(dtype).split(".")[1] in backend.capabilities.dtypes:
                    lowered = backend.lower(block.map(torch.clone))
                    check_primitives(backend.ops(), lowered, block, f"on {name!r} in {dtype}", dtype, tolerance)

    @check(needs=["a graph object of its own"])
    def test_native_graphs(self) -> None:
        """Conversion of graphs loses nothing.

        ``from_native(to_native(graph))`` has every array of a record with all fields filled: weights, attributes,
        splits, extra arrays, several graphs with their splits, further arrays and names; and of one whose features are
        categories. A list of the graphs, each converted on its own, becomes the same record.
        """
        backend = self.make_backend()
        for graph in (full_record(), coded_record()):
            _compare_graphs(backend.from_native(backend.to_native(graph)), graph)
            natives = [backend.to_native(each) for each in split_graphs(graph)]
            _compare_graphs(backend.from_native(natives), graph)

    @check(needs=["an undeclared convolution"])
    def test_undeclared_convs(self) -> None:
        """Undeclared convolutions are refused clearly.

        A model of a convolution that is not declared is refused with a ``CapabilityError`` that names it and says what
        there is.
        """
        backend = self.make_backend()
        for name, settings in MODELS.items():
            if settings["model"] not in backend.capabilities.convs:
                expect_error(CapabilityError, partial(model_for, name, backend), str(settings["model"]))

    @check(needs=["an undeclared aggregation"])
    def test_undeclared_aggregations(self) -> None:
        """Undeclared aggregations are refused clearly.

        A GraphSAGE with an aggregation that is not declared is refused with a ``CapabilityError`` that names it and
        says what there is.
        """
        backend = self.make_backend()
        for aggregation in set(AGGREGATIONS) - backend.capabilities.aggregations:
            expect_error(CapabilityError, partial(model_for, f"sage {aggregation}", backend), aggregation)

    @check(needs=["an undeclared precision"])
    def test_undeclared_dtypes(self) -> None:
        """Undeclared precisions are refused clearly.

        Training in a precision that is not declared is refused with a ``CapabilityError`` that names it.
        """
        model = model_for(self.any_model(), self.make_backend())
        expect_error(CapabilityError, lambda: fit(model, self.make_device(), precision="bfloat16"), "bfloat16")

    @check(needs=["an undeclared device"])
    def test_undeclared_devices(self) -> None:
        """Undeclared devices are refused clearly.

        Asking for an installed device that is not declared is refused with a ``GnnkitError`` that names it.
        """
        backend = self.make_backend()
        for name in unsuitable_devices(backend.capabilities):
            expect_error(CapabilityError, partial(choose_device, name, backend), name)

    @check(needs=["a missing optional part"])
    def test_missing_parts(self) -> None:
        """Optional parts that are missing say so.

        ``ops``, ``to_native`` and ``from_native``, where they are not there, raise a ``CapabilityError`` that names the
        backend.
        """
        backend = self.make_backend()
        for part in OPTIONAL_PARTS:
            arguments = [] if part == "ops" else [full_record()]
            if not self.offers(part):
                expect_error(CapabilityError, partial(getattr(backend, part), *arguments), backend.name)

    def any_model(self) -> str:
        """Name of a model that the backend can compute."""
        return next(name for name in MODELS if not self.lacks("the convolution", name))


class BackendSuite(_OtherChecks, GraphChecks, ModelChecks, UseChecks, TypedChecks, ConvChecks, _DeclarationChecks):
    """Checks of a backend. Subclass it in a plugin's tests and give its name; pytest does the rest.

    Where a name is not enough, override ``make_backend`` or ``make_device``.

    Attributes:
        name: Name of the entry point.
        device: Name of the device to measure on; None takes the one that the backend is made for.

    Example:
        >>> class TestMine(BackendSuite):
        ...     name = "reference"
        >>> TestMine().run(only=["start"]).verdict
        'conformant'
    """

    # A backend with a single convolution passes so many.
    floor: ClassVar[int] = 25


_WORDS = ("class_names", "name", "metric", "feature_names", "graph_names", "node_categories", "edge_categories")


def _compare_graphs(received: Graph, expected: Graph) -> None:
    for field in ("indptr", "indices", "x", "y", "edge_weight", "edge_attr", "graph_ptr", "graph_y"):
        ours, theirs = getattr(received, field), getattr(expected, field)
        assert theirs is not None or ours is None, f"{field} has appeared, expected none."
        if theirs is not None:
            _compare_arrays(field, ours, theirs)
    for field in ("splits", "node_data", "edge_data", "graph_splits", "graph_data"):
        ours, theirs = getattr(received, field), getattr(expected, field)
        assert sorted(ours) == sorted(theirs), f"{field} has {sorted(ours)}, expected {sorted(theirs)}."
        for key, value in theirs.items():
            _compare_arrays(f"{field}[{key!r}]", ours[key], value)
    for field in _WORDS:
        values = getattr(received, field), getattr(expected, field)
        assert values[0] == values[1], f"{field} is {values[0]!r}, expected {values[1]!r}."


def _compare_arrays(what: str, received: Optional[torch.Tensor], expected: torch.Tensor) -> None:
    assert received is not None, f"{what} is lost."
    assert received.dtype == expected.dtype, f"{what} is {received.dtype}, expected {expected.dtype}."
    compare(what, received, expected, 0.0)
