"""Gathering feature rows, by Numba.

Rules: half precision and bfloat16 are stored forms and leave here as float32; other types stay. Kernels run in the
calling thread and release the interpreter lock; torch's own indexing would start threads for every loader thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.sampling.jit import kernel

_EXPONENT_SHIFT = np.float32(2.0**112)


@kernel
def _copy_rows(table: Any, rows: Any, out: Any) -> None:
    for row in range(len(rows)):
        source = rows[row]
        for column in range(table.shape[1]):
            out[row, column] = table[source, column]


@kernel
def _widen_bfloat16(table: Any, rows: Any, bits: Any) -> None:
    # A bfloat16 is the upper half of a float32.
    for row in range(len(rows)):
        source = rows[row]
        for column in range(table.shape[1]):
            bits[row, column] = np.uint32(table[source, column]) << np.uint32(16)


@kernel
def _widen_float16(table: Any, rows: Any, bits: Any, out: Any) -> None:
    # With its fields moved into place a float16 reads as a float32 that is 2^112 too small, because the exponents'
    # zero points differ by 112; a product puts that right for subnormal numbers too. Infinity and NaN need the
    # largest exponent, which the product leaves alone: 2^31 - 2^23 sets its bits. `special` is 1 for them, else 0; a
    # branch here would cost a half more time. `bits` and `out` are the same memory.
    for row in range(len(rows)):
        source = rows[row]
        for column in range(table.shape[1]):
            half = np.uint32(table[source, column])
            wide = ((half & np.uint32(0x8000)) << np.uint32(16)) | ((half & np.uint32(0x7FFF)) << np.uint32(13))
            special = ((half & np.uint32(0x7C00)) + np.uint32(0x0400)) >> np.uint32(15)
            bits[row, column] = wide | ((special << np.uint32(31)) - (special << np.uint32(23)))
        for column in range(table.shape[1]):
            out[row, column] *= _EXPONENT_SHIFT


def loaded_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which stored features of type ``dtype`` are loaded."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def gather_rows(x: Tensor, nodes: Tensor) -> Tensor:
    """Take rows of a table of features, widening half precision.

    Args:
        x: Features in host memory, possibly memory-mapped. Shape [N, F], floating point.
        nodes: Rows to take. Shape [n], int64, each in [0, N).

    Returns:
        Features. Shape [n, F], float32 for float16 and bfloat16 input, else of the type of ``x``. New memory.
    """
    rows: NDArray[np.int64] = nodes.numpy()
    out = torch.empty((nodes.numel(), x.shape[1]), dtype=loaded_dtype(x.dtype))
    if x.dtype == torch.bfloat16:
        _widen_bfloat16(_bits(x), rows, out.numpy().view(np.uint32))
    elif x.dtype == torch.float16:
        _widen_float16(_bits(x), rows, out.numpy().view(np.uint32), out.numpy())
    else:
        _copy_rows(x.numpy(), rows, out.numpy())
    return out


def _bits(x: Tensor) -> NDArray[np.uint16]:
    return x.view(torch.int16).numpy().view(np.uint16)
