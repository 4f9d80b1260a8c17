"""Pictures of a run, and of several together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, List, Mapping, Sequence

from gnnkit.io.files import replacing
from gnnkit.runs.history import EpochRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(history: List[EpochRecord], metric: str, best_epoch: int, file: Path) -> None:
    """Draw loss and validation metric over epochs, with the best epoch marked, as a PNG.

    Args:
        history: One record per epoch.
        metric: What the metric is called.
        best_epoch: Counted from 1.
        file: Where the picture goes.
    """
    from matplotlib.figure import Figure

    epochs = [record.epoch for record in history]
    evaluated = [record for record in history if record.valid_metric is not None]
    figure = Figure(figsize=(9, 3.6))
    # Fixed margins: to find them, everything would be drawn twice.
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.15, top=0.95, wspace=0.22)
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [record.train_loss for record in history], label="train")
    left.plot([r.epoch for r in evaluated], [r.valid_loss for r in evaluated], label="valid")
    left.set(xlabel="epoch", ylabel="loss")
    right.plot([r.epoch for r in evaluated], [r.valid_metric for r in evaluated], label="valid", color="C1")
    right.set(xlabel="epoch", ylabel=metric.replace("_", " "))
    for axes in (left, right):
        axes.axvline(best_epoch, color="0.6", linestyle="--", linewidth=1, label=f"best: epoch {best_epoch}")
    _finish(figure, file)


def plot_losses(losses: Mapping[str, Sequence[float]], title: str, file: Path) -> None:
    """Draw the training losses of several trainings over each other, as a PNG.

    Args:
        losses: One curve per training, by name.
        title: Stands above.
        file: Where the picture goes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for i, (name, curve) in enumerate(losses.items()):
        # Curves that lie on each other are all to be seen: wide lines below, narrow ones on top.
        width = 1 + 2.5 * (len(losses) - 1 - i)
        axes.plot(range(1, len(curve) + 1), curve, label=name, linewidth=width, alpha=0.9)
    axes.set(xlabel="epoch", ylabel="training loss", title=title)
    _finish(figure, file)


def _finish(figure: Figure, file: Path) -> None:
    """Axes with whole epochs, a grid and a legend; then the file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png")
