"""Where the time of a training goes, stage by stage, and how far it is from what the machine can do.

Rules: what is measured is the job that training runs: the same loader, step and settings. Times of stages are medians
over batches after a warm-up. Nothing is written.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Generator, Iterable, List, Mapping, Optional, Tuple

import torch

from gnnkit.data import Batch, Graph
from gnnkit.devices import TimedStep
from gnnkit.errors import ConfigError
from gnnkit.io.files import replacing
from gnnkit.loading import BatchSizes, Loader, NeighborLoader, batch_sizes
from gnnkit.measure.floor import Floor, copy_bandwidth, matrix_rate, step_products
from gnnkit.measure.measured import Measured, measured
from gnnkit.nn import GNN, restored_generator
from gnnkit.train.job import Job, prepare_job
from gnnkit.train.loop import repeating_bits, step_seed
from gnnkit.train.trainer import TRAINING, Trainer

WARM_UP = 6
"""Batches before the measured ones: kernels are compiled, and a loader finds its number of threads."""

_SHORT = {
    "sampling": "sample",
    "gathering features": "gather",
    "reducing features": "reduce",
    "padding": "pad",
    "transfer": "transfer",
}

_COLOURS = {
    "sample": "C0",
    "gather": "C1",
    "reduce": "C1",
    "pad": "C8",
    "transfer": "C2",
    "forward": "C3",
    "backward": "C4",
    "update": "C5",
    "step": "C3",
    "waiting for a batch": "C6",
    "steps": "C9",
    "matrix products": "0.45",
    "copying": "0.75",
}


@dataclass(frozen=True)
class Measurement(Measured):
    """Where the time of a training goes.

    Attributes:
        targets: What is learnt at, "targets" (nodes) or "pairs".
        batches: How many batches each figure rests on.
        threads: Threads that prepared batches; None where the batch is the whole graph and loaded once.
        stages: Median seconds per batch of every stage, one after the other, in their order: "sample", "gather" (or
            "reduce", where the first layer's sum is done while loading), "pad", "transfer", then "forward", "backward"
            and "update", or one "step" on a device that does not take its steps apart.
        seconds_per_batch: Wall time of a batch as in training, loading and steps side by side.
        waiting: Share of that in which the step waited for a batch, from 0 to 1. On devices that take steps apart it
            is measured with every step waited for; elsewhere work may have been going on meanwhile.
        targets_per_second: Training targets, as in training.
        nodes_per_second: Nodes whose features were read, each counted once a batch.
        edges_per_second: Sampled edges of all layers.
        memory: Peak memory so far by the device's own figures, in bytes.
        floor: The least that a step takes here; None where it is not known.
        no_floor: Why it is not.
    """

    targets: str
    batches: int
    threads: Optional[int]
    stages: Dict[str, float]
    seconds_per_batch: float
    waiting: float
    targets_per_second: float
    nodes_per_second: float
    edges_per_second: float
    memory: Dict[str, int]
    floor: Optional[Floor]
    no_floor: Optional[str]

    @property
    def serial_seconds(self) -> float:
        """Sum of the stages: a batch without anything side by side."""
        return sum(self.stages.values())

    @property
    def times_floor(self) -> Optional[float]:
        """How many times longer a batch takes than the floor."""
        return None if self.floor is None else self.seconds_per_batch / self.floor.seconds

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {
            **vars(self),
            "serial_seconds": self.serial_seconds,
            "floor": None if self.floor is None else self.floor.to_dict(),
            "times_floor": self.times_floor,
        }


def measure(trainer: Trainer, model: GNN, graph: Graph, *, num_batches: int = 20) -> Measurement:
    """Measure batches of a training, first side by side as in training, then stage by stage.

    The floor of a step is the time of the work that cannot be avoided, at rates measured here::

        floor = operations of the step's matrix products / matrix rate
              + bytes of feature rows read and written once / copy bandwidth

    Matrix products are those of forward, of the weights' gradients and of the gradients that flow on; the rate is that
    of products of just these shapes in this precision, on the device. Features of sampled batches are read in their
    stored type and written as they are loaded, in host memory; with a fused first layer only the sums are written. A
    whole graph is read once by the first layer, on the device. On an accelerator both may go on side by side, so a
    batch may even be faster than the floor.

    Args:
        trainer: Its settings are measured.
        model: Is left as it is.
        graph: As for :meth:`Trainer.fit`.
        num_batches: How many batches to measure, twice.

    Raises:
        ConfigError: ``num_batches`` is below 1; otherwise as :meth:`Trainer.fit`.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> found = measure(gnnkit.Trainer(device="cpu"), gnnkit.build_model("gcn", graph), graph, num_batches=2)
        >>> list(found.stages)
        ['forward', 'backward', 'update']
    """
    if num_batches < 1:
        raise ConfigError(f"The number of batches is {num_batches}, expected at least 1.")
    with TRAINING:
        job = prepare_job(trainer, model, graph)
        try:
            with restored_generator(), repeating_bits(job), job.device.training(job.config.precision):
                return _measure(job, num_batches)
        finally:
            job.device.close()


def _measure(job: Job, num_batches: int) -> Measurement:
    for which in stream(job.loader, WARM_UP, epoch=1):
        _run(job, *which)
    job.device.synchronize()
    seconds, waiting, sizes, targets = _side_by_side(job, num_batches)
    stages = _one_by_one(job, num_batches)
    floor, reason = _floor(job, sizes)
    return Measurement(
        **measured(job),
        targets="pairs" if job.task.level == "edges" else "targets",
        batches=num_batches,
        threads=job.loader.num_threads if isinstance(job.loader, NeighborLoader) else None,
        stages=stages,
        seconds_per_batch=seconds / num_batches,
        waiting=waiting / seconds,
        targets_per_second=targets / seconds,
        nodes_per_second=sum(size.num_nodes[0] for size in sizes) / seconds,
        edges_per_second=sum(sum(size.num_edges) for size in sizes) / seconds,
        memory=job.device.memory(),
        floor=floor,
        no_floor=reason,
    )


def stream(loader: Loader, num: int, *, epoch: int) -> Generator[Tuple[int, int, Batch], None, None]:
    """So many batches, with their epochs and positions in them, from as many epochs as it takes."""
    while num > 0:
        for index, batch in enumerate(islice(loader.epoch(epoch), num)):
            yield epoch, index, batch
            num -= 1
        epoch += 1


def _run(job: Job, epoch: int, index: int, batch: Batch) -> Dict[str, float]:
    """One step as training does it, with the seconds of its parts if the device tells."""
    job.device.seed(step_seed(job.seed, epoch, index))
    if isinstance(job.step, TimedStep):
        return job.step.timed(batch, job.device.synchronize)
    start = time.perf_counter()
    job.step(batch)
    job.device.synchronize()
    return {"step": time.perf_counter() - start}


def _side_by_side(job: Job, num_batches: int) -> Tuple[float, float, List[BatchSizes], int]:
    """Seconds in all, seconds of waiting, sizes of the batches, targets."""
    waiting, targets, seen = 0.0, 0, []
    is_waited_for = isinstance(job.step, TimedStep)
    start = asked = time.perf_counter()
    for epoch, index, batch in stream(job.loader, num_batches, epoch=2):
        waiting += time.perf_counter() - asked
        job.device.seed(step_seed(job.seed, epoch, index))
        targets += job.step(batch).num_targets
        seen.append((epoch, batch.key.number, batch.nodes))
        if is_waited_for:
            # Else a batch would be asked for, and waited for, while the device still works on the one before.
            job.device.synchronize()
        asked = time.perf_counter()
    job.device.synchronize()
    seconds = time.perf_counter() - start
    return seconds, waiting, [_sampled_sizes(job.loader, *which) for which in seen], targets


def _sampled_sizes(loader: Loader, epoch: int, number: int, nodes: torch.Tensor) -> BatchSizes:
    """Sizes of a batch before padding and reducing, which its blocks do not tell.

    Of a batch of pairs the edges between these are among those counted, though it was sampled without them.
    """
    if not isinstance(loader, NeighborLoader):
        return next(iter(loader.sizes(epoch)))
    nodes = nodes.cpu()
    return batch_sizes(loader.sampler.sample(nodes[nodes >= 0], epoch=epoch, batch=number).blocks)


def _one_by_one(job: Job, num_batches: int) -> Dict[str, float]:
    """Median seconds of every stage, with nothing else going on."""
    seen: Dict[str, List[float]] = {}

    def observe(stage: str, seconds: float) -> None:
        seen.setdefault(_SHORT[stage], []).append(seconds)

    loader = job.loader.observed(observe) if isinstance(job.loader, NeighborLoader) else job.loader
    for which in stream(loader, num_batches, epoch=2):
        for part, seconds in _run(job, *which).items():
            seen.setdefault(part, []).append(seconds)
    return {stage: statistics.median(times) for stage, times in seen.items()}


def _floor(job: Job, sizes: List[BatchSizes]) -> Tuple[Optional[Floor], Optional[str]]:
    """The floor, or why there is none."""
    place, spec = job.device.capabilities.torch_device, job.model.spec
    if not job.device.product_ways(job.config.precision):
        return None, f"device {job.device.name!r} does not say how it multiplies"
    if job.loader.graph.typed is not None:
        return None, "features of several types have no one width"
    typical = _mean_sizes(sizes)
    products = step_products(spec, typical)
    if products is None:
        return None, "products of a layer class are not known"
    features_at = "cpu" if isinstance(job.loader, NeighborLoader) else place
    return Floor(
        flops=sum(product.flops for product in products),
        matrix_rate=matrix_rate(products, job.config.precision, job.device),
        feature_bytes=_feature_bytes(job.loader, typical),
        copy_bandwidth=copy_bandwidth(features_at, job.device.synchronize),
    ), None


def _mean_sizes(sizes: List[BatchSizes]) -> BatchSizes:
    def mean(parts: Iterable[Tuple[int, ...]]) -> Tuple[int, ...]:
        return tuple(round(statistics.fmean(values)) for values in zip(*parts))

    return BatchSizes(mean(size.num_nodes for size in sizes), mean(size.num_edges for size in sizes))


def _feature_bytes(loader: Loader, sizes: BatchSizes) -> float:
    """Bytes of feature rows that are read and written once in loading a batch; of a whole graph, read alone."""
    x = loader.graph.x
    assert x is not None, "a loader has features"
    is_sampled = isinstance(loader, NeighborLoader)
    written = sizes.num_nodes[0] if is_sampled else 0
    if isinstance(loader, NeighborLoader) and loader.reduction is not None:
        written = sizes.num_nodes[1] * (2 if loader.reduction.keep_own else 1)
    total = _row_traffic(x, sizes.num_nodes[0], written)
    edge_attr = loader.graph.edge_attr
    if loader.edge_features and edge_attr is not None:
        for num in sizes.num_edges if is_sampled else sizes.num_edges[:1]:
            total += _row_traffic(edge_attr, num, num if is_sampled else 0)
    return total


def _row_traffic(table: torch.Tensor, read: float, written: float) -> float:
    """Bytes of so many rows as they are stored, and of so many as they are loaded."""
    size = table.element_size()
    return table.shape[1] * (read * size + written * max(size, 4))


def plot_measurement(found: Measurement, file: Path) -> None:
    """Draw stages, training and floor as stacked bars, milliseconds a batch, as a PNG.

    Args:
        found: What was measured.
        file: Where the picture goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars: Dict[str, Mapping[str, float]] = {
        "one after\nthe other": found.stages,
        "as in\ntraining": {
            "waiting for a batch": found.seconds_per_batch * found.waiting,
            "steps": found.seconds_per_batch * (1 - found.waiting),
        },
    }
    if found.floor is not None:
        bars["floor"] = {"matrix products": found.floor.matrix_seconds, "copying": found.floor.copy_seconds}
    figure = Figure(figsize=(9, 1.6 + 0.75 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for bar, parts in bars.items():
        start = 0.0
        for part, seconds in parts.items():
            axes.barh(bar, seconds * 1000, left=start, label=part, color=_COLOURS[part], edgecolor="white")
            start += seconds * 1000
        axes.annotate(f" {start:,.1f}", (start, bar), va="center")
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(xlabel="milliseconds a batch", title=found.title)
    figure.legend(loc="outside right center", frameon=False, fontsize="small")
    FigureCanvasAgg(figure)
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png")
