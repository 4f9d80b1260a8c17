"""Writing files and folders that are whole or not there, and room for large arrays.

Rules: what is written has a name that nobody can guess until it is whole, beside the final one; content is flushed to
the disk before it is renamed, and the folder after that. Nothing is written through a memory mapping whose room was not
reserved. A lock is held on what is being written, so that what a killed process left can be told from it, and removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.errors import ConfigError
from gnnkit.paths import writing

try:
    import fcntl
except ImportError:  # Not on every system; then what is left behind stays.
    fcntl = None  # type: ignore[assignment]

_LEFT_AFTER = 60.0
"""Seconds after which what nobody holds a lock on is taken to be left behind."""

_HEADER_BYTES = 128
_BLOCK = 1 << 24


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a temporary file beside ``file``, renamed to it when the block ends well and removed when it does not.

    Folders above it are made. A device such as ``/dev/null`` is written to as it is.

    Raises:
        FileError: It cannot be written; folders that were made are removed again.
    """
    with writing(file):
        if file.exists() and not file.is_file() and not file.is_dir():
            yield file
            return
        _clear_up(file)
        temporary = _temporary(file)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(temporary, flags, 0o666))
        try:
            with _locked(temporary):
                yield temporary
                _flush(temporary)
                os.replace(temporary, file)
            _flush(file.parent)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``folder``, which takes its name when the block ends well, else is removed.

    A folder that is there already is replaced. Folders above it are made.

    Raises:
        FileError: It cannot be written; folders above it that were made are removed again.
    """
    with writing(folder):
        _clear_up(folder)
        temporary = _temporary(folder)
        temporary.mkdir()
        try:
            with _locked(temporary):
                yield temporary
                for file in sorted(temporary.rglob("*")):
                    _flush(file)
                _flush(temporary)
                _move(temporary, folder)
            _flush(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(file: Path, text: str) -> None:
    """Replace the content of a text file."""
    write_bytes(file, text.encode("utf-8"))


def write_bytes(file: Path, content: Any) -> None:
    """Replace the content of a file."""
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def append_line(file: Path, line: str) -> None:
    """Add a line to a text file; one that does not fit on the disk is taken back.

    Raises:
        FileError: It cannot be written.
    """
    with writing(file), file.open("ab", buffering=0) as stream:
        size = stream.seek(0, os.SEEK_END)
        try:
            _write_all(stream, f"{line}\n".encode())
        except OSError:
            stream.truncate(size)
            raise


def npy_header(dtype: Any, shape: Tuple[int, ...], *, by_columns: bool = False) -> bytes:
    """The header of a ``.npy`` file (version 1.0), always of the same length, so that it can be written last."""
    content = repr({"descr": np.dtype(dtype).str, "fortran_order": by_columns, "shape": shape})
    text = content.ljust(_HEADER_BYTES - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


def write_npy(file: Path, values: np.ndarray) -> None:
    """Write a ``.npy`` file of numbers; an error of the disk keeps its cause, which ``numpy.save`` loses.

    Args:
        file: Where to, in a folder that is being written.
        values: Numbers, memory-mapped or not.
    """
    rows = np.ascontiguousarray(values).reshape(values.shape)
    with file.open("wb", buffering=0) as stream:
        _write_all(stream, npy_header(rows.dtype, rows.shape))
        if rows.size:
            _write_all(stream, rows.reshape(-1).view(np.uint8).data)


def mapped_tensor(shape: Tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor in a temporary file without a name, which is gone when the tensor or the process is.

    The file lies where Python's ``tempfile`` puts it: in the folder that the environment variable TMPDIR names.

    Raises:
        ConfigError: The disk has too little room.
    """
    stored = torch.empty(0, dtype=dtype).numpy().dtype
    size = stored.itemsize * int(np.prod(shape))
    with tempfile.TemporaryFile(prefix="gnnkit-") as file:
        try:
            # Taken now: writing to a mapped file on a full disk would kill the process.
            os.posix_fallocate(file.fileno(), 0, size)
        except AttributeError:
            file.truncate(size)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise ConfigError(
                f"There is no room for {size / 1e9:.1f} GB in {folder} ({error.strerror}). Set TMPDIR to a folder that "
                "has it, raise train.eval_memory, or evaluate with train.evaluation=sampled."
            ) from error
        return torch.from_numpy(np.memmap(file, dtype=stored, mode="r+", shape=shape))


def _write_all(stream: Any, content: Any) -> None:
    """Write to a stream without a buffer, which takes as much as it likes at a time."""
    rest = memoryview(content)
    while len(rest):
        rest = rest[stream.write(rest[:_BLOCK]) :]


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}.tmp")


def _clear_up(path: Path) -> None:
    """Remove what processes that were killed left when they wrote the same name."""
    pattern = re.compile(re.escape(f".{path.name[:50]}.") + r"[0-9a-f]{16}\.(?:tmp|old)")
    with suppress(OSError):
        left = [entry for entry in path.parent.iterdir() if pattern.fullmatch(entry.name)]
        for entry in left:
            if fcntl is not None and not entry.is_symlink() and time.time() - entry.stat().st_mtime > _LEFT_AFTER:
                _remove_unlocked(entry)


def _remove_unlocked(entry: Path) -> None:
    with suppress(OSError):
        number = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        finally:
            os.close(number)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file or folder, which ends with the process at the latest."""
    if fcntl is None:
        yield
        return
    number = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # Some network file systems have no locks.
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)


def _flush(path: Path) -> None:
    """Have the system write a file or a folder to the disk."""
    if os.name != "posix" and path.is_dir():  # Elsewhere, folders cannot be opened.
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _move(temporary: Path, folder: Path) -> None:
    """Rename a written folder to its final name, over what is there."""
    old = temporary.with_suffix(".old")
    with suppress(FileNotFoundError):  # Another process may have moved it away just now.
        os.replace(folder, old)
    try:
        os.replace(temporary, folder)
    except OSError:
        # Another process may have put the same there in the meantime: then that one serves.
        if not folder.is_dir() or not any(folder.iterdir()):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
