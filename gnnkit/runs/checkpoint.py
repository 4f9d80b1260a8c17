"""Weights on disk: safetensors under canonical names, with the model's specification inside.

Rules: those of ``tensor_files``. The state of a training (see ``state``) holds weights too, and can be read as such.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from torch import Tensor

from gnnkit.backends import Backend, load_backend
from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.io.tensor_files import read_tensors, write_tensors
from gnnkit.io.text import parse_json
from gnnkit.nn import GNN, CustomModel, ModelSpec
from gnnkit.paths import PathLike, is_file, user_path
from gnnkit.runs.learned import Learned
from gnnkit.runs.records import learned_of, read_manifest, spec_of
from gnnkit.strict_json import to_json
from gnnkit.tasks.loss_module import PREFIX

FORMAT = "gnnkit-weights-1"
STATE_FORMAT = "gnnkit-state-1"
WEIGHTS = "weights/"
"""What the names of the weights begin with in the state of a training."""

TRAINING = "training"
"""The entry of a state's header with everything that is no tensor."""
_LEARNED = "learned"
_LONGEST_SEED = 40

FOLDER = "checkpoints"
BEST = "best.safetensors"
LAST = "last.safetensors"
OLDER = "last-{}.safetensors"
"""States before the last one, from 1 on."""


def save_weights(model: GNN, file: PathLike, learned: Optional[Learned] = None) -> None:
    """Write a model's weights and specification.

    Args:
        model: On any backend and device.
        file: Where to, usually ``*.safetensors``.
        learned: What its outputs mean and which features it reads. None says nothing about that.

    Raises:
        ConfigError: The model is of a class of your own, of which the file would say nothing.
    """
    if type(model) not in (GNN, CustomModel):
        raise ConfigError(
            f"A {type(model).__qualname__} cannot be written as gnnkit's weights, which are read as a GNN. Keep its "
            "weights with torch.save(model.state_dict(), file)."
        )
    write_weights(file, model.spec, model.canonical_state(), model.seed, learned)


def write_weights(
    file: PathLike,
    spec: ModelSpec,
    weights: Mapping[str, Tensor],
    seed: int,
    learned: Optional[Learned] = None,
) -> None:
    """Write weights that no model holds just now.

    Args:
        file: Where to, usually ``*.safetensors``.
        spec: The model's specification.
        weights: By canonical name, as :meth:`gnnkit.GNN.canonical_state` gives them.
        seed: Seed of the initial weights.
        learned: As for :func:`save_weights`.
    """
    header = model_header(FORMAT, spec, seed)
    if learned is not None:
        header[_LEARNED] = to_json(learned.to_dict())
    write_tensors(file, dict(weights), header)


def read_weights(file: PathLike) -> Tuple[ModelSpec, Dict[str, Tensor], int]:
    """Read a specification, its weights under canonical names, and the seed of the initial ones.

    Those of the task's head are not among them, see :func:`read_head`.

    Raises:
        CheckpointError: The file is missing, damaged, or was not written by gnnkit.
    """
    tensors, header = _read(file)
    spec, seed = read_model_header(header, file, tensors)
    return spec, {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}, seed


def read_head(file: PathLike) -> Dict[str, Tensor]:
    """Read the weights of the task's head by its own names; there are none for most tasks.

    Raises:
        CheckpointError: As :func:`read_weights`.
    """
    return with_prefix(_read(file)[0], PREFIX)


def _read(file: PathLike) -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """All weights, and the header."""
    tensors, header = read_tensors(file, (FORMAT, STATE_FORMAT))
    return with_prefix(tensors, WEIGHTS) if header["format"] == STATE_FORMAT else tensors, header


def read_learned(file: PathLike) -> Optional[Learned]:
    """Read what a file of weights says that its model has learned.

    Returns:
        Meaning of outputs, names of classes and features; None if it says nothing, as files of gnnkit 0.1.0.

    Raises:
        CheckpointError: As :func:`read_weights`.
    """
    header = read_tensors(file, (FORMAT, STATE_FORMAT))[1]
    if header["format"] == STATE_FORMAT:
        facts = read_training(header, file)["facts"]
        return learned_of(facts["learned"], file, CheckpointError) if "learned" in facts else None
    if _LEARNED not in header:
        return None
    values = parse_json(header[_LEARNED], f"What the model of {file} has learned", CheckpointError)
    return learned_of(values, file, CheckpointError)


