"""What the wrappers of PyTorch Geometric's layers share."""

from __future__ import annotations

from typing import Tuple

from torch import Tensor

from gnnkit.backends import product_dtype
from gnnkit_pyg.block import PygBlock


def unweighted(lowered: PygBlock, h_src: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Source features and the graph, in the form and dtype for a layer of PyG that ignores edge weights."""
    if lowered.sums is not None:
        h_src = h_src.to(product_dtype(h_src, weight))
        return h_src, lowered.sums.matrix(h_src.dtype, weighted=False)
    return h_src.to(weight.dtype), lowered.edge_index
