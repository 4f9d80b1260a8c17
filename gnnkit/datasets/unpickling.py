"""Reading old pickles without running what they hold.

Rules: a pickle can name any function of any module and have it called. Only the few names that published data files
need are admitted, each by module and name; everything else is refused. Sparse matrices are read as plain holders, so
that no class of a library is handed to the pickle, and their arrays are checked before a matrix is made of them.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
from scipy.sparse import csr_matrix

from gnnkit.errors import DatasetError


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not admitted")
    return text.encode("latin1")


# The function sits where NumPy itself says, which is not the same place in NumPy 1 and 2.
_reconstruct = np.empty(0).__reduce__()[0]
_ADMITTED: Dict[Tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode_latin1,  # how Python 2 style pickles of Python 3 write bytes
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
    ("collections", "defaultdict"): defaultdict,
}
_OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How a file of torch before 1.6 begins; two pickles about the format follow, then the data."""

_MATRICES = (("scipy.sparse.csr", "csr_matrix"), ("scipy.sparse._csr", "csr_matrix"))


class _Refused(pickle.UnpicklingError):
    pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any) -> None:
        super().__init__(stream, encoding="latin1")
        # A new class each time: a pickle may set attributes of the classes that it is given.
        self.holder = type("SparseArrays", (), {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _MATRICES:
            return self.holder
        if (module, name) not in _ADMITTED:
            raise _Refused(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]


def read_pickle(file: Path) -> Any:
    """Read a pickle of lists, dictionaries, NumPy arrays and CSR matrices, and nothing else.

    Args:
        file: The pickle, of Python 2 or 3.

    Returns:
        What it holds.

    Raises:
        DatasetError: The file is missing or cut short, or asks for a function or class that is not admitted; the
            message names the file and what it asks for.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror or error}.") from error
    return _unpickle(content, file)


def read_torch_file(file: Path) -> Any:
    """Read what ``torch.save`` wrote, if it holds numbers, text, lists, dictionaries and NumPy arrays alone.

    Args:
        file: A file in the zip layout of torch 1.6 and later, or in the layout before, of pickles one after the other.

    Returns:
        What it holds.

    Raises:
        DatasetError: As for :func:`read_pickle`.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(len(_OLD_TORCH)) == _OLD_TORCH:
                return _unpickle(stream.read(), file, skip=2)
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            content = archive.read(names[0])
    except (OSError, zipfile.BadZipFile, IndexError, ValueError, EOFError) as error:
        raise DatasetError(f"{file} is cut short or no file of torch.save ({error}). Get it again.") from error
    return _unpickle(content, file)


def _unpickle(content: bytes, file: Path, skip: int = 0) -> Any:
    """Unpickle what follows a number of pickles that are not wanted, which are read as carefully."""
    try:
        stream = io.BytesIO(content)
        for _ in range(skip):
            _Unpickler(stream).load()
        unpickler = _Unpickler(stream)
        return _without_holders(unpickler.load(), unpickler.holder)
    except _Refused as error:
        advice = "which data have no need of. It may be malicious: get the file from its source."
        raise DatasetError(f"{file} is refused: {error}, {advice}") from error
    except Exception as error:
        # Damaged pickles raise whatever they happen to run into.
        cause = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{file} is cut short or damaged ({cause}). Get the file again.") from error


def _without_holders(value: Any, holder: type) -> Any:
    """Turn a holder into a matrix, whose indices are checked: compiled code trusts them."""
    if not isinstance(value, holder):
        return value
    held = vars(value)
    parts = (np.array(held["data"]), np.array(held["indices"]), np.array(held["indptr"]))
    rows, columns = held["_shape"]
    matrix = csr_matrix(parts, shape=(int(rows), int(columns)))
    matrix.check_format(full_check=True)
    return matrix
