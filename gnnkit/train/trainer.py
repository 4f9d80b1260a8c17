"""The Trainer: one training loop for every backend and every device.

Rules: nothing here knows the name of a backend or a device; everything is checked before anything is written; the
loop's random numbers (order, samples, dropout) depend on the seed, the epoch and the batch alone.
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.optim import Adam

from gnnkit.backends import Backend, backends, load_backend, move_model
from gnnkit.data import Batch, Graph, check_graph, describe_data, prepare_graph
from gnnkit.devices import Device, Step, StepOptions, choose_device, devices
from gnnkit.errors import ConfigError
from gnnkit.loading import Loader, plan_padding
from gnnkit.nn import GNN
from gnnkit.tasks import LossModule, Task
from gnnkit.train.allocator import keep_freed_memory
from gnnkit.train.callbacks import Callback, ProgressBar
from gnnkit.train.capabilities import check_capabilities
from gnnkit.train.checkpoint import FOLDER, LAST
from gnnkit.train.config import TrainConfig, model_settings, train_config
from gnnkit.train.history import EpochRecord, RunResult
from gnnkit.train.inference import Inference, make_inference
from gnnkit.train.learned import learned_from
from gnnkit.train.loaders import in_precision, input_reduction, make_sampler, make_task, training_loader
from gnnkit.train.progress import Progress
from gnnkit.train.run_folder import RunFolder
from gnnkit.train.state import StateKeeper, TrainState, check_resumable, read_state

_LOG = logging.getLogger(__name__)
_CHECKED_VALUES = 1 << 28
"""Values of an array up to which the Trainer looks at all for NaN and infinity; those of larger ones are sampled."""


class Trainer:
    """Trains a model on a graph, on the backend and the device of your choice.

    Args:
        backend: Name of a backend, or one that is loaded. None keeps the model's.
        device: Name of a device, or one that is loaded; "auto" takes the best that is ready.
        backend_options: Settings of the backend itself, for one given by name.
        device_options: Settings of the device itself, for one given by name.
        seed: Seed of order, samples and dropout. The model has its own for the initial weights.
        run_dir: Folder for configuration, manifest, metrics, checkpoints and plots. None writes nothing.
        callbacks: Listeners.
        progress: Whether to show a progress bar; None shows it on a terminal only.
        facts: Anything else that the run folder's configuration should record.
        settings: Fields of :class:`gnnkit.train.TrainConfig`; what is not given comes from the model's preset.

    Raises:
        UnknownNameError: A setting that does not exist.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> model = gnnkit.build_model("gcn", graph)
        >>> result = gnnkit.Trainer(device="cpu", epochs=5).fit(model, graph)
        >>> len(result.history)
        5
    """

    def __init__(
        self,
        backend: Union[str, Backend, None] = None,
        device: Union[str, Device] = "auto",
        *,
        backend_options: Optional[Mapping[str, Any]] = None,
        device_options: Optional[Mapping[str, Any]] = None,
        seed: int = 0,
        run_dir: Union[str, Path, None] = None,
        callbacks: Sequence[Callback] = (),
        progress: Optional[bool] = None,
        facts: Optional[Dict[str, Any]] = None,
        **settings: Any,
    ) -> None:
        train_config("", settings)  # A misspelt setting is an error here, not at the end of a long preparation.
        self.backend = backend
        self.device = device
        self.backend_options = dict(backend_options or {})
        self.device_options = dict(device_options or {})
        self.seed = seed
        self.run_dir = None if run_dir is None else Path(run_dir)
        self.callbacks = list(callbacks)
        self.progress = progress
        self.facts = facts or {}
        self.settings = settings

    def fit(self, model: GNN, graph: Graph, *, resume: Union[str, Path, None] = None) -> RunResult:
        """Train, keep the best weights by validation metric, and test them.

        Args:
            model: Its weights are where training starts; the model itself is left as it is.
            graph: With features, labels and the splits "train", "valid" and "test".
            resume: A run folder, or its ``checkpoints/last.safetensors``: training goes on where that run stopped, with
                its weights instead of the model's, its optimiser's state, schedule, best model and history. It may have
                run on another backend and device.

        Returns:
            The trained model and what happened.

        Raises:
            DataError: The graph breaks a rule.
            ConfigError: Settings that cannot be used, or nothing is left to do.
            CapabilityError: The backend or the device does not do what is asked.
            UnavailableError: The device's hardware is not there.
            CheckpointError: ``resume`` is missing or damaged, or belongs to another architecture.
            OtherDataError: ``resume`` was trained on other data.
            PipelineError: Preparing a batch failed.
        """
        earlier = None if resume is None else read_state(resume)
        job = prepare_job(self, model, graph)
        try:
            return self._fit(job, earlier, resume)
        finally:
            job.device.close()

    def _fit(self, job: Job, earlier: Optional[TrainState], resume: Union[str, Path, None]) -> RunResult:
        callbacks = [*self.callbacks, ProgressBar(self.progress)]
        if self.run_dir is not None or earlier is not None:
            job.facts = _facts(job)
            every = job.config.save_every
            job.keeper = StateKeeper(job.model, job.module, job.step, job.progress, job.facts, every=every)
        if earlier is not None and job.keeper is not None and resume is not None:
            job.keeper.put(earlier)
            check_resumable(earlier, job.model.spec, job.facts["data"], job.config)
            job.facts["resumed_from"] = earlier.origin(resume)
        if self.run_dir is not None:
            callbacks.insert(0, RunFolder(self.run_dir, self._config(job), job.facts))
        job.callbacks = callbacks
        try:
            with torch.random.fork_rng(devices=[]), repeating_bits(job):
                result = _train(job, earlier, self.run_dir)
            for callback in callbacks:
                callback.on_end(result)
        except BaseException as error:  # An interrupt, too: the run folder says how a run ended.
            for callback in callbacks:
                callback.on_error(error)
            raise
        return result

    def _config(self, job: Job) -> Dict[str, Any]:
        """The configuration with everything filled in, in the structure of :class:`RunConfig`."""
        return {
            **self.facts,
            "model": model_settings(job.model.spec, keep_outputs=job.task.num_outputs(job.graph) is None),
            "train": asdict(job.config),
            "backend": backends.name_of(type(job.backend)),
            "device": devices.name_of(type(job.device)),
            "backend_options": self.backend_options,
            "device_options": self.device_options,
            "seed": self.seed,
        }


@dataclass
class Job:
    """Everything that one training needs, checked and in place."""

    model: GNN
    module: LossModule
    graph: Graph
    task: Task
    backend: Backend
    device: Device
    config: TrainConfig
    seed: int
    loader: Loader
    step: Step
    progress: Progress
    inference: Inference
    callbacks: Sequence[Callback] = ()
    keeper: Optional[StateKeeper] = None
    facts: Dict[str, Any] = field(default_factory=dict)
    nondeterministic: List[str] = field(default_factory=list)


def prepare_job(trainer: Trainer, model: GNN, graph: Graph) -> Job:
    """Check everything, and bring model, data and device together. The model itself is left as it is.

    Args:
        trainer: With the settings.
        model: Its weights are where training starts.
        graph: As for :meth:`Trainer.fit`, which says what is raised.
    """
    check_graph(graph, most_values=_CHECKED_VALUES)
    settings = train_config(model.spec.conv, trainer.settings)
    task = make_task(graph, settings)
    backend = _backend(trainer, model)
    device = trainer.device
    if isinstance(device, str):
        device = choose_device(device, backend, trainer.device_options)
    config = settings.resolved(model.num_layers, static_shapes=device.capabilities.static_shapes)
    if config.keep_memory:
        keep_freed_memory()
    _check_fit(model, graph, task, backend, device, config)
    kind = model.spec.kind
    prepared = prepare_graph(graph, self_loops=kind.self_loops, gcn_norm=kind.gcn_norm)
    computed = in_precision(prepared, config.precision)
    model = move_model(model, backend)
    if config.precision == "float64":
        model = model.double()
    module = LossModule(model, task)
    optimizer = Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    step = device.prepare(module, optimizer, StepOptions(config.precision, config.clip_norm))
    inference = make_inference(
        config.evaluation,
        module,
        computed,
        device,
        StepOptions(config.precision),
        batch_size=config.eval_batch_size or 0,
        memory=config.eval_memory * 1e9,
        sampler=make_sampler(prepared, kind, config, config.eval_fanouts, trainer.seed),
        reduction=input_reduction(model.spec, config.fuse_first_layer) if config.evaluation == "sampled" else None,
    )
    loader_for = partial(training_loader, computed, model.spec, task, config, trainer.seed)
    pad = None
    if device.capabilities.static_shapes:
        pad = plan_padding(loader_for(), overflow_rate=config.overflow_rate, epochs=config.planned_epochs).spec
    loader = loader_for(transfer=_transfer(device, model), pad=pad, overlap=not device.capabilities.uses_host)
    progress = Progress(optimizer, config)
    return Job(model, module, prepared, task, backend, device, config, trainer.seed, loader, step, progress, inference)


def _backend(trainer: Trainer, model: GNN) -> Backend:
    if trainer.backend is None:
        assert isinstance(model.backend, Backend)
        return model.backend
    if isinstance(trainer.backend, str):
        return load_backend(trainer.backend, trainer.backend_options)
    return trainer.backend


def _check_fit(model: GNN, graph: Graph, task: Task, backend: Backend, device: Device, config: TrainConfig) -> None:
    spec = model.spec
    if spec.in_channels != graph.num_features or task.num_outputs(graph) not in (None, spec.out_channels):
        raise ConfigError(
            f"The model takes {spec.in_channels} features and gives {spec.out_channels} outputs, the graph has "
            f"{graph.num_features} features and {graph.num_classes} classes. Build the model for this graph."
        )
    check_capabilities(backend, device, conv=spec.conv, precision=config.precision, task=task.name)


def _transfer(device: Device, model: GNN) -> Callable[[Batch], Batch]:
    """Bring a batch to the device and lower its blocks, so that neither happens between two steps.

    A device with fixed shapes takes tensors alone and lowers blocks inside of its program.
    """
    if device.capabilities.static_shapes:
        return device.put

    def transfer(batch: Batch) -> Batch:
        batch = device.put(batch)
        for block in batch.blocks:
            model.lower(block)
        return batch

    return transfer


def repeating_bits(job: Job) -> ContextManager[None]:
    """The device's deterministic context, if the settings ask for it; what it cannot repeat goes into the job."""

    def report(sentence: str) -> None:
        _LOG.warning("Not deterministic: %s", sentence)
        job.nondeterministic.append(sentence)

    return job.device.deterministic(report) if job.config.deterministic else nullcontext()


