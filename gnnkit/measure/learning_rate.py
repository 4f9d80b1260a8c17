"""The learning-rate range test (Smith, 2017): how the loss follows a rate that grows from batch to batch.

Rules: what is trained is a copy of the model by training's own steps; nothing is written and nothing is kept.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gnnkit.data import Graph
from gnnkit.errors import ConfigError
from gnnkit.io.files import replacing
from gnnkit.measure.stages import stream
from gnnkit.nn import GNN, restored_generator
from gnnkit.train.job import Job, prepare_job
from gnnkit.train.loop import repeating_bits, step_seed
from gnnkit.train.trainer import TRAINING, Trainer

RANGE = (1e-6, 10.0)
"""The lowest and the highest learning rate."""
_RUNNING = 0.9
"""Decay of the running average that says when a loss has exploded."""
_SMOOTHING = 0.8
"""Decay of the average that is shown, from a loss to those on both sides of it."""
_EXPLODED = 4.0
"""How many times its smallest the running average is when the test ends."""
_FEWEST = 20
"""Learning rates that make a curve."""


@dataclass(frozen=True)
class LearningRates:
    """What a range test found.

    Attributes:
        rates: Learning rates, ascending.
        losses: The loss of a batch with each of them.
        smoothed: Losses averaged with those before and after, so that the curve is not moved towards higher rates.
        lr: Where the smoothed loss falls fastest along the logarithm of the rate. None: it never falls.
        exploded: Whether the loss grew beyond bounds before the highest rate.
    """

    rates: List[float]
    losses: List[float]
    smoothed: List[float]
    lr: Optional[float]
    exploded: bool

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


def find_lr(
    trainer: Trainer, model: GNN, graph: Graph, *, num_batches: int = 200, between: Tuple[float, float] = RANGE
) -> LearningRates:
    """Train a copy of the model with a learning rate that grows exponentially, and see where its loss falls fastest.

    The test ends early when the running average of the loss is four times its smallest, or no number. The schedule and
    the warm-up of the trainer are left out, and its own learning rate as well.

    Args:
        trainer: Its settings are used otherwise.
        model: Is left as it is.
        graph: As for :meth:`Trainer.fit`.
        num_batches: How many learning rates, a batch each; with ``train.accumulate``, so many batches each.
        between: The lowest and the highest.

    Raises:
        ConfigError: Fewer than 20 batches, or rates that do not grow; otherwise as :meth:`Trainer.fit`.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> model = gnnkit.build_model("gcn", graph, dropout=0.0)
        >>> found = find_lr(gnnkit.Trainer(device="cpu"), model, graph)
        >>> 1e-3 < found.lr < 1
        True
    """
    low, high = between
    if num_batches < _FEWEST:
        raise ConfigError(f"The number of batches is {num_batches}, expected at least {_FEWEST}.")
    if not 0 < low < high < math.inf:
        raise ConfigError(f"The learning rates are from {low} to {high}, expected ascending numbers above 0.")
    schedule = _Growth(low, (high / low) ** (1 / (num_batches - 1)))
    tested = copy.copy(trainer)
    tested.make_schedule = schedule
    tested.settings = {
        **{name: value for name, value in trainer.settings.items() if name not in ("schedule_options", "warmup")},
        "schedule": "constant",
    }
    with TRAINING:
        job = prepare_job(tested, model, graph)
        try:
            with restored_generator(), repeating_bits(job), job.device.training(job.config.precision):
                return _tested(job, schedule, num_batches)
        finally:
            job.device.close()


class _Growth:
    """Makes a scheduler by which the first group's rate begins at ``low`` and grows by a factor at each step."""

    def __init__(self, low: float, factor: float) -> None:
        self._low, self._factor = low, factor
        self._scheduler: Optional[LambdaLR] = None
        self._optimizer: Optional[Optimizer] = None

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        first = optimizer.param_groups[0]["lr"]
        for group in optimizer.param_groups:  # Rates of several groups keep their ratios.
            group["lr"] = group["initial_lr"] = self._low * group["lr"] / first
        self._optimizer = optimizer
        self._scheduler = LambdaLR(optimizer, lambda step: self._factor**step)
        return self._scheduler

    def step(self) -> float:
        """Bring the rate to the next value; gives the one before."""
        assert self._scheduler is not None and self._optimizer is not None, "a job has been made with it"
        rate = float(self._optimizer.param_groups[0]["lr"])
        self._scheduler.step()
        return rate


def _tested(job: Job, schedule: _Growth, num_batches: int) -> LearningRates:
    rates: List[float] = []
    losses: List[float] = []
    group: List[float] = []
    running = lowest = math.inf
    batches = stream(job.loader, num_batches * job.config.accumulate, epoch=1)
    for epoch, index, batch in batches:
        job.device.seed(step_seed(job.seed, epoch, index))
        result = job.step(batch)
        job.device.synchronize()
        group.append(float(result.loss))
        if len(group) < job.config.accumulate:
            continue
        rates.append(schedule.step())
        losses.append(sum(group) / len(group))
        group.clear()
        running = _RUNNING * running + (1 - _RUNNING) * losses[-1] if len(losses) > 1 else losses[0]
        lowest = min(lowest, running)
        if not math.isfinite(running) or running > _EXPLODED * lowest:
            break
    batches.close()
    smooth = smoothed(losses)
    return LearningRates(rates, losses, smooth, suggested(rates, smooth), len(losses) < num_batches)


def smoothed(losses: List[float]) -> List[float]:
    """Average each loss with those around it, weighted by 0.8 to the power of their distance.

    Args:
        losses: In their order. What is beyond four times the first, or no number, counts as that.

    Example:
        >>> [round(loss, 2) for loss in smoothed([2.0, 1.0, float("inf")])]
        [3.25, 3.46, 4.13]
    """
    most = _EXPLODED * losses[0]
    values = np.minimum(np.nan_to_num(losses, nan=most, posinf=most), most)
    places = np.arange(len(values))
    weights = _SMOOTHING ** np.abs(np.subtract.outer(places, places))
    averages: List[float] = (weights @ values / weights.sum(axis=1)).tolist()
    return averages


def suggested(rates: List[float], smoothed: List[float]) -> Optional[float]:
    """The rate at which a smoothed loss falls fastest, before it is at its smallest; None if it never falls.

    Args:
        rates: Ascending.
        smoothed: Loss at each.

    Example:
        >>> suggested([1e-3, 1e-2, 1e-1, 1.0, 10.0], [2.0, 1.9, 1.0, 0.5, 5.0])
        0.1
    """
    curve = np.asarray(smoothed)
    lowest = int(np.argmin(curve))
    if lowest < 1:
        return None
    slopes = np.gradient(curve[: lowest + 1], np.log(rates[: lowest + 1]))
    steepest = int(np.argmin(slopes))
    return rates[steepest] if slopes[steepest] < 0 else None


def plot_rates(found: LearningRates, file: Path) -> None:
    """Draw loss over learning rate with the suggestion, as a PNG.

    Args:
        found: What was found.
        file: Where the picture goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(found.rates, found.losses, color="0.8", label="loss of a batch")
    axes.semilogx(found.rates, found.smoothed, label="smoothed")
    if found.lr is not None:
        axes.axvline(found.lr, color="C3", linestyle="--", label=f"falls fastest: {found.lr:.2g}")
    low, high = min(0.0, *found.smoothed), max(found.smoothed[: found.smoothed.index(min(found.smoothed)) + 1])
    axes.set(xlabel="learning rate", ylabel="training loss", ylim=(low, high + 0.3 * (high - low)))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png")
