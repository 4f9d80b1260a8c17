"""Faults in what a backend computes, by the formula that is broken."""

from __future__ import annotations

from typing import Callable, Dict, Tuple, Type

import torch
from torch import nn

from gnnkit.backends.reference import ReferenceBackend, ReferenceOps
from gnnkit.data import Block
from gnnkit.nn import NativeParameter
from gnnkit.nn.convs.gat import GATConv
from gnnkit.nn.convs.gatv2 import GATv2Conv
from gnnkit.nn.convs.gcn import GCNConv
from gnnkit.nn.convs.gin import GINConv
from gnnkit.nn.convs.sage import SAGEConv
from tests.testing.mutants.planting import with_conv, with_lowering, with_map, with_ops


class TakesDestinations(ReferenceOps):
    def gather_src(self, lowered, h_src):
        return h_src.index_select(0, lowered.dst)

    def scatter(self, lowered, messages, reduce):
        out = messages.new_zeros((lowered.num_src, *messages.shape[1:]))
        return out.index_add(0, lowered.indices, messages)[: lowered.num_dst]


class SumForMean(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        return super().scatter(lowered, messages, "sum" if reduce == "mean" else reduce)


class MeanForSum(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        return super().scatter(lowered, messages, "mean" if reduce == "sum" else reduce)


class MeanOverAtLeastTwo(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        total = super().scatter(lowered, messages, "sum")
        return total / lowered.indptr.diff().clamp(min=2)[:, None] if reduce == "mean" else total


class LowestForNoNeighbours(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        out = super().scatter(lowered, messages, reduce)
        empty = (lowered.indptr.diff() == 0)[:, None]
        return torch.where(empty, torch.full_like(out, -1e4), out) if reduce == "max" else out


class SoftmaxOverSources(ReferenceOps):
    def edge_softmax(self, lowered, scores):
        powers = (scores - scores.max()).exp() if scores.numel() else scores.exp()
        total = powers.new_zeros((lowered.num_src, *powers.shape[1:])).index_add(0, lowered.indices, powers)
        return powers / total.index_select(0, lowered.indices)


class SoftmaxThatOverflows(ReferenceOps):
    def edge_softmax(self, lowered, scores):
        powers = scores.exp()
        return powers / self.gather_dst(lowered, self.scatter(lowered, powers, "sum"))


class MultiEdgesOnce(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        keys = lowered.dst * lowered.num_src + lowered.indices
        first = torch.ones_like(keys, dtype=torch.bool)
        first[1:] = keys[1:] != keys[:-1]
        return super().scatter(lowered, messages * first.reshape(-1, *[1] * (messages.ndim - 1)), reduce)


class NoWeights(ReferenceOps):
    def edge_weight(self, lowered):
        return None


class DegreesOfTheBlock(ReferenceOps):
    def edge_weight(self, lowered):
        into = lowered.indptr.diff().clamp(min=1).float()
        out_of = torch.bincount(lowered.indices, minlength=lowered.num_src).clamp(min=1).float()
        return (into[lowered.dst] * out_of[lowered.indices]).rsqrt()


class WeightsEverywhere(ReferenceOps):
    def aggregate(self, lowered, h_src, reduce, edge_weight=None):
        weight = lowered.edge_weight if edge_weight is None else edge_weight
        return super().aggregate(lowered, h_src, reduce, weight)


class HalfPrecision(ReferenceOps):
    def aggregate(self, lowered, h_src, reduce, edge_weight=None):
        return super().aggregate(lowered, h_src.half(), reduce, edge_weight).float()


class SinglePrecision(ReferenceOps):
    def aggregate(self, lowered, h_src, reduce, edge_weight=None):
        return super().aggregate(lowered, h_src.float(), reduce, edge_weight).to(h_src.dtype)


class NoGradientThroughMessages(ReferenceOps):
    def gather_src(self, lowered, h_src):
        return super().gather_src(lowered, h_src.detach())


class SwapsWithOrder(ReferenceOps):
    """Drops the last edge of every node that has more than one, whichever that is."""

    def scatter(self, lowered, messages, reduce):
        last = torch.zeros(lowered.num_edges + 1, dtype=torch.bool)
        last[(lowered.indptr[1:] - 1)[lowered.indptr.diff() > 1]] = True
        return super().scatter(lowered, messages * ~last[:-1, None], reduce)


class NodeZeroIsSpecial(ReferenceOps):
    def gather_src(self, lowered, h_src):
        return super().gather_src(lowered, h_src) * (1 + (lowered.indices == 0))[:, None]


def off_by_one(block: Block) -> Block:
    indptr = block.indptr.clone()
    indptr[1:-1] = (indptr[1:-1] + 1).clamp(max=block.num_edges)
    return Block(indptr, block.indices, block.num_src, block.edge_weight)


def padding_to_node_zero(block: Block) -> Block:
    """Finds destinations anew and takes those of padding edges for 0."""
    if block.edge_mask is None:
        return block
    dst = torch.where(block.edge_mask, block.dst, torch.zeros_like(block.dst))
    order = dst.argsort(stable=True)
    indptr = nn.functional.pad(torch.bincount(dst, minlength=block.num_dst).cumsum(0), (1, 0))
    weight = None if block.edge_weight is None else block.edge_weight[order]
    return Block(indptr, block.indices[order], block.num_src, weight)


def drops_self_loops(block: Block) -> Block:
    kept = block.indices != block.dst
    indptr = nn.functional.pad(torch.bincount(block.dst[kept], minlength=block.num_dst).cumsum(0), (1, 0))
    weight = None if block.edge_weight is None else block.edge_weight[kept]
    return Block(indptr, block.indices[kept], block.num_src, weight)


def writes_weights(block: Block) -> Block:
    if block.edge_weight is not None:
        block.edge_weight.mul_(2.0)
    return block


class NoBias(GCNConv):
    def forward(self, lowered, h_src, h_dst):
        return super().forward(lowered, h_src, h_dst) - self.bias


class FrozenBias(GCNConv):
    def forward(self, lowered, h_src, h_dst):
        return super().forward(lowered, h_src, h_dst) - self.bias + self.bias.detach()


class NoSelf(SAGEConv):
    def forward(self, lowered, h_src, h_dst):
        return super().forward(lowered, h_src, h_dst * 0)


class NoPooling(SAGEConv):
    def forward(self, lowered, h_src, h_dst):
        if self.spec.options.aggregation == "mean":
            return super().forward(lowered, h_src, h_dst)
        neighbours = self.ops.aggregate(lowered, h_src, "max")
        return self.lin_self(h_dst) + self.lin_neigh(neighbours) + self.bias + 0 * self.lin_pool.bias.sum()


class CountsItsCalls(GINConv):
    """Becomes another layer with every training step, which no parameter tells."""

    calls = 0

    def forward(self, lowered, h_src, h_dst):
        shift = 0.1 * self.calls
        self.calls += self.training
        return super().forward(lowered, h_src, h_dst) + shift * h_src.new_ones(self.spec.out_channels).cumsum(0)


class WritesFeatures(GINConv):
    def forward(self, lowered, h_src, h_dst):
        out = super().forward(lowered, h_src, h_dst)
        h_src.detach().mul_(0.5)
        return out


class NoEps(GINConv):
    def forward(self, lowered, h_src, h_dst):
        return self.mlp(h_dst + self.ops.aggregate(lowered, h_src, "sum"))


class OtherSlope(GATConv):
    def __init__(self, spec, ops):
        from dataclasses import replace

        super().__init__(replace(spec, options=replace(spec.options, negative_slope=0.01)), ops)


class SumOfHeads(GATConv):
    def attend(self, lowered, h_src, scores):
        out = super().attend(lowered, h_src, scores)
        return out if self.spec.concat else (out - self.bias) * self.spec.heads + self.bias


class DropsWhileEvaluating(GATv2Conv):
    def attend(self, lowered, h_src, scores):
        was, self.training = self.training, True
        out = super().attend(lowered, h_src, scores)
        self.training = was
        return out


class NeverDrops(GATConv):
    def attend(self, lowered, h_src, scores):
        was, self.training = self.training, False
        out = super().attend(lowered, h_src, scores)
        self.training = was
        return out


class ScoresTwiceTheSource(GATConv):
    def forward(self, lowered, h_src, h_dst):
        h_src, h_dst = self.split_heads(self.lin(h_src)), self.split_heads(self.lin(h_dst))
        from_src = self.ops.gather_src(lowered, (h_src * self.att_src).sum(-1))
        from_dst = self.ops.gather_dst(lowered, (h_dst * self.att_src).sum(-1)) + 0 * self.att_dst.sum()
        return self.attend(
            lowered, h_src, nn.functional.leaky_relu(from_src + from_dst, self.spec.options.negative_slope)
        )


class Centred(GINConv):
    """Takes the mean over all nodes out, as if all of them were real."""

    def forward(self, lowered, h_src, h_dst):
        mean = h_src[:-1].mean(0) * 0 if lowered.dst_mask is None else h_src.mean(0)
        return super().forward(lowered, h_src - mean, h_dst - mean)


def swapped(first: str, second: str) -> Callable[[Dict[str, NativeParameter]], Dict[str, NativeParameter]]:
    def change(places):
        places[first], places[second] = places[second], places[first]
        return places

    return change


def transposed(places: Dict[str, NativeParameter]) -> Dict[str, NativeParameter]:
    return {**places, "lin.weight": NativeParameter("lin.weight", transpose=True)}


def forgotten(places: Dict[str, NativeParameter]) -> Dict[str, NativeParameter]:
    return {name: place for name, place in places.items() if name != "bias"}


class RaisesWhenProbed(ReferenceBackend):
    @classmethod
    def probe(cls):
        raise ImportError("library missing")


class OwnStart(ReferenceBackend):
    """Names its parameters right but ties two of them together."""

    def parameter_map(self, spec):
        places = dict(ReferenceBackend.parameter_map(self, spec))
        places["lin_dst.weight"] = places["lin_src.weight"]
        return places


def primitives_only(ops: Type[ReferenceOps]) -> Type[ReferenceBackend]:
    """Layers are right, what users write on the primitives is not."""
    return type(
        "PrimitivesMutant",
        (ReferenceBackend,),
        {
            "ops": lambda self: ops(),
            "conv": lambda self, spec: ReferenceBackend().conv(spec),
        },
    )


class LosesWeights(ReferenceBackend):
    def to_native(self, graph):
        return graph

    def from_native(self, obj):
        from dataclasses import replace

        return replace(obj, edge_weight=None)


class NoMoreDestinationsThanSources(ReferenceOps):
    """Right as long as destinations are among the sources."""

    def aggregate(self, lowered, h_src, reduce, edge_weight=None):
        out = super().aggregate(lowered, h_src, reduce, edge_weight)
        few = torch.arange(len(out)) < len(h_src)
        return out * few.reshape((-1,) + (1,) * (out.ndim - 1)).to(out.dtype)


class ReadsDestinationsAmongSources(ReferenceOps):
    def gather_dst(self, lowered, h_dst):
        return h_dst.index_select(0, lowered.dst.clamp(max=max(lowered.num_edges - 1, 0)) % max(len(h_dst) - 1, 1))


FAULTS: Tuple[Tuple[str, str, Type[ReferenceBackend], Tuple[str, ...]], ...] = (
    ("wrong direction", "gcn", with_ops(TakesDestinations), ("direction", "outputs")),
    ("off by one in the offsets", "gcn", with_lowering(off_by_one), ("outputs", "gradients")),
    ("missing bias", "gcn", with_conv(NoBias), ("outputs",)),
    ("bias without gradient", "gcn", with_conv(FrozenBias), ("gradients", "optimizer_step")),
    ("degrees of the sampled block", "gcn", with_ops(DegreesOfTheBlock), ("edge_weights", "outputs")),
    ("edge weights ignored", "gcn", with_ops(NoWeights), ("edge_weights", "outputs")),
    ("edge weights overwritten", "gcn", with_lowering(writes_weights), ("inputs",)),
    ("weights transposed", "gcn", with_map(transposed), ("parameters",)),
    ("parameter forgotten", "gcn", with_map(forgotten), ("parameters",)),
    ("dtype lost", "gcn", with_ops(HalfPrecision), ("outputs", "float64")),
    ("float64 computed in float32", "gcn", with_ops(SinglePrecision), ("float64",)),
    ("self-loops dropped", "gcn", with_lowering(drops_self_loops), ("outputs",)),
    ("last edge dropped", "gcn", with_ops(SwapsWithOrder), ("edge_order",)),
    ("one node is special", "gcn", with_ops(NodeZeroIsSpecial), ("node_order",)),
    ("sum for mean", "sage", with_ops(SumForMean), ("outputs", "primitives")),
    ("mean over at least two", "sage", with_ops(MeanOverAtLeastTwo), ("outputs",)),
    ("edge weights where there are none", "sage", with_ops(WeightsEverywhere), ("edge_weights",)),
    ("padding leaks into counts", "sage", with_lowering(padding_to_node_zero), ("padding",)),
    ("self term dropped", "sage", with_conv(NoSelf), ("outputs",)),
    ("pooling without its layer", "sage", with_conv(NoPooling), ("outputs",)),
    ("maximum over nothing", "sage", with_ops(LowestForNoNeighbours), ("outputs", "primitives")),
    ("parameters swapped", "sage", with_map(swapped("lin_self.weight", "lin_neigh.weight")), ("outputs",)),
    ("mean for sum", "gin", with_ops(MeanForSum), ("outputs", "primitives")),
    ("multi-edges counted once", "gin", with_ops(MultiEdgesOnce), ("outputs", "primitives")),
    ("epsilon ignored", "gin", with_conv(NoEps), ("outputs",)),
    ("features overwritten", "gin", with_conv(WritesFeatures), ("inputs",)),
    ("padding leaks through a mean", "gin", with_conv(Centred), ("padding",)),
    ("state outside the parameters", "gin", with_conv(CountsItsCalls), ("resumed",)),
    ("gradient detached", "gin", with_ops(NoGradientThroughMessages), ("gradients",)),
    ("softmax over sources", "gat", with_ops(SoftmaxOverSources), ("outputs", "primitives")),
    ("softmax that overflows", "gat", with_ops(SoftmaxThatOverflows), ("large_scores", "primitives")),
    ("slope changed", "gat", with_conv(OtherSlope), ("outputs",)),
    ("heads summed", "gat", with_conv(SumOfHeads), ("outputs",)),
    ("scores from one vector", "gat", with_conv(ScoresTwiceTheSource), ("outputs",)),
    ("no attention dropout", "gat", with_conv(NeverDrops), ("attention_dropout",)),
    ("dropout while evaluating", "gatv2", with_conv(DropsWhileEvaluating), ("attention_dropout",)),
    ("parameters tied", "gatv2", OwnStart, ("parameters",)),
    ("probe raises", "gcn", RaisesWhenProbed, ("probe",)),
    ("primitives without softmax", "gcn", primitives_only(SoftmaxOverSources), ("primitives",)),
    ("no more graphs than nodes", "gcn", primitives_only(NoMoreDestinationsThanSources), ("primitives", "pooling")),
    ("the last graph hears another", "gcn", primitives_only(ReadsDestinationsAmongSources), ("virtual_node",)),
    ("conversion loses weights", "gcn", LosesWeights, ("native_graphs",)),
)
"""Name, convolution, backend, checks that point at it."""