def _train(job: Job, earlier: Optional[TrainState], run_dir: Optional[Path]) -> RunResult:
    assert job.config.epochs is not None
    start, progress, callbacks = time.perf_counter(), job.progress, job.callbacks
    for callback in callbacks:
        callback.on_start(job.model, job.config.epochs - progress.epoch, len(job.loader))
        if earlier is not None:
            callback.on_resume(earlier)
    for epoch in range(progress.epoch + 1, job.config.epochs + 1):
        record = _run_epoch(job, epoch)
        is_best = progress.update(record, job.model)
        for callback in callbacks:
            callback.on_epoch(record)
            if is_best:
                callback.on_best(job.model, record)
        is_last = progress.is_stuck or epoch == job.config.epochs
        if job.keeper is not None and run_dir is not None and (is_last or job.keeper.is_due()):
            job.keeper.save(run_dir / FOLDER / LAST)
        if is_last:
            break
    job.step.pull()  # Afterwards nothing is left on the device that could come over the best weights.
    if progress.best_weights:
        job.model.load_canonical(progress.best_weights)
    valid, test = (job.task.evaluate_all(scores, y) for scores, y in _split_scores(job, "valid", "test"))
    result = RunResult(
        model=job.model.eval(),
        backend=job.backend.name,
        device=job.device.name,
        dataset=job.graph.name,
        metric=job.task.metric,
        best_epoch=progress.best_epoch,
        history=progress.history,
        valid=valid,
        test=test,
        seconds=time.perf_counter() - start,
        run_dir=run_dir,
        memory=job.device.memory(),
        compile_seconds=job.device.compile_seconds(),
        nondeterministic=job.nondeterministic if job.config.deterministic else None,
    )
    job.model.float()  # After float64: features that users hold are float32.
    return result


