"""How far a training has come: history, best epoch, learning rate.

Rules: all of it can be written down in plain values and tensors, and taken up again by another process.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from torch import Tensor

from gnnkit.runs.history import EpochRecord
from gnnkit.runs.state import Position, TrainState
from gnnkit.tasks import LossModule
from gnnkit.train.schedules import Schedule


class Progress:
    """History, best weights and schedule of one training.

    Args:
        schedule: The learning rate.
        patience: See :class:`gnnkit.train.TrainConfig`.
        higher_is_better: Whether a larger validation metric is a better one.

    Attributes:
        history: One record per epoch.
        best_epoch: The best epoch so far, by validation metric, and between equals by validation loss; 0 for none.
        best_weights: Its weights by canonical name.
        schedule: The learning rate.
        position: How far the next epoch has come, where another process began it.
    """

    def __init__(self, schedule: Schedule, patience: Optional[int], *, higher_is_better: bool = True) -> None:
        self.history: List[EpochRecord] = []
        self.best_epoch = 0
        self.best_weights: Dict[str, Tensor] = {}
        self.schedule = schedule
        self.position: Optional[Position] = None
        self._patience = patience
        self._higher_is_better = higher_is_better

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    @property
    def is_stuck(self) -> bool:
        """Whether patience is at its end."""
        return is_out_of_patience(self.history, self.best_epoch, self._patience)

    def update(self, record: EpochRecord, module: LossModule) -> bool:
        """Take in an epoch that has ended; returns whether it is the best so far."""
        is_best = record.valid_metric is not None and (not self.best_epoch or self._rank(record) > self._best_rank())
        self.history.append(record)
        if is_best:
            self.best_epoch, self.best_weights = record.epoch, module.canonical_state()
        self.schedule.advance(record)
        return is_best

    def go_on(self, state: TrainState) -> None:
        """Take up where another training stopped, before the first epoch."""
        self.history, self.best_epoch, self.best_weights = (
            list(state.history),
            state.best_epoch,
            dict(state.best_weights),
        )
        self.position = state.position
        self.schedule.replay(state.history)

    def _best_rank(self) -> Tuple[float, float]:
        return self._rank(self.history[self.best_epoch - 1])

    def _rank(self, record: EpochRecord) -> Tuple[float, float]:
        assert record.valid_metric is not None and record.valid_loss is not None
        return record.valid_metric if self._higher_is_better else -record.valid_metric, -record.valid_loss


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
