"""Weights on disk: safetensors under canonical names, with the model's specification inside.

Rules: nothing that is loaded can run code; every file is written beside its place and renamed into it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Tuple, Union

import safetensors
import safetensors.torch
from torch import Tensor

from gnnkit.backends import Backend
from gnnkit.errors import CheckpointError
from gnnkit.nn import GNN, ModelSpec
from gnnkit.train.files import replacing

FORMAT = "gnnkit-weights-1"


def save_weights(model: GNN, file: Union[str, Path]) -> None:
    """Write a model's weights and specification.

    Args:
        model: On any backend and device.
        file: Where to, usually ``*.safetensors``.
    """
    metadata = {"format": FORMAT, "spec": json.dumps(model.spec.to_dict()), "seed": str(model.seed)}
    with replacing(Path(file)) as temporary:
        safetensors.torch.save_file(model.canonical_state(), temporary, metadata)


def read_weights(file: Union[str, Path]) -> Tuple[ModelSpec, Dict[str, Tensor], int]:
    """Read a specification, its weights under canonical names, and the seed of the initial ones.

    Raises:
        CheckpointError: The file is missing, damaged, or was not written by gnnkit.
    """
    try:
        with safetensors.safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            values = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"Cannot read the weights in {file}: {error}.") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{file} has format {metadata.get('format')!r}, expected {FORMAT!r} as gnnkit writes it.")
    return ModelSpec.from_dict(json.loads(metadata["spec"])), values, int(metadata["seed"])


def load_model(file: Union[str, Path], backend: Backend) -> GNN:
    """Build the model that a file holds, on any backend, whichever it was trained on.

    Raises:
        CheckpointError: As :func:`read_weights`, or the weights do not fit the specification.
    """
    spec, values, seed = read_weights(file)
    model = GNN(spec, backend, seed)
    model.load_canonical(values)
    return model
