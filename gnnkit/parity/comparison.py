"""``compare``: whether backends give the same numbers, and where they part if they do not.

Rules: one model, one set of weights, one graph; the first backend is what the others are compared with. What has to be
switched off for the comparison to make sense is switched off for all and said in the notices.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from gnnkit.backends import Backend, as_backend
from gnnkit.data import Batch, Graph, check_graph, fingerprint
from gnnkit.data.check import MOST_CHECKED
from gnnkit.devices import choose_device, devices
from gnnkit.errors import ConfigError, TrainingError
from gnnkit.nn import GNN, ModelSpec, check_rebuildable, freeze_alike
from gnnkit.parity.equivalence import Equivalence, equivalence_test
from gnnkit.parity.layers import Difference, Trace, differences, first_outside, trace
from gnnkit.parity.memory import PeakMemory
from gnnkit.parity.tolerances import Tolerance, tolerance_for
from gnnkit.runs.history import RunResult
from gnnkit.tasks import DEFAULT_TASK, Task, arranged, make_task
from gnnkit.train.config import train_config
from gnnkit.train.loaders import computed_graph, training_loader
from gnnkit.train.settings import TrainConfig
from gnnkit.train.trainer import Trainer


@dataclass(frozen=True)
class BackendReport:
    """What one backend did, beside the first one.

    Attributes:
        backend: Its name.
        device: Where it ran.
        outputs: Differences of the outputs of every layer; empty for the first backend.
        gradients: Differences of the gradients of every parameter; empty for the first backend.
        first_outside: Where it leaves the tolerance; None if it does not.
        losses: Training loss of every epoch.
        loss_difference: Largest relative difference of an epoch's loss; None without training.
        seconds_per_epoch: Median wall time of an epoch's training.
        memory: Peak memory in bytes: "resident" is what the training added to this process; others are the device's.
        metrics: Test metric, one value per seed.
        equivalence: Whether the metrics are equivalent to the first backend's; None with one seed.
        diverged: Why its training ended with a number that is not finite; None if it did not.
    """

    backend: str
    device: str
    outputs: List[Difference] = field(default_factory=list)
    gradients: List[Difference] = field(default_factory=list)
    first_outside: Optional[str] = None
    losses: List[float] = field(default_factory=list)
    loss_difference: Optional[float] = None
    seconds_per_epoch: Optional[float] = None
    memory: Dict[str, int] = field(default_factory=dict)
    metrics: List[float] = field(default_factory=list)
    equivalence: Optional[Equivalence] = None
    diverged: Optional[str] = None


@dataclass(frozen=True)
class Comparison:
    """The result of comparing backends.

    Attributes:
        dataset: Name of the graph.
        fingerprint: Of the graph after preprocessing, which was the same for all.
        conv: The row of the table of tolerances.
        dtype: Its column.
        tolerance: The largest differences that pass.
        metric: What ``metrics`` are.
        notices: What was switched off for all.
        backends: One report per backend, the first one's first.
    """

    dataset: str
    fingerprint: str
    conv: str
    dtype: str
    tolerance: Tolerance
    metric: str
    notices: List[str]
    backends: List[BackendReport]

    @property
    def problems(self) -> List[str]:
        """What left its tolerance, one sentence each; empty if nothing did."""
        first, found = self.backends[0].backend, []
        for report in self.backends[1:]:
            pair = f"{report.backend} against {first}"
            if report.first_outside is not None:
                found.append(f"{pair}: the first to leave the tolerance is {report.first_outside}.")
            if report.diverged is not None:
                found.append(f"{pair}: {report.diverged}")
            if report.loss_difference is not None and not report.loss_difference <= self.tolerance.losses:
                found.append(f"{pair}: losses differ by {report.loss_difference:.1e}, allowed {self.tolerance.losses}.")
            if report.equivalence is not None and not report.equivalence.is_shown:
                found.append(
                    f"{pair}: equivalence of {self.metric} is not shown (p = {report.equivalence.p_value:.3f})."
                )
        return found

    @property
    def is_within(self) -> bool:
        """Whether every backend keeps to its tolerance."""
        return not self.problems

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit compare --json`` prints them."""
        return {**asdict(self), "is_within": self.is_within, "problems": self.problems}


