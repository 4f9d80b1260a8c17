"""How our Numba kernels are compiled.

Rules: a kernel releases the interpreter lock, so that loader threads run side by side, and starts no threads itself.
Its machine code is cached on disk, and whoever waits for a compilation is told why. Numba notices a change in a
kernel's own file only: after changing a function that kernels of another file call, delete the ``__pycache__`` folders.
"""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from typing import Any, Callable, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, event
from numba.extending import intrinsic

from gnnkit.stages import is_heard, stage

_LOG = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` at its first call for each combination of argument types.

    Args:
        function: A function in the subset of Python that Numba compiles.

    Returns:
        The compiled function, of the same signature.
    """
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:
        # Numba found no folder that it may write its cache to; compiling anew in each process is slower, not wrong.
        return cast(F, njit(nogil=True)(function))


_LINE = 64
"""Bytes that processors fetch at once."""


def _fetch(_typing: Any, array: Any, position: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        data = context.make_array(array)(context, builder, arguments[0])
        place = builder.add(builder.mul(arguments[1], builder.extract_value(data.strides, 0)), arguments[2])
        byte = ir.IntType(8).as_pointer()
        pointer = cgutils.pointer_add(builder, data.data, place, byte)  # type: ignore[no-untyped-call]
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [pointer, number(0), number(2), number(1)])  # To read; second-level cache; data.
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


fetch: Any = intrinsic(_fetch)
"""In a kernel: ``fetch(array, position, offset)`` has the processor bring the memory that is ``offset`` bytes after the
begin of ``array[position]`` into its second-level cache, and goes on at once.

A processor waits for fewer lines on behalf of the first-level cache: sums over rows then take up to twice as long.
Processors guess ahead where memory is read in order. Rows in random order wait for memory one after another instead,
unless they are asked for some rows before they are needed."""


@kernel
def fetch_row(table: Any, row: int) -> None:
    """In a kernel: have the processor bring a row of a table, in C order, into its caches."""
    width = table.shape[1] * table.itemsize
    for offset in range(0, width, _LINE):
        fetch(table, row, offset)
    fetch(table, row, width - 1)  # Rows need not begin where a line does, and then reach into one more.


_ROWS_AHEAD, _BYTES_AHEAD = (4, 64), 4096


@kernel
def rows_ahead(table: Any) -> int:
    """In a kernel: how many rows there should be between the one that is asked for and the one that is read.

    Memory answers within the time of so many bytes; more are of no use, as a processor waits for some dozens of lines
    at once.
    """
    width = table.shape[1] * table.itemsize + 1  # A table may have no columns.
    return min(_ROWS_AHEAD[1], max(_ROWS_AHEAD[0], _BYTES_AHEAD // width))  # type: ignore[no-any-return]


_STREAMED = 2**22
"""Bytes from which a table is written past the caches: they would not keep it until it is read."""


def _stream(_typing: Any, out: Any, row: Any, table: Any, source: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        into, at = _place(context, builder, out, arguments[0], arguments[1])
        read, _ = _place(context, builder, table, arguments[2], arguments[3])
        width = builder.extract_value(at.strides, 0)
        line = ir.VectorType(ir.IntType(8), _LINE)
        past = builder.module.add_metadata([ir.IntType(32)(1)])
        num = builder.udiv(width, width.type(_LINE))
        with cgutils.for_range(builder, num) as loop:
            offset = builder.mul(loop.index, width.type(_LINE))
            begin, end = (builder.bitcast(builder.gep(place, [offset]), line.as_pointer()) for place in (read, into))
            store = builder.store(builder.load(begin, align=1), end, align=_LINE)
            store.set_metadata("nontemporal", past)
        return context.get_dummy_value()

    return types.void(out, types.intp, table, types.intp), generate


def _place(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    data = context.make_array(kind)(context, builder, array)
    offset = builder.mul(row, builder.extract_value(data.strides, 0))
    byte = ir.IntType(8).as_pointer()
    return cgutils.pointer_add(builder, data.data, offset, byte), data  # type: ignore[no-untyped-call]


stream: Any = intrinsic(_stream)
"""In a kernel: ``stream(out, row, table, source)`` copies a row of a table, in C order and of the type of ``out``, past
the caches, if :func:`is_streamed` says so of ``out``. :func:`finish_streams` follows after the last one.

An ordinary store first reads the memory that it is about to overwrite, which is a third of the traffic of a copy."""


def _finish(_typing: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


finish_streams: Any = intrinsic(_finish)
"""In a kernel: other threads that see what the kernel writes from here on also see what it has streamed."""


@kernel
def is_streamed(out: Any) -> bool:
    """In a kernel: whether a table in C order is large, and its rows consist of whole lines."""
    width = out.shape[1] * out.itemsize
    return len(out) * width >= _STREAMED and width % _LINE == 0 and out.ctypes.data % _LINE == 0  # type: ignore[no-any-return]


class _Announcer(event.Listener):
    """Names the stage in which kernels are compiled; where nobody listens, says so once per process."""

    def __init__(self) -> None:
        self._said = False
        self._of_thread = threading.local()

    def on_start(self, compilation: Any) -> None:
        # Kernels that a kernel calls are compiled while it is.
        open_ones = self._of_thread.__dict__.setdefault("open", [])
        is_ours = compilation.data["dispatcher"].py_func.__module__.startswith("gnnkit.")
        found = stage("compiling kernels") if is_ours and is_heard() and not open_ones else nullcontext()
        found.__enter__()
        open_ones.append(found)
        if is_ours and not self._said and not is_heard():
            _LOG.warning("Compiling kernels, which takes some seconds. They are kept for later starts.")
            self._said = True

    def on_end(self, _event: Any) -> None:
        self._of_thread.open.pop().__exit__(None, None, None)


event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call]