def _run_epoch(job: Job, epoch: int) -> EpochRecord:
    start = time.perf_counter() - job.device.compile_seconds()
    losses: List[Tuple[Tensor, int]] = []
    for batch in job.loader.epoch(epoch):
        job.device.seed(step_seed(job.seed, epoch, batch.index))
        result = job.step(batch)
        losses.append((result.loss, result.num_targets))
        for callback in job.callbacks:
            callback.on_batch(batch.index)
    job.device.synchronize()
    seconds = time.perf_counter() - job.device.compile_seconds() - start
    num_targets = sum(count for _, count in losses)
    train_loss = sum(float(loss) * count for loss, count in losses) / max(num_targets, 1)
    evaluated = epoch % job.config.eval_every == 0 or epoch == job.config.epochs
    valid_loss, valid_metric = _evaluate(job) if evaluated else (None, None)
    return EpochRecord(
        epoch, train_loss, seconds, num_targets / seconds, job.progress.schedule.lr, valid_loss, valid_metric
    )


def _evaluate(job: Job) -> Tuple[float, float]:
    """Loss and metric on the validation nodes."""
    ((scores, y),) = _split_scores(job, "valid")
    return float(job.task.validation_loss(scores, y)), job.task.evaluate(scores, y)


def _split_scores(job: Job, *splits: str) -> List[Tuple[Tensor, Tensor]]:
    """Scores and labels of the nodes of each split."""
    if not job.task.needs_training_outputs:
        return _split_outputs(job, *splits)
    training, *others = _split_outputs(job, "train", *splits)
    read = job.task.readout(*training)
    return [(read(outputs), y) for outputs, y in others]


def _split_outputs(job: Job, *splits: str) -> List[Tuple[Tensor, Tensor]]:
    """Outputs and labels of the nodes of each split."""

    def report(done: int, total: int) -> None:
        for callback in job.callbacks:
            callback.on_evaluation(done, total)

    assert job.graph.y is not None
    job.step.pull()
    lists = [job.graph.splits[split] for split in splits]
    return [(out, job.graph.y[nodes]) for out, nodes in zip(job.inference.outputs_of_each(lists, report), lists)]


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """Seed of the dropout of one step: the same wherever a run is resumed."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{batch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _facts(job: Job) -> Dict[str, Any]:
    """What a manifest says about this training."""
    return {
        "backend": {"name": job.backend.name, **job.backend.versions()},
        "device": {"name": job.device.name, **job.device.describe()},
        "data": describe_data(job.graph),
        "learned": learned_from(job.graph, job.task).to_dict(),
        "model": job.model.spec.to_dict(),
        "portable": job.model.spec.is_portable,
        "task": job.task.name,
        "seed": job.seed,
    }
