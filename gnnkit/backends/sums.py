"""Sums over a block's edges in host memory, and the layers that multiply them, each as one operation.

Rules: a sum is a product of torch's with a sparse matrix [num_dst, num_src], one entry per edge, parallel edges
included, whose rows are the block's own ``indptr``; no message is ever stored. A block is transposed once, for all
layers and steps that it serves. Gradients go into one buffer each: nothing is cut out, filled with zeros or added up
apart.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, ContextManager, Dict, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.backends.transposed import EdgesBySource, edges_by_source
from gnnkit.data import Block
from gnnkit.nn.tall import add_product, product, weight_gradient
from gnnkit.nn.thread_switch import ThreadSwitch


class BlockSums:
    """Sums and means over the in-edges of a block's destinations, differentiable as often as one likes.

    Args:
        block: The block, in host memory. It must not hold what holds this object, or both stay in memory for long.

    Example:
        >>> sums = BlockSums(Block(torch.tensor([0, 2, 3]), torch.tensor([2, 0, 2]), num_src=3))
        >>> h = torch.tensor([[1.0], [2.0], [4.0]])
        >>> sums.reduce(h).tolist(), sums.reduce(h, "mean", own=10).tolist()
        ([[5.0], [4.0]], [[12.5], [24.0]])
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self._matrices: Dict[Tuple[torch.dtype, bool], Tensor] = {}
        self._by_source: Optional[EdgesBySource] = None
        self._transposed: Dict[Tuple[torch.dtype, str, bool], Tensor] = {}

    def matrix(self, dtype: torch.dtype, *, weighted: bool) -> Tensor:
        """The sparse matrix from sources to destinations.

        Args:
            dtype: That of the features which it will be multiplied with; torch takes one dtype at a time.
            weighted: Whether its values are the edge weights, if the block has any; else ones.

        Returns:
            A ``torch.sparse_csr`` tensor of shape [num_dst, num_src].
        """
        block = self.block
        weighted = weighted and block.edge_weight is not None
        key = (dtype, weighted)
        if key not in self._matrices:
            if weighted and block.edge_weight is not None:
                values = block.edge_weight.to(dtype)
            else:
                values = torch.ones(block.num_edges, dtype=dtype)
            self._matrices[key] = _csr(block.indptr, block.indices, values, (block.num_dst, block.num_src))
        return self._matrices[key]

    def reduce(self, h_src: Tensor, how: str = "sum", *, weighted: bool = False, own: float = 0.0) -> Tensor:
        """Reduce the features of each destination's in-neighbours.

        Args:
            h_src: Features of the sources. Shape [num_src, F].
            how: "sum", "mean", "max" or "min".
            weighted: Whether neighbours are multiplied by the edge weights.
            own: By what the destinations' own features, the first of the sources, are multiplied and added to a sum or
                mean.

        Returns:
            Shape [num_dst, F].
        """
        if self.block.is_reduced:
            total = self.product(h_src, how, weighted)
            return total.add(h_src[: self.block.num_dst], alpha=own) if own else total
        if how in ("sum", "mean"):
            out: Tensor = _Sum.apply(h_src, self, how, weighted, own)  # type: ignore[no-untyped-call]
            return out
        extremum: Tensor = torch.sparse.mm(self.matrix(h_src.dtype, weighted=weighted), h_src, how)
        return extremum

    def product(self, h_src: Tensor, how: str, weighted: bool) -> Tensor:
        """Sums or means, without a gradient of ours; a view of the sources where the block is reduced."""
        if self.block.is_reduced:
            return h_src[len(h_src) - self.block.num_dst :]
        out: Tensor = torch.sparse.mm(self.matrix(h_src.dtype, weighted=weighted), h_src, how)
        return out

    def adjoint(self, grad: Tensor, how: str, weighted: bool) -> Tensor:
        """The gradient of the sources from that of sums or means. [num_dst, F] to [num_src, F], new memory."""
        if self.block.is_reduced:
            return torch.cat([grad.new_zeros((self.block.num_src - self.block.num_dst, grad.shape[1])), grad])
        out: Tensor = torch.sparse.mm(self._matrix_back(grad.dtype, how, weighted), grad, "sum")
        return out

    def _matrix_back(self, dtype: torch.dtype, how: str, weighted: bool) -> Tensor:
        """The matrix that takes gradients of sums or means to the sources. Shape [num_src, num_dst].

        torch's own gradient would sort the edges by source anew each time; the bits are the same.
        """
        key = (dtype, how, weighted)
        if key not in self._transposed:
            if self._by_source is None:
                self._by_source = edges_by_source(self.block)
            indptr, dst, edges = self._by_source
            values = self.matrix(dtype, weighted=weighted).values()[edges]
            if how == "mean":
                values = values / self.block.indptr.diff().clamp(min=1).to(dtype)[dst]
            self._transposed[key] = _csr(indptr, dst, values, (self.block.num_src, self.block.num_dst))
        return self._transposed[key]

    def affine(
        self,
        h_src: Tensor,
        h_dst: Optional[Tensor],
        own_weight: Tensor,
        neighbor_weight: Tensor,
        bias: Optional[Tensor],
        how: str,
        *,
        weighted: bool = False,
    ) -> Tensor:
        """W_own h_v + W_neighbor reduce(h_u) + b, the second product added onto the first in place.

        Where that is less work, neighbours are multiplied before they are reduced: on a block whose destinations are
        all of its sources, by a matrix that makes features narrower.

        Args:
            h_src: Features of the sources. Shape [num_src, F].
            h_dst: Features of the destinations. Shape [num_dst, F]. None: the first of the sources.
            own_weight: Shape [out, F].
            neighbor_weight: Shape [out, F].
            bias: Shape [out].
            how: "sum" or "mean".
            weighted: Whether neighbours are multiplied by the edge weights.

        Returns:
            Shape [num_dst, out], in the type that torch gives to such products here and now.
        """
        dtype, of_sums = product_dtype(h_src, own_weight), sum_dtype(h_src, own_weight)
        is_square = self.block.num_src == self.block.num_dst and not self.block.is_reduced
        if is_square and len(neighbor_weight) < h_src.shape[1]:
            projected = functional.linear(h_src, neighbor_weight).to(of_sums)
            own = functional.linear(h_src if h_dst is None else h_dst, own_weight, bias)
            return own + self.reduce(projected, how, weighted=weighted)
        if _COMPOSING.is_on or of_sums != dtype:
            total = self.reduce(h_src.to(of_sums), how, weighted=weighted)
            own = h_src[: self.block.num_dst] if h_dst is None else h_dst
            return functional.linear(total, neighbor_weight, bias) + functional.linear(own, own_weight)
        parts = (h_src, h_dst, own_weight, neighbor_weight, bias)
        cast = [None if part is None else part.to(dtype) for part in parts]
        out: Tensor = _Affine.apply(*cast, self, how, weighted)  # type: ignore[no-untyped-call]
        return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h_src: Tensor, sums: BlockSums, how: str, weighted: bool, own: float) -> Tensor:
        ctx.call = (sums, how, weighted, own)
        out = sums.product(h_src, how, weighted)
        return out.add_(h_src[: len(out)], alpha=own) if own else out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], None, None, None, None]:
        sums, how, weighted, own = ctx.call
        found = sums.adjoint(grad, how, weighted)
        if own:
            found[: len(grad)].add_(grad, alpha=own)
        return found, None, None, None, None


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        h_src: Tensor,
        h_dst: Optional[Tensor],
        own_weight: Tensor,
        neighbor_weight: Tensor,
        bias: Optional[Tensor],
        sums: BlockSums,
        how: str,
        weighted: bool,
    ) -> Tensor:
        ctx.call = (sums, how, weighted)
        total = sums.product(h_src, how, weighted)
        ctx.save_for_backward(h_src, h_dst, own_weight, neighbor_weight, total)
        own = h_src[: sums.block.num_dst] if h_dst is None else h_dst
        return add_product(product(own, own_weight.t(), bias), total, neighbor_weight.t())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Any, ...]:
        sums, how, weighted = ctx.call
        h_src, h_dst, own_weight, neighbor_weight, total = ctx.saved_tensors
        if torch.is_grad_enabled():  # Somebody wants gradients of gradients: a sum that has them.
            total = sums.reduce(h_src, how, weighted=weighted)
        own = h_src[: sums.block.num_dst] if h_dst is None else h_dst
        wants_src, wants_dst, wants_own, wants_neighbor, wants_bias = ctx.needs_input_grad[:5]
        of_src = sums.adjoint(product(grad, neighbor_weight), how, weighted) if wants_src else None
        if of_src is not None and h_dst is None:
            add_product(of_src[: len(grad)], grad, own_weight)
        return (
            of_src,
            product(grad, own_weight) if wants_dst else None,
            weight_gradient(grad, own) if wants_own else None,
            weight_gradient(grad, total) if wants_neighbor else None,
            grad.sum(0) if wants_bias else None,
            *(None, None, None),
        )


