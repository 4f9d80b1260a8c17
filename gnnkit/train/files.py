"""Files: results, of which a reader sees the old content or the new, YAML, and room for large arrays."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from gnnkit.errors import ConfigError


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a temporary file beside ``file``, renamed to it when the block ends well and removed when it does not."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
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
        content = OmegaConf.to_container(OmegaConf.load(file))
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration file {file}: {error.strerror or error}.") from error
    except Exception as error:  # OmegaConf lets the YAML parser's own exceptions through.
        raise ConfigError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file} holds a {type(content).__name__}, expected sections such as 'model:'.")
    return content  # type: ignore[return-value]


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
