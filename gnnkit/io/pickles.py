"""Reading old pickles without running what they hold.

Rules: a pickle is a program for Python's unpickler, which calls what it is told to. Here its steps are looked at one by
one, and only those that make data are taken. Nothing is called: a few names that published data files need stand for
themselves, and become arrays and matrices at the end, when all that belongs to them has been checked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

import numpy as np
from scipy.sparse import csr_matrix

from gnnkit.errors import DatasetError
from gnnkit.io.arrays import open_archive
from gnnkit.io.limits import MOST_LEVELS, Raises, opened
from gnnkit.io.text import read_bytes

_ARRAY, _MATRIX, _TYPE, _DICT, _ENCODE, _LIST, _KIND = range(7)
_NAMES: Dict[Tuple[str, str], int] = {
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy", "ndarray"): _KIND,
    ("numpy", "dtype"): _TYPE,
    ("_codecs", "encode"): _ENCODE,  # how Python 2 style pickles of Python 3 write bytes
    ("__builtin__", "list"): _LIST,
    ("builtins", "list"): _LIST,
    ("collections", "defaultdict"): _DICT,
    ("scipy.sparse.csr", "csr_matrix"): _MATRIX,
    ("scipy.sparse._csr", "csr_matrix"): _MATRIX,
}
_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_ORDERS = ("<", ">", "=", "|")

OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""How a file of torch before 1.6 begins; two pickles about the format follow, then the data."""

_VALUES = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING")
    + ("SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES")
    + ("BINBYTES8",)
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEYS = (str, int, float, bytes)
_DAMAGES = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, RecursionError)


class _RefusedError(Exception):
    pass


class _Name:
    """One of the names that are admitted, by what it means."""

    __slots__ = ("means",)

    def __init__(self, means: int) -> None:
        self.means = means


class _Made:
    """What a pickle wants made: by which name, of what, and its state."""

    __slots__ = ("given", "means", "state")

    def __init__(self, means: int, given: Tuple[Any, ...]) -> None:
        self.means = means
        self.given = given
        self.state: Any = None


def read_pickle(file: Path, raises: Raises = DatasetError) -> Any:
    """Read a pickle of lists, dictionaries, NumPy arrays and CSR matrices, and nothing else.

    Args:
        file: The pickle, of Python 2 or 3.
        raises: The error for a file that is missing or cut short, or asks for a function or class that is not admitted;
            the message names the file and what it asks for.

    Returns:
        What it holds.
    """
    return _unpickled(read_bytes(file, raises), file, raises)


def read_torch_file(file: Path, raises: Raises = DatasetError) -> Any:
    """Read what ``torch.save`` wrote, if it holds numbers, text, lists, dictionaries and NumPy arrays alone.

    Args:
        file: A file in the zip layout of torch 1.6 and later, or in the layout before, of pickles one after the other.
        raises: As for :func:`read_pickle`.

    Returns:
        What it holds.
    """
    with opened(file, raises) as (stream, _):
        if stream.read(len(OLD_TORCH)) == OLD_TORCH:
            return _unpickled(stream.read(), file, raises, skip=2)
    with open_archive(file, raises) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if not names:
            raise raises(f"{file} is no file of torch.save. Get it again.")
        content = archive.read(names[0])
    return _unpickled(content, file, raises)


def _unpickled(content: bytes, file: Path, raises: Raises, skip: int = 0) -> Any:
    """Read what follows a number of pickles that are not wanted, which are read as carefully."""
    try:
        stream = io.BytesIO(content)
        for _ in range(skip):
            _walk(stream)
        return _Builder(len(content)).build(_walk(stream))
    except _RefusedError as error:
        advice = "which data have no need of. It may be malicious: get the file from its source."
        raise raises(f"{file} is refused: {error}, {advice}") from error
    except _DAMAGES as error:
        cause = f"{type(error).__name__}: {error}"
        raise raises(f"{file} is cut short or damaged ({cause}). Get the file again.") from error


def _walk(stream: io.BytesIO) -> Any:
    """Follow one pickle to its end."""
    stack: List[Any] = []
    marks: List[int] = []
    memo: Dict[int, Any] = {}
    value: Any
    for code, value, _ in pickletools.genops(stream):
        name = code.name
        if name in _VALUES:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else value] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "STOP":
            return stack[-1]
        elif name not in ("PROTO", "FRAME"):
            _step(name, value, stack, marks)
    raise EOFError("it has no end")


