"""One copy a machine: objects whose large tensors all processes of a machine map from the same memory.

Rules: memory that is shared has no name, so that no way to end leaves it behind: the others find it as an open file of
the process that made it (/proc/PID/fd). What is mapped from a file already is passed on by the file's name. Nobody
writes to either.
"""

from __future__ import annotations

import io
import os
import pickle
import tempfile
import weakref
from contextlib import suppress
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from gnnkit.errors import ConfigError
from gnnkit.io.memory import advise
from gnnkit.parallel.world import World

T = TypeVar("T")

SMALLEST = 1 << 16
"""Bytes from which on a tensor is shared."""
_ALIGNMENT = 64
_MEMORY = "/dev/shm"
"""Where files are memory."""
_OPEN_FILES = "/proc/"
_PIECE = 1 << 22
"""Values that travel between machines at a time."""


class _Piece(NamedTuple):
    """Where the values of a tensor are."""

    file: str
    offset: int
    shape: Tuple[int, ...]
    dtype: torch.dtype


def made_once(world: World, make: Callable[[], T], what: str) -> T:
    """What ``make`` gives, made by one process of each machine; its large tensors in host memory are one copy.

    Args:
        world: All of its processes call this.
        make: Makes something that can be pickled.
        what: Name of the wait.

    Raises:
        GnnkitError: ``make`` raised it, or there is no room.

    Example:
        >>> made_once(World(), lambda: torch.ones(2), "ones").tolist()
        [1.0, 1.0]
    """
    if world.size == 1:
        return make()

    def packed() -> bytes:
        made, stream = make(), io.BytesIO()
        packer = _Packer(stream)  # It looks at what is mapped, so it comes after what maps.
        packer.dump(made)
        return packer.finished(stream)

    value: T = _Unpacker(world.on_machine(packed, what)).load()
    world.meet(what)
    return value


