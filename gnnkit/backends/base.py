"""The ``Backend`` interface: a graph library behind our words.

Rules: a backend supplies the convolution and nothing else; stacking, normalisation, dropout, initial weights and
training are written once above it. Capabilities are declared, not found out by trying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, FrozenSet, List, Mapping, Optional, Tuple, Type

from torch import Tensor, nn

from gnnkit.availability import READY, Availability, Combination
from gnnkit.backends.store import GraphStore
from gnnkit.data import Block, Graph
from gnnkit.errors import CapabilityError
from gnnkit.nn.convs import AGGREGATIONS, ConvSpec
from gnnkit.nn.message_passing import MessageOps
from gnnkit.nn.parameters import NativeParameter
from gnnkit.options import NoOptions, Option, describe_options, make_options


@dataclass(frozen=True)
class BackendCapabilities:
    """What a backend declares that it can do.

    Attributes:
        convs: Kinds of convolution, keys of ``gnnkit.nn.CONVS``.
        devices: Names of torch device types that its layers run on.
        dtypes: Computing precisions: "float32", "bfloat16", "float64".
        exports: Formats in which models can be written as programs of their own: "torch", "onnx".
        note: Why something is missing and what would bring it; said to whoever asks for it.
        aggregations: How its "sage" can reduce the neighbours: "mean", "max".
        edge_convs: Those of ``convs`` that read edge features, where the data have them.
        relational: Those of ``convs`` of which it makes one for each relation of a typed graph. Kinds that read types
            by themselves ("rgcn", "rgat", "hgt") are in ``convs`` alone.
        excludes: Combinations of what is declared that do not work, such as
            ``({"conv": "gat", "precision": "bfloat16"},)``. Keys are ``gnnkit.availability.COMBINED``; what one does
            not name may be anything.
    """

    convs: FrozenSet[str] = frozenset({"gcn", "sage", "gat", "gatv2", "gin"})
    devices: FrozenSet[str] = frozenset({"cpu", "cuda"})
    dtypes: FrozenSet[str] = frozenset({"float32", "bfloat16", "float64"})
    exports: FrozenSet[str] = frozenset()
    note: str = ""
    aggregations: FrozenSet[str] = frozenset(AGGREGATIONS)
    edge_convs: FrozenSet[str] = frozenset()
    relational: FrozenSet[str] = frozenset()
    excludes: Tuple[Combination, ...] = ()


class Backend(ABC):
    """A graph library. Subclass it, give ``name``, ``lower`` and ``conv``, and register the class as an entry point.

    Attributes:
        name: The word that users type after ``--backend``.
        api_version: Version of this interface that the backend was written for.
        capabilities: What it can do. An instance may narrow what its class declares to what is installed here.
        layer_marks: For each kind of convolution a parameter by which the library's own layer is known in a state
            dict, for finding layers in the models of others. Empty if their weights cannot be read.
        layer_module: The module whose layers :meth:`library_layer` makes by name, such as "torch_geometric.nn"; empty
            if there is none. Everybody's checkpoints may name them, so it must hold nothing that is dangerous to make.
        options_class: A dataclass whose fields, all with defaults, are settings of the backend itself: users give them
            under ``backend_options`` and read its docstring in ``gnnkit run --help-config``.
        options: Its record for this backend, from :meth:`configure`.
    """

    name: ClassVar[str]
    api_version: ClassVar[int]
    capabilities: BackendCapabilities = BackendCapabilities()
    layer_marks: ClassVar[Mapping[str, str]] = {}
    layer_module: ClassVar[str] = ""
    options_class: ClassVar[Type[Any]] = NoOptions
    options: Any = None

    @classmethod
    def probe(cls) -> Availability:
        """Say whether the backend can work here. Never raises."""
        return Availability(READY)

    @classmethod
    def capabilities_here(cls) -> BackendCapabilities:
        """What instances declare with what is installed here. For a backend that is ready."""
        return cls().capabilities

    @classmethod
    def describe_options(cls) -> List[Option]:
        """All options in words."""
        return describe_options(cls.options_class)

    def configure(self, options: Mapping[str, Any]) -> None:
        """Take the user's ``backend_options``, before anything else is asked of the backend.

        Args:
            options: Values by name.

        Raises:
            UnknownNameError: A name that the backend does not have.
            ConfigError: A value of the wrong type.
        """
        self.options = make_options(self.options_class, options, f"backend {self.name!r}")

    @abstractmethod
    def lower(self, block: Block) -> Any:
        """Turn a block into the library's own graph object, which ``conv`` modules take.

        Loaders call it in their threads, several at a time and ahead of the steps, where a device has free shapes; a
        device with fixed shapes calls it within its compiled program.

        Args:
            block: The message flow of one layer, on the device where the layer will run.
        """

    @abstractmethod
    def conv(self, spec: ConvSpec) -> nn.Module:
        """Make the library's own layer for a specification.

        Returns:
            A module ``forward(lowered, h_src, h_dst) -> h`` with h_src [num_src, in_channels], h_dst
            [num_dst, in_channels] and h [num_dst, spec.out_width]. It adds no self-loops and normalises nothing:
            the block already carries both. Its initial weights do not matter; gnnkit sets them.
        """

    def on_primitives(self, spec: ConvSpec) -> nn.Module:
        """A convolution in its reference form on this backend's primitives.

        For :meth:`conv` of a library that has no layer for a kind. Its parameters have the canonical names.
        """
        return spec.convolution.reference(spec, self.ops())

    def library_layer(self, spec: ConvSpec) -> nn.Module:
        """Make any layer of the library by its name, for models that need not run elsewhere.

        Args:
            spec: ``kind`` is ``module:Class`` with the backend's ``layer_module``; ``options`` are further arguments.

        Returns:
            A module as :meth:`conv` gives it; :class:`gnnkit.backends.LibraryLayer` is its usual base. Its own initial
            weights and its own names of parameters are kept.

        Raises:
            ConfigError: There is no such layer, or it cannot be made so.
        """
        raise CapabilityError(f"Backend {self.name!r} takes no layers of its library by name.")

    def parameter_map(self, spec: ConvSpec) -> Mapping[str, NativeParameter]:
        """Where each canonical parameter of a convolution lies in the module that ``conv`` made.

        The default says that the native names are the canonical ones.
        """
        return {name: NativeParameter(name) for name in spec.parameters}

    def ops(self) -> MessageOps:
        """The message-passing primitives, for layers that users write with ``gnnkit.nn.MessagePassing``."""
        raise CapabilityError(f"Backend {self.name!r} has no message-passing primitives for custom layers.")

    def to_native(self, graph: Graph) -> Any:
        """Turn a graph, or many graphs in one record, into the library's own whole-graph object, losing nothing."""
        raise CapabilityError(f"Backend {self.name!r} has no graph object of its own.")

    def from_native(self, obj: Any) -> Graph:
        """The inverse of :meth:`to_native`; a list of the library's graphs becomes many graphs in one record."""
        raise CapabilityError(f"Backend {self.name!r} has no graph object of its own.")

    def partition(self, graph: Graph, num_parts: int) -> Tensor:
        """Cut a graph into parts of about the same size with few edges between them.

        Args:
            graph: The graph.
            num_parts: How many.

        Returns:
            The part of every node. Shape [N], int64, from 0.

        Raises:
            CapabilityError: The library has no such function.
        """
        raise CapabilityError(f"Backend {self.name!r} cuts no graphs.")

    def store(self) -> GraphStore:
        """How the library keeps graphs that are larger than a machine.

        Raises:
            CapabilityError: It does not.
        """
        raise CapabilityError(f"Backend {self.name!r} keeps no graphs in parts. Take --graph-store dgl.")

    def read_layer(
        self, kind: str, state: Mapping[str, Tensor], *, concat: bool = True, aggregation: Optional[str] = None
    ) -> Tuple[ConvSpec, Dict[str, Tensor]]:
        """Read the state of one of the library's own layers, as its users make it.

        Args:
            kind: What convolution it is.
            state: Tensors by their names within the layer.
            concat: Whether attention heads are concatenated, where the state does not tell.
            aggregation: How "sage" reduces its neighbours, where the state does not tell. None: the library's default.

        Returns:
            The convolution, and its parameters by canonical name.

        Raises:
            CheckpointError: The layer is another one; the message has the reason.
        """
        raise CapabilityError(f"Backend {self.name!r} does not read weights of its library's own models.")

    def write_layer(self, spec: ConvSpec, values: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """The inverse of :meth:`read_layer`: the state of the library's own layer that computes the same."""
        raise CapabilityError(f"Backend {self.name!r} does not write weights of its library's own models.")

    def apply_layer(self, spec: ConvSpec, state: Mapping[str, Tensor], graph: Graph, h: Tensor) -> Tensor:
        """Compute the library's own layer with this state on a whole graph, as its users do, self-loops included.

        Args:
            spec: The convolution.
            state: As :meth:`read_layer` takes it.
            graph: Unprepared.
            h: Features. Shape [num_nodes, in_channels].

        Returns:
            Shape [num_nodes, spec.out_width].
        """
        raise CapabilityError(f"Backend {self.name!r} does not run its library's own models.")

    def versions(self) -> Dict[str, str]:
        """Versions of the libraries below, for the manifest of a run."""
        return {}
