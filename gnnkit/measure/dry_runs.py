"""What a training will take, before it is begun: its layers, its batches, memory and time.

Rules: what is looked at is the job that training runs, on a copy of the model; nothing is written. Sizes of tensors are
counted, times and peak memory are measured. Nothing is extrapolated but what says so.
"""

from __future__ import annotations

import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.data import Batch, Graph
from gnnkit.devices import GroupingStep, StepResult
from gnnkit.devices.resident import peak_resident
from gnnkit.errors import ConfigError
from gnnkit.loading import BatchSizes, FullGraphLoader, Loader, NeighborLoader, batch_sizes
from gnnkit.loading.base import spread
from gnnkit.loading.full_pairs import FullGraphPairLoader
from gnnkit.loading.prefetch import least_in_hand
from gnnkit.measure.stages import stream
from gnnkit.measure.tensors import Storages, num_bytes, storages
from gnnkit.nn import GNN, CustomModel, restored_generator
from gnnkit.runs.callback import Callback
from gnnkit.train.job import Job, prepare_job
from gnnkit.train.loop import evaluate, repeating_bits, step_seed
from gnnkit.train.trainer import TRAINING, Trainer

WARM_UP = 2
"""Batches before the measured ones: kernels are compiled, and memory is taken."""
_SECONDS = 5.0
"""After so long, no further batch is measured."""
_EVALUATION_SECONDS = 20.0
"""After so long, an evaluation is left, and the rest of it extrapolated."""
_LOOKED_AT = 64
"""Batches of whole graphs, or of parts of a graph, among which the largest is looked for."""


@dataclass(frozen=True)
class LayerSize:
    """A part of a model.

    Attributes:
        name: What the part is called, such as "convs.0".
        kind: What it is: the convolution's name, or the class.
        shape: Of its output in the largest batch. None where it depends on values.
        num_parameters: Values to be learnt, those of its normalisation and residual connection among them.
    """

    name: str
    kind: str
    shape: Optional[Tuple[int, ...]]
    num_parameters: int


@dataclass(frozen=True)
class MemoryEstimate:
    """What a training takes in bytes.

    Attributes:
        total: Peak resident memory of this process, measured: data have been loaded, batches trained on, and the
            validation items evaluated. If the evaluation was left early, the results that were still to come are added.
        graph: Graph and features, as loaded and as prepared. Counted.
        parameters: Weights and buffers. Counted, like the next two.
        gradients: Of the weights.
        optimizer: The optimiser's state.
        activations: What the largest batch keeps from forward for backward. Counted as torch keeps it; None on devices
            that compile a step, where nobody sees it.
        batches: Batches in the loader's hand, each as large as the largest one. Counted.
        evaluation: What evaluating added to the peak. Measured.
        process: The rest of the total: Python, libraries, workspaces, and freed memory that is kept.
        device: The device's own figures by name, where it is not the host.
    """

    total: int
    graph: int
    parameters: int
    gradients: int
    optimizer: int
    activations: Optional[int]
    batches: int
    evaluation: int
    process: int
    device: Dict[str, int]

    @property
    def limited(self) -> int:
        """What runs out first: the device's own peak if it tells one, else the total."""
        return max(self.device.values(), default=self.total)


