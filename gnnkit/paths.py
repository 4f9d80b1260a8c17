"""Paths that users give, and what the operating system says about them.

Rules: a path from outside goes through :func:`user_path`, so that ``~`` means home everywhere. Files are read and
written within :func:`reading` and :func:`writing`, which turn an ``OSError`` into one line that names the path and the
way out. What writes late checks early, with :func:`check_writable`. Whatever fails leaves no folder behind.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Optional, Union

from gnnkit.errors import ConfigError, FileError

PathLike = Union[str, "os.PathLike[str]"]
_LONGEST = 255
"""Bytes of a name, on all common file systems."""

_LONGEST_SHOWN = 80
"""Letters of a value that messages repeat; of a longer one they give the type."""


def user_path(path: PathLike, what: str = "The path") -> Path:
    """A path as a user gave it, with ``~`` replaced by the home folder.

    Args:
        path: Text or a path object.
        what: What it is for, as the subject of a sentence.

    Raises:
        ConfigError: It is empty, or no path.

    Example:
        >>> user_path("data/cora").as_posix()
        'data/cora'
        >>> user_path("~/data") == Path.home() / "data"
        True
    """
    if not isinstance(path, (str, os.PathLike)):
        shown = repr(path) if len(repr(path)) < _LONGEST_SHOWN else f"a {type(path).__name__}"
        raise ConfigError(f"{what} is {shown}, expected text or a path.")
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigError(f"{what} is {text!r}, expected the name of a file or folder.")
    return Path(os.path.expanduser(text))


def cache_root(cache_dir: Optional[PathLike] = None) -> Path:
    """Folder of everything that gnnkit keeps: the argument, else ``$GNNKIT_CACHE``, else the user's cache."""
    if cache_dir is not None:
        return user_path(cache_dir, "The cache folder")
    if os.environ.get("GNNKIT_CACHE"):
        return user_path(os.environ["GNNKIT_CACHE"], "GNNKIT_CACHE")
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "gnnkit"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into one line that names the path.

    Raises:
        FileError: The path cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise FileError("read", path, error) from error


def is_file(path: Path) -> bool:
    """Whether a path is a file.

    Raises:
        FileError: The system cannot even say that.
    """
    with reading(path):
        return path.is_file()


def is_folder(path: Path) -> bool:
    """Whether a path is a folder.

    Raises:
        FileError: The system cannot even say that.
    """
    with reading(path):
        return path.is_dir()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folders above a path, and turn an ``OSError`` of the block into one line that names the path.

    Folders that were made are removed again if the block fails.

    Raises:
        FileError: The path cannot be written.
    """
    missing = []
    try:
        missing = [folder for folder in path.absolute().parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise FileError("write", path, error) from error
        raise


def check_writable(path: Path, *, as_folder: bool = False) -> None:
    """Refuse a file or folder that cannot be written, before work is done for it.

    Args:
        path: Where something is to be written; may exist.
        as_folder: Whether a folder is to be made there.

    Raises:
        FileError: It cannot be written.
    """
    try:
        if any(len(os.fsencode(part)) > _LONGEST for part in path.parts):
            raise _failure(errno.ENAMETOOLONG)
        with suppress(FileNotFoundError):
            os.stat(path)  # Says what is wrong with the folders above.
            if path.is_dir() != as_folder:
                raise _failure(errno.ENOTDIR if as_folder else errno.EISDIR)
            if as_folder and not os.access(path, os.W_OK | os.X_OK):
                raise _failure(errno.EACCES)
            return
        if as_folder and path.is_symlink():  # A link to nothing: a file would replace it, a folder cannot.
            raise _failure(errno.EEXIST)
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise _failure(errno.ENOTDIR)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _failure(errno.EACCES)
    except OSError as error:
        raise FileError("write", path, error) from error


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))