def compare(
    model: GNN,
    graph: Graph,
    backends: Sequence[Union[str, Backend]],
    *,
    device: str = "auto",
    device_options: Optional[Mapping[str, Any]] = None,
    epochs: int = 20,
    seeds: int = 1,
    margin: float = 0.02,
    seed: int = 0,
    task: Union[str, Type[Task]] = DEFAULT_TASK,
    task_options: Optional[Mapping[str, Any]] = None,
    **settings: Any,
) -> Comparison:
    """Compare backends on one model and one graph.

    The first training batch goes through the model on every backend; outputs are compared layer by layer, gradients
    parameter by parameter. Then each backend trains.

    Args:
        model: Its weights are put into every backend; it is left as it is.
        graph: With features, labels and splits.
        backends: Two or more, by name or loaded. The first is what the others are compared with.
        device: Where to compute; "auto" takes the best that is ready for each backend.
        device_options: Settings of the device.
        epochs: How long to train; 0 leaves training out.
        seeds: With 2 or more, trains so often and tests the equivalence of the test metric.
        margin: Largest mean difference of the metric that does not matter.
        seed: Seed of order, samples and dropout; with several seeds, the first.
        task: What is learned, as for :class:`gnnkit.Trainer`. Its head's outputs and gradients are compared, too.
        task_options: Settings of the task itself.
        settings: Fields of :class:`gnnkit.train.TrainConfig`.

    Returns:
        All differences, curves and figures.

    Raises:
        ConfigError: Fewer than two backends, or seeds without training.
        GnnkitError: As :meth:`gnnkit.Trainer.fit`.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> model = gnnkit.build_model("gcn", graph, hidden_channels=8)
        >>> compare(model, graph, ["reference", "reference"], device="cpu", epochs=2).is_within
        True
    """
    if len(backends) < 2:
        raise ConfigError(
            f"{len(backends)} backend given; a comparison needs at least two, such as --backends reference,pyg."
        )
    if seeds < 1 or epochs < 0 or (seeds > 1 and epochs == 0):
        raise ConfigError(f"{seeds} seeds and {epochs} epochs; expected at least 1 seed, and epochs for several seeds.")
    graph = arranged(task, graph, task_options or {}, seed)
    check_graph(graph, most_values=MOST_CHECKED)
    check_rebuildable(model, "compared")
    loaded = [as_backend(choice) for choice in backends]
    given = dict(task_options or {})
    still = {**given, "head_dropout": 0.0} if given.get("head_dropout") else given
    made = make_task(task, graph, still)
    config = train_config(model.spec.conv, settings, task).resolved(model.num_layers, level=made.level)
    conv, tolerance = tolerance_for(model.spec, config.precision)
    options = dict(device_options or {})
    names, is_static = _devices(device, options, loaded)
    work = _Work(graph, list(zip(loaded, names)), options, config, seed, made, still if is_static else given)
    reports = [BackendReport(backend.name, name) for backend, name in work.places]
    reports = _with_differences(reports, work.traces(model), tolerance)
    spec, train_settings, notices = _comparable(model.spec, settings, is_static, made.level)
    if work.task_options != given:
        notices.append("head_dropout is off: its masks have the shape of the batch, too")
    if epochs:
        # What the first training in a process loads and builds once would be booked on the first backend alone.
        work.train(work.places[0], spec, model, 0, {**train_settings, "epochs": 1})
        results = [
            work.train(place, spec, model, number, {**train_settings, "epochs": epochs, "eval_every": epochs})
            for number in range(seeds)
            for place in work.places
        ]
        reports = _with_training(reports, results, margin)
    return Comparison(
        dataset=graph.name,
        fingerprint=fingerprint(work.prepared(model)),
        conv=conv,
        dtype=config.precision,
        tolerance=tolerance,
        metric=made.metric,
        notices=notices,
        backends=reports,
    )


_Training = Tuple[Union[RunResult, str], PeakMemory]
"""A training's result, or why it diverged, and its memory."""


@dataclass(frozen=True)
class _Work:
    """What stays the same for all backends of a comparison."""

    graph: Graph
    places: List[Tuple[Backend, str]]
    device_options: Dict[str, Any]
    config: TrainConfig
    seed: int
    task: Task
    task_options: Dict[str, Any]

    def options_of(self, device: str) -> Dict[str, Any]:
        """Settings of a device; beside devices of another kind, those that it is best compared with."""
        is_mixed = len({name for _, name in self.places}) > 1
        return {**devices.load(device).comparable_options, **self.device_options} if is_mixed else self.device_options

    def prepared(self, model: GNN) -> Graph:
        """The graph as the model's convolution asks for it."""
        return model.spec.prepare(self.graph)

    def first_batch(self, model: GNN) -> Batch:
        """The batch that training would begin with, in host memory."""
        # Fused into loading, the first layer's sum over neighbours would be nobody's, and no fault in it could be seen.
        config = replace(self.config, fuse_first_layer="never")
        labelled = self.task.labelled(self.graph)
        graph = computed_graph(labelled, model.spec.prepare(labelled), model.spec, config.precision)
        loader = training_loader(graph, model.spec, self.task, config, self.seed)
        return next(iter(loader.epoch(1)))

    def traces(self, model: GNN) -> List[Trace]:
        """The first batch on every backend."""
        batch, found = self.first_batch(model), []
        for backend, name in self.places:
            device = choose_device(name, backend, self.options_of(name))
            try:
                found.append(trace(model, backend, device, batch, self.task, self.config.precision))
            finally:
                device.close()
        return found

    def train(
        self, place: Tuple[Backend, str], spec: ModelSpec, model: GNN, number: int, settings: Mapping[str, Any]
    ) -> _Training:
        """Train with the model's weights; for seeds after the first with weights of their own.

        That a training diverges ends the comparison on the first backend only: on others it is a finding.
        """
        backend, device = place
        start = GNN(spec, backend, model.seed + number)
        if number == 0:
            start.load_canonical(model.canonical_state())
        freeze_alike(model, start)
        trainer = Trainer(
            backend,
            device,
            device_options=self.options_of(device),
            seed=self.seed + number,
            task=type(self.task),
            task_options=self.task_options,
            progress=False,
            **settings,
        )
        with PeakMemory() as memory:
            try:
                return trainer.fit(start, self.graph), memory
            except TrainingError as error:
                if place == self.places[0]:
                    raise
                return str(error), memory


