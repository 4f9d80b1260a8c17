"""The backend ``torchsparse``: message passing as products of CSR matrices, which torch brings along.

Rules: a block is one sparse matrix with destinations as rows and sources as columns, so that the sum, mean or maximum
over a destination's neighbours is one product with the features; no message is ever stored.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar, Dict, Optional

import torch
from torch import Tensor, nn

from gnnkit.backends import Backend, BackendCapabilities
from gnnkit.data import Block
from gnnkit.nn import REDUCTIONS, ConvSpec, MessageOps, check_choice

_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}


@dataclass(frozen=True)
class SparseBlock:
    """A block, and the sparse matrices that are made of it.

    Attributes:
        block: The block.
    """

    block: Block

    def reduce(self, columns: Tensor, values: Optional[Tensor], dense: Tensor, how: str) -> Tensor:
        """Multiply with the matrix that has a row per destination and an entry per edge.

        Args:
            columns: Column of each entry, a row of ``dense``. Shape [E], int64.
            values: The entries. Shape [E]. None means 1.
            dense: Shape [columns, ...].
            how: "sum", "mean", "max" or "min".

        Returns:
            Shape [num_dst, ...]; 0 in a row without entries.
        """
        check_choice("reduce", how, REDUCTIONS)
        flat = dense.reshape(dense.shape[0], math.prod(dense.shape[1:]))
        values = flat.new_ones(columns.shape) if values is None else values.to(flat.dtype)
        size = (self.block.num_dst, flat.shape[0])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*Sparse (CSR|invariant).*")  # torch calls its CSR a beta.
            matrix = torch.sparse_csr_tensor(self.block.indptr, columns, values, size)
            out = torch.sparse.mm(matrix, flat, _REDUCTIONS[how])
        result: Tensor = out.reshape((self.block.num_dst,) + tuple(dense.shape[1:]))
        return result


class SparseOps(MessageOps):
    """Message passing by products of sparse matrices."""

    def gather_src(self, lowered: SparseBlock, h_src: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return h_src.index_select(0, lowered.block.indices)

    def gather_dst(self, lowered: SparseBlock, h_dst: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return h_dst.index_select(0, lowered.block.dst)

    def scatter(self, lowered: SparseBlock, messages: Tensor, reduce: str) -> Tensor:
        """Every edge is a column of its own here."""
        edges = torch.arange(lowered.block.num_edges, device=messages.device)
        return lowered.reduce(edges, None, messages, reduce)

    def edge_weight(self, lowered: SparseBlock) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.block.edge_weight

    def edge_softmax(self, lowered: SparseBlock, scores: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        largest = self.scatter(lowered, scores.detach(), "max")
        powers = (scores - self.gather_dst(lowered, largest)).exp()
        return powers / self.gather_dst(lowered, self.scatter(lowered, powers, "sum"))

    def aggregate(
        self, lowered: SparseBlock, h_src: Tensor, reduce: str, edge_weight: Optional[Tensor] = None
    ) -> Tensor:
        """One product, unless weights are learned or differ between heads: torch has no gradient for the entries."""
        if edge_weight is not None and (edge_weight.ndim > 1 or edge_weight.requires_grad or reduce != "sum"):
            return super().aggregate(lowered, h_src, reduce, edge_weight)
        return lowered.reduce(lowered.block.indices, edge_weight, h_src, reduce)


class TorchSparseBackend(Backend):
    """Products of torch's CSR matrices. Nothing but torch is needed."""

    name: ClassVar[str] = "torchsparse"
    api_version: ClassVar[int] = 1
    capabilities: BackendCapabilities = BackendCapabilities(
        convs=frozenset({"gcn", "sage", "gin"}),
        devices=frozenset({"cpu"}),
        dtypes=frozenset({"float32", "float64"}),
        note="torch has the mean and the maximum over a sparse matrix on the CPU only, and no softmax over its rows.",
    )

    def lower(self, block: Block) -> SparseBlock:
        """See :class:`gnnkit.backends.Backend`."""
        return SparseBlock(block)

    def conv(self, spec: ConvSpec) -> nn.Module:
        """gnnkit's own forms of the convolutions on these primitives; torch has no layers for them."""
        return self.on_primitives(spec)

    def ops(self) -> MessageOps:
        """See :class:`gnnkit.backends.Backend`."""
        return SparseOps()

    def versions(self) -> Dict[str, str]:
        """See :class:`gnnkit.backends.Backend`."""
        return {"torch": torch.__version__}
