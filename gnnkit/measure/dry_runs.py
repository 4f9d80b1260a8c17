"""What a training will take, before it is begun: its layers, its batches, memory and time.

Rules: what is looked at is a training of a few batches, on a copy of the model; nothing is written. Sizes of tensors
are counted, times and peak memory are measured. Nothing is extrapolated but what says so.
"""

from __future__ import annotations

import copy
import statistics
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from gnnkit.data import Graph
from gnnkit.devices.resident import peak_resident
from gnnkit.errors import ConfigError
from gnnkit.loading import BatchSizes, Loader
from gnnkit.loading.prefetch import least_in_hand
from gnnkit.measure.layer_sizes import LayerSize, layer_sizes
from gnnkit.measure.measured import Measured, measured
from gnnkit.measure.short_training import ShortTraining, is_whole
from gnnkit.measure.tensors import num_bytes, storages
from gnnkit.nn import GNN, CustomModel, restored_generator
from gnnkit.train.job import Job, prepare_job
from gnnkit.train.loop import repeating_bits
from gnnkit.train.trainer import TRAINING, Trainer


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
class DryRun(Measured):
    """What a training will take.

    Attributes:
        task: Name of the task.
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

    task: str
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
    # Short epochs may be more than are asked for, and some schedules end with the last one.
    asked = trainer.settings.get("epochs")
    rehearsed = copy.copy(trainer)
    if asked is not None:
        rehearsed.settings = {**trainer.settings, "epochs": max(asked, num_batches + 4)}
    with TRAINING:
        job = prepare_job(rehearsed, model, graph)
        epochs = asked or job.config.epochs
        assert epochs is not None
        try:
            with restored_generator(), repeating_bits(job), job.device.training(job.config.precision):
                return _look(job, graph, epochs, num_batches, evaluates)
        finally:
            job.device.close()


def _look(job: Job, graph: Graph, epochs: int, num_batches: int, evaluates: bool) -> DryRun:
    weights = _weights(job)
    seen = ShortTraining(job, num_batches, evaluates)
    seen.run()
    assert seen.largest is not None, "a training has a batch"
    return DryRun(
        **measured(job),
        task=job.task.name,
        layers=layer_sizes(job.module, seen.largest),
        loading=_loading(job),
        targets={"edges": "pairs"}.get(job.task.level, job.task.level),
        batch_size=job.config.batch_size,
        batches_per_epoch=len(job.loader),
        num_targets=len(job.task.items(job.labelled, "train").ids),
        epochs=epochs,
        largest=seen.largest,
        memory=_memory(job, graph, weights, seen),
        batches=len(seen.seconds),
        step_seconds=statistics.median(seen.seconds),
        batch_seconds=max(seen.total_seconds / len(seen.seconds), 1e-9),
        evaluation_seconds=seen.evaluation_seconds,
        is_complete=seen.evaluated == 1.0,
    )


def _weights(job: Job) -> Dict[str, int]:
    """Bytes of weights and gradients; to be asked before a training, which ends in float32."""
    learnt = [parameter for parameter in job.module.parameters() if parameter.requires_grad]
    return {
        "parameters": num_bytes(list(job.module.state_dict().values()), without={}),
        "gradients": sum(parameter.numel() * parameter.element_size() for parameter in learnt),
    }


def _memory(job: Job, graph: Graph, weights: Dict[str, int], seen: ShortTraining) -> MemoryEstimate:
    rest = round(_rooms(job) * (1 - seen.evaluated))
    known = storages(graph, job.graph, job.labelled, job.loader.graph)
    sizes = {
        **weights,
        "graph": sum(known.values()),
        "optimizer": sum(num_bytes(dict(state), without={}) for state in job.step.state_dict().values()),
        "batches": num_bytes(seen.batch, without=known) * in_hand(job.loader),
        "evaluation": seen.evaluation_bytes + rest,
    }
    is_host = job.device.capabilities.torch_device == "cpu"
    here = sizes if is_host else {name: sizes[name] for name in ("graph", "evaluation")}
    total = peak_resident() + rest
    process = max(0, total - sum(here.values()) - ((seen.activations or 0) if is_host else 0))
    own = {} if is_host else job.device.memory()
    return MemoryEstimate(total, activations=seen.activations, process=process, device=own, **sizes)


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


def _loading(job: Job) -> str:
    if is_whole(job.loader):
        return "full graph"
    if job.task.level == "graphs":
        return "graphs"
    return "parts of the graph" if job.config.is_clustered else "sampled"
