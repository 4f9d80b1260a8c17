"""Sums over a block's edges in host memory, and the layers that multiply them, each as one operation.

Rules: a sum reads the block's own edges, parallel ones included, and no message is ever stored. A block is transposed
once, for all layers and steps that it serves. Gradients go into one buffer each: nothing is cut out, filled with zeros
or added up apart.
"""

from __future__ import annotations

from typing import Any, ContextManager, Dict, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.backends.bags import adds_in_float32, bag_sums, csr
from gnnkit.backends.transposed import EdgesBySource, edges_by_source
from gnnkit.data import Block
from gnnkit.nn.activations import activated
from gnnkit.nn.tall import add_product, affine, affine_gradients, product
from gnnkit.nn.thread_switch import ThreadSwitch
from gnnkit.nn.widening import is_widening, widening


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
        self._values_back: Dict[Tuple[torch.dtype, str, bool], Optional[Tensor]] = {}

    def matrix(self, dtype: torch.dtype, *, weighted: bool) -> Tensor:
        """The sparse matrix from sources to destinations.

        Args:
            dtype: That of the features which it will be multiplied with; torch takes one dtype at a time.
            weighted: Whether its values are the edge weights, if the block has any; else ones.

        Returns:
            A ``torch.sparse_csr`` tensor of shape [num_dst, num_src].
        """
        key = (dtype, weighted and self.block.edge_weight is not None)
        if key not in self._matrices:
            values = self._values(*key)
            values = torch.ones(self.block.num_edges, dtype=dtype) if values is None else values
            size = (self.block.num_dst, self.block.num_src)
            self._matrices[key] = csr(self.block.indptr, self.block.indices, values, size)
        return self._matrices[key]

    def _values(self, dtype: torch.dtype, weighted: bool) -> Optional[Tensor]:
        weight = self.block.edge_weight
        return weight.to(dtype) if weighted and weight is not None else None

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
        block = self.block
        if block.is_reduced:
            return h_src[len(h_src) - block.num_dst :]
        return bag_sums(h_src, block.indptr, block.indices, self._values(h_src.dtype, weighted), how)

    def adjoint(self, grad: Tensor, how: str, weighted: bool) -> Tensor:
        """The gradient of the sources from that of sums or means. [num_dst, F] to [num_src, F], new memory."""
        if self.block.is_reduced:
            return torch.cat([grad.new_zeros((self.block.num_src - self.block.num_dst, grad.shape[1])), grad])
        if self._by_source is None:
            self._by_source = edges_by_source(self.block)
        indptr, dst, _ = self._by_source
        return bag_sums(grad, indptr, dst, self._back(self._by_source, grad.dtype, how, weighted), "sum")

    def _back(self, edges: EdgesBySource, dtype: torch.dtype, how: str, weighted: bool) -> Optional[Tensor]:
        """By what gradients are multiplied on each edge, by source; None: by one."""
        key = (dtype, how, weighted)
        if key not in self._values_back:
            values = self._values(dtype, weighted)
            values = None if values is None else values[edges.edges]
            if how == "mean":
                degrees = self.block.indptr.diff().clamp(min=1).to(dtype)[edges.dst]
                values = degrees.reciprocal_() if values is None else values / degrees
            self._values_back[key] = values
        return self._values_back[key]

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
        activation: Optional[str] = None,
    ) -> Tensor:
        """W_own h_v + W_neighbor reduce(h_u) + b, and an activation of that.

        The second product is added onto the first in place, and the activation follows, for some rows at a time.
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
            activation: One of :data:`gnnkit.nn.activations.ACTIVATIONS`.

        Returns:
            Shape [num_dst, out], in the type that torch gives to such products here and now.
        """
        dtype = product_dtype(h_src, own_weight)
        of_sums = _sum_dtype(dtype, own_weight)
        is_square = self.block.num_src == self.block.num_dst and not self.block.is_reduced
        if is_square and len(neighbor_weight) < h_src.shape[1]:
            projected = functional.linear(h_src, neighbor_weight).to(of_sums)
            own = functional.linear(h_src if h_dst is None else h_dst, own_weight, bias)
            return activated(own + self.reduce(projected, how, weighted=weighted), activation)
        if _COMPOSING.is_on or of_sums != dtype:
            total = self.reduce(h_src.to(of_sums), how, weighted=weighted)
            own = h_src[: self.block.num_dst] if h_dst is None else h_dst
            out = functional.linear(total, neighbor_weight, bias) + functional.linear(own, own_weight)
            return activated(out, activation)
        parts = (h_src, h_dst, own_weight, neighbor_weight, bias)
        cast = [None if part is None else part.to(dtype) for part in parts]
        found: Tensor = _Affine.apply(*cast, self, how, weighted, activation)  # type: ignore[no-untyped-call]
        return found


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
        activation: Optional[str],
    ) -> Tensor:
        ctx.call = (sums, how, weighted, activation)
        ctx.widens = is_widening()
        total = sums.product(h_src, how, weighted)
        own = h_src[: sums.block.num_dst] if h_dst is None else h_dst
        out = affine([(own, own_weight.t()), (total, neighbor_weight.t())], bias, activation)
        kept = None if activation is None else out
        ctx.save_for_backward(h_src, h_dst, own_weight, neighbor_weight, total, kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Any, ...]:
        sums, how, weighted, activation = ctx.call
        h_src, h_dst, own_weight, neighbor_weight, total, out = ctx.saved_tensors
        if torch.is_grad_enabled():  # Somebody wants gradients of gradients: a sum that has them.
            total = sums.reduce(h_src, how, weighted=weighted)
        own = h_src[: sums.block.num_dst] if h_dst is None else h_dst
        wants_src, wants_dst, wants_own, wants_neighbor, wants_bias = ctx.needs_input_grad[:5]
        xs = (own if wants_own else None, total if wants_neighbor else None)
        wants = {"wants_before": wants_src or wants_dst, "wants_bias": wants_bias}
        of_src = of_dst = None
        with widening(ctx.widens):
            before, of_weights, of_bias = affine_gradients(grad, out, activation, xs, **wants)
            if before is not None and wants_src:
                of_src = sums.adjoint(product(before, neighbor_weight), how, weighted)
                if h_dst is None:
                    add_product(of_src[: len(grad)], before, own_weight)
            if before is not None and wants_dst:
                of_dst = product(before, own_weight)
        return (of_src, of_dst, *of_weights, of_bias, None, None, None, None)


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
    return _sum_dtype(product_dtype(h, weight), weight)


def _sum_dtype(of_products: torch.dtype, weight: Tensor) -> torch.dtype:
    is_fine = of_products != torch.bfloat16 or adds_in_float32(of_products)
    return of_products if is_fine else weight.dtype