def _step(name: str, value: Any, stack: List[Any], marks: List[int]) -> None:
    """One step that makes something of what lies on the stack."""
    if name in ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"):
        stack.append({"EMPTY_LIST": [], "EMPTY_TUPLE": (), "EMPTY_DICT": {}}[name])
    elif name in _TUPLES:
        stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
    elif name in ("LIST", "TUPLE", "DICT", "APPENDS", "SETITEMS", "POP_MARK"):
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        if name == "APPENDS":
            _a(list, stack[-1]).extend(items)
        elif name == "SETITEMS":
            _set(stack[-1], items)
        elif name != "POP_MARK":
            made: Any = {"LIST": items, "TUPLE": tuple(items), "DICT": {}}[name]
            stack.append(made)
            if name == "DICT":
                _set(made, items)
    elif name == "APPEND":
        item = stack.pop()
        _a(list, stack[-1]).append(item)
    elif name == "SETITEM":
        items = stack[-2:]
        del stack[-2:]
        _set(stack[-1], items)
    elif name == "POP":
        stack.pop()
    elif name == "GLOBAL":
        stack.append(_named(*value.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        stack[-2:] = [_named(*stack[-2:])]
    elif name in ("REDUCE", "NEWOBJ"):
        stack[-2:] = [_called(*stack[-2:])]
    elif name == "BUILD":
        state = stack.pop()
        _a(_Made, stack[-1]).state = state
    else:
        raise _RefusedError(f"it has the step {name}")


def _a(kind: Any, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} is needed")
    return value


def _set(target: Any, items: List[Any]) -> None:
    for key, value in zip(items[::2], items[1::2]):
        # Other keys may nest as deep as they like, and so does their hash.
        if key is not None and not isinstance(key, _KEYS):
            raise TypeError(f"a {type(key).__name__} as a key")
        _a(dict, target)[key] = value


def _named(module: Any, name: Any) -> _Name:
    if (module, name) not in _NAMES:
        raise _RefusedError(f"it asks for {module}.{name}"[:200])
    return _Name(_NAMES[module, name])


def _called(what: Any, given: Any) -> Any:
    means, given = _a(_Name, what).means, _a(tuple, given)
    if means == _DICT:
        return {}
    if means == _ENCODE:
        if len(given) != 2 or given[1] != "latin1":
            raise _RefusedError(f"it asks for another encoding than latin1: {str(given[1:])[:40]}")
        return _a(str, given[0]).encode("latin1")
    if means in (_LIST, _KIND):
        raise TypeError("a class is called that only names something")
    return _Made(means, given)


class _Builder:
    """Makes values of what was found, each once.

    Args:
        budget: How many there may be. Each takes a byte of the pickle at least, unless parts are used again and again.
    """

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._made: Dict[int, Any] = {}
        self._open: Set[int] = set()

    def build(self, value: Any) -> Any:
        """The value, with arrays and matrices in the places where they belong."""
        self._left -= 1
        if self._left < 0 or len(self._open) > MOST_LEVELS:
            raise ValueError("it is nested too deep, or uses parts of it too often")
        if isinstance(value, _Name):
            raise TypeError("it holds a class instead of data")
        if not isinstance(value, (list, tuple, dict, _Made)):
            return value
        if isinstance(value, _Made) and id(value) in self._made:
            return self._made[id(value)]
        if id(value) in self._open:
            raise ValueError("it holds itself")
        self._open.add(id(value))
        if isinstance(value, dict):
            built: Any = {key: self.build(item) for key, item in value.items()}
        elif isinstance(value, _Made):
            built = self._made[id(value)] = self._array(value) if value.means == _ARRAY else self._matrix(value)
        else:
            built = type(value)(self.build(item) for item in value)
        self._open.discard(id(value))
        return built

    def _array(self, made: _Made) -> np.ndarray:
        _version, shape, kind, by_columns, content = _a(tuple, made.state)
        sizes = tuple(_a(int, size) for size in _a(tuple, shape))
        content = content.encode("latin1") if isinstance(content, str) else _a(bytes, content)
        dtype = _dtype(kind)
        count = 1
        for size in sizes:
            count *= size
        if min(sizes, default=0) < 0 or count * dtype.itemsize != len(content) or (not count and max(sizes) > 1 << 20):
            raise ValueError(f"an array of shape {list(sizes)} and type {dtype} with {len(content)} bytes")
        values = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
        return values.reshape(sizes, order="F" if by_columns else "C")

    def _matrix(self, made: _Made) -> csr_matrix:
        """A matrix, whose indices are checked: compiled code trusts them."""
        if made.means != _MATRIX:
            raise TypeError("it holds a type instead of data")
        state = _a(dict, made.state)
        parts = tuple(self.build(_a(_Made, state[name])) for name in ("data", "indices", "indptr"))
        if any(not isinstance(part, np.ndarray) or part.ndim != 1 for part in parts):
            raise ValueError("a matrix of something else than arrays")
        rows, columns = (_a(int, size) for size in _a(tuple, state["_shape"]))
        matrix = csr_matrix(parts, shape=(rows, columns))
        matrix.check_format(full_check=True)
        return matrix


def _dtype(made: Any) -> np.dtype:
    """A type of numbers by its name. Its state has its byte order, and must have nothing else."""
    word = _a(_Made, made).given[0] if made.means == _TYPE and made.given else None
    state: Tuple[Any, ...] = () if made.state is None else _a(tuple, made.state)
    # Version, byte order, and what only types have that are no plain numbers: fields, sizes of their own, flags.
    is_plain = state == () or (state[1] in _ORDERS and state[2:] == (None, None, None, -1, -1, 0))
    if word not in _TYPES or not is_plain:
        raise ValueError(f"an array of {word!r}, which is no type of numbers")
    return np.dtype(f"{state[1] if state else '='}{word}")
