"""What a block is lowered to.

Rules: both forms share the block's memory where they can, and each is made once, when it is first asked for. A sparse
matrix is [num_dst, num_src], one entry per edge, parallel edges included; its rows are the block's own ``indptr``.
"""

from __future__ import annotations

import warnings
from copy import copy
from functools import lru_cache, partial
from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.backends import EdgesBySource, edges_by_source
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
        use_csr: See above.
        is_reduced: As the block says.
    """

    def __init__(self, block: Block, use_csr: bool, fixed_shapes: bool = False) -> None:
        # A copy, which does not know of its lowered form: two that hold each other would keep their memory for long.
        self.block = copy(block)
        vars(self.block).pop("lowered", None)
        self.use_csr = use_csr
        self.is_reduced = block.is_reduced
        self.relations = Relations(self.block, partial(PygBlock, use_csr=use_csr), dense=fixed_shapes)
        self._edge_index: Optional[Tensor] = None
        self._weights: Dict[torch.dtype, Tensor] = {}
        self._matrices: Dict[Tuple[torch.dtype, bool], Tensor] = {}
        self._by_source: Optional[EdgesBySource] = None
        self._transposed: Dict[Tuple[torch.dtype, str, bool], Tensor] = {}

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
            self._weights[dtype] = self._ones(dtype) if weight is None else weight.to(dtype)
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
            block = self.block
            values = self.weights(dtype) if weighted else self._ones(dtype)
            self._matrices[key] = _csr(block.indptr, block.indices, values, (block.num_dst, block.num_src))
        return self._matrices[key]

    def reduce(self, h_src: Tensor, how: str = "sum", *, weighted: bool = False) -> Tensor:
        """Reduce the features of each destination's in-neighbours. No message is ever stored.

        torch's own gradient of such a product sorts the edges by source anew each time; here a block is transposed
        once, for all layers and steps that it serves. The bits are the same.

        Args:
            h_src: Features of the sources, in host memory. Shape [num_src, F].
            how: "sum", "mean", "max" or "min".
            weighted: Whether neighbours are multiplied by the edge weights.

        Returns:
            Shape [num_dst, F].
        """
        if how in ("sum", "mean"):
            out: Tensor = _Sum.apply(h_src, self, how, weighted)  # type: ignore[no-untyped-call]
            return out
        extremum: Tensor = torch.sparse.mm(self.csr(h_src.dtype, weighted=weighted), h_src, how)
        return extremum

    def transposed(self, dtype: torch.dtype, how: str, *, weighted: bool) -> Tensor:
        """The matrix that takes gradients of sums or means to the sources. Shape [num_src, num_dst]."""
        key = (dtype, how, weighted)
        if key not in self._transposed:
            if self._by_source is None:
                self._by_source = edges_by_source(self.block)
            indptr, dst, edges = self._by_source
            values = self.csr(dtype, weighted=weighted).values()[edges]
            if how == "mean":
                values = values / self.block.indptr.diff().clamp(min=1).to(dtype)[dst]
            self._transposed[key] = _csr(indptr, dst, values, (self.block.num_src, self.block.num_dst))
        return self._transposed[key]

    def _ones(self, dtype: torch.dtype) -> Tensor:
        return torch.ones(self.block.num_edges, dtype=dtype, device=self.block.indices.device)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h_src: Tensor, lowered: PygBlock, how: str, weighted: bool) -> Tensor:
        ctx.call = (lowered, how, weighted)
        out: Tensor = torch.sparse.mm(lowered.csr(h_src.dtype, weighted=weighted), h_src, how)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None, None]:
        lowered, how, weighted = ctx.call
        return torch.sparse.mm(lowered.transposed(grad.dtype, how, weighted=weighted), grad, "sum"), None, None, None


def _csr(indptr: Tensor, indices: Tensor, values: Tensor, size: Tuple[int, int]) -> Tensor:
    _silence_remarks()
    return torch.sparse_csr_tensor(indptr, indices, values, size)


@lru_cache(maxsize=None)
def _silence_remarks() -> None:
    """Let torch say to nobody what it says once per process of sparse tensors: that they are in beta, and unchecked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))