@dataclass(frozen=True)
class DryRun:
    """What a training will take.

    Attributes:
        backend: Name of the backend.
        device: Name of the device.
        dataset: Name of the graph.
        model: Name of the model.
        task: Name of the task.
        precision: Precision of computing.
        layers: The model's parts from input to output, the task's head last.
        loading: What a batch is: "full graph", "sampled", "parts of the graph" or "graphs".
        targets: What is learnt at: "nodes", "pairs" or "graphs".
        batch_size: Targets in a batch; None where that is not a setting.
        batches_per_epoch: Number of batches.
        num_targets: Training targets in an epoch.
        epochs: How many are asked for.
        largest: Sizes of the largest batch that was looked at.
        memory: What memory it takes.
        batches: How many batches the times rest on.
        step_seconds: Median time of a step.
        batch_seconds: Time of a batch as in training, loading included.
        evaluation_seconds: Time of one evaluation; extrapolated if it was left early. None: it was not measured.
        is_complete: Whether the evaluation came to its end.
    """

    backend: str
    device: str
    dataset: str
    model: str
    task: str
    precision: str
    layers: List[LayerSize]
    loading: str
    targets: str
    batch_size: Optional[int]
    batches_per_epoch: int
    num_targets: int
    epochs: int
    largest: BatchSizes
    memory: MemoryEstimate
    batches: int
    step_seconds: float
    batch_seconds: float
    evaluation_seconds: Optional[float]
    is_complete: bool

    @property
    def num_parameters(self) -> int:
        """Values to be learnt."""
        return sum(layer.num_parameters for layer in self.layers)

    @property
    def epoch_seconds(self) -> float:
        """Time of an epoch: its batches, and an evaluation if one was measured."""
        return self.batches_per_epoch * self.batch_seconds + (self.evaluation_seconds or 0.0)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {
            **vars(self),
            "layers": [vars(layer) for layer in self.layers],
            "largest": {"nodes": list(self.largest.num_nodes), "edges": list(self.largest.num_edges)},
            "memory": vars(self.memory),
            "num_parameters": self.num_parameters,
            "epoch_seconds": self.epoch_seconds,
        }


def dry_run(trainer: Trainer, model: GNN, graph: Graph, *, num_batches: int = 10, evaluates: bool = True) -> DryRun:
    """Look at what a training will take, without training: a few steps on a copy of the model, and one evaluation.

    Memory is that of this process, so a process that has done other things before tells more than a run would take;
    ``gnnkit run --dry-run`` has a process to itself.

    Args:
        trainer: Its settings are looked at.
        model: Is left as it is.
        graph: As for :meth:`Trainer.fit`.
        num_batches: How many batches to time, fewer if they take more than five seconds.
        evaluates: Whether to evaluate as well.

    Raises:
        ConfigError: ``num_batches`` is below 1; otherwise as :meth:`Trainer.fit`.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> found = dry_run(gnnkit.Trainer(device="cpu"), gnnkit.build_model("gcn", graph), graph)
        >>> [layer.shape for layer in found.layers], found.num_parameters, found.loading
        ([(34, 16), (34, 4)], 628, 'full graph')
    """
    if num_batches < 1:
        raise ConfigError(f"The number of batches is {num_batches}, expected at least 1.")
    with TRAINING:
        job = prepare_job(trainer, model, graph)
        try:
            with restored_generator(), repeating_bits(job), job.device.training(job.config.precision):
                return _look(job, graph, num_batches, evaluates)
        finally:
            job.device.close()


def _look(job: Job, graph: Graph, num_batches: int, evaluates: bool) -> DryRun:
    run = _Steps(job)
    for which in stream(job.loader, 1 if is_whole(job.loader) else WARM_UP, epoch=1):
        run.step(*which)
    job.device.synchronize()
    times, seconds = _timed(run, num_batches)
    epoch, number = _largest(run)
    activations, batch, outputs = _kept(run, epoch, number)
    before = peak_resident()
    watch = _evaluated(job) if evaluates else None
    assert job.config.epochs is not None
    sizes = batch_sizes(batch.blocks, batch.targets, batch.graphs)
    return DryRun(
        backend=job.backend.name,
        device=job.device.name,
        dataset=job.graph.name,
        model=job.model.spec.name,
        task=job.task.name,
        precision=job.config.precision,
        layers=layer_sizes(job, sizes, tuple(outputs.shape)),
        loading=_loading(job),
        targets={"edges": "pairs"}.get(job.task.level, job.task.level),
        batch_size=job.config.batch_size,
        batches_per_epoch=len(job.loader),
        num_targets=len(job.task.items(job.labelled, "train").ids),
        epochs=job.config.epochs,
        largest=sizes,
        memory=_memory(job, graph, batch, activations, before, watch),
        batches=len(times),
        step_seconds=statistics.median(times),
        batch_seconds=seconds / len(times),
        evaluation_seconds=None if watch is None else watch.seconds,
        is_complete=watch is None or watch.share == 1.0,
    )


