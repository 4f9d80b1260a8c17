"""Tensors with a header of text, on disk as safetensors.

Rules: nothing that is loaded can run code; every file is written beside its place and renamed into it; a digest over
names, values and header finds changed bytes, which safetensors itself does not.
"""

from __future__ import annotations

import hashlib
from typing import Dict, Mapping, Sequence, Tuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gnnkit.errors import CheckpointError
from gnnkit.io.files import write_bytes
from gnnkit.io.limits import opened
from gnnkit.paths import PathLike, is_file, user_path

_DIGEST = "sha256"


def write_tensors(file: PathLike, tensors: Dict[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and a header, with their digest.

    Args:
        file: Where to; folders above it are made.
        tensors: In host memory, contiguous, no two in the same memory.
        header: Has an entry "format" that says what the file is.
    """
    content = safetensors.torch.save(tensors, {**header, _DIGEST: _digest(tensors, header)})
    write_bytes(user_path(file), content)


def read_tensors(file: PathLike, formats: Sequence[str]) -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """Read what :func:`write_tensors` wrote.

    Args:
        file: The file.
        formats: Formats that are expected.

    Returns:
        The tensors and the header.

    Raises:
        CheckpointError: The file is missing, cut short, changed, or was not written by gnnkit.
    """
    path = user_path(file, "The checkpoint")
    if not is_file(path):
        raise CheckpointError(f"Cannot read the checkpoint {file}: there is no such file.")
    with opened(path, CheckpointError):
        pass
    try:
        with safetensors.safe_open(str(path), framework="pt") as stored:
            header = dict(stored.metadata() or {})
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, AttributeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"Cannot read the checkpoint {file}: damaged, or no safetensors: {error}.") from error
    if header.get("format") not in formats:
        expected = " or ".join(repr(name) for name in formats)
        raise CheckpointError(f"{file} has format {header.get('format')!r}, expected {expected} as gnnkit writes it.")
    if header.pop(_DIGEST, None) != _digest(tensors, header):
        raise CheckpointError(f"The checkpoint {file} is damaged: its content is not what was written. Take another.")
    return tensors, header


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(header.items())).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name!r} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
