"""The state of a training on disk, from which it goes on: on another backend, too.

Rules: one file, renamed into place, so that its parts always belong together; weights and the optimiser's tensors are
under canonical names and in canonical layout; nothing is a pickle.
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import torch
from torch import Tensor, nn

from gnnkit.backends import Backend, move_model
from gnnkit.data import check_same_data
from gnnkit.devices import OptimizerState, Step
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError, OtherDataError
from gnnkit.nn import GNN, ModelSpec, idle_model_settings
from gnnkit.strict_json import to_json
from gnnkit.train.checkpoint import (
    LAST,
    STATE_FORMAT,
    TRAINING,
    WEIGHTS,
    checkpoint_file,
    model_header,
    read_model_header,
    with_prefix,
)
from gnnkit.train.history import EpochRecord
from gnnkit.train.learned import Learned
from gnnkit.train.progress import Progress, is_out_of_patience
from gnnkit.train.settings import TrainConfig
from gnnkit.train.tensor_files import read_tensors, write_tensors

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_SAVES = 1.0
_OTHER_FEATURES = "Go on with features of the same names in the same order, as gnnkit run --resume does by itself."
_BEST = "best/"
_OPTIMIZER = "optimizer/"


@dataclass(frozen=True)
class TrainState:
    """A training after an epoch.

    Attributes:
        spec: The model's specification.
        model_seed: Seed of its initial weights.
        weights: By canonical name.
        optimizer: The optimiser's tensors by canonical name and by their own; in canonical layout.
        history: One record per epoch done.
        best_epoch: The best epoch so far, 0 for none.
        best_weights: Its weights by canonical name.
        schedule: What the learning rate needs to go on.
        facts: What was trained and where: "task", "backend", "device", "seed", "data" as
            :func:`gnnkit.data.describe_data` gives it, and "learned" as :meth:`gnnkit.train.Learned.to_dict` does.
    """

    spec: ModelSpec
    model_seed: int
    weights: Dict[str, Tensor]
    optimizer: Dict[str, Dict[str, Tensor]]
    history: List[EpochRecord]
    best_epoch: int
    best_weights: Dict[str, Tensor]
    schedule: Dict[str, Any]
    facts: Dict[str, Any]

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


class StateKeeper:
    """Takes the state of a training, and puts one in.

    Args:
        model: The model.
        module: What the step was prepared for; holds the model.
        step: The training step, which has the optimiser's state.
        progress: History, best epoch, schedule.
        facts: See :class:`TrainState`.
        every: Epochs from one save to the next. None: as many as take a second.
    """

    def __init__(
        self,
        model: GNN,
        module: nn.Module,
        step: Step,
        progress: Progress,
        facts: Mapping[str, Any],
        *,
        every: Optional[int] = None,
    ) -> None:
        self._model = model
        self._step = step
        self._progress = progress
        self._facts = facts
        self._every = every
        self._is_refused = False
        self._saved_at = -math.inf
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        self._names = {name: names[id(parameter)] for name, parameter in model.parameters_by_name().items()}
        # A copy in which tensors of the optimiser take the places of parameters, to be laid out as those are.
        assert isinstance(model.backend, Backend)
        self._mould = move_model(model, model.backend)

    def take(self) -> TrainState:
        """The state just now, in host memory."""
        self._step.pull()
        return TrainState(
            spec=self._model.spec,
            model_seed=self._model.seed,
            weights=self._model.canonical_state(),
            optimizer=self._to_canonical(self._step.state_dict()),
            history=list(self._progress.history),
            best_epoch=self._progress.best_epoch,
            best_weights=self._progress.best_weights,
            schedule=self._progress.schedule.state(),
            facts=dict(self._facts),
        )

    def is_due(self) -> bool:
        """Whether it is time to save, at the end of an epoch. Small epochs take no longer than saving does."""
        if self._every is not None:
            return self._progress.epoch % self._every == 0
        return time.perf_counter() - self._saved_at >= _SECONDS_BETWEEN_SAVES

    def save(self, file: Path) -> None:
        """Write the state just now; where the device does not give the optimiser's, say so once and write none."""
        if self._is_refused:
            return
        try:
            save_state(self.take(), file)
            self._saved_at = time.perf_counter()
        except CapabilityError as error:  # No reason to end a run: its weights are kept all the same.
            _LOG.warning("No state is saved: %s", error)
            self._is_refused = True

    def put(self, state: TrainState) -> None:
        """Let a training that has not begun go on from a state.

        Raises:
            OtherDataError: Its features were called otherwise, which no fingerprint of the data shows.
        """
        before, now = Learned.among(state.facts), Learned.among(self._facts)
        names = [learned.feature_names for learned in (before, now) if learned is not None and learned.feature_names]
        if len(set(names)) > 1:
            raise OtherDataError(["names of features"], _OTHER_FEATURES)
        self._model.load_canonical(state.weights)
        self._step.load_state_dict(self._to_native(state.optimizer))
        self._progress.go_on(state.history, state.best_epoch, state.best_weights, state.schedule)

    def _to_canonical(self, native: OptimizerState) -> Dict[str, Dict[str, Tensor]]:
        values = {name: dict(native[key]) for name, key in self._names.items() if key in native}
        places = self._mould.parameters_by_name()
        for kind in _kinds(values):
            with torch.no_grad():
                for name in values:
                    places[name].copy_(values[name][kind])
            laid_out = self._mould.canonical_state()
            for name in values:
                values[name][kind] = laid_out[name]
        return values

    def _to_native(self, canonical: OptimizerState) -> Dict[str, Dict[str, Tensor]]:
        values = {name: dict(tensors) for name, tensors in canonical.items()}
        places = self._mould.parameters_by_name()
        for kind in _kinds(values):
            laid_out = {name: tensors[kind] for name, tensors in values.items()}
            self._mould.load_canonical({**self._mould.canonical_state(), **laid_out})
            for name in values:
                values[name][kind] = places[name].detach().clone()
        return {self._names[name]: tensors for name, tensors in values.items()}