def _devices(name: str, options: Mapping[str, Any], backends: Sequence[Backend]) -> Tuple[List[str], bool]:
    """Names of the backends' devices, and whether one of them has fixed shapes."""
    chosen = [choose_device(name, backend, options) for backend in backends]
    for device in chosen:
        device.close()
    return [device.name for device in chosen], any(device.capabilities.static_shapes for device in chosen)


def _with_differences(
    reports: List[BackendReport], traces: Sequence[Trace], tolerance: Tolerance
) -> List[BackendReport]:
    compared = [reports[0]]
    for report, other in zip(reports[1:], traces[1:]):
        outputs, gradients = differences(traces[0], other, tolerance)
        where = first_outside(outputs, gradients)
        compared.append(replace(report, outputs=outputs, gradients=gradients, first_outside=where))
    return compared


def _comparable(
    spec: ModelSpec, settings: Mapping[str, Any], is_static: bool, level: str
) -> Tuple[ModelSpec, Dict[str, Any], List[str]]:
    """The training with everything off in which backends may differ by contract, and what that was."""
    notices, train_settings = [], dict(settings)
    inside = [name for name in spec.dropouts if spec.conv_options[name]]
    if inside:
        spec = replace(spec, conv_options={**spec.conv_options, **dict.fromkeys(inside, 0.0)})
        notices.append(f"{', '.join(inside)} is off: libraries draw its random numbers in their own way")
    if is_static:
        if spec.dropout or spec.input_dropout:
            spec = replace(spec, dropout=0.0, input_dropout=0.0)
            notices.append(
                "dropout is off: its masks have the shape of the batch, which a device with fixed shapes pads"
            )
        if train_settings.get("overflow_rate", 0.0) != 0.0:
            train_settings["overflow_rate"] = 0.0
            notices.append("overflow_rate is 0: a batch that is split is two updates instead of one")
        if level == "graphs" and train_settings.get("packing", "auto") == "auto":
            train_settings["packing"] = "always"
            notices.append("packing is always: a device with fixed shapes takes graphs by bins, others at random")
    return spec, train_settings, notices


def _with_training(reports: List[BackendReport], results: Sequence[_Training], margin: float) -> List[BackendReport]:
    count = len(reports)
    trained: List[BackendReport] = []
    for i, report in enumerate(reports):
        own = [(result, memory) for result, memory in results[i::count] if isinstance(result, RunResult)]
        diverged = [result for result, _ in results[i::count] if isinstance(result, str)]
        if diverged:
            trained.append(replace(report, diverged=diverged[0]))
            continue
        result, memory = own[0]
        losses = [record.train_loss for record in result.history]
        metrics = [seeded.test[seeded.metric] for seeded, _ in own]
        first = trained[0] if trained else None
        trained.append(
            replace(
                report,
                losses=losses,
                loss_difference=None if first is None else _loss_difference(first.losses, losses),
                seconds_per_epoch=median(record.seconds for record in result.history),
                memory=_memory(result, memory),
                metrics=metrics,
                equivalence=equivalence_test(first.metrics if first else metrics, metrics, margin)
                if len(own) > 1
                else None,
            )
        )
    return trained


def _loss_difference(first: Sequence[float], other: Sequence[float]) -> float:
    if len(first) != len(other):
        return float("inf")  # One of them has stopped early.
    return max(abs(b - a) / max(abs(a), 1e-30) for a, b in zip(first, other))


def _memory(result: RunResult, memory: PeakMemory) -> Dict[str, int]:
    # The process's own peak does not fall again, so it would say the same for all that follow the largest.
    found = {name: value for name, value in result.memory.items() if name != "peak_resident"}
    return found if memory.growth is None else {"resident": memory.growth, **found}
