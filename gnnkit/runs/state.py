"""The state of a training on disk, from which it goes on: on another backend, too.

Rules: one file, renamed into place, so that its parts always belong together; weights and the optimiser's tensors are
under canonical names and in canonical layout; nothing is a pickle.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from torch import Tensor

from gnnkit.errors import CheckpointError
from gnnkit.io.tensor_files import read_tensors, write_tensors
from gnnkit.nn import ModelSpec
from gnnkit.runs.checkpoint import (
    FOLDER,
    LAST,
    STATE_FORMAT,
    TRAINING,
    WEIGHTS,
    checkpoint_file,
    model_header,
    read_model_header,
    read_training,
    state_files,
    with_prefix,
)
from gnnkit.runs.history import EpochRecord
from gnnkit.runs.records import history_of
from gnnkit.strict_json import to_json

_LOG = logging.getLogger(__name__)

_BEST = "best/"
_OPTIMIZER = "optimizer/"
_RANDOM = "random"


@dataclass(frozen=True)
class Position:
    """How far a training has come in an epoch.

    Attributes:
        batches: Number of batches that have changed the weights, parts of one that was too large among them.
        number: Number of the last of them.
        part: Which part of it.
        loss: Sum of their losses, each times its targets.
        num_targets: Number of their targets.
    """

    batches: int
    number: int
    part: int
    loss: float
    num_targets: int


@dataclass(frozen=True)
class TrainState:
    """A training after an epoch, or in the middle of the next.

    Attributes:
        spec: The model's specification.
        model_seed: Seed of its initial weights.
        weights: By canonical name.
        optimizer: The optimiser's tensors by canonical name and by their own; in canonical layout.
        history: One record per epoch done.
        best_epoch: The best epoch so far, 0 for none.
        best_weights: Its weights by canonical name.
        facts: What was trained, how and where: "task", "optimizer", "average", "backend", "device", "seed", "data" as
            :func:`gnnkit.data.describe_data` gives it, and "learned" as :meth:`gnnkit.runs.Learned.to_dict` does.
        position: How far it has come in the next epoch; None at its begin.
        random: State of the device's random numbers; None where they follow from the seed.
    """

    spec: ModelSpec
    model_seed: int
    weights: Dict[str, Tensor]
    optimizer: Dict[str, Dict[str, Tensor]]
    history: List[EpochRecord]
    best_epoch: int
    best_weights: Dict[str, Tensor]
    facts: Dict[str, Any]
    position: Optional[Position] = None
    random: Optional[Tensor] = None

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    def origin(self, run: Union[str, Path]) -> Dict[str, Any]:
        """What the manifest of a run that goes on says about where it comes from.

        Args:
            run: Where this state was found.
        """
        facts = self.facts
        before = {"run": str(run), "backend": facts["backend"]["name"], "device": facts["device"]["name"]}
        return {**before, "epoch": self.epoch, "resumed_from": facts.get("resumed_from")}


def save_state(state: TrainState, file: Union[str, Path]) -> None:
    """Write a state.

    Args:
        state: The state.
        file: Where to, usually ``last.safetensors``.
    """
    tensors = {f"{WEIGHTS}{name}": value for name, value in state.weights.items()}
    tensors.update({f"{_BEST}{name}": value for name, value in state.best_weights.items()})
    for name, members in state.optimizer.items():
        tensors.update({f"{_OPTIMIZER}{name}/{key}": value for key, value in members.items()})
    if state.random is not None:
        tensors[_RANDOM] = state.random
    training = {
        "best_epoch": state.best_epoch,
        "facts": state.facts,
        "history": [record.to_dict() for record in state.history],
        "position": None if state.position is None else asdict(state.position),
    }
    header = {**model_header(STATE_FORMAT, state.spec, state.model_seed), TRAINING: to_json(training)}
    write_tensors(file, tensors, header)


def state_file(run: Union[str, Path]) -> Path:
    """The newest whole state of a run.

    Args:
        run: A run folder, or the file itself.

    Raises:
        CheckpointError: There is none; the message says what is wrong with the last one.
    """
    path = Path(run).expanduser()
    found = state_files(path / FOLDER)
    if not found or found == [path / FOLDER / LAST]:  # Nothing to choose from.
        return checkpoint_file(run, LAST)
    problems: List[CheckpointError] = []
    for file in found:
        try:
            read_tensors(file, (STATE_FORMAT,))
        except CheckpointError as error:
            _LOG.warning("%s Going back to the state before it.", error)
            problems.append(error)
        else:
            return file
    raise problems[0]


def read_state(run: Union[str, Path]) -> TrainState:
    """Read a state, the newest one that is whole.

    Args:
        run: A run folder, or the file itself.

    Raises:
        CheckpointError: It is missing, damaged, or was not written by gnnkit.
    """
    file = state_file(run)
    tensors, header = read_tensors(file, (STATE_FORMAT,))
    spec, seed = read_model_header(header, file, tensors)
    training = read_training(header, file)
    optimizer: Dict[str, Dict[str, Tensor]] = {}
    for name, value in with_prefix(tensors, _OPTIMIZER).items():
        parameter, _, key = name.rpartition("/")
        optimizer.setdefault(parameter, {})[key] = value
    return TrainState(
        spec=spec,
        model_seed=seed,
        weights=with_prefix(tensors, WEIGHTS),
        optimizer=optimizer,
        history=history_of(training["history"], file, CheckpointError),
        best_epoch=training["best_epoch"],
        best_weights=with_prefix(tensors, _BEST),
        facts=training["facts"],
        position=_position(training.get("position"), file),
        random=tensors.get(_RANDOM),
    )


def _position(values: Any, file: Path) -> Optional[Position]:
    """How far an epoch had come, from plain values; earlier releases say nothing."""
    if values is None:
        return None
    counts = {each.name for each in fields(Position)} - {"loss"}
    good = isinstance(values, dict) and set(values) == {*counts, "loss"}
    if not good or any(type(values[name]) is not int for name in counts) or type(values["loss"]) not in (int, float):
        raise CheckpointError(f"{file} does not say how far its epoch had come. Take another state.")
    return Position(**values)