def _kinds(values: OptimizerState) -> List[str]:
    """Names of the optimiser's tensors that have the shapes of parameters; the others are numbers, such as steps."""
    first = next(iter(values.values()), {})
    return [key for key, value in first.items() if value.dim() > 0]


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
    training = {
        "best_epoch": state.best_epoch,
        "schedule": state.schedule,
        "facts": state.facts,
        "history": [record.to_dict() for record in state.history],
    }
    header = {**model_header(STATE_FORMAT, state.spec, state.model_seed), TRAINING: to_json(training)}
    write_tensors(file, tensors, header)


def read_state(run: Union[str, Path]) -> TrainState:
    """Read a state.

    Args:
        run: A run folder, or the file itself.

    Raises:
        CheckpointError: It is missing, damaged, or was not written by gnnkit.
    """
    tensors, header = read_tensors(checkpoint_file(run, LAST), (STATE_FORMAT,))
    spec, seed = read_model_header(header)
    training = json.loads(header[TRAINING])
    optimizer: Dict[str, Dict[str, Tensor]] = {}
    for name, value in with_prefix(tensors, _OPTIMIZER).items():
        parameter, key = name.rsplit("/", 1)
        optimizer.setdefault(parameter, {})[key] = value
    return TrainState(
        spec=spec,
        model_seed=seed,
        weights=with_prefix(tensors, WEIGHTS),
        optimizer=optimizer,
        history=[EpochRecord(**values) for values in training["history"]],
        best_epoch=training["best_epoch"],
        best_weights=with_prefix(tensors, _BEST),
        schedule=training["schedule"],
        facts=training["facts"],
    )


def check_resumable(
    state: TrainState, spec: ModelSpec, data: Mapping[str, Any], config: TrainConfig, frozen: Sequence[str] = ()
) -> None:
    """Refuse to go on from a state whose parameters fit but that belongs to something else, or is at its end.

    Args:
        state: The state.
        spec: The model that is to go on.
        data: What :func:`gnnkit.data.describe_data` says about the data.
        config: Resolved settings.
        frozen: Canonical names of the parameters that are not to be trained.

    Raises:
        CheckpointError: Another task, other frozen parameters, or another architecture, whose differences are listed.
        OtherDataError: Other data; the differences are listed.
        ConfigError: All epochs have been trained, or patience was at its end.
    """
    mine, theirs = spec.to_dict(), state.spec.to_dict()
    free = {"dropout", "input_dropout", "attention_dropout", *idle_model_settings(spec)}
    differences = [
        f"{name} is {mine[name]!r}, in the checkpoint {theirs.get(name)!r}"
        for name in mine
        if name not in free and mine[name] != theirs.get(name)
    ]
    task = state.facts.get("task", config.task)
    if task != config.task:
        raise CheckpointError(f"The checkpoint was trained for the task {task!r}, this run is for {config.task!r}.")
    if differences:
        raise CheckpointError(f"The checkpoint belongs to another architecture: {'; '.join(differences)}.")
    before = state.facts.get("frozen", [])
    if set(before) != set(frozen):
        was, now = (", ".join(names) or "none" for names in (before, frozen))
        raise CheckpointError(
            f"Parameters frozen in the run: {was}; now: {now}. Freeze the same ones (requires_grad_(False)), or start "
            "a new run from its weights."
        )
    fix = "Go on with that run's data and seed, or start a new run from its weights with --init-from."
    check_same_data(state.facts["data"], data, fix)
    if state.epoch >= (config.epochs or 0):
        raise ConfigError(f"All {config.epochs} epochs are done: the run is at {state.epoch}. Give more with --epochs.")
    if is_out_of_patience(state.history, state.best_epoch, config.patience):
        raise ConfigError(
            f"The run stopped early: {state.epoch - state.best_epoch} epochs without a better validation metric, "
            f"train.patience is {config.patience}. Give more, or train.patience=null."
        )
