"""State dicts of other people's models on disk.

Rules: nothing that is read can run code.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Dict

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gnnkit.errors import CheckpointError, FileError
from gnnkit.io.arrays import open_archive
from gnnkit.io.pickles import OLD_TORCH
from gnnkit.paths import PathLike, is_file, is_folder, reading, user_path


def read_state_dict(file: PathLike) -> Dict[str, Tensor]:
    """Read a state dict from a file of safetensors or of ``torch.save``; nothing in it can run code.

    Args:
        file: ``*.safetensors``, or anything else for torch. A dictionary with the state under "state_dict",
            "model_state_dict" or "model" is opened.

    Raises:
        CheckpointError: The file is missing, damaged, or holds something else.
    """
    path = user_path(file, "The file of weights")
    if not is_file(path) and not is_folder(path):
        raise CheckpointError(f"Cannot read {path}: there is no such file.")
    try:
        _check_layout(path)
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(str(path)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's guesses about a damaged file.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (FileError, CheckpointError):
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors, which could run code. Save model.state_dict() alone."
        ) from error
    except Exception as error:  # Damaged pickles raise whatever they happen to run into.
        cause = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"Cannot read {path}: damaged, or no file of weights: {cause}.") from error
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__} that is no state dict: names with tensors.")
    return dict(loaded)


def _check_layout(path: Path) -> None:
    """Refuse what unpacks to more than its size justifies, and the oldest layout of torch, an archive of tar.

    Versions of torch before 2.6 read that one by an unpickler without limits, whatever they were told.
    """
    with reading(path), path.open("rb") as stream:
        begin = stream.read(len(OLD_TORCH))
    if begin.startswith(b"PK"):
        with open_archive(path, CheckpointError):
            pass
    elif path.suffix != ".safetensors" and begin != OLD_TORCH:
        if begin[:1] != b"\x80":  # What every pickle of Python 3 begins with.
            raise CheckpointError(f"Cannot read {path}: damaged, or no file of weights.")
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors, which could run code. Save model.state_dict() alone."
        )
