"""What a block is lowered to.

Rules: both forms share the block's memory where they can, and each is made once, when it is first asked for. A sparse
matrix is [num_dst, num_src], one entry per edge, parallel edges included; its rows are the block's own ``indptr``.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.data import Block


class PygBlock:
    """A block as PyTorch Geometric takes it.

    Args:
        block: The message flow of one layer.
        use_csr: Whether layers that can take a sparse matrix get one.

    Attributes:
        block: The block.
        use_csr: See above.
        is_reduced: As the block says.
    """

    def __init__(self, block: Block, use_csr: bool) -> None:
        self.block = block
        self.use_csr = use_csr
        self.is_reduced = block.is_reduced
        self._edge_index: Optional[Tensor] = None
        self._weights: Dict[torch.dtype, Tensor] = {}
        self._matrices: Dict[Tuple[torch.dtype, bool], Tensor] = {}

    @property
    def num_dst(self) -> int:
        """Number of destination nodes."""
        return self.block.num_dst

    @property
    def edge_index(self) -> Tensor:
        """Sources and destinations, sorted by destination. Shape [2, E], int64."""
        if self._edge_index is None:
            self._edge_index = torch.stack([self.block.indices, self.block.dst])
        return self._edge_index

    def weights(self, dtype: torch.dtype) -> Tensor:
        """One weight per edge, ones if the block has none. Shape [E]."""
        if dtype not in self._weights:
            weight = self.block.edge_weight
            if weight is None:
                weight = torch.ones(self.block.num_edges, dtype=dtype, device=self.block.indices.device)
            self._weights[dtype] = weight.to(dtype)
        return self._weights[dtype]

    def csr(self, dtype: torch.dtype, *, weighted: bool) -> Tensor:
        """The sparse matrix from sources to destinations.

        Args:
            dtype: That of the features which it will be multiplied with; torch takes one dtype at a time.
            weighted: Whether its values are the edge weights, else ones.

        Returns:
            A ``torch.sparse_csr`` tensor of shape [num_dst, num_src].
        """
        weighted = weighted and self.block.edge_weight is not None
        key = (dtype, weighted)
        if key not in self._matrices:
            _silence_remarks()
            block = self.block
            ones = torch.ones(block.num_edges, dtype=dtype, device=block.indices.device)
            values = self.weights(dtype) if weighted else ones
            size = (block.num_dst, block.num_src)
            self._matrices[key] = torch.sparse_csr_tensor(block.indptr, block.indices, values, size)
        return self._matrices[key]


@lru_cache(maxsize=None)
def _silence_remarks() -> None:
    """Let torch say to nobody what it says once per process of sparse tensors: that they are in beta, and unchecked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))