class _Steps:
    """Steps as training does them; remembers which batch was the largest.

    Attributes:
        largest: Bytes, epoch and number of that batch.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.largest = (0, 1, 0)

    def step(self, epoch: int, index: int, batch: Batch) -> StepResult:
        size = num_bytes(batch, without={})
        self.largest = max(self.largest, (size, epoch, batch.key.number), key=lambda each: each[0])
        self.job.device.seed(step_seed(self.job.seed, epoch, index))
        return self.job.step(batch)


def _timed(run: _Steps, num_batches: int) -> Tuple[List[float], float]:
    """Seconds of every step, and seconds in all with loading."""
    job, times = run.job, []
    is_waited_for = not isinstance(job.step, GroupingStep)  # Waiting would end a group of batches early.
    compiled = job.device.compile_seconds()
    start = time.perf_counter()
    batches = stream(job.loader, num_batches, epoch=2)
    for which in batches:
        begun = time.perf_counter()
        run.step(*which)
        if is_waited_for:
            job.device.synchronize()
        times.append(time.perf_counter() - begun)
        if time.perf_counter() - start > _SECONDS:
            break
    batches.close()
    job.device.synchronize()
    return times, max(time.perf_counter() - start - (job.device.compile_seconds() - compiled), sum(times) / 1e3)


def _largest(run: _Steps) -> Tuple[int, int]:
    """Epoch and number of the largest batch.

    Sampled batches of a training are about as large as each other. Whole graphs are not, and neither are parts of one.
    """
    loader = run.job.loader
    if isinstance(loader, NeighborLoader) or is_whole(loader):
        return run.largest[1:]
    sizes = [size.num_nodes[0] + sum(size.num_edges) for size in loader.sizes(1, limit=_LOOKED_AT)]
    return 1, spread(len(loader), _LOOKED_AT)[max(range(len(sizes)), key=sizes.__getitem__)]


def _kept(run: _Steps, epoch: int, number: int) -> Tuple[Optional[int], Batch, Tensor]:
    """Run a batch; bytes that its forward pass keeps for backward, the batch itself, and its outputs."""
    job = run.job
    batch = next(iter(job.loader.epoch(epoch, range(number, number + 1))))
    known = {**storages(batch), **storages(list(job.module.parameters()), list(job.module.buffers()))}
    found: Storages = {}

    def keep(tensor: Tensor) -> Tensor:
        found.update(storages(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run.step(epoch, number, batch)
        job.device.synchronize()
    kept = sum(size for place, size in found.items() if place not in known)
    return kept if found else None, batch, result.outputs


class _Left(Exception):  # noqa: N818 - no error
    """An evaluation has taken long enough."""


class _Watch(Callback):
    """Leaves an evaluation that takes long.

    Attributes:
        share: How much of it was done, from 0 to 1.
        seconds: How long it takes; extrapolated if it was left.
    """

    def __init__(self) -> None:
        self.share, self.seconds = 1.0, 0.0
        self._start = time.perf_counter()

    def on_evaluation(self, done: int, total: int) -> None:
        if done < total and time.perf_counter() - self._start > _EVALUATION_SECONDS:
            self.share = done / total
            raise _Left

    def end(self) -> None:
        self.seconds = (time.perf_counter() - self._start) / self.share


def _evaluated(job: Job) -> _Watch:
    watch = _Watch()
    job.callbacks = [watch]
    compiled = job.device.compile_seconds()
    with suppress(_Left):
        evaluate(job, 1)
    watch.end()
    watch.seconds = max(0.0, watch.seconds - (job.device.compile_seconds() - compiled))
    return watch


def _memory(
    job: Job, graph: Graph, batch: Batch, activations: Optional[int], before: int, watch: Optional[_Watch]
) -> MemoryEstimate:
    peak = peak_resident()
    rest = 0 if watch is None else _rooms(job) * (1 - watch.share)
    known = storages(graph, job.graph, job.labelled, job.loader.graph)
    learnt = [parameter for parameter in job.module.parameters() if parameter.requires_grad]
    parameters = num_bytes(list(job.module.parameters()), list(job.module.buffers()), without={})
    sizes = {
        "graph": sum(known.values()),
        "parameters": parameters,
        "gradients": sum(parameter.numel() * parameter.element_size() for parameter in learnt),
        "optimizer": sum(num_bytes(dict(state), without={}) for state in job.step.state_dict().values()),
        "batches": num_bytes(batch, without=known) * in_hand(job.loader),
        "evaluation": peak - before + round(rest),
    }
    is_host = job.device.capabilities.torch_device == "cpu"
    here = sizes if is_host else {name: sizes[name] for name in ("graph", "evaluation")}
    total = peak + round(rest)
    own = {} if is_host else job.device.memory()
    process = max(0, total - sum(here.values()) - ((activations or 0) if is_host else 0))
    return MemoryEstimate(total, activations=activations, process=process, device=own, **sizes)


def _rooms(job: Job) -> int:
    """Bytes that the results of an evaluation take: layer by layer, those of two layers are there at a time."""
    spec, nodes = job.model.spec, job.labelled.num_nodes
    if job.config.evaluation != "layerwise" or isinstance(job.model, CustomModel):
        return 0
    width = max(spec.conv_spec(layer).out_width for layer in range(spec.num_layers))
    return 2 * min(4 * nodes * width, round(job.config.eval_memory * 1e9))


def in_hand(loader: Loader) -> int:
    """Batches that a loader has in hand at least, while it is at work: the one in use and those prepared ahead."""
    threads: int = getattr(loader, "num_threads", 0) or 0
    if is_whole(loader) or threads == 0:
        return 1
    ahead, overlap = getattr(loader, "prefetch", 0), getattr(loader, "overlap", True)
    return min(least_in_hand(threads, ahead, overlap=overlap) + overlap, len(loader))


def is_whole(loader: Loader) -> bool:
    """Whether a batch is the full graph, which is loaded once."""
    return isinstance(loader, (FullGraphLoader, FullGraphPairLoader))


def _loading(job: Job) -> str:
    if is_whole(job.loader):
        return "full graph"
    if job.task.level == "graphs":
        return "graphs"
    return "parts of the graph" if job.config.is_clustered else "sampled"


def layer_sizes(job: Job, sizes: BatchSizes, outputs: Tuple[int, ...]) -> List[LayerSize]:
    """The parts of a model with their outputs in a batch, and their parameters.

    Args:
        job: A training made ready.
        sizes: Of the batch.
        outputs: Shape of what a step gives.
    """
    counts: Dict[str, int] = {}
    for name, parameter in job.module.named_parameters():
        part = _part(name)
        counts[part] = counts.get(part, 0) + parameter.numel()
    model = job.model
    if isinstance(model, CustomModel):
        layers = [LayerSize("module", type(model.module).__name__, outputs, counts.pop("module", 0))]
        return [*layers, *_others(job, counts, sizes, outputs)]
    convs = [
        LayerSize(
            f"convs.{layer}",
            model.spec.kinds[layer],
            (sizes.num_nodes[layer + 1], model.spec.conv_spec(layer).out_width),
            counts.pop(f"convs.{layer}", 0),
        )
        for layer in range(model.num_layers)
    ]
    before = {name: counts.pop(name) for name in _BEFORE if name in counts}
    return [*_others(job, before, sizes, outputs), *convs, *_others(job, counts, sizes, outputs)]


_BEFORE = ("embedding", "input", "encoder")
"""Parts of a model that come before its layers."""


def _part(name: str) -> str:
    """Which part of a model a parameter of its module belongs to."""
    owner, first, *rest = name.split(".")
    if owner != "model":
        return "task.head"
    return f"convs.{rest[0]}" if first in ("convs", "norms", "residuals") else first


def _others(job: Job, counts: Dict[str, int], sizes: BatchSizes, outputs: Tuple[int, ...]) -> Iterator[LayerSize]:
    spec, rows = job.model.spec, sizes.num_nodes[-1] if sizes.num_graphs is None else sizes.num_graphs
    shapes = {
        "embedding": (sizes.num_nodes[0], spec.in_channels),
        "input": (sizes.num_nodes[0], spec.encoded_channels),
        "encoder": (sizes.num_nodes[0], spec.encoded_channels),
        "head_hidden": (rows, spec.hidden_channels),
        "head": (rows, spec.out_channels),
        "task.head": outputs,
    }
    for name, count in counts.items():
        module = job.module.head if name == "task.head" else getattr(job.model, name)
        yield LayerSize(name, type(module).__name__, shapes.get(name), count)