def load_model(path: PathLike, backend: Union[str, Backend, None] = None) -> GNN:
    """Build the best model of a run, or the one that a file holds, on any backend, whichever it was trained on.

    Args:
        path: A run folder, or a file of weights.
        backend: Name of a backend, or one that is loaded. None: that of the run, or "reference" for a file.

    Returns:
        The model with its weights, in training mode as a new one is.

    Raises:
        CheckpointError: As :func:`read_weights`, or the weights do not fit the specification.
        UnknownNameError: There is no such backend.

    Example:
        >>> import tempfile, gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=folder, progress=False)
        ...     result = trainer.fit(gnnkit.build_model("gcn", graph), graph)
        ...     model = gnnkit.load_model(folder)
        >>> model.backend.name, model.num_layers
        ('reference', 2)
    """
    file = checkpoint_file(path, BEST)
    spec, values, seed = read_weights(file)
    if backend is None:
        manifest = user_path(path) / "manifest.json"
        backend = read_manifest(manifest)["backend"]["name"] if manifest.is_file() else "reference"
    model = GNN(spec, load_backend(backend) if isinstance(backend, str) else backend, seed)
    model.load_canonical(values)
    return model


def checkpoint_file(run: PathLike, name: str) -> Path:
    """Find a checkpoint in a run folder.

    Args:
        run: The run folder, or the checkpoint itself.
        name: ``BEST`` or ``LAST``.

    Raises:
        CheckpointError: There is no such folder, it is no run folder, or it has no such checkpoint.
    """
    path = user_path(run, "The run folder")
    if is_file(path):
        return path
    if not path.is_dir():
        raise CheckpointError(f"There is no run folder {path}.")
    if not (path / "manifest.json").is_file():
        raise CheckpointError(f"{path} is no run folder: it has no manifest.json. Give a folder that gnnkit run made.")
    if not (path / FOLDER).is_dir():
        raise CheckpointError(
            f"The run {path} has no folder {FOLDER}: it judged a heuristic, which learns nothing, or the folder was "
            "removed. Give a run that trained a model."
        )
    file = path / FOLDER / name
    if not file.is_file():
        raise CheckpointError(f"The run {path} has no {FOLDER}/{name}: it ended before one was written.")
    return file


def state_files(folder: Path) -> List[Path]:
    """The states that a folder of checkpoints keeps, the newest first; none of them has been looked into."""

    def number(file: Path) -> int:
        digits = file.stem.rpartition("-")[2]
        return int(digits) if digits.isdigit() else sys.maxsize

    older = sorted(folder.glob(OLDER.format("*")), key=number)
    return [file for file in (folder / LAST, *older) if file.is_file()]


def keep_older(folder: Path, num: int) -> None:
    """Move the states of a folder of checkpoints one place back, for a new one.

    Args:
        folder: The folder.
        num: How many are to be kept, the new one among them.
    """
    places = [folder / LAST, *(folder / OLDER.format(place) for place in range(1, num))]
    for newer, older in reversed(list(zip(places, places[1:]))):
        if newer.is_file():
            newer.replace(older)


def model_header(kind: str, spec: ModelSpec, seed: int) -> Dict[str, str]:
    """The header of a file with a model's weights."""
    return {"format": kind, "spec": to_json(spec.to_dict()), "seed": str(seed)}


def read_model_header(
    header: Mapping[str, str], file: PathLike, tensors: Mapping[str, Tensor]
) -> Tuple[ModelSpec, int]:
    """The specification and the seed in such a header.

    Args:
        header: The header.
        file: The file, for messages.
        tensors: Its weights.

    Raises:
        CheckpointError: They are not such as gnnkit writes.
    """
    seed = header.get("seed", "")
    if not seed.isdecimal() or len(seed) > _LONGEST_SEED:
        raise CheckpointError(f"{file} has the seed {seed[:40]!r}, expected a whole number. Take another checkpoint.")
    return spec_of(header, file, tensors), int(seed)


def read_training(header: Mapping[str, str], file: PathLike) -> Dict[str, Any]:
    """What the header of a state says besides the model: "facts", "history", "best_epoch".

    Raises:
        CheckpointError: It does not say that.
    """
    training = parse_json(header.get(TRAINING, ""), f"The state of the training in {file}", CheckpointError)
    if not isinstance(training, dict) or not isinstance(training.get("facts"), dict):
        raise CheckpointError(f"{file} does not say what was trained. Take another checkpoint.")
    if type(training.get("best_epoch")) is not int or not isinstance(training.get("history"), list):
        raise CheckpointError(f"{file} has no history of the training. Take another checkpoint.")
    return training


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    """The tensors whose names begin so, without the prefix."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
