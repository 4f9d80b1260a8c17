"""DGL's own convolutions, each in a thin module that takes gnnkit's arguments.

Rules: the library's layer is the attribute ``conv`` of its wrapper and does the work; a wrapper only hands it the edge
weights, joins attention heads, adds the bias where DGL's is another one, and chooses the dtype of messages, because
DGL's kernels take one dtype at a time and autocast does not reach into them. Layers of DGL are made for blocks with
destinations without in-neighbours, whose aggregate is 0. Where a block is reduced, there is nothing to add up: a
wrapper calls what its layer does after its sum.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Mapping, Type

import torch
from torch import Tensor, nn

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_dgl.compat import import_dgl


def _native(name: str) -> Any:
    import_dgl()
    import dgl.nn

    return getattr(dgl.nn, name)


def _product_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype that torch gives to ``h @ weight`` here and now, autocast included."""
    return (h[:0] @ weight).dtype


class GCN(NativeConv):
    """``dgl.nn.GraphConv`` without its own normalisation: the block's edge weights carry it."""

    names: ClassVar[Mapping[str, str]] = {"bias": "conv.bias"}

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = _native("GraphConv")(spec.in_channels, spec.out_channels, norm="none", allow_zero_in_degree=True)

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """DGL stores the matrix as [in, out]."""
        return {"lin.weight": NativeParameter("conv.weight", transpose=True), **super().parameter_map(spec)}

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            updated: Tensor = aggregates(h_src, h_dst) @ self.conv.weight + self.conv.bias
            return updated
        weight = lowered.edata.get("weight")
        if weight is not None:
            # GraphConv multiplies by its matrix before it aggregates if that makes the messages narrower.
            is_product = self.spec.in_channels > self.spec.out_channels
            weight = weight.to(_product_dtype(h_src, self.conv.weight) if is_product else h_src.dtype)
        out: Tensor = self.conv(lowered, (h_src, h_dst), edge_weight=weight)
        return out


class SAGE(NativeConv):
    """``dgl.nn.SAGEConv`` with "mean" or "pool"."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.fc_self.weight",
        "lin_neigh.weight": "conv.fc_neigh.weight",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        aggregator = {"mean": "mean", "max": "pool"}[spec.aggregation]
        self.conv = _native("SAGEConv")(spec.in_channels, spec.out_channels, aggregator)

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """DGL keeps the bias in the matrix of the destinations."""
        names = {
            **super().parameter_map(spec),
            "bias": NativeParameter("conv.fc_self.bias"),
        }
        if spec.aggregation == "max":
            names["lin_pool.weight"] = NativeParameter("conv.fc_pool.weight")
            names["lin_pool.bias"] = NativeParameter("conv.fc_pool.bias")
        return names

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            updated: Tensor = self.conv.fc_self(h_dst) + self.conv.fc_neigh(aggregates(h_src, h_dst))
            return updated
        if lowered.num_edges() == 0:
            # DGL's gradient of a maximum over no edges at all falls to source 0.
            own: Tensor = self.conv.fc_self(h_dst)
            return own
        # Messages in bfloat16 where the products are: DGL adds them up in float32, twice as fast as float32 messages.
        h_src = h_src.to(_product_dtype(h_src, self.conv.fc_neigh.weight.t()))
        out: Tensor = self.conv(lowered, (h_src, h_dst))
        return out


class GIN(NativeConv):
    """``dgl.nn.GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.apply_func.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        width = spec.mlp_width
        mlp = nn.Sequential(nn.Linear(spec.in_channels, width), nn.ReLU(), nn.Linear(width, spec.out_channels))
        self.conv = _native("GINConv")(mlp, "sum", init_eps=spec.eps)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            total = aggregates(h_src, h_dst) + (1 + self.conv.eps) * h_dst
            updated: Tensor = self.conv.apply_func(total)
            return updated
        h_src = h_src.to(_product_dtype(h_src, self.conv.apply_func[0].weight.t()))
        out: Tensor = self.conv(lowered, (h_src, h_dst))
        return out


class _FullPrecisionLinear(nn.Linear):
    """A linear layer whose result has the weights' dtype: the product may be in bfloat16, attention is not.

    DGL refuses bfloat16 features times float32 coefficients, and is slower with both in bfloat16.
    """

    def forward(self, h: Tensor) -> Tensor:
        """[n, in] to [n, out]."""
        return super().forward(h).to(self.weight.dtype)


class _Attention(NativeConv):
    """What both attention layers share: heads concatenated or averaged, then a bias of the output's width."""

    native: ClassVar[str]
    has_linear_bias: ClassVar[bool]

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = _native(self.native)(
            spec.in_channels,
            spec.out_channels,
            spec.heads,
            attn_drop=spec.attention_dropout,
            negative_slope=spec.negative_slope,
            allow_zero_in_degree=True,
            bias=self.has_linear_bias,
        )
        for name, module in list(self.conv.named_children()):
            if isinstance(module, nn.Linear):
                linear = _FullPrecisionLinear(module.in_features, module.out_features, bias=self.has_linear_bias)
                setattr(self.conv, name, linear)
        # DGL's own bias is one per head, added before heads are averaged.
        self.bias = nn.Parameter(torch.zeros(spec.out_width))

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """DGL keeps attention vectors as [1, heads, out]."""
        shape = (1, spec.heads, spec.out_channels)
        return {
            name: NativeParameter(native, shape=shape if name.startswith("att") else None)
            for name, native in cls.names.items()
        }

    def join_heads(self, out: Tensor) -> Tensor:
        """[num_dst, heads, out] to [num_dst, out_width], with the bias."""
        return (out.flatten(1) if self.spec.concat else out.mean(dim=1)) + self.bias


class GAT(_Attention):
    """``dgl.nn.GATConv``."""

    native = "GATConv"
    has_linear_bias = False
    names: ClassVar[Mapping[str, str]] = {
        "lin.weight": "conv.fc.weight",
        "att_src": "conv.attn_l",
        "att_dst": "conv.attn_r",
        "bias": "bias",
    }

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        # Given one tensor, GATConv takes the block's destinations from the front of the transformed sources instead of
        # transforming them again, which on a whole graph halves the work.
        is_front = h_dst.data_ptr() == h_src.data_ptr() and h_dst.stride() == h_src.stride()
        return self.join_heads(self.conv(lowered, h_src if is_front else (h_src, h_dst)))


class GATv2(_Attention):
    """``dgl.nn.GATv2Conv``."""

    native = "GATv2Conv"
    has_linear_bias = True
    names: ClassVar[Mapping[str, str]] = {
        "lin_src.weight": "conv.fc_src.weight",
        "lin_src.bias": "conv.fc_src.bias",
        "lin_dst.weight": "conv.fc_dst.weight",
        "lin_dst.bias": "conv.fc_dst.bias",
        "att": "conv.attn",
        "bias": "bias",
    }

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        return self.join_heads(self.conv(lowered, (h_src, h_dst)))


LAYERS: Mapping[str, Type[NativeConv]] = {"gcn": GCN, "sage": SAGE, "gat": GAT, "gatv2": GATv2, "gin": GIN}
"""The wrapper of each kind of convolution."""
