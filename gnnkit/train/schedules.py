"""The learning rate over epochs: torch's schedulers, one step at the end of each epoch.

Rules: a schedule depends on the settings and on the epochs that are done, and on nothing else. So it has no state of
its own: a training that goes on replays it over its history, which gives the same bits.
"""

from __future__ import annotations

import copy
import math
import warnings
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from gnnkit.classes import check_arguments, find_class
from gnnkit.errors import ConfigError
from gnnkit.nn.failures import OUT_OF_MEMORY
from gnnkit.runs import EpochRecord
from gnnkit.train.settings import SCHEDULES, TrainConfig

MakeSchedule = Callable[..., Any]
"""A class, which is called with the settings, or a function from the optimiser to one of torch's schedulers for it."""

_WHAT = "train.schedule_options"


class Schedule:
    """The learning rate over epochs, after a warm-up if one is asked for.

    Args:
        optimizer: Its learning rate is set here.
        config: Resolved settings.
        given: Makes the scheduler; None makes what the settings name.
        higher_is_better: Whether a larger validation metric is a better one, for "plateau".

    Raises:
        ConfigError: The scheduler is not known here, does not take its options, or does not last for all epochs.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter()], lr=1.0)
        >>> schedule = Schedule(optimizer, TrainConfig(epochs=4, lr=1.0, warmup=2))
        >>> schedule.lr
        0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        config: TrainConfig,
        given: Optional[MakeSchedule] = None,
        *,
        higher_is_better: bool = True,
    ) -> None:
        self._optimizer = optimizer
        self._warmup = config.warmup
        if given is not None and not isinstance(given, type):
            self._scheduler = given(optimizer)
            if not hasattr(self._scheduler, "step"):
                problem = f"schedule gives a {type(self._scheduler).__qualname__}"
                raise ConfigError(f"{problem}, expected a scheduler of torch.optim.lr_scheduler.")
        else:
            _rehearse(optimizer, config, given)
            self._scheduler = _from_settings(optimizer, config, given, higher_is_better)
        self._rates = self._read()
        self._warm(1)

    @property
    def lr(self) -> float:
        """The learning rate in force; of several groups of parameters, the first one's."""
        return float(self._optimizer.param_groups[0]["lr"])

    def advance(self, record: EpochRecord) -> None:
        """An epoch has ended."""
        self._write(self._rates)
        if not isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step()
        elif record.valid_metric is not None:
            self._scheduler.step(record.valid_metric)
        else:
            self._scheduler.num_bad_epochs += 1  # Its patience is one of epochs, evaluated or not.
        self._rates = self._read()
        self._warm(record.epoch + 1)

    def replay(self, history: Sequence[EpochRecord]) -> None:
        """Take up after these epochs, as though they had been trained here."""
        with _steps_alone():
            for record in history:
                self.advance(record)

    def _warm(self, epoch: int) -> None:
        """Bring the rate for an epoch, counted from 1, to its share while warming up."""
        if epoch < self._warmup:
            self._write([rate * epoch / self._warmup for rate in self._rates])

    def _read(self) -> List[float]:
        return [group["lr"] for group in self._optimizer.param_groups]

    def _write(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self._optimizer.param_groups, rates):
            group["lr"] = rate


def _constant(optimizer: Optimizer, config: TrainConfig) -> Any:
    return LambdaLR(optimizer, lambda epoch: 1.0)


def _cosine(optimizer: Optimizer, config: TrainConfig) -> Any:
    num = config.epochs
    assert num is not None
    return LambdaLR(optimizer, lambda epoch: (1 + math.cos(math.pi * epoch / num)) / 2)


def _plateau(optimizer: Optimizer, config: TrainConfig, **options: Any) -> Any:
    return ReduceLROnPlateau(optimizer, **{"factor": 0.5, "patience": 10, **options})


def _step(optimizer: Optimizer, config: TrainConfig, **options: Any) -> Any:
    assert config.epochs is not None
    return StepLR(optimizer, **{"step_size": max(config.epochs // 3, 1), **options})


def _onecycle(optimizer: Optimizer, config: TrainConfig, **options: Any) -> Any:
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, max_lr=highest, total_steps=config.epochs, **{"cycle_momentum": False, **options})


_MAKERS: Mapping[str, Callable[..., Any]] = {
    "constant": _constant,
    "cosine": _cosine,
    "plateau": _plateau,
    "step": _step,
    "onecycle": _onecycle,
}
_CLASSES: Mapping[str, Any] = {"plateau": ReduceLROnPlateau, "step": StepLR, "onecycle": OneCycleLR}
_TAKEN = ("self", "optimizer", "mode", "max_lr", "total_steps", "epochs", "steps_per_epoch", "last_epoch", "verbose")
assert set(_MAKERS) == set(SCHEDULES)


def _from_settings(optimizer: Optimizer, config: TrainConfig, cls: Any, higher_is_better: bool = True) -> Any:
    """The scheduler of a class, or where that is None, of the name in the settings."""
    name, options = config.schedule, dict(config.schedule_options)
    if cls is None and name in _MAKERS:
        if name in _CLASSES:
            check_arguments(_CLASSES[name], options, _WHAT, _TAKEN)
            options.update({"mode": "max" if higher_is_better else "min"} if name == "plateau" else {})
        elif options:
            raise ConfigError(f"The schedule {name!r} takes no options, received {', '.join(options)}.")
        make = partial(_MAKERS[name], optimizer, config, **options)
    else:
        cls = cls or find_class(name, "train.schedule", (LRScheduler, ReduceLROnPlateau))
        check_arguments(cls, options, _WHAT, ("self", "optimizer", "last_epoch", "verbose"))
        make = partial(cls, optimizer, **options)
    try:
        return make()
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # What a constructor makes of arguments that it does not like is its own choice.
        raise ConfigError(f"The schedule {name!r} cannot be made with {_words(options)}: {error}.") from error


def _rehearse(optimizer: Optimizer, config: TrainConfig, cls: Any) -> None:
    """Let a schedule with options go through all epochs, since some mistakes show only there."""
    if cls is None and not config.schedule_options and config.schedule in SCHEDULES:
        return
    twin = copy.copy(optimizer)
    twin.param_groups = [dict(group) for group in optimizer.param_groups]
    scheduler = _from_settings(twin, config, cls)
    arguments = (0.0,) if isinstance(scheduler, ReduceLROnPlateau) else ()
    assert config.epochs is not None
    with _steps_alone():
        for epoch in range(1, config.epochs + 1):
            try:
                scheduler.step(*arguments)
            except Exception as error:  # A scheduler of somebody else may fail in any way.
                raise ConfigError(
                    f"The schedule {config.schedule!r} with {_words(config.schedule_options)} fails after epoch "
                    f"{epoch} of {config.epochs}: {error}."
                ) from error


@contextmanager
def _steps_alone() -> Iterator[None]:
    """Without torch's warning that a scheduler steps more often than its optimiser."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step", category=UserWarning)
        yield


def _words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or "no options"
