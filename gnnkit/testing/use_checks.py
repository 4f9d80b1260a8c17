"""Checks of a backend's convolutions in use: large graphs, wide features, whatever users do with a layer.

Rules: every comparison is with the dense formula in float64. What users do beyond a device's step (other layouts of
memory, several backward passes, other modes) is done to the layer directly, so it needs a device with eager steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Tuple

import torch
from torch import Tensor, nn

from gnnkit.backends import load_backend
from gnnkit.data import Block
from gnnkit.nn import ConvSpec
from gnnkit.testing.backend_base import BackendBase
from gnnkit.testing.compare import compare, compare_states
from gnnkit.testing.formulas import CONV_SPECS, dense_conv, random_parameters
from gnnkit.testing.global_state import unchanged_settings
from gnnkit.testing.graphs import ALL_HARD, CROWDED_BLOCKS, HARD_BLOCKS
from gnnkit.testing.lab import TOLERANCE, compare_gradients, dense_gradients, features, load_parameters, projection
from gnnkit.testing.suite import check
from gnnkit.testing.training import MODELS, model_for

_CONV = ["the convolution"]
_PASSES = 150


class UseChecks(BackendBase):
    """Checks of convolutions as they are used."""

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_many_edges(self, case: str) -> None:
        """Graphs with many edges are computed in full.

        With in-degrees of 100, with 5,000 edges, with a node of in-degree 5,000 and with one of out-degree 300, outputs
        and all gradients are the formula's.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        with self.lab() as lab:
            for name, block in CROWDED_BLOCKS.items():
                x = features(block, spec)
                (out,) = lab.outputs(spec, values, [(block, x)])
                compare(f"the output with {name}", out, dense_conv(spec, values, block, x), 1e-4)
                compare_gradients(lab, spec, values, block, f"with {name}", tolerance=1e-3)

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_wide_features(self, case: str) -> None:
        """Wide features are computed in full.

        With 600 features that become 300, outputs and all gradients are the formula's, in the last column as in the
        first.
        """
        options, block = CONV_SPECS[case].options, ALL_HARD
        if getattr(options, "mlp_channels", None) is not None:
            options = replace(options, mlp_channels=500)
        spec = replace(CONV_SPECS[case], in_channels=600, out_channels=300, options=options)
        # Of the size that initial weights have, so that sums over columns are as large as in use.
        values = {name: value / 20 for name, value in random_parameters(spec).items()}
        x = features(block, spec)
        with self.lab() as lab:
            (out,) = lab.outputs(spec, values, [(block, x)])
            what = "with 600 features that become 300"
            compare(f"the output {what}", out, dense_conv(spec, values, block, x), TOLERANCE)
            compare_gradients(lab, spec, values, block, what, tolerance=1e-4)

    @check(needs=[*_CONV, "eager steps"], over=list(CONV_SPECS))
    def test_layouts(self, case: str) -> None:
        """Tensors may lie in memory in any way.

        Features that are transposed, every other row or column of a larger tensor, or one column repeated, edge weights
        with gaps, and gradients of outputs of all these kinds give the formula's outputs and gradients.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["multi-edges"]
        values, y = random_parameters(spec), projection(block, spec)
        for what, lay_out in _LAYOUTS.items():
            x = lay_out(features(block, spec))
            layer = self._layer(spec, values)
            gaps = None if block.edge_weight is None else _every_other_row(block.edge_weight)
            h = self._here(x).requires_grad_()
            out = layer(replace(block, edge_weight=gaps), h)
            compare(f"the output for {what}", out, dense_conv(spec, values, block, x), TOLERANCE)
            torch.autograd.backward([out], [self._here(lay_out(y))])
            expected = dense_gradients(spec, values, block, x, lay_out(y))["features"]
            assert h.grad is not None, f"no gradient comes back for {what}."
            compare(f"the gradient of {what}", h.grad, expected, TOLERANCE)

    @check(needs=[*_CONV, "eager steps"], over=list(CONV_SPECS))
    def test_backward_twice(self, case: str) -> None:
        """Backward passes can be repeated and interleaved.

        A second backward pass through one graph, and the passes of two outputs that were both computed before either,
        add up to the formula's gradients.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["square"]
        values, x, y = random_parameters(spec), features(block, spec), projection(block, spec)
        once = dense_gradients(spec, values, block, x, y)["features"]
        layer = self._layer(spec, values)
        h = self._here(x).requires_grad_()
        loss = (layer(block, h) * self._here(y)).sum()
        for number in (1, 2):
            loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
            assert h.grad is not None
            compare(f"the gradient after backward pass {number} through one graph", h.grad, number * once, 1e-4)
        h.grad = None
        other = self._here(2 * x).requires_grad_()
        losses = [(layer(block, leaf) * self._here(y)).sum() for leaf in (h, other)]
        for loss in losses:
            loss.backward()  # type: ignore[no-untyped-call]
        twice = dense_gradients(spec, values, block, 2 * x, y)["features"]
        for number, leaf, expected in ((1, h, once), (2, other, twice)):
            assert leaf.grad is not None
            compare(f"the gradient of output {number} of two that were computed first", leaf.grad, expected, 1e-4)

    @check(needs=[*_CONV, "eager steps"], over=list(CONV_SPECS))
    def test_many_passes(self, case: str) -> None:
        """A layer goes on for ever.

        After 150 passes forward and backward outputs and gradients are still the formula's.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["unweighted"]
        values, x, y = random_parameters(spec), features(block, spec), projection(block, spec)
        layer = self._layer(spec, values)
        h, y_here = self._here(x).requires_grad_(), self._here(y)
        for _ in range(_PASSES):
            h.grad = None
            out = layer(block, h)
            torch.autograd.backward([out], [y_here])
        assert h.grad is not None, f"no gradient comes back after {_PASSES} passes."
        compare(f"the output after {_PASSES} passes", out, dense_conv(spec, values, block, x), TOLERANCE)
        expected = dense_gradients(spec, values, block, x, y)["features"]
        compare(f"the gradient after {_PASSES} passes", h.grad, expected, TOLERANCE)

    @check(needs=[*_CONV, "eager steps"], over=list(CONV_SPECS))
    def test_global_state(self, case: str) -> None:
        """Settings of the whole process are left as they are.

        Lowering a block and running a layer forward and backward, with gradients, without and under autocast, changes
        neither torch's modes (gradients, autocast, default dtype, threads, deterministic algorithms, denormal numbers)
        nor the state of anybody's random numbers: there is no dropout here, and a layer may draw nothing else.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["square"]
        values, x = random_parameters(spec), self._here(features(block, spec))
        backend, place = self.make_backend(), self._place
        ours = block.map(lambda tensor: tensor.to(place))
        with torch.random.fork_rng(devices=[]):  # Initial weights are drawn; gnnkit puts the generator back itself.
            conv = backend.conv(spec).to(place)
        load_parameters(backend, conv, spec, values)
        with unchanged_settings("lowering a block"):
            lowered = backend.lower(ours)
        modes: List[Tuple[str, Any]] = [("with gradients", torch.enable_grad()), ("without gradients", torch.no_grad())]
        if "bfloat16" in self.declared.dtypes:
            modes.append(("under autocast", torch.autocast(place.type, dtype=torch.bfloat16)))
        for what, mode in modes:
            with mode, unchanged_settings(f"a layer that runs {what}"):
                h = x.clone().requires_grad_()
                out = conv(lowered, h, h[: block.num_dst])
                if out.requires_grad:
                    out.sum().backward()

    @check(needs=_CONV, over=list(MODELS))
    def test_equal_layers(self, case: str) -> None:
        """Equal layers have weights of their own.

        In a model of four layers, of which two have one specification, no two of them share memory, and every layer
        starts with the weights that the reference backend gives it and keeps them when another layer's are set. Within
        a layer one tensor may have two names, as in ``GATConv`` of PyTorch Geometric 2.4.0.dev20230613.
        """
        model = model_for(case, self.make_backend(), num_layers=4)
        owners: Dict[int, str] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            other = owners.setdefault(parameter.data_ptr(), name) if parameter.numel() else name
            is_same_layer = other.split(".")[:2] == name.split(".")[:2]  # As "convs.0" in "convs.0.lin.weight".
            assert is_same_layer, f"{other} and {name} are one tensor; each layer needs weights of its own."
        expected = model_for(case, load_backend("reference"), num_layers=4).canonical_state()
        compare_states(model.canonical_state(), expected, "in a model of equal layers", 0.0)
        for name in expected:
            if name.startswith("convs.1."):
                expected[name] = expected[name] + 1.0
        model.load_canonical(expected)
        compare_states(model.canonical_state(), expected, "after another layer's weights were set", 0.0)

    @property
    def _place(self) -> torch.device:
        return torch.device(self.declared_by_device.torch_device)

    def _here(self, tensor: Tensor) -> Tensor:
        """The tensor where layers run, laid out in memory as it was; what is done to it is not done to the first."""
        return tensor.detach() if self._place.type == "cpu" else tensor.to(self._place)

    def _layer(self, spec: ConvSpec, values: Mapping[str, Tensor]) -> _Layer:
        backend = self.make_backend()
        conv = backend.conv(spec)
        load_parameters(backend, conv, spec, values)
        return _Layer(backend, conv.to(self._place), self._place)


class _Layer:
    """A layer to call: lowers each block that it is given."""

    def __init__(self, backend: Any, conv: nn.Module, place: torch.device) -> None:
        self.backend = backend
        self.conv = conv
        self.place = place

    def __call__(self, block: Block, h: Tensor) -> Tensor:
        lowered = self.backend.lower(block.map(lambda tensor: tensor.to(self.place)))
        out: Tensor = self.conv(lowered, h, h[: block.num_dst])
        return out


def _every_other_row(values: Tensor) -> Tensor:
    wide = torch.full((2 * len(values), *values.shape[1:]), 77.0)
    wide[::2] = values
    return wide[::2]


def _every_other_column(values: Tensor) -> Tensor:
    wide = torch.full((values.shape[0], 2 * values.shape[1]), 77.0)
    wide[:, ::2] = values
    return wide[:, ::2]


_LAYOUTS: Mapping[str, Any] = {
    "transposed features": lambda values: values.T.contiguous().T,
    "every other row of features": _every_other_row,
    "every other column of features": _every_other_column,
    "features that repeat one column": lambda values: values[:, :1].expand(values.shape),
}
