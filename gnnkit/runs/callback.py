"""What may listen to a training.

Rules: listeners are called in the training's thread, in the order in which they were given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Optional

from gnnkit.errors import ConfigError
from gnnkit.nn import GNN
from gnnkit.runs.history import EpochRecord, RunResult

if TYPE_CHECKING:
    from gnnkit.runs.state import TrainState


class Callback:
    """Base of all listeners: override what you need. Called in the training thread, in the order of the list.

    Attributes:
        stopped: Why it has asked the training to stop; None if it has not.

    Example:
        >>> class GoodEnough(Callback):
        ...     def on_epoch(self, record):
        ...         if record.train_loss < 0.1:
        ...             self.stop("the loss is below 0.1")
    """

    stopped: Optional[str] = None

    def stop(self, reason: str = "") -> None:
        """Ask the training to stop, from any of the methods below.

        It ends after the epoch that is going on or has just ended, or if that is not evaluated, after the next one that
        is. The run counts as finished: its best weights are tested and kept.

        Args:
            reason: What the manifest of the run says; the class's name if nothing is given.
        """
        self.stopped = reason or type(self).__name__

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """Training begins; everything has been checked.

        Args:
            model: The model, on its device.
            num_epochs: Epochs to come.
            num_batches: Batches per epoch.
        """

    def on_resume(self, state: TrainState) -> None:
        """Right after the start: training goes on from the state of an earlier run, whose history is in it."""

    def on_batch(self, index: int) -> None:
        """A batch has been trained on; ``index`` counts from 0 in each epoch."""

    def on_loss(self, loss: float) -> None:
        """The mean loss of the epoch so far: after every batch in host memory, elsewhere every 32 batches."""

    def on_outputs(self, metric: Callable[[], Optional[float]]) -> None:
        """Right after :meth:`on_loss`.

        Args:
            metric: Computes the task's metric of the batch just trained on, from the outputs of its step (so with
                dropout). Computing takes time, and waits for an accelerator. None where batches cannot be judged, as
                in link prediction.
        """

    def on_evaluation(self, done: int, total: int) -> None:
        """A batch of an evaluation has been computed, ``done`` of ``total``."""

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch has ended, its evaluation included."""

    def on_best(self, model: GNN, record: EpochRecord) -> None:
        """The epoch that just ended gave the best validation metric so far."""

    def on_end(self, result: RunResult) -> None:
        """Training has ended well."""

    def on_error(self, error: BaseException) -> None:
        """Training ends with an error or an interruption, which goes on to the caller."""


def checked_callbacks(callbacks: Any) -> List[Callback]:
    """The callbacks that a user gave, as a list.

    Args:
        callbacks: Anything; a list of callbacks is right.

    Raises:
        ConfigError: It is no list, or holds something else: a class, a function.
    """
    if isinstance(callbacks, (str, Callback)) or not isinstance(callbacks, Iterable):
        kind = f"a {type(callbacks).__name__}"
        raise ConfigError(f"callbacks is {kind}, expected a list: callbacks=[MyCallback()].")
    listed = list(callbacks)
    for callback in listed:
        if isinstance(callback, type):
            raise ConfigError(f"callbacks holds the class {callback.__name__}. Make an object: {callback.__name__}().")
        if not isinstance(callback, Callback):
            name = getattr(callback, "__name__", type(callback).__name__)
            raise ConfigError(
                f"callbacks holds {name}, expected objects of classes derived from gnnkit.train.Callback."
            )
    return listed
