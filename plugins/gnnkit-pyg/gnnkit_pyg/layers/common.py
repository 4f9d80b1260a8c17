"""What the wrappers of PyTorch Geometric's layers share: the dtype of messages."""

from __future__ import annotations

from functools import lru_cache
from typing import Tuple

import torch
from torch import Tensor

from gnnkit.data import Block
from gnnkit_pyg.block import PygBlock


def product_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype that torch gives to a product of features and weights here and now, autocast included."""
    return (h[:0] @ weight.t()).dtype


def sum_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype of messages to be added up: that of products, or that of the weights.

    The latter where torch would add bfloat16 up in bfloat16, as releases before 2.1 do.
    """
    dtype = product_dtype(h, weight)
    return dtype if dtype != torch.bfloat16 or _adds_bfloat16_in_float32() else weight.dtype


@lru_cache(maxsize=None)
def _adds_bfloat16_in_float32() -> bool:
    num = 512
    block = Block(torch.tensor([0, num]), torch.arange(num), num)
    row = PygBlock(block, use_csr=True).csr(torch.bfloat16, weighted=False)
    return float(torch.sparse.mm(row, torch.ones(num, 1, dtype=torch.bfloat16), "sum")) == num


def unweighted(lowered: PygBlock, h_src: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Source features and the graph, in the form and dtype for a layer of PyG that ignores edge weights."""
    if lowered.use_csr:
        h_src = h_src.to(product_dtype(h_src, weight))
        return h_src, lowered.csr(h_src.dtype, weighted=False)
    return h_src.to(weight.dtype), lowered.edge_index
