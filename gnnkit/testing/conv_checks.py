"""Checks of a backend's convolutions, one at a time, against their formulas.

Rules: every comparison is with the dense formula in float64, which the reference backend is held to as well.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gnnkit.testing.backend_base import BackendBase
from gnnkit.testing.compare import compare
from gnnkit.testing.formulas import CONV_SPECS, dense_conv, random_parameters
from gnnkit.testing.graphs import ALL_HARD, HARD_BLOCKS, draw, renumber, reverse_edges_of_each_node
from gnnkit.testing.lab import TOLERANCE, compare_gradients, dense_gradients, features, projection, weighted
from gnnkit.testing.suite import check

_CONV = ["the convolution"]
_MANY = 16
"""Numbers whose rounding averages out."""
_ATTENTION = [name for name, spec in CONV_SPECS.items() if spec.has_heads]


class ConvChecks(BackendBase):
    """Checks of convolutions."""

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_parameters(self, case: str) -> None:
        """Parameters are where the map says.

        ``parameter_map`` names every canonical parameter and every native one exactly once, in a layout that leads
        there and back without loss.
        """
        spec, backend = CONV_SPECS[case], self.make_backend()
        native = dict(backend.conv(spec).named_parameters())
        places = backend.parameter_map(spec)
        wanted, found = set(spec.parameters), set(places)
        assert found == wanted, f"the map has {sorted(found)}, expected {sorted(wanted)}."
        used = [place.name for place in places.values()]
        assert sorted(used) == sorted(native), f"the map leads to {sorted(used)}, the layer has {sorted(native)}."
        for name, value in random_parameters(spec).items():
            laid_out = places[name].to_native(value)
            shapes = list(laid_out.shape), list(native[places[name].name].shape)
            assert shapes[0] == shapes[1], f"{name} is laid out as {shapes[0]}, the layer has {shapes[1]}."
            compare(f"{name} there and back", places[name].to_canonical(laid_out, tuple(value.shape)), value, 0.0)

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_outputs(self, case: str) -> None:
        """Outputs equal the formula.

        On graphs that hurt (no edges, isolated nodes, self-loops, multi-edges, one node, a hub, unequal sides, without
        weights) the outputs are those of the formula, float32 to 1e-5.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        with self.lab() as lab:
            for name, block in lab.blocks.items():
                x = features(block, spec)
                (out,) = lab.outputs(spec, values, [(block, x)])
                assert out.dtype == torch.float32, f"outputs on {name!r} are {out.dtype}, expected torch.float32."
                compare(f"the output on {name!r}", out, dense_conv(spec, values, block, x), TOLERANCE)

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_gradients(self, case: str) -> None:
        """Gradients and a step of descent equal the formula's.

        One step of gradient descent through the device moves every parameter, and the features, by the formula's
        gradient, on the same graphs.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        with self.lab() as lab:
            for name, block in lab.blocks.items():
                compare_gradients(lab, spec, values, block, f"on {name!r}")

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_direction(self, case: str) -> None:
        """Messages run from source to destination.

        A change of one source changes the destination that it sends to, and no other.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["unequal sides"]
        x = features(block, spec)
        # Node 2 sends to destination 0 alone. The step is large, so that max-pooling must see it.
        inputs = [(block, x)] + [(block, _moved(x, 2, amount)) for amount in (30.0, -30.0)]
        with self.lab() as lab:
            before, *after = lab.outputs(spec, random_parameters(spec), inputs)
        changes = torch.stack([(out - before).abs().amax(1) for out in after]).amax(0)
        assert float(changes[0]) > 1e-3, "a source was changed and the destination of its edge did not notice."
        assert float(changes[1]) < 1e-4, "a source was changed and a destination noticed that it has no edge to."

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_edge_order(self, case: str) -> None:
        """The order of edges does not matter.

        With the edges of every destination in opposite order, outputs are the same.
        """
        spec, x = CONV_SPECS[case], features(ALL_HARD, CONV_SPECS[case])
        with self.lab() as lab:
            inputs = [(ALL_HARD, x), (reverse_edges_of_each_node(ALL_HARD), x)]
            first, second = lab.outputs(spec, random_parameters(spec), inputs)
        compare("an output after the edges were put in another order", second, first, TOLERANCE)

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_node_order(self, case: str) -> None:
        """The numbering of nodes does not matter.

        With the nodes renumbered, every node has the output that it had.
        """
        spec, x = CONV_SPECS[case], features(ALL_HARD, CONV_SPECS[case])
        renumbered, number = renumber(ALL_HARD)
        moved = torch.empty_like(x).index_copy(0, number, x)
        with self.lab() as lab:
            first, second = lab.outputs(spec, random_parameters(spec), [(ALL_HARD, x), (renumbered, moved)])
        compare("an output after renumbering the nodes", second[number[: ALL_HARD.num_dst]], first, TOLERANCE)

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_edge_weights(self, case: str) -> None:
        """Edge weights are used as they are.

        GCN multiplies messages by the weights that the block carries, which come from the degrees of the whole graph,
        and computes none of its own, be they positive, negative or 0; the other convolutions do not look at them.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        x = features(ALL_HARD, spec)
        weight = draw(ALL_HARD.num_edges, seed=1).abs() + 0.1
        blocks = {
            "": ALL_HARD,
            " with other edge weights": weighted(ALL_HARD, weight),
            " with edge weights that are 0": weighted(ALL_HARD, weight * (torch.arange(len(weight)) % 3 > 0)),
            " with negative edge weights": weighted(ALL_HARD, -weight),
        }
        with self.lab() as lab:
            received = lab.outputs(spec, values, [(block, x) for block in blocks.values()])
        for (what, block), out in zip(blocks.items(), received):
            compare(f"an output{what}", out, dense_conv(spec, values, block, x), TOLERANCE)

    @check(needs=_CONV, over=list(CONV_SPECS))
    def test_padding(self, case: str) -> None:
        """Padding changes nothing.

        On padded batches, with padding nodes full of large numbers, outputs of real nodes and all gradients are the
        formula's for the batch without padding, with little padding and with much.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        with self.lab() as lab:
            for name, block in lab.blocks.items():
                x = features(block, spec)
                for spare in (1, 9):
                    (out,) = lab.outputs(spec, values, [(block, x)], spare)
                    what = f"the output on {name!r} with {spare} more of everything"
                    compare(what, out, dense_conv(spec, values, block, x), TOLERANCE)
            compare_gradients(lab, spec, values, ALL_HARD, "of a padded batch", spare=9)

    @check(needs=[*_CONV, "eager steps"], over=list(CONV_SPECS))
    def test_inputs(self, case: str) -> None:
        """Inputs are left as they are.

        A layer writes neither to its features nor to the block's arrays; another layer reads them too.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["multi-edges"]
        backend, place = self.make_backend(), torch.device(self.declared_by_device.torch_device)
        ours = block.map(lambda tensor: tensor.clone().to(place))
        x = features(block, spec)
        h = x.clone().to(place)
        conv = backend.conv(spec).to(place)
        with torch.no_grad():
            conv(backend.lower(ours), h, h[: block.num_dst])
        compare("a feature after the layer has run", h, x, 0.0)
        for name in ("indptr", "indices", "edge_weight"):
            compare(f"{name} after the layer has run", getattr(ours, name), getattr(block, name), 0.0)

    @check(needs=_CONV, over=_ATTENTION)
    def test_large_scores(self, case: str) -> None:
        """Attention over large scores does not overflow.

        With scores in the thousands the outputs are finite and the formula's, to 1e-2.
        """
        spec, block = CONV_SPECS[case], HARD_BLOCKS["hub"]
        values = {name: value * 20 for name, value in random_parameters(spec).items()}
        x = features(block, spec) * 5
        with self.lab() as lab:
            (out,) = lab.outputs(spec, values, [(block, x)])
        compare("an output over large scores", out, dense_conv(spec, values, block, x), 1e-2)

    @check(needs=_CONV, over=_ATTENTION)
    def test_attention_dropout(self, case: str) -> None:
        """Attention dropout acts while training only.

        With ``attention_dropout`` training steps depend on the device's seed, and evaluations equal the formula. A
        device with fixed shapes may have random numbers of its own, and another step draws others there.
        """
        spec = CONV_SPECS[case]
        dropping = replace(spec, options=replace(spec.options, attention_dropout=0.6))
        values, x, y = random_parameters(spec), features(ALL_HARD, spec), projection(ALL_HARD, spec)
        with self.lab() as lab:
            outputs = lab.outputs(dropping, values, [(ALL_HARD, x)] * 2)
            for out in outputs:
                compare("an output while evaluating", out, dense_conv(spec, values, ALL_HARD, x), TOLERANCE)
            drawn = []
            for seed in (1, 2, 1):
                lab.device.seed(seed)
                drawn.append(lab.gradients(dropping, values, ALL_HARD, x, y)["features"].double())
        without = dense_gradients(spec, values, ALL_HARD, x, y)["features"]
        differs = not torch.allclose(drawn[0], without, rtol=1e-3, atol=1e-3)
        assert differs, "attention dropout makes no difference while training."
        assert not torch.equal(drawn[0], drawn[1]), "attention dropout draws the same for every seed."
        repeats = self.declared_by_device.static_shapes or torch.equal(drawn[0], drawn[2])
        assert repeats, "attention dropout draws something else for the same seed."

    @check(needs=[*_CONV, "float64"], over=list(CONV_SPECS))
    def test_float64(self, case: str) -> None:
        """float64 is float64.

        Where float64 is declared, outputs and gradients agree with the formula to 1e-9: nothing on the way is rounded
        to float32.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        block = weighted(ALL_HARD, ALL_HARD.edge_weight.double())  # type: ignore[union-attr]
        x = features(block, spec)
        with self.lab(torch.float64) as lab:
            (out,) = lab.outputs(spec, values, [(block, x)])
            assert out.dtype == torch.float64, f"the output is {out.dtype}, expected torch.float64."
            compare("the output", out, dense_conv(spec, values, block, x), 1e-9)
            compare_gradients(lab, spec, values, block, "in float64", tolerance=1e-9)

    @check(needs=[*_CONV, "bfloat16"], over=list(CONV_SPECS))
    def test_bfloat16(self, case: str) -> None:
        """bfloat16 stays close.

        Where bfloat16 is declared, outputs and gradients are within 5% of the formula's in norm, 10% where they are
        fewer than 16 numbers, and outputs are not those of float32: matrix products are computed in bfloat16.
        """
        spec, values = CONV_SPECS[case], random_parameters(CONV_SPECS[case])
        block = HARD_BLOCKS["unequal sides"]
        x, y = features(block, spec), projection(block, spec)
        with self.lab(precision="bfloat16") as lab:
            (out,) = lab.outputs(spec, values, [(block, x)])
            received = lab.gradients(spec, values, block, x, y)
        _compare_norm("outputs", out, dense_conv(spec, values, block, x))
        for name, expected in dense_gradients(spec, values, block, x, y).items():
            _compare_norm(f"gradients of {name}", received[name], expected)
        if not any(len(parameter.shape) == 2 for parameter in spec.parameters.values()):
            return  # There is no product to compute in it.
        off = float((out.double() - dense_conv(spec, values, block, x)).abs().max())
        assert off > 1e-4, f"the outputs are those of float32, to {off:.1g}: bfloat16 is declared and not computed in."


def _moved(x: Tensor, row: int, amount: float) -> Tensor:
    changed = x.clone()
    changed[row] += amount
    return changed


def _compare_norm(what: str, received: Tensor, expected: Tensor) -> None:
    assert bool(received.isfinite().all()), f"{what} are not finite everywhere."
    size = float(expected.norm())
    share = float((received.double() - expected).norm()) / max(size, 1e-12)
    most = 0.05 if expected.numel() >= _MANY else 0.1  # The rounding of a few numbers does not average out.
    assert size < 1e-9 or share < most, f"{what} are off by {share:.1%} of their norm, expected less than {most:.0%}."
