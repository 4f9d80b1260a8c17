"""Gathering rows of features, of nodes or of edges, by Numba.

Rules: half precision and bfloat16 are stored forms and leave here as float32; other types stay. Kernels run in the
calling thread and release the interpreter lock; torch's own indexing would start threads for every loader thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.jit import fetch_row, finish_streams, is_streamed, kernel, rows_ahead, stream
from gnnkit.loading.ahead import parts_ahead
from gnnkit.sampling.buffers import Buffers

_EXPONENT_SHIFT = np.float32(2.0**112)


def loaded_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type in which stored features of type ``dtype`` are loaded."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def stored_array(x: Tensor) -> NDArray[Any]:
    """A table as kernels read it, in the same memory: uint16 stands for bfloat16 and int16 for float16."""
    if x.dtype == torch.bfloat16:
        # Through int16, because releases of torch before 2.3 know no uint16.
        return x.view(torch.int16).numpy().view(np.uint16)
    return x.view(torch.int16).numpy() if x.dtype == torch.float16 else x.numpy()


def _bitcast(_context: Any, bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


_as_float32: Any = intrinsic(_bitcast)
"""In a kernel: the float32 that has these 32 bits."""


def _bits(_context: Any, number: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


_as_bits: Any = intrinsic(_bits)
"""In a kernel: the 32 bits of a float32."""


def widened(stored: Any) -> Any:
    """In a kernel: a number of a stored table in the type in which it is loaded."""
    raise TypeError("widened is for kernels only: call gather_rows")


@overload(widened, inline="always")
def _widened(stored):  # type: ignore[no-untyped-def]  # Numba compares signatures, annotations included.
    if stored == types.uint16:
        # A bfloat16 is the upper half of a float32.
        return lambda stored: _as_float32(np.uint32(stored) << np.uint32(16))
    return _widened_float16 if stored == types.int16 else lambda stored: stored


def _widened_float16(stored):  # type: ignore[no-untyped-def]
    # With its fields moved into place a float16 reads as a float32 that is 2^112 too small, because the exponents'
    # zero points differ by 112; a product puts that right for subnormal numbers too. Infinity and NaN need the
    # largest exponent, which the product leaves alone: 2^31 - 2^23 sets its bits. `special` is 1 for them, else 0; a
    # branch here would cost a half more time.
    half = np.uint32(np.uint16(stored))
    wide = ((half & np.uint32(0x8000)) << np.uint32(16)) | ((half & np.uint32(0x7FFF)) << np.uint32(13))
    special = ((half & np.uint32(0x7C00)) + np.uint32(0x0400)) >> np.uint32(15)
    return _as_float32(wide | ((special << np.uint32(31)) - (special << np.uint32(23)))) * _EXPONENT_SHIFT


def put_number(out: Any, row: Any, column: Any, value: Any) -> None:
    """In a kernel: write a number into a table; one of bfloat16, which stands there as uint16, gets it rounded."""
    raise TypeError("put_number is for kernels only: call gather_rows")


@overload(put_number, inline="always")
def _put_number(out, row, column, value):  # type: ignore[no-untyped-def]
    if out.dtype == types.uint16:
        return _put_rounded

    def put(out, row, column, value):  # type: ignore[no-untyped-def]
        out[row, column] = value

    return put


def _put_rounded(out, row, column, value):  # type: ignore[no-untyped-def]
    # To the nearest, and to the even one of two, as torch does. A NaN becomes the one that torch writes.
    bits = _as_bits(value)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    out[row, column] = np.uint16(np.uint32(0x7FC0) if is_nan else nearest)


def put_row(out: Any, row: Any, table: Any, source: Any, line: Any) -> None:
    """In a kernel: write a row of a stored table past the caches; ``line`` is [1, F], of the type of ``out``."""
    raise TypeError("put_row is for kernels only: call gather_rows")


@overload(put_row, inline="always")
def _put_row(out, row, table, source, line):  # type: ignore[no-untyped-def]
    if out.dtype == table.dtype:
        return lambda out, row, table, source, line: stream(out, row, table, source)

    def put(out, row, table, source, line):  # type: ignore[no-untyped-def]
        for column in range(table.shape[1]):
            put_number(line, 0, column, widened(table[source, column]))
        stream(out, row, line, 0)

    return put


@kernel
def _gather(table: Any, rows: Any, out: Any) -> None:
    ahead = rows_ahead(table)
    is_past = is_streamed(out)
    line = np.empty((1, out.shape[1]), out.dtype)
    for row in range(len(rows)):
        if row + ahead < len(rows):
            fetch_row(table, rows[row + ahead])
        source = rows[row]
        if is_past:
            put_row(out, row, table, source, line)
        else:
            for column in range(table.shape[1]):
                put_number(out, row, column, widened(table[source, column]))
    finish_streams()


def gather_rows(x: Tensor, rows: Tensor, out: Tensor) -> None:
    """Take rows of a table of features, widening half precision, and rounding to bfloat16 where ``out`` has that type.

    Args:
        x: Features or node ids in host memory, possibly memory-mapped. Shape [N, F], floating point or int64.
        rows: Rows to take. Shape [n], int64, each in [0, N).
        out: Where they go. Shape [n, F], float32 for float16 and bfloat16 input, else of the type of ``x``; or bfloat16
            where that is float32.
    """
    table, wanted, target = stored_array(x), rows.numpy(), stored_array(out)
    for part in parts_ahead(x, rows):
        _gather(table, wanted[part], target[part])


def gathered(table: Tensor, rows: Tensor, buffers: Buffers) -> Tensor:
    """Rows of a table of features in memory that is used again; see :func:`gather_rows`.

    Args:
        table: Features. Shape [N, F].
        rows: Rows to take. Shape [n], int64.
        buffers: Where the memory comes from.

    Returns:
        Shape [n, F], in the type of :func:`loaded_dtype`.
    """
    out = buffers.empty((rows.numel(), table.shape[1]), loaded_dtype(table.dtype))
    gather_rows(table, rows, out)
    return out
