"""Checks of what a backend computes on typed graphs, for those that declare it.

Rules: as in :mod:`gnnkit.testing.conv_checks`. A backend that declares no convolution which reads types, and none that
it can make for each relation, leaves all of this out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Mapping, Sequence, Tuple

import torch

from gnnkit.data import Block, Relation, Schema
from gnnkit.nn import ConvSpec
from gnnkit.testing.backend_base import BackendBase
from gnnkit.testing.compare import compare
from gnnkit.testing.formulas import dense_conv, random_parameters
from gnnkit.testing.graphs import make_block
from gnnkit.testing.lab import TOLERANCE, Lab, compare_gradients, features, projection
from gnnkit.testing.suite import check

SCHEMA = Schema(
    ("paper", "author", "ghost"),
    (
        Relation("paper", "cites", "paper"),
        Relation("author", "writes", "paper", 2),
        Relation("paper", "written by", "author", 1),
        Relation("author", "knows", "author"),
        Relation("ghost", "haunts", "paper"),
    ),
)
"""Of the hard typed graphs. Nobody ever is a ghost."""


def _typed(types: Sequence[int], edges: Sequence[Tuple[int, int, int]], num_dst: int) -> Block:
    """A block from types of its sources, and (source, destination, relation) of its edges."""
    rows = sorted(edges, key=lambda edge: (edge[1], edge[2], edge[0]))
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    block = make_block(table[:, 0], table[:, 1], len(types), num_dst)
    return replace(block, indices=table[:, 0], edge_type=table[:, 2], src_type=torch.tensor(types))


TYPED_BLOCKS: Mapping[str, Block] = {
    "all relations that occur": _typed(
        (0, 0, 1, 1, 0), ((0, 1, 0), (4, 1, 0), (2, 0, 1), (3, 0, 1), (2, 1, 1), (0, 2, 2), (4, 2, 2), (3, 2, 3)), 3
    ),
    "no edges of most relations": _typed((0, 1, 0), ((2, 0, 0),), 2),
    "no edges": _typed((0, 1, 0), (), 2),
    "edges from a node to itself": _typed((0, 1, 0), ((0, 0, 0), (1, 1, 3), (2, 0, 0)), 3),
    "repeated edges": _typed((0, 0, 1), ((1, 0, 0), (1, 0, 0), (1, 0, 0), (2, 0, 1), (2, 0, 1), (2, 1, 1)), 2),
    "one neighbour by two relations": _typed((1, 1, 0), ((1, 0, 3), (2, 0, 2), (1, 0, 3), (0, 2, 1)), 3),
    "one node": _typed((1,), (), 1),
}
"""Typed blocks that hurt, by name."""


def _side_by_side(blocks: Sequence[Block]) -> Block:
    """One block of several, which are square as far as their destinations go: all nodes are destinations."""
    types, edges, start = [], [], 0
    for block in blocks:
        assert block.src_type is not None and block.edge_type is not None
        types += block.src_type.tolist()
        rows = zip(block.indices.tolist(), block.dst.tolist(), block.edge_type.tolist())
        edges += [(source + start, destination + start, relation) for source, destination, relation in rows]
        start += block.num_src
    return _typed(types, edges, len(types))


ALL_TYPED = _side_by_side(list(TYPED_BLOCKS.values()))
"""All of them in one block, for devices on which every shape is a program of its own."""

UNSEEN = TYPED_BLOCKS["all relations that occur"]
SEEN = _typed(
    (0, 0, 1, 1, 0), ((0, 1, 0), (4, 1, 0), (1, 0, 0), (4, 0, 0), (4, 0, 0), (4, 1, 0), (3, 2, 3), (3, 2, 3)), 3
)
"""The nodes of ``UNSEEN``, and as many edges, of two relations only."""

TYPED_SPECS: Mapping[str, ConvSpec] = {
    "rgcn": ConvSpec("rgcn", 6, 4, schema=SCHEMA),
    "rgcn, bases": ConvSpec("rgcn", 6, 4, {"num_bases": 2}, schema=SCHEMA),
    "rgcn, blocks": ConvSpec("rgcn", 6, 4, {"num_blocks": 2}, schema=SCHEMA),
    "rgat": ConvSpec("rgat", 6, 4, {"heads": 2}, schema=SCHEMA),
    "rgat, bases, averaged": ConvSpec("rgat", 6, 4, {"out_heads": 2, "num_bases": 2}, is_output=True, schema=SCHEMA),
    "hgt": ConvSpec("hgt", 6, 4, {"heads": 2, "attention_channels": 8}, schema=SCHEMA),
    "hgt, as wide as before": ConvSpec("hgt", 4, 4, {"heads": 2}, schema=SCHEMA),
    "sage, sum": ConvSpec("sage", 6, 4, schema=SCHEMA, relational="sum"),
    "sage, mean": ConvSpec("sage", 6, 4, schema=SCHEMA, relational="mean"),
    "sage, attention": ConvSpec("sage", 6, 4, schema=SCHEMA, relational="attention"),
    "gat, sum": ConvSpec("gat", 6, 4, {"heads": 2}, schema=SCHEMA, relational="sum"),
    "gin, mean": ConvSpec("gin", 6, 4, schema=SCHEMA, relational="mean"),
}
"""Relational convolutions in every shape that matters, by name."""


class TypedChecks(BackendBase):
    """Checks of convolutions of typed graphs."""

    def lacks(self, need: str, case: str) -> str:
        """See :class:`gnnkit.testing.suite.Suite`."""
        if need != "the relational convolution":
            return super().lacks(need, case)
        spec = TYPED_SPECS[case]
        if spec.relational == "none":
            return "" if spec.kind in self.declared.convs else f"convolution {spec.kind}"
        is_there = spec.kind in self.declared.convs & self.declared.relational
        return "" if is_there else f"a convolution {spec.kind} for each relation"

    @check(needs=["the relational convolution"], over=list(TYPED_SPECS))
    def test_typed_outputs(self, case: str) -> None:
        """Outputs on typed graphs equal the formula.

        On typed graphs that hurt (no edges of a relation, a type without nodes, relations within a type, repeated
        edges, one neighbour by two relations) the outputs are those of the formula in float64, to 1e-5 of the largest
        output, or of 1 where that is larger.
        """
        spec, values = TYPED_SPECS[case], random_parameters(TYPED_SPECS[case])
        with self.lab() as lab:
            for name, block in _blocks(lab).items():
                x = features(block, spec)
                (out,) = lab.outputs(spec, values, [(block, x)])
                compare(f"the output on {name!r}", out, dense_conv(spec, values, block, x), TOLERANCE)

    @check(needs=["the relational convolution"], over=list(TYPED_SPECS))
    def test_typed_gradients(self, case: str) -> None:
        """Gradients on typed graphs equal the formula's.

        One step of gradient descent moves every parameter, those of relations without edges included, by the formula's
        gradient, with and without padding.
        """
        spec, values = TYPED_SPECS[case], random_parameters(TYPED_SPECS[case])
        with self.lab() as lab:
            for name, block in _blocks(lab).items():
                compare_gradients(lab, spec, values, block, f"on {name!r}")
            if spec.relational == "none":
                compare_gradients(lab, spec, values, ALL_TYPED, "on a padded batch", spare=3)

    @check(needs=["the relational convolution"], over=list(TYPED_SPECS))
    def test_unseen_relation(self, case: str) -> None:
        """A relation may come after the training.

        A layer takes a training step on a graph without edges of some relations. It then computes a graph that has
        such edges, and the outputs are those of the formula with the weights after the step.
        """
        spec, values = TYPED_SPECS[case], random_parameters(TYPED_SPECS[case])
        x = features(SEEN, spec)
        with self.lab() as lab:
            after, out = lab.outputs_after_step(spec, values, (SEEN, x, projection(SEEN, spec)), (UNSEEN, x))
        compare("the output of relations that no training had", out, dense_conv(spec, after, UNSEEN, x), TOLERANCE)


def _blocks(lab: Lab) -> Dict[str, Block]:
    if lab.device.capabilities.static_shapes:
        return {"all side by side": ALL_TYPED}
    return dict(TYPED_BLOCKS)
