"""State dicts of other people's models on disk.

Rules: nothing that is read can run code.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Dict, Union

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gnnkit.errors import CheckpointError


def read_state_dict(file: Union[str, Path]) -> Dict[str, Tensor]:
    """Read a state dict from a file of safetensors or of ``torch.save``; nothing in it can run code.

    Args:
        file: ``*.safetensors``, or anything else for torch. A dictionary with the state under "state_dict",
            "model_state_dict" or "model" is opened.

    Raises:
        CheckpointError: The file is missing, damaged, or holds something else.
    """
    path = Path(file)
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(str(path)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's guesses about a damaged file.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"Cannot read {path}: there is no such file.") from error
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
