"""What a block is lowered to.

Rules: both forms, sparse matrices and a list of edges, share the block's memory where they can, and each is made once,
when it is first asked for.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Dict, Optional

import torch
from torch import Tensor

from gnnkit.backends import BlockSums
from gnnkit.data import Block
from gnnkit.nn import Relations


class PygBlock:
    """A block as PyTorch Geometric takes it.

    Args:
        block: The message flow of one layer.
        use_csr: Whether layers that can take a sparse matrix get one.
        fixed_shapes: Whether all that is made of it has shapes that depend on the block's alone.

    Attributes:
        block: The block.
        relations: The block by its relations.
        sums: The block's sparse matrices; None where layers get lists of edges.
        is_reduced: As the block says.
    """

    def __init__(self, block: Block, use_csr: bool, fixed_shapes: bool = False) -> None:
        # A copy, which does not know of its lowered form: two that hold each other would keep their memory for long.
        self.block = copy(block)
        vars(self.block).pop("lowered", None)
        self.sums = BlockSums(self.block) if use_csr else None
        self.is_reduced = block.is_reduced
        self.relations = Relations(self.block, partial(PygBlock, use_csr=use_csr), dense=fixed_shapes)
        self._edge_index: Optional[Tensor] = None
        self._weights: Dict[torch.dtype, Tensor] = {}

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
            ones = torch.ones(self.block.num_edges, dtype=dtype, device=self.block.indices.device)
            self._weights[dtype] = ones if weight is None else weight.to(dtype)
        return self._weights[dtype]
