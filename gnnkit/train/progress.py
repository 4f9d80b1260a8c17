"""How far a training has come: history, best epoch, learning rate.

Rules: all of it can be written down in plain values and tensors, and taken up again by another process.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from gnnkit.nn import GNN
from gnnkit.runs.history import EpochRecord
from gnnkit.train.settings import TrainConfig


class Progress:
    """History, best weights and schedule of one training.

    Args:
        optimizer: Its learning rate is set here.
        config: Resolved settings.

    Attributes:
        history: One record per epoch.
        best_epoch: The best epoch so far, by validation metric, and between equals by validation loss; 0 for none.
        best_weights: Its weights by canonical name.
        schedule: The learning rate.
    """

    def __init__(self, optimizer: Optimizer, config: TrainConfig) -> None:
        self.history: List[EpochRecord] = []
        self.best_epoch = 0
        self.best_weights: Dict[str, Tensor] = {}
        self.schedule = Schedule(optimizer, config)
        self._patience = config.patience

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    @property
    def is_stuck(self) -> bool:
        """Whether patience is at its end."""
        return is_out_of_patience(self.history, self.best_epoch, self._patience)

    def update(self, record: EpochRecord, model: GNN) -> bool:
        """Take in an epoch that has ended; returns whether it is the best so far."""
        is_best = record.valid_metric is not None and (not self.best_epoch or _rank(record) > self._best_rank())
        self.history.append(record)
        if is_best:
            self.best_epoch, self.best_weights = record.epoch, model.canonical_state()
        self.schedule.advance(record)
        return is_best

    def go_on(
        self, history: List[EpochRecord], best_epoch: int, best_weights: Dict[str, Tensor], schedule: Mapping[str, Any]
    ) -> None:
        """Take up where another training stopped.

        Args:
            history: Its records.
            best_epoch: Its best epoch.
            best_weights: The weights of that.
            schedule: What :meth:`Schedule.state` gave.
        """
        self.history, self.best_epoch, self.best_weights = list(history), best_epoch, dict(best_weights)
        self.schedule.go_on(schedule, self.epoch)

    def _best_rank(self) -> Tuple[float, float]:
        return _rank(self.history[self.best_epoch - 1])


def is_out_of_patience(history: Sequence[EpochRecord], best_epoch: int, patience: Optional[int]) -> bool:
    """Whether the last epoch was evaluated, and the best one is ``patience`` epochs or more before it.

    Args:
        history: One record per epoch done.
        best_epoch: The best epoch so far, 0 for none.
        patience: None never ends.
    """
    if patience is None or not best_epoch or history[-1].valid_metric is None:
        return False
    return len(history) - best_epoch >= patience


class Schedule:
    """The learning rate over epochs.

    Args:
        optimizer: Its learning rate is set here.
        config: Resolved settings.
    """

    def __init__(self, optimizer: Optimizer, config: TrainConfig) -> None:
        self._optimizer = optimizer
        self._config = config
        self._plateau: Optional[ReduceLROnPlateau] = None
        if config.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=10)

    @property
    def lr(self) -> float:
        """The learning rate in force."""
        return float(self._optimizer.param_groups[0]["lr"])

    def advance(self, record: EpochRecord) -> None:
        """An epoch has ended."""
        if self._config.schedule == "cosine":
            self._set_share(self._cosine(record.epoch))
        elif self._plateau is not None and record.valid_metric is not None:
            self._plateau.step(record.valid_metric)
        elif self._plateau is not None:
            self._plateau.num_bad_epochs += 1  # Its patience is one of epochs, evaluated or not.

    def state(self) -> Dict[str, Any]:
        """Plain values: the share of the initial rate that is in force, and what the plateau has seen."""
        plateau = None if self._plateau is None else {name: getattr(self._plateau, name) for name in _PLATEAU}
        if plateau is not None and not math.isfinite(plateau["best"]):
            plateau["best"] = None  # Nothing has been evaluated; JSON has no infinity.
        return {"share": self.lr / self._config.lr, "plateau": plateau}

    def go_on(self, state: Mapping[str, Any], epoch: int) -> None:
        """Take up after ``epoch`` epochs; a schedule of another kind than before starts from its own rule.

        Args:
            state: What :meth:`state` gave.
            epoch: Epochs done.
        """
        if self._config.schedule == "cosine":
            self._set_share(self._cosine(epoch))
        elif self._plateau is not None and state["plateau"] is not None:
            self._set_share(state["share"])
            seen = dict(state["plateau"])
            self._plateau.load_state_dict({**seen, "best": -math.inf if seen["best"] is None else seen["best"]})

    def _cosine(self, epoch: int) -> float:
        assert self._config.epochs is not None
        return (1 + math.cos(math.pi * epoch / self._config.epochs)) / 2

    def _set_share(self, share: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.lr * share


_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")


def _rank(record: EpochRecord) -> Tuple[float, float]:
    assert record.valid_metric is not None and record.valid_loss is not None
    return record.valid_metric, -record.valid_loss