_COMPOSING = ThreadSwitch()


def composing() -> ContextManager[None]:
    """While it is entered, layers call ``torch.nn.functional.linear`` for each product, where a mode may take over."""
    return _COMPOSING.turned(True)


def product_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The type that torch gives to a product of features and weights here and now, autocast included.

    Args:
        h: Features. Shape [N, F].
        weight: Shape [out, F].
    """
    return (h[:0] @ weight.t()).dtype


def sum_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The type of messages to be added up: that of products, or that of the weights.

    The latter where torch would add bfloat16 up in bfloat16, as releases before 2.1 do.
    """
    dtype = product_dtype(h, weight)
    return dtype if dtype != torch.bfloat16 or _adds_bfloat16_in_float32() else weight.dtype


@lru_cache(maxsize=None)
def _adds_bfloat16_in_float32() -> bool:
    num = 512
    row = BlockSums(Block(torch.tensor([0, num]), torch.arange(num), num)).matrix(torch.bfloat16, weighted=False)
    return float(torch.sparse.mm(row, torch.ones(num, 1, dtype=torch.bfloat16), "sum")) == num


def _csr(indptr: Tensor, indices: Tensor, values: Tensor, size: Tuple[int, int]) -> Tensor:
    _silence_remarks()
    return torch.sparse_csr_tensor(indptr, indices, values, size)


@lru_cache(maxsize=None)
def _silence_remarks() -> None:
    """Let torch say to nobody what it says once per process of sparse tensors: that they are in beta, and unchecked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))
