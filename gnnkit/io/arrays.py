"""Arrays of NumPy from files that nobody trusts: ``.npy``, ``.npz``, and the zip files behind them.

Rules: a header is matched, never evaluated, and what it says must be exactly what the file has. Objects, text and
structures are refused. Packed members say how much they unpack to before one is unpacked.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple, Type

import numpy as np
from scipy import sparse

from gnnkit.errors import DatasetError, GnnkitError
from gnnkit.io.limits import Raises, check_dense, check_unpacked, opened

Header = Tuple[np.dtype, bool, Tuple[int, ...], int]
"""Type, whether columns come first, shape, and the bytes before the values."""

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 16
_MOST_DIMENSIONS = 32
_WIDEST_EMPTY = 1 << 20
"""The largest extent of an array without values, which no size of a file vouches for."""

_ENTRY = (
    r"(?:'descr'\s*:\s*'(?P<descr{n}>[^']*)'"
    r"|'fortran_order'\s*:\s*(?P<order{n}>True|False)"
    r"|'shape'\s*:\s*\((?P<shape{n}>[0-9L,\s]*)\))"
)
_HEADER = re.compile(r"\s*\{\s*" + r"\s*,\s*".join(_ENTRY.replace("{n}", n) for n in "123") + r"\s*,?\s*\}\s*")
_NUMBER = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])|\?")
_BYTES = re.compile(r"\|S[1-9]")
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MATRIX = ("indptr", "row", "offsets")
DAMAGES: Tuple[Type[BaseException], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)
"""What ``zipfile`` raises for damaged files."""


def read_npy(file: Path, raises: Raises = DatasetError) -> np.ndarray:
    """Read a ``.npy`` file of numbers.

    Args:
        file: The file.
        raises: The error for one that cannot be read, is damaged, or holds no numbers.
    """
    with opened(file, raises) as (stream, size):
        dtype, by_columns, shape, start = _read_header(stream, size, file, raises)
        values = np.empty(int(np.prod(shape, dtype=np.int64)), dtype)
        stream.seek(start)
        if values.size and stream.readinto(values.view(np.uint8).data) != values.nbytes:  # type: ignore[attr-defined]
            raise raises(f"{file} is cut short. Write it again.")
    return signed(_native(values.reshape(shape, order="F" if by_columns else "C")), file, raises)


def signed(values: np.ndarray, where: object, raises: Raises = DatasetError) -> np.ndarray:
    """Numbers as they are, but for uint64, which becomes int64.

    Args:
        values: Numbers.
        where: Where they come from, for the message.
        raises: The error for one that int64 does not hold.
    """
    if values.dtype != np.uint64:
        return values
    if values.size and int(values.max()) >= 1 << 63:
        raise raises(f"{where} has the number {int(values.max())}, expected whole numbers below 2^63.")
    return values.astype(np.int64)


def map_npy(file: Path, raises: Raises = DatasetError, *, mode: str = "r") -> np.ndarray:
    """Open a ``.npy`` file of numbers without reading it; values have the byte order of the file.

    Args:
        file: The file.
        raises: As for :func:`read_npy`.
        mode: "r", or "c" for an array that can be written to, which does not reach the disk.
    """
    with opened(file, raises) as (stream, size):
        dtype, by_columns, shape, start = _read_header(stream, size, file, raises)
        if 0 in shape:  # There is nothing to map.
            return np.empty(shape, dtype)
        order = "F" if by_columns else "C"
        return np.memmap(stream, dtype, mode=mode, offset=start, shape=shape, order=order)  # type: ignore[call-overload,no-any-return]


def archive_names(file: Path) -> List[str]:
    """Names of the arrays of an ``.npz`` file; none if it cannot be read."""
    try:
        with open_archive(file) as archive:
            return [_stem(name) for name in archive.namelist()]
    except GnnkitError:
        return []


def read_npz(file: Path, raises: Raises = DatasetError) -> Dict[str, np.ndarray]:
    """Read an ``.npz`` file: its arrays by name; a matrix of scipy's ``save_npz`` is one, "matrix", made dense.

    Args:
        file: The file.
        raises: The error for one that cannot be read, is damaged, holds no numbers, or would unpack to more than its
            size justifies.
    """
    with open_archive(file, raises) as archive:
        members = {_stem(info.filename): info for info in archive.infolist()}
        if not any(name in members for name in _MATRIX):
            return {name: _member(archive, info, file, raises) for name, info in members.items()}
        parts = {name: _member(archive, info, file, raises, name == "format") for name, info in members.items()}
    try:
        matrix = _matrix(parts)
    except DAMAGES + (TypeError,) as error:
        raise raises(f"{file} holds no matrix as scipy.sparse.save_npz writes it ({error}). Write it again.") from error
    check_dense(matrix.shape[0], matrix.shape[1], matrix.nnz, file, raises)
    return {"matrix": matrix.toarray()}


@contextmanager
def open_archive(file: Path, raises: Raises = DatasetError) -> Iterator[zipfile.ZipFile]:
    """Open a zip file that unpacks to no more than its size justifies.

    Raises:
        GnnkitError: Of the type ``raises``: it cannot be read, or is damaged, now or in the block.
    """
    with opened(file, raises) as (stream, size):
        try:
            with zipfile.ZipFile(stream) as archive:
                check_unpacked(file, size, sum(info.file_size for info in archive.infolist()), raises)
                odd = [info.filename for info in archive.infolist() if info.compress_type not in _PACKINGS]
                if odd:
                    raise raises(f"{file} packs {odd[0]!r} in an unusual way, expected none or deflate. Pack it anew.")
                yield archive
        except DAMAGES as error:
            raise raises(f"{file} is cut short or damaged ({error}). Get it or write it again.") from error


def _stem(name: str) -> str:
    return name[:-4] if name.endswith(".npy") else name


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path, raises: Raises, is_word: bool = False
) -> np.ndarray:
    where = f"{file}, {info.filename!r},"
    content = bytearray(info.file_size)
    with archive.open(info) as stream:
        place = memoryview(content)
        while len(place):
            count = stream.readinto(place)  # type: ignore[attr-defined]
            if not count:
                raise raises(f"{where} is cut short. Write it again.")
            place = place[count:]
        stream.read(1)  # Compares the checksum.
    dtype, by_columns, shape, start = _parse(bytes(content[:_LONGEST_HEADER]), len(content), where, raises, is_word)
    values: np.ndarray = np.frombuffer(content, dtype, offset=start) if start < len(content) else np.empty(0, dtype)
    values = np.require(values.reshape(shape, order="F" if by_columns else "C"), requirements="A")
    return signed(_native(values), where, raises)


def _read_header(stream: BinaryIO, size: int, file: Path, raises: Raises) -> Header:
    return _parse(stream.read(_LONGEST_HEADER), size, file, raises)


def _parse(content: bytes, size: int, where: object, raises: Raises, is_word: bool = False) -> Header:
    """What a header says, where that is exactly what the file has."""
    version, width = content[6:8], {b"\x01\x00": 2, b"\x02\x00": 4}.get(content[6:8], 0)
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    text = content[8 + width : start].decode("latin1")
    if not content.startswith(_MAGIC) or not width or start > len(content):
        kind = "an archive (.npz)" if content.startswith(b"PK") else f"version {list(version)}"
        raise raises(f"{where} is cut short or no NumPy array of numbers ({kind}). Write it again with numpy.save.")
    found = _HEADER.fullmatch(text)
    said = {} if found is None else {key[:5]: value for key, value in found.groupdict().items() if value is not None}
    if set(said) != {"descr", "order", "shape"}:
        reason = "objects or structures" if "'descr': [" in text else f"the header is {text.strip()[:80]!r}"
        raise raises(f"{where} is damaged or no NumPy array of numbers ({reason}). Write it again.")
    if "O" in said["descr"] or "V" in said["descr"]:
        raise raises(f"{where} is cut short or no NumPy array of numbers (objects or bytes). Write it again.")
    if not (_BYTES if is_word else _NUMBER).fullmatch(said["descr"]):
        raise raises(f"{where} has dtype {said['descr'][:20]!r}, expected numbers. Text belongs into a CSV file.")
    dtype = np.dtype(said["descr"])
    sizes = said["shape"].replace("L", "").split(",")
    shape = tuple(int(each) for each in sizes if each.strip().isdecimal() and len(each) < 20)
    count = 1
    for each in shape:
        count *= each
    well = len([each for each in sizes if each.strip()]) == len(shape) <= _MOST_DIMENSIONS
    if not well or count * dtype.itemsize != size - start or (not count and max(shape) > _WIDEST_EMPTY):
        what = "cut short" if count * dtype.itemsize > size - start else "damaged"
        raise raises(
            f"{where} is {what}: it has {size - start:,} bytes of values, expected those of shape "
            f"({said['shape'][:80]}) and type {dtype}. Write it again."
        )
    return dtype, said["order"] == "True", shape, start


def _native(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _matrix(parts: Dict[str, np.ndarray]) -> Any:
    """A matrix of its arrays, checked: compiled code trusts indices."""
    kind = bytes(parts["format"].item()).decode("ascii")
    shape = tuple(int(each) for each in parts["shape"])
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"its shape is {list(shape)}")
    if kind in ("csr", "csc", "bsr"):
        matrix = getattr(sparse, f"{kind}_matrix")((parts["data"], parts["indices"], parts["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
    elif kind == "coo":
        matrix = sparse.coo_matrix((parts["data"], (parts["row"], parts["col"])), shape=shape)
    elif kind == "dia":
        matrix = sparse.dia_matrix((parts["data"], parts["offsets"]), shape=shape)
    else:
        raise ValueError(f"its format is {kind!r}")
    return matrix
