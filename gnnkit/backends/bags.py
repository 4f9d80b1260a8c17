"""Sums and means of rows, as torch adds up bags of embeddings.

Rules: torch hands ``embedding_bag`` to FBGEMM, whose code asks for rows in advance and writes every result once. It
takes half the time of a product with a sparse matrix in float32, and a quarter in bfloat16; in float32 the bits are
the same. Where torch has no FBGEMM, and for types that it does not add up, a sparse product does the same.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

_MANY = 512
"""So many ones have a sum that arithmetic in bfloat16 does not reach."""


def bag_sums(h: Tensor, indptr: Tensor, indices: Tensor, values: Optional[Tensor], how: str) -> Tensor:
    """Add up rows, or take their mean.

    Args:
        h: Shape [N, F], in host memory. The result is differentiable with respect to it if gradients are recorded.
        indptr: Where the rows of each result begin in ``indices``. Shape [n + 1], int64.
        indices: Rows of ``h``. Shape [E], int64.
        values: By what each row is multiplied. Shape [E], the dtype of ``h``. None: by one.
        how: "sum", or "mean", which is the sum divided by the number of rows.

    Returns:
        Shape [n, F]; 0 where there are no rows.

    Example:
        >>> bag_sums(torch.eye(2), torch.tensor([0, 2, 2]), torch.tensor([0, 1]), None, "mean").tolist()
        [[0.5, 0.5], [0.0, 0.0]]
    """
    if torch.is_grad_enabled() or not h.shape[1] or not _adds_up(h.dtype):
        values = torch.ones(len(indices), dtype=h.dtype) if values is None else values
        out: Tensor = torch.sparse.mm(csr(indptr, indices, values, (len(indptr) - 1, len(h))), h, how)
        return out
    total = functional.embedding_bag(
        indices, h.detach(), indptr, mode="sum", per_sample_weights=values, include_last_offset=True
    )
    return total.div_(indptr.diff().clamp_(min=1).to(h.dtype).unsqueeze(1)) if how == "mean" else total


@lru_cache(maxsize=None)
def adds_in_float32(dtype: torch.dtype) -> bool:
    """Whether sums of rows of a type are rounded once, at the end.

    torch before 2.1 adds bfloat16 up in bfloat16.
    """
    with torch.no_grad():
        rows, indptr = torch.ones(_MANY, 1, dtype=dtype), torch.tensor([0, _MANY])
        return float(bag_sums(rows, indptr, torch.arange(_MANY), None, "sum")) == _MANY


@lru_cache(maxsize=None)
def _adds_up(dtype: torch.dtype) -> bool:
    """Whether ``embedding_bag`` adds a type up by FBGEMM, in float32."""
    if dtype == torch.float64 or "fbgemm" not in torch.backends.quantized.supported_engines:
        return False
    rows, indptr = torch.ones(_MANY, 1, dtype=dtype), torch.tensor([0, _MANY])
    try:
        total = functional.embedding_bag(torch.arange(_MANY), rows, indptr, mode="sum", include_last_offset=True)
    except RuntimeError:  # A type that this torch does not take.
        return False
    return float(total) == _MANY


def csr(indptr: Tensor, indices: Tensor, values: Tensor, size: Tuple[int, int]) -> Tensor:
    """A ``torch.sparse_csr`` tensor; what torch says once per process of such tensors is said to nobody."""
    _silence_remarks()
    return torch.sparse_csr_tensor(indptr, indices, values, size)


@lru_cache(maxsize=None)
def _silence_remarks() -> None:
    """Have torch say now, unheard, that sparse tensors are in beta, and unchecked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))