class _Packer(pickle.Pickler):
    """Writes an object without its large tensors, whose values go into one file."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=4)
        self._mapped = _mapped_files()
        self._own: List[Tensor] = []
        self._size = 0

    def persistent_id(self, obj: Any) -> Optional[Tuple[str, int, Tuple[int, ...], torch.dtype]]:
        """Where the values of a large tensor will be; None for everything else, which is pickled."""
        if not isinstance(obj, Tensor) or obj.device.type != "cpu" or obj.layout != torch.strided:
            return None
        num_bytes = obj.numel() * obj.element_size()
        if num_bytes < SMALLEST or obj.requires_grad:
            return None
        place = _place_in_file(obj, num_bytes, self._mapped)
        if place is not None:
            return (*place, tuple(obj.shape), obj.dtype)
        offset = self._size
        self._own.append(obj)
        self._size += -(-num_bytes // _ALIGNMENT) * _ALIGNMENT
        return ("", offset, tuple(obj.shape), obj.dtype)

    def finished(self, stream: io.BytesIO) -> bytes:
        """The object as bytes; its tensors are in their file, which stays open as long as the process lives."""
        file = ""
        if self._size:
            file, _ = _room(self._size)
            room = np.memmap(file, np.uint8, mode="r+", shape=(self._size,))
            offset = 0
            for tensor in self._own:
                values = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
                room[offset : offset + len(values)] = values
                offset += -(-len(values) // _ALIGNMENT) * _ALIGNMENT
        return pickle.dumps((file, stream.getvalue()))


class _Unpacker:
    """Reads what :class:`_Packer` wrote; tensors are mapped."""

    def __init__(self, text: bytes) -> None:
        self._file, packed = pickle.loads(text)
        self._stream = io.BytesIO(packed)

    def load(self) -> Any:
        unpickler = pickle.Unpickler(self._stream)
        unpickler.persistent_load = self._tensor  # type: ignore[method-assign]
        return unpickler.load()

    def _tensor(self, place: Tuple[str, int, Tuple[int, ...], torch.dtype]) -> Tensor:
        file, offset, shape, dtype = place
        return _map(_Piece(file or self._file, offset, shape, dtype))


_SHARED: List[Tuple[weakref.ReferenceType[Any], int, _Piece]] = []
"""What this process has mapped of memory without a name: the array while it lives, its address, and where it is."""


def _map(piece: _Piece) -> Tensor:
    num_bytes = int(np.prod(piece.shape)) * torch.empty(0, dtype=piece.dtype).element_size()
    values = np.memmap(piece.file, np.uint8, mode="c", offset=piece.offset, shape=(num_bytes,))
    if piece.file.startswith(_OPEN_FILES):
        _SHARED.append((weakref.ref(values), values.ctypes.data, piece))
    advise(values._mmap, num_bytes)  # type: ignore[attr-defined]
    return torch.from_numpy(values).view(piece.dtype).reshape(piece.shape)


def shared_table(world: World, shape: Tuple[int, int], dtype: torch.dtype, memory: float) -> Tensor:
    """Room for rows, one a machine, that all of its processes write to.

    Args:
        world: All of its processes call this.
        shape: The shape.
        dtype: The type.
        memory: Bytes that it may take in memory; a larger one lies in a temporary file.
    """
    size = max(int(np.prod(shape)) * torch.empty(0, dtype=dtype).element_size(), 1)
    made: List[int] = []

    def make() -> str:
        file, number = _room(size, in_memory=size <= memory)
        made.append(number)
        return file

    what = "room for a result"
    file = world.on_machine(make, what)
    try:
        table = torch.from_numpy(np.memmap(file, np.uint8, mode="r+", shape=(size,)))
        world.meet(what)
    finally:
        for number in made:
            os.close(number)
    return table[: size if np.prod(shape) else 0].view(dtype).reshape(shape)


def complete(world: World, table: Tensor, bounds: Sequence[Tuple[int, int]], what: str) -> None:
    """Wait until the rows of all processes are in the table of every machine.

    Args:
        world: All of its processes call this.
        table: From :func:`shared_table`; each process has written its own rows.
        bounds: First and last row of each rank, the last one not included.
        what: Name of the wait.
    """
    if not world.is_single_machine:
        machines = world.gathered(world.place.machine, what)
        is_first_here = machines.index(world.place.machine) == world.rank
        rows = max(1, _PIECE // max(1, table.shape[1]))
        for rank, (begin, end) in enumerate(bounds):
            is_writer = machines[rank] != world.place.machine and is_first_here
            for start in range(begin, end, rows):
                part = table[start : min(start + rows, end)]
                piece = part if is_writer or rank == world.rank else torch.empty_like(part)
                world.spread_(piece, rank, what)
    world.meet(what)


def _room(size: int, in_memory: bool = True) -> Tuple[str, int]:
    """A new open file of so many bytes, by its name among open files and its number: in memory, if there is room.

    Raises:
        ConfigError: There is no room in the folder of temporary files either.
    """
    folders = [tempfile.gettempdir()]
    if in_memory and os.path.isdir(_MEMORY):
        folders.insert(0, _MEMORY)
    problem = ""
    for folder in folders:
        try:
            number, name = tempfile.mkstemp(prefix="gnnkit-", dir=folder)
        except OSError as error:
            problem = str(error.strerror)
            continue
        os.unlink(name)
        try:
            # Taken now: writing to a mapped file on a full disk would kill the process.
            os.posix_fallocate(number, 0, size)
            return f"{_OPEN_FILES}{os.getpid()}/fd/{number}", number
        except OSError as error:
            problem = str(error.strerror)
            os.close(number)
    raise ConfigError(
        f"There is no room for {size / 1e9:.1f} GB that processes share in {' or '.join(folders)} ({problem}). Set "
        "TMPDIR to a folder that has it."
    )


def _mapped_files() -> List[Tuple[int, int, int, str]]:
    """Where files are mapped: first and last address, offset in the file, and its name."""
    _SHARED[:] = [each for each in _SHARED if each[0]() is not None]  # Other memory may have the address now.
    found = []
    for array, address, piece in _SHARED:
        values = array()
        if values is not None:
            found.append((address, address + values.nbytes, piece.offset, piece.file))
    with suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith("/") and not fields[5].endswith(" (deleted)"):
                begin, end = (int(text, 16) for text in fields[0].split("-"))
                found.append((begin, end, int(fields[2], 16), fields[5]))
    return found


def _place_in_file(
    tensor: Tensor, num_bytes: int, mapped: Sequence[Tuple[int, int, int, str]]
) -> Optional[Tuple[str, int]]:
    if not tensor.is_contiguous():
        return None
    start = tensor.data_ptr()
    for begin, end, offset, file in mapped:
        if begin <= start and start + num_bytes <= end and os.path.isfile(file):
            return file, offset + start - begin
    return None
