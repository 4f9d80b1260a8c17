"""What ``dgl.nn.GATConv`` and ``dgl.nn.GATv2Conv`` share."""

from __future__ import annotations

from typing import ClassVar, Dict

import torch
from torch import Tensor, nn

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native


class _FullPrecisionLinear(nn.Linear):
    """A linear layer whose result has the weights' dtype: the product may be in bfloat16, attention is not.

    DGL refuses bfloat16 features times float32 coefficients, and is slower with both in bfloat16.
    """

    def forward(self, h: Tensor) -> Tensor:
        """[n, in] to [n, out]."""
        return super().forward(h).to(self.weight.dtype)


class Attention(NativeConv):
    """What both attention layers share: heads concatenated or averaged, then a bias of the output's width."""

    layer: ClassVar[str]
    has_linear_bias: ClassVar[bool]

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = native(self.layer)(
            spec.in_channels,
            spec.out_channels,
            spec.heads,
            attn_drop=spec.options.attention_dropout,
            negative_slope=spec.options.negative_slope,
            allow_zero_in_degree=True,
            bias=self.has_linear_bias,
        )
        for name, module in list(self.conv.named_children()):
            if isinstance(module, nn.Linear):
                linear = _FullPrecisionLinear(module.in_features, module.out_features, bias=self.has_linear_bias)
                setattr(self.conv, name, linear)
        # DGL's own bias is one per head, added before heads are averaged.
        self.bias = nn.Parameter(torch.zeros(spec.out_width))

    def prepare(self, lowered: DglBlock) -> None:
        """Have DGL's block made in the loader's thread."""
        assert lowered.native is not None

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
