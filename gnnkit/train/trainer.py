"""The Trainer: one training loop for every backend and every device.

Rules: nothing here knows the name of a backend or a device; trainings of one process take turns, because they share
torch's global generator.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

import torch
from torch import Tensor, nn

from gnnkit.backends import Backend, backends
from gnnkit.classes import class_path
from gnnkit.data import Graph, summarize
from gnnkit.devices import Device, device_name, devices
from gnnkit.errors import ConfigError
from gnnkit.nn import restored_generator
from gnnkit.nn.dropout import masks_on_host
from gnnkit.options import plain_value, settings_by_name, whole_number
from gnnkit.parallel import World, join_world
from gnnkit.paths import user_path
from gnnkit.runs.callback import Callback, checked_callbacks
from gnnkit.runs.history import RunResult
from gnnkit.runs.log import LOG, RunLog, earlier_warnings
from gnnkit.runs.run_folder import RunFolder, environment, is_unfinished
from gnnkit.runs.state import TrainState, read_state
from gnnkit.stages import stage
from gnnkit.tasks import DEFAULT_TASK, Loss, Metrics, Task, arranged, task_class, tasks
from gnnkit.tasks import task_options as check_options
from gnnkit.tasks.registry import check_custom
from gnnkit.train.config import train_config
from gnnkit.train.facts import MASKS, describe_job
from gnnkit.train.job import Job, prepare_job
from gnnkit.train.keeper import StateKeeper, check_resumable
from gnnkit.train.loop import repeating_bits, train
from gnnkit.train.model_config import model_settings
from gnnkit.train.optimizers import MakeOptimizer, short_name
from gnnkit.train.processes import is_earlier_attempt, last_state
from gnnkit.train.progress_bar import ProgressBar
from gnnkit.train.result_folder import BEYOND, folder_writer
from gnnkit.train.schedules import MakeSchedule

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from gnnkit.train.typed_settings import TrainSettings

TRAINING = threading.RLock()
"""Held by the training that goes on."""


class Trainer:
    """Trains a model on a graph, on the backend and the device of your choice.

    Args:
        backend: Name of a backend, or one that is loaded. None keeps the model's.
        device: Name of a device, one that is loaded, or torch's; "auto" takes the best that is ready.
        backend_options: Settings of the backend itself, for one given by name.
        device_options: Settings of the device itself, for one given by name.
        task: What to learn: the name of a task, or a class derived from :class:`gnnkit.tasks.Task`.
        task_options: Settings of the task itself.
        loss: Instead of the task's: from outputs and :class:`gnnkit.data.Targets` of a batch to a scalar, the mean over
            those that are known. Beside sampled batches and fixed shapes it must leave padding out (``targets.mask``,
            labels of -100).
        metrics: Instead of the task's: by name, from scores and labels to a number. The first one picks the best model;
            more is better, unless it is a :class:`gnnkit.tasks.Metric` that says otherwise.
        seed: Seed of order, samples and dropout. The model has its own for the initial weights.
        run_dir: Folder for configuration, manifest, metrics, checkpoints and plots. None writes nothing.
        callbacks: Listeners.
        progress: What to show on the standard error stream. True: a bar on a terminal and in a notebook, elsewhere a
            line for each epoch. None: the bar alone. False: nothing.
        facts: Anything else that the run folder's configuration should record.
        optimizer: Name of an optimiser, ``module:Class``, or a class derived from :class:`torch.optim.Optimizer`, which
            get the learning rate and other settings; or a function from the parameters to an optimiser, which decides
            these itself. None: Adam, or what the settings say.
        schedule: Name of a schedule, ``module:Class``, or a class of torch's schedulers, which get their options; or a
            function from the optimiser to such a scheduler. It makes a step after each epoch.
        world: The processes that train together. None: those that torchrun started, or of the process group that is
            there (:func:`gnnkit.parallel.join_world`); a process that is alone trains alone. The first process alone
            calls listeners and writes.
        settings: Fields of :class:`gnnkit.train.TrainConfig`; what is not given comes from the model's preset.

    Raises:
        UnknownNameError: A setting that does not exist.
        ConfigError: A value that cannot be used, or a setting that has no effect beside the others.

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
        device: Union[str, torch.device, Device] = "auto",
        *,
        backend_options: Optional[Mapping[str, Any]] = None,
        device_options: Optional[Mapping[str, Any]] = None,
        task: Union[str, Type[Task]] = DEFAULT_TASK,
        task_options: Optional[Mapping[str, Any]] = None,
        loss: Optional[Loss] = None,
        metrics: Optional[Metrics] = None,
        seed: int = 0,
        run_dir: Union[str, Path, None] = None,
        callbacks: Sequence[Callback] = (),
        progress: Optional[bool] = None,
        facts: Optional[Dict[str, Any]] = None,
        optimizer: Union[str, MakeOptimizer, None] = None,
        schedule: Union[str, MakeSchedule, None] = None,
        world: Optional[World] = None,
        **settings: Unpack[TrainSettings],
    ) -> None:
        given: Dict[str, Any] = dict(settings)
        self.world = world
        self.make_optimizer: Optional[MakeOptimizer] = None
        self.make_schedule: Optional[MakeSchedule] = None
        if optimizer is not None:
            self.make_optimizer = _maker("optimizer", optimizer, given, ("lr", "weight_decay", "optimizer_options"))
            given["optimizer"] = _name(optimizer)
        if schedule is not None:
            self.make_schedule = _maker("schedule", schedule, given, ("schedule_options",))
            given["schedule"] = _name(schedule)
        # A misspelt setting is an error here, not at the end of a long preparation.
        train_config("", given, task)
        self.task_options = {
            name: plain_value(value) for name, value in settings_by_name("task_options", task_options).items()
        }
        check_options(task_class(task), self.task_options)
        check_custom(loss, metrics)
        self.task = task
        self.loss, self.metrics = loss, metrics
        self.head_weights: Dict[str, Tensor] = {}
        self.backend = backend
        self.device: Union[str, Device] = device if isinstance(device, Device) else device_name(device)
        self.backend_options = settings_by_name("backend_options", backend_options)
        self.device_options = settings_by_name("device_options", device_options)
        self.seed = whole_number("seed", seed)
        self.run_dir = None if run_dir is None else user_path(run_dir, "run_dir")
        self.callbacks = checked_callbacks(callbacks)
        self.progress = progress
        self.facts = facts or {}
        self.settings = given

    def fit(self, model: nn.Module, graph: Graph, *, resume: Union[str, Path, None] = None) -> RunResult:
        """Train, keep the best weights by validation metric, and test them.

        Trainings in several threads take turns: the second one waits until the first has ended. A callback may start
        another training in its own thread, but must not wait for one in another thread. Random numbers that other
        threads draw from torch's global generator meanwhile are not theirs alone.

        Args:
            model: Its weights are where training starts; the model itself is left as it is. A copy is trained, frozen
                where this one is (``requires_grad``). Besides models of :func:`gnnkit.build_model` any module can be
                trained whose ``forward(blocks, x)`` gives a row for each destination of the last block, and whose
                attribute ``num_layers`` says how many blocks it takes; it is not portable, and the trained one is
                ``result.model.module``. A class derived from :class:`gnnkit.GNN`, or a model with custom modules or
                hooks, can be trained on its own backend and without a run folder.
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
            TrainingError: A loss, a weight or an output became NaN or infinite.
            PeerError: Another process of the training was lost.
        """
        world = join_world() if self.world is None else self.world
        with TRAINING:
            with earlier_warnings() as told:
                again, state = world.from_first(partial(self._start, resume, world), "the last state")
                job = prepare_job(self, model, graph, world, state)
            try:
                return self._fit(job, graph, state, resume, again, told)
            finally:
                job.device.close()

    def _start(self, resume: Union[str, Path, None], world: World) -> Tuple[bool, Optional[TrainState]]:
        """Whether this is another attempt in a run folder that is there, and the state that training goes on from."""
        if self.run_dir is not None and is_earlier_attempt(self.run_dir, world):
            resume = last_state(self.run_dir) or resume
            return True, None if resume is None else read_state(resume)
        return False, None if resume is None else read_state(resume)

    def _fit(
        self,
        job: Job,
        graph: Graph,
        earlier: Optional[TrainState],
        resume: Union[str, Path, None],
        again: bool,
        told: List[str],
    ) -> RunResult:
        if job.beyond_spec is not None and (self.run_dir is not None or earlier is not None):
            raise ConfigError(BEYOND.format(reason=job.beyond_spec))
        callbacks = [*self.callbacks, ProgressBar(self.progress)] if job.world.is_first else []
        if self.run_dir is not None or earlier is not None:
            with stage("describing the data"):
                job.facts = job.world.from_first(
                    lambda: {**describe_job(job, graph), "data_summary": summarize(graph)}, "the data to be described"
                )
            every = job.config.save_every
            job.keeper = StateKeeper(job.module, job.step, job.progress, job.facts, every=every)
        if earlier is not None and job.keeper is not None:
            may_be_done = again or (resume is not None and is_unfinished(resume))
            check_resumable(earlier, job.model.spec, job.facts, job.config, may_be_done=may_be_done)
            job.keeper.put(earlier)
            origin = earlier.facts.get("resumed_from") if again or resume is None else earlier.origin(resume)
            job.facts.update({} if origin is None else {"resumed_from": origin})
            if MASKS not in earlier.facts:
                del job.facts[MASKS]
        if self.run_dir is not None and job.world.is_first:
            judged = job.graph.links if job.task.level == "edges" else None
            weights = job.module.canonical_state
            folder = RunFolder(self.run_dir, self._config(job), job.facts, weights, judged, again)
            callbacks[:0] = [folder, RunLog(self.run_dir / LOG, {**environment(), **job.facts}, told)]
        job.callbacks = callbacks
        try:
            masks = masks_on_host(False) if earlier is not None and MASKS not in earlier.facts else nullcontext()
            with restored_generator(), repeating_bits(job), job.device.training(job.config.precision), masks:
                result = train(job, earlier, self.run_dir)
            arrange = partial(arranged, self.task, options=self.task_options, seed=self.seed)
            write = folder_writer(job, graph, lambda given: arrange(graph=given), self._config(job))
            result = replace(result, graph=graph, metrics=self.metrics, write=write)
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
            "task": tasks.name_of(type(job.task)),
            "task_options": self.task_options,
            "backend": backends.name_of(type(job.backend)),
            "device": devices.name_of(type(job.device)),
            "backend_options": self.backend_options,
            "device_options": {**self.device_options, **job.settled},
            "seed": self.seed,
        }


def _maker(setting: str, given: Any, settings: Mapping[str, Any], decided: Sequence[str]) -> Any:
    """What makes an optimiser or a schedule; None where the name says that.

    Args:
        setting: What it is.
        given: A name, a class or a function.
        settings: All that were given.
        decided: Those that a function decides itself.
    """
    if isinstance(given, str):
        return None
    if not callable(given):
        raise ConfigError(
            f"{setting} is a {type(given).__qualname__}, expected a name, a class, or a function that makes one: a "
            "copy of the model is trained, whose parameters are not there yet."
        )
    idle = [] if isinstance(given, type) else [name for name in decided if name in settings]
    if idle:
        raise ConfigError(
            f"{', '.join(idle)} would have no effect beside a function as {setting}, which decides that itself. Leave "
            "it out, or give the class."
        )
    return given


def _name(given: Any) -> str:
    """What the configuration calls an optimiser or a schedule."""
    return given if isinstance(given, str) else short_name(class_path(given))
