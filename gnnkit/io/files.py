"""Files: results, of which a reader sees the old content or the new, YAML, and room for large arrays.

Rules: text from a user stays as it is. OmegaConf would replace ``${...}`` in it and take ``???`` for a missing value,
so text passes through :func:`shielded` on its way in and through :func:`unshielded` on its way out.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Tuple

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from gnnkit.errors import ConfigError, FileError
from gnnkit.paths import reading, writing

_MARK = "\ue000"
"""Put into text that OmegaConf would interpret: a character that stands for nothing (it is for private use)."""


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
        temporary = file.with_name(f".{file.name[:50]}.{os.getpid()}.tmp")
        try:
            yield temporary
            os.replace(temporary, file)
        finally:
            if temporary.exists():
                temporary.unlink()


def write_text(file: Path, text: str) -> None:
    """Replace the content of a text file."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_yaml(file: Path) -> Dict[str, Any]:
    """Read a configuration file as nested values; empty for an empty file.

    Raises:
        ConfigError: It is missing, or no YAML with sections.
    """
    try:
        with reading(file):
            text = shielded(file.read_text(encoding="utf-8"))
        content = unshielded(OmegaConf.to_container(OmegaConf.load(io.StringIO(text))))
    except FileError:
        raise
    except Exception as error:  # OmegaConf lets the YAML parser's own exceptions through.
        raise ConfigError(f"{file} is not valid YAML: {unshielded(' '.join(str(error).split()))}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds a {type(content).__name__}, expected sections such as 'model:'.")
    return content


def write_yaml(file: Path, values: Mapping[str, Any]) -> None:
    """Write nested values, which :func:`read_yaml` reads again."""
    write_text(file, unshielded(OmegaConf.to_yaml(OmegaConf.create(shielded(dict(values))))))


def shielded(value: Any) -> Any:
    """Nested values whose text OmegaConf leaves as it is."""
    if isinstance(value, str):
        return f"???{_MARK}" if value == "???" else value.replace("${", f"${_MARK}{{")
    return _each(shielded, value.item() if isinstance(value, np.generic) else value)


def unshielded(value: Any) -> Any:
    """What :func:`shielded` was given."""
    if isinstance(value, str):
        return value.replace(f"???{_MARK}", "???").replace(f"${_MARK}{{", "${")
    return _each(unshielded, value)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: change(item) for key, item in value.items()}
    return [change(item) for item in value] if isinstance(value, (list, tuple)) else value


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
