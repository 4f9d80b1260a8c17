"""What convolutions with attention heads share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.nn.convs.base import Convolution, ConvSpec, HeadOptions, ReferenceConv
from gnnkit.nn.message_passing import MessageOps


@dataclass(frozen=True)
class AttentionOptions(HeadOptions):
    """Options of "gat" and "gatv2".

    Attributes:
        negative_slope: Slope of the leaky ReLU in attention scores, for numbers below 0.
    """

    negative_slope: float = 0.2


class HeadConvolution(Convolution):
    """Base of the kinds with attention heads."""

    options_class = HeadOptions
    has_heads = True
    dropouts = ("attention_dropout",)

    def out_width(self, spec: ConvSpec) -> int:
        """See :class:`Convolution`."""
        return spec.out_channels * spec.heads if spec.concat else spec.out_channels


class AttentionConv(ReferenceConv):
    """Sums by softmax of scores, heads concatenated or averaged, plus a bias."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.bias = nn.Parameter(torch.empty(spec.out_width))

    def attend(self, lowered: Any, h_src: Tensor, scores: Tensor) -> Tensor:
        """Sum the sources [num_src, heads, out] by softmax of the scores [E, heads], then join heads, plus bias."""
        attention = self.ops.edge_softmax(lowered, scores)
        attention = functional.dropout(attention, self.spec.options.attention_dropout, self.training)
        out = self.ops.aggregate(lowered, h_src, "sum", attention)
        out = out.flatten(1) if self.spec.concat else out.mean(dim=1)
        return out + self.bias

    def split_heads(self, h: Tensor) -> Tensor:
        """[n, heads * out] to [n, heads, out]."""
        return h.reshape(-1, self.spec.heads, self.spec.out_channels)
