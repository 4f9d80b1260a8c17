"""Taking the state of a training, and putting one in.

Rules: weights and the optimiser's tensors are handed out under canonical names and in canonical layout, so that another
backend can go on from them.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from torch import Tensor

from gnnkit.backends import Backend, move_model
from gnnkit.data import check_same_data
from gnnkit.devices import OptimizerState, RandomStep, Step
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError, OtherDataError
from gnnkit.nn import ModelSpec, idle_model_settings
from gnnkit.runs.checkpoint import keep_older, state_files
from gnnkit.runs.learned import Learned
from gnnkit.runs.state import Position, TrainState, save_state
from gnnkit.tasks import LossModule
from gnnkit.train.progress import Progress, is_out_of_patience
from gnnkit.train.settings import TrainConfig

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_SAVES = 1.0
_OTHER_FEATURES = "Go on with features of the same names in the same order, as gnnkit run --resume does by itself."


class StateKeeper:
    """Takes the state of a training, and puts one in.

    Args:
        module: What the step was prepared for: the model with its task's head.
        step: The training step, which has the optimiser's state.
        progress: History, best epoch, schedule.
        facts: See :class:`TrainState`.
        every: Epochs from one save to the next. None: as many as take a second.
    """

    def __init__(
        self,
        module: LossModule,
        step: Step,
        progress: Progress,
        facts: Mapping[str, Any],
        *,
        every: Optional[int] = None,
    ) -> None:
        self._module = module
        self._step = step
        self._progress = progress
        self._facts = facts
        self._every = every
        self._is_refused = False
        self._saved_at = -math.inf
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        self._names = {name: names[id(parameter)] for name, parameter in module.parameters_by_name().items()}
        # A copy in which tensors of the optimiser take the places of parameters, to be laid out as those are. float64
        # holds other types without loss, counts among them.
        assert isinstance(module.model.backend, Backend)
        self._mould = LossModule(move_model(module.model, module.model.backend), module.task).double()

    def take(self, position: Optional[Position] = None) -> TrainState:
        """The state just now, in host memory.

        Args:
            position: How far the next epoch has come. None: it has not begun.
        """
        self._step.pull()
        return TrainState(
            spec=self._module.model.spec,
            model_seed=self._module.model.seed,
            weights=self._module.canonical_state(),
            optimizer=self._to_canonical(self._step.state_dict()),
            history=list(self._progress.history),
            best_epoch=self._progress.best_epoch,
            best_weights=self._progress.best_weights,
            facts=dict(self._facts),
            position=position,
            random=self._step.random_state() if isinstance(self._step, RandomStep) else None,
        )

    def is_due(self) -> bool:
        """Whether it is time to save, at the end of an epoch. Small epochs take no longer than saving does."""
        if self._every is not None:
            return self._progress.epoch % self._every == 0
        return time.perf_counter() - self._saved_at >= _SECONDS_BETWEEN_SAVES

    def save(self, file: Path, position: Optional[Position] = None, *, kept: int = 1) -> None:
        """Write what :meth:`take` gives; where the device does not give the optimiser's, say so once and keep none.

        Args:
            file: Where to.
            position: As for :meth:`take`.
            kept: How many states are kept beside each other, this one among them.
        """
        if self._is_refused:
            return
        try:
            state = self.take(position)
            keep_older(file.parent, kept)
            save_state(state, file)
            self._saved_at = time.perf_counter()
        except CapabilityError as error:  # No reason to end a run: its weights are kept all the same.
            _LOG.warning("No state is saved: %s", error)
            self._is_refused = True
            for earlier in state_files(file.parent):  # Of the start, when the optimiser had kept nothing yet.
                earlier.unlink()

    def put(self, state: TrainState) -> None:
        """Let a training that has not begun go on from a state.

        Raises:
            OtherDataError: Its features were called otherwise, which no fingerprint of the data shows.
            CheckpointError: Its optimiser keeps tensors whose layout another backend cannot know.
        """
        before, now = Learned.among(state.facts), Learned.among(self._facts)
        names = [learned.feature_names for learned in (before, now) if learned is not None and learned.feature_names]
        if len(set(names)) > 1:
            raise OtherDataError(["names of features"], _OTHER_FEATURES)
        was, now_is = (facts["backend"]["name"] for facts in (state.facts, self._facts))
        odd = _odd_tensors(state.optimizer, self._mould.canonical_state())
        if odd and was != now_is:
            raise CheckpointError(
                f"The optimiser keeps tensors that are not shaped as the parameters ({', '.join(odd)}), so a training "
                f"of backend {was!r} cannot go on with {now_is!r}. Go on with {was!r}, or start a new run from its "
                "weights with --init-from."
            )
        self._module.load_canonical(state.weights)
        self._step.load_state_dict(self._to_native(state.optimizer))
        same_device = state.facts["device"]["name"] == self._facts["device"]["name"]
        if isinstance(self._step, RandomStep) and state.random is not None and same_device:
            self._step.load_random_state(state.random)
        self._progress.go_on(state)

    def _to_canonical(self, native: OptimizerState) -> Dict[str, Dict[str, Tensor]]:
        values = {name: dict(native[key]) for name, key in self._names.items() if key in native}
        places = self._mould.parameters_by_name()
        for kind, names in _kinds(values, places).items():
            with torch.no_grad():
                for name in names:
                    places[name].copy_(values[name][kind])
            laid_out = self._mould.canonical_state()
            for name in names:
                values[name][kind] = laid_out[name].to(values[name][kind].dtype)
        return values

    def _to_native(self, canonical: OptimizerState) -> Dict[str, Dict[str, Tensor]]:
        values = {name: dict(tensors) for name, tensors in canonical.items()}
        places = self._mould.parameters_by_name()
        for kind, names in _kinds(values, self._mould.canonical_state()).items():
            laid_out = {name: values[name][kind] for name in names}
            self._mould.load_canonical({**self._mould.canonical_state(), **laid_out})
            for name in names:
                values[name][kind] = places[name].detach().clone().to(values[name][kind].dtype)
        return {self._names[name]: tensors for name, tensors in values.items()}


def _kinds(values: OptimizerState, parameters: Mapping[str, Tensor]) -> Dict[str, List[str]]:
    """The optimiser's tensors that have the shapes of parameters, with the parameters that have them.

    The others are numbers, such as steps, or what only the optimiser understands.
    """
    found: Dict[str, List[str]] = {}
    for name, tensors in values.items():
        for kind, value in tensors.items():
            if value.dim() > 0 and value.shape == parameters[name].shape:
                found.setdefault(kind, []).append(name)
    return found


def _odd_tensors(values: OptimizerState, parameters: Mapping[str, Tensor]) -> List[str]:
    """Names of the optimiser's tensors that are neither numbers nor of a parameter's shape."""
    as_parameters = _kinds(values, parameters)
    return sorted(
        {
            kind
            for name, tensors in values.items()
            for kind, value in tensors.items()
            if value.dim() > 0 and name not in as_parameters.get(kind, ())
        }
    )


def check_resumable(
    state: TrainState, spec: ModelSpec, facts: Mapping[str, Any], config: TrainConfig, *, may_be_done: bool = False
) -> None:
    """Refuse to go on from a state whose parameters fit but that belongs to something else, or is at its end.

    Args:
        state: The state.
        spec: The model that is to go on.
        facts: Of the run that is to go on; see :class:`TrainState`.
        config: Resolved settings.
        may_be_done: Whether a training that is at its end is taken, too, to be judged.

    Raises:
        CheckpointError: Another task, optimiser or architecture, or other frozen parameters; differences are listed.
        OtherDataError: Other data; the differences are listed.
        ConfigError: All epochs have been trained, or patience was at its end.
    """
    mine, theirs = spec.flat(), state.spec.flat()
    free = {"dropout", "input_dropout", *spec.dropouts, *idle_model_settings(spec)}
    differences = [
        f"{name} is {mine[name]!r}, in the checkpoint {theirs.get(name)!r}"
        for name in mine
        if name not in free and mine[name] != theirs.get(name)
    ]
    task = state.facts.get("task", facts["task"])
    if task != facts["task"]:
        raise CheckpointError(f"The checkpoint was trained for the task {task!r}, this run is for {facts['task']!r}.")
    optimizer, average = state.facts.get("optimizer", "adam"), state.facts.get("average")
    if optimizer != facts["optimizer"]:
        raise CheckpointError(
            f"The checkpoint was trained with the optimiser {optimizer!r}, this run is for {facts['optimizer']!r}. Go "
            f"on with train.optimizer={optimizer}, or start a new run from its weights with --init-from."
        )
    if (average is None) != (facts["average"] is None):
        raise CheckpointError(
            f"The checkpoint was trained with train.average={average}, this run has {facts['average']}. Both must keep "
            "an average, or neither."
        )
    was_sparse, is_sparse = (bool(each.get("sparse_embeddings")) for each in (state.facts, facts))
    if was_sparse != is_sparse:
        raise CheckpointError(
            f"The checkpoint was trained with train.sparse_embeddings={was_sparse}, this run has {is_sparse}, and "
            "their optimisers keep other states. Give the same, or start a new run from its weights with --init-from."
        )
    if differences:
        raise CheckpointError(f"The checkpoint belongs to another architecture: {'; '.join(differences)}.")
    before, frozen = (each.get("frozen", []) for each in (state.facts, facts))
    if set(before) != set(frozen):
        was, now = (", ".join(names) or "none" for names in (before, frozen))
        raise CheckpointError(
            f"Parameters frozen in the run: {was}; now: {now}. Freeze the same ones (requires_grad_(False)), or start "
            "a new run from its weights."
        )
    fix = "Go on with that run's data and seed, or start a new run from its weights with --init-from."
    check_same_data(state.facts["data"], facts["data"], fix)
    if may_be_done:
        return
    if state.epoch >= (config.epochs or 0):
        raise ConfigError(f"All {config.epochs} epochs are done: the run is at {state.epoch}. Give more with --epochs.")
    if is_out_of_patience(state.history, state.best_epoch, config.patience):
        raise ConfigError(
            f"The run stopped early: {state.epoch - state.best_epoch} epochs without a better validation metric, "
            f"train.patience is {config.patience}. Give more, or train.patience=null."
        )
