"""Faults of a backend that small graphs, narrow features and single passes do not show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Tuple, Type

import torch

from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend, ReferenceOps
from gnnkit.data import Block
from gnnkit.nn.convs.gat import GATConv
from gnnkit.nn.convs.gcn import GCNConv
from gnnkit.nn.convs.gin import GINConv
from tests.testing.mutants.formulas import primitives_only
from tests.testing.mutants.planting import with_conv, with_lowering, with_ops


class SumsOf64(ReferenceOps):
    """A buffer of 64 messages a node; what comes later is lost."""

    def scatter(self, lowered, messages, reduce):
        number = torch.arange(lowered.num_edges) - lowered.indptr[lowered.dst]
        kept = (number < 64) if reduce == "sum" else torch.ones_like(number)
        return super().scatter(lowered, messages * kept.reshape(-1, *[1] * (messages.ndim - 1)), reduce)


class MeansOf64(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        if reduce != "mean":
            return super().scatter(lowered, messages, reduce)
        degree = lowered.indptr.diff().clamp(1, 64)
        return super().scatter(lowered, messages, "sum") / degree.reshape(-1, *[1] * (messages.ndim - 1))


class First4096Edges(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        kept = torch.arange(lowered.num_edges) < 4096
        return super().scatter(lowered, messages * kept.reshape(-1, *[1] * (messages.ndim - 1)), reduce)


class First64Columns(ReferenceOps):
    def aggregate(self, lowered, h_src, reduce, edge_weight=None):
        kept = torch.arange(h_src.shape[-1]) < 64
        return super().aggregate(lowered, h_src * kept, reduce, edge_weight)


class LayersFromACache(ReferenceBackend):
    """Makes no new layer where the same is asked for twice in a row."""

    latest: Any = (None, None)

    def conv(self, spec):
        if self.latest[0] != spec:
            self.latest = (spec, super().conv(spec))
        return self.latest[1]


class _ReadsMemory(torch.autograd.Function):
    """As a kernel does that takes the address of its input and believes that it is contiguous."""

    @staticmethod
    def forward(ctx, h):
        strides = torch.empty(h.shape, device="meta").stride()
        has_room = h.storage_offset() + h.numel() <= h.untyped_storage().nbytes() // h.element_size()
        return torch.as_strided(h, h.shape, strides).clone() if has_room else torch.zeros_like(h)

    @staticmethod
    def backward(ctx, grad):
        return grad


class MisreadsMemory(GINConv):
    def forward(self, lowered, h_src, h_dst):
        h = _ReadsMemory.apply(h_src)
        return super().forward(lowered, h, h[: len(h_dst)])


class NoNegativeWeights(ReferenceOps):
    def edge_weight(self, lowered):
        weight = super().edge_weight(lowered)
        return None if weight is None else weight.clamp(min=0)


class ZeroMeansOne(ReferenceOps):
    def edge_weight(self, lowered):
        weight = super().edge_weight(lowered)
        return None if weight is None else torch.where(weight == 0, torch.ones_like(weight), weight)


class ConvertsZeroToOne(ReferenceBackend):
    def to_native(self, graph):
        return graph

    def from_native(self, obj):
        weight = obj.edge_weight
        return replace(obj, edge_weight=torch.where(weight == 0, torch.ones_like(weight), weight))


def draws(block: Block) -> Block:
    torch.rand(1)
    return block


class _FreesItsInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, kept):
        ctx.kept = kept
        return h.clone()

    @staticmethod
    def backward(ctx, grad):
        scale = 1.0 if ctx.kept else 0.0
        ctx.kept.clear()
        return grad * scale, None


class OneBackwardOnly(GINConv):
    def forward(self, lowered, h_src, h_dst):
        h = _FreesItsInput.apply(h_src, [h_src])
        return super().forward(lowered, h, h[: len(h_dst)])


class _UsesTheLatest(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, weight, layer):
        ctx.layer = layer
        layer.latest = h.detach()
        return h.square() * weight

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.layer.latest * grad, None, None


class KeepsTheLatest(GINConv):
    """Keeps what the backward pass needs in the layer, where the next forward pass overwrites it."""

    def forward(self, lowered, h_src, h_dst):
        own = _UsesTheLatest.apply(h_src, 1.0, self)
        h = h_src + own - h_src.square()
        return super().forward(lowered, h, h[: len(h_dst)])


class SwitchesGradientsOn(GCNConv):
    def forward(self, lowered, h_src, h_dst):
        out = super().forward(lowered, h_src, h_dst)
        torch._C._set_grad_enabled(True)
        return out


class SwitchesAutocastOff(GCNConv):
    def forward(self, lowered, h_src, h_dst):
        out = super().forward(lowered, h_src, h_dst)
        torch.set_autocast_enabled("cpu", False)
        return out


class IgnoresAutocast(GCNConv):
    def forward(self, lowered, h_src, h_dst):
        with torch.autocast("cpu", enabled=False):
            return super().forward(lowered, h_src.to(self.bias.dtype), h_dst.to(self.bias.dtype))


class DropsTheSame(GATConv):
    def attend(self, lowered, h_src, scores):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return super().attend(lowered, h_src, scores)


class StopsLearning(GINConv):
    calls = 0

    def forward(self, lowered, h_src, h_dst):
        self.calls += 1
        out = super().forward(lowered, h_src, h_dst)
        return out if self.calls <= 100 else out.detach().requires_grad_(out.requires_grad)


class SinglePrecisionPrimitives(ReferenceOps):
    def scatter(self, lowered, messages, reduce):
        return super().scatter(lowered, messages.float(), reduce).to(messages.dtype)


class UnknownAggregation(ReferenceBackend):
    """The fault is in what it declares, which ``narrowed`` leaves as it is."""

    def __init__(self):
        self.capabilities = BackendCapabilities(convs=frozenset({"sage"}), aggregations=frozenset({"median"}))


class ExcludesSomethingUnknown(ReferenceBackend):
    def __init__(self):
        self.capabilities = BackendCapabilities(convs=frozenset({"gcn"}), excludes=({"layer": "gcn"},))


class RaisesForMax(ReferenceBackend):
    """Declares every aggregation and has but one."""

    def conv(self, spec):
        if spec.options.aggregation == "max":
            raise NotImplementedError("no maximum here")
        return super().conv(spec)


FAULTS: Tuple[Tuple[str, str, Type[ReferenceBackend], Tuple[str, ...], str], ...] = (
    ("sums wrong above degree 64", "gin", with_ops(SumsOf64), ("many_edges",), "with in-degrees of 100"),
    ("means wrong above degree 64", "sage", with_ops(MeansOf64), ("many_edges",), "with in-degrees of 100"),
    ("more than 4,096 edges", "gcn", with_ops(First4096Edges), ("many_edges", "primitives"), "with 5,000 edges"),
    ("features beyond column 64", "gin", with_ops(First64Columns), ("wide_features",), "with 600 features"),
    ("weights shared by equal layers", "gcn", LayersFromACache, ("equal_layers",), "are one tensor"),
    ("memory misread", "gin", with_conv(MisreadsMemory), ("layouts",), "transposed features"),
    ("negative weights clamped", "gcn", with_ops(NoNegativeWeights), ("edge_weights",), "negative edge weights"),
    ("zero weights read as one", "gcn", with_ops(ZeroMeansOne), ("edge_weights",), "edge weights that are 0"),
    ("zero weights converted to one", "gcn", ConvertsZeroToOne, ("native_graphs",), "edge_weight is 1"),
    ("draws from the generator", "gcn", with_lowering(draws), ("global_state",), "torch's global generator"),
    ("one backward pass only", "gin", with_conv(OneBackwardOnly), ("backward_twice",), "backward pass 2"),
    ("keeps the latest features", "gin", with_conv(KeepsTheLatest), ("backward_twice",), "output 1 of two"),
    ("grad mode leaks", "gcn", with_conv(SwitchesGradientsOn), ("global_state",), "changes grad mode"),
    ("autocast leaks", "gcn", with_conv(SwitchesAutocastOff), ("global_state",), "changes autocast"),
    ("bfloat16 ignored", "gcn", with_conv(IgnoresAutocast), ("bfloat16",), "declared and not computed in"),
    ("dropout with a seed of its own", "gat", with_conv(DropsTheSame), ("attention_dropout",), "for every seed"),
    ("stops after 100 passes", "gin", with_conv(StopsLearning), ("many_passes",), "after 150 passes"),
    ("primitives in float32", "gcn", primitives_only(SinglePrecisionPrimitives), ("primitives",), "torch.float64"),
    ("unknown aggregation declared", "sage", UnknownAggregation, ("declaration",), "['median'] are declared"),
    ("unknown combination excluded", "gcn", ExcludesSomethingUnknown, ("declaration",), "excludes names ['layer']"),
    ("declared aggregation raises", "sage", RaisesForMax, ("outputs", "equal_layers"), "no maximum here"),
)
"""Name, convolution, backend, checks that point at it, words of a message."""
