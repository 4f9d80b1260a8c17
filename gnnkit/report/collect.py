"""What a report knows about a run: from its folder, from its data, and computed from its checkpoint.

Rules: a folder that is none of a run is an error. Anything else that cannot be had is left out, and ``missing`` says
why in a sentence that the page shows: a report of what there is helps more than none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np
import torch

from gnnkit.backends import load_backend
from gnnkit.data import IGNORED_LABEL, Graph, Links, graph_items
from gnnkit.data.statistics import DataStatistics, describe_graph
from gnnkit.devices import choose_device
from gnnkit.errors import ConfigError, GnnkitError
from gnnkit.inference import TrainedRun, open_run
from gnnkit.inference.opening import arranged_as
from gnnkit.measure import Measurement, measure
from gnnkit.nn import GNN, ModelSpec
from gnnkit.report.graph_scores import GraphScores
from gnnkit.report.groups import group_runs
from gnnkit.report.link_scores import LinkScores
from gnnkit.report.maps import METHODS, project, sample_nodes
from gnnkit.report.scores import ClassScores, NumberScores
from gnnkit.report.scoring import score_run
from gnnkit.report.triples import TripleScores
from gnnkit.report.typed import TypeCounts, count_types
from gnnkit.report.words import metric_name
from gnnkit.runs import EpochRecord, Learned, RunRecord, read_run, recorded_config
from gnnkit.runs.learned import EDGES, GRAPHS, NODES, learned_by_run, match_graph
from gnnkit.tasks import DEFAULT_TASK, METRICS
from gnnkit.tasks.base import EMBEDDINGS
from gnnkit.train import load_config
from gnnkit.train.assembling import load_data, make_trainer

_OF_DATA = ("dataset", "seed", "task", "task_options")
"""Entries of a configuration that say what a run's data are."""

_PARTS = 4
"""Parts of the work on a run: data, predictions, maps, stages."""


def quiet(what: str, share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report is made with.

    Attributes:
        backend: Graph library that computes outputs. None: the run's.
        device: Where it does; "auto" takes the best that is ready.
        graph: The data of all runs. None: those that their configurations name.
        data_dir: Where the files of data sets are looked for first.
        map: How embeddings are put into the plane: "umap", "tsne", "pca", or "auto".
        map_nodes: Most nodes of a map.
        batches: Training batches that are measured, on the run's own backend and device; 0 measures none.
    """

    backend: Optional[str] = None
    device: str = "auto"
    graph: Optional[Graph] = None
    data_dir: Union[str, Path, None] = None
    map: str = "auto"
    map_nodes: int = 1500
    batches: int = 5


@dataclass(frozen=True)
class EmbeddingMap:
    """The embeddings of one layer in the plane.

    Attributes:
        layer: Counted from 1, or "pooled" for graphs, what the head reads.
        width: Of the embeddings.
        method: "UMAP", "t-SNE" or "PCA".
        points: Shape [M, 2].
        classes: Class of each node, the lowest of several, -1 for none. Shape [M], int64.
    """

    layer: Union[int, str]
    width: int
    method: str
    points: np.ndarray
    classes: np.ndarray


@dataclass
class RunFacts:
    """Everything that a page says about a run.

    Attributes:
        path: The run folder.
        label: What the page calls it.
        record: Manifest and history.
        config: The merged configuration.
        warnings: What a reader must know before anything else.
        group: Number of its group of runs with equal data, task and metric, which can be compared.
        missing: Why a part is not there, by part: "data", "predictions", "maps", "stages".
        data: Statistics of the graph.
        types: Counts by type and relation; None where the graph has no types.
        num_parameters: Numbers that were learnt; None without a checkpoint.
        class_names: One for each class that the model has learned; numbers where they have no names.
        scores: Of the predictions by the best checkpoint.
        number_scores: Likewise, where these are numbers.
        link_scores: Likewise, where these say which pairs are edges.
        links: The pairs of the data; None where the run is about nodes.
        graph_scores: Of a run about graphs, errors of single ones.
        graph: Likewise, the data.
        items: Likewise, statistics of the graphs as if they were nodes.
        maps: By layer.
        measurement: Stages of a training batch.
        measured: When that was.
    """

    path: Path
    label: str
    record: RunRecord
    config: Dict[str, Any]
    warnings: List[str] = field(default_factory=list)
    group: int = 1
    missing: Dict[str, str] = field(default_factory=dict)
    data: Optional[DataStatistics] = None
    types: Optional[TypeCounts] = None
    num_parameters: Optional[int] = None
    class_names: List[str] = field(default_factory=list)
    scores: Optional[ClassScores] = None
    number_scores: Optional[NumberScores] = None
    link_scores: Optional[LinkScores] = None
    triple_scores: Optional[TripleScores] = None
    links: Optional[Links] = None
    graph_scores: Optional[GraphScores] = None
    graph: Optional[Graph] = None
    items: Optional[DataStatistics] = None
    maps: List[EmbeddingMap] = field(default_factory=list)
    measurement: Optional[Measurement] = None
    measured: Optional[datetime] = None

    @property
    def result(self) -> Dict[str, Any]:
        """The result that the run recorded; empty if it did not come to its end."""
        return dict(self.record.manifest.get("result") or {})

    @property
    def level(self) -> str:
        """What the run learned about: "nodes", "edges" for pairs of nodes, or "graphs"."""
        learned = Learned.among(self.record.manifest)
        return NODES if learned is None else learned.level

    @property
    def is_about_pairs(self) -> bool:
        """Whether the run learned about pairs of nodes."""
        return self.level == EDGES

    @property
    def is_about_graphs(self) -> bool:
        """Whether the run learned about whole graphs."""
        return self.level == GRAPHS

    @property
    def what(self) -> str:
        """What the run learned about, as the page calls it."""
        return "pairs" if self.is_about_pairs else self.level

    @property
    def metric(self) -> str:
        """The metric that picked the best model."""
        told = self.record.manifest.get("metric") or {}
        named = [told.get("name", ""), *(key[len("valid_") :] for key in self.result if key.startswith("valid_"))]
        return metric_name(next(filter(None, named), "metric"))

    @property
    def task(self) -> str:
        """The task, as people write it: "node classification"."""
        return str(self.record.manifest.get("task") or DEFAULT_TASK).replace("_", " ")

    @property
    def has_probe(self) -> bool:
        """Whether outputs are embeddings, which a probe judges: its loss is another one than the model's."""
        learned = Learned.among(self.record.manifest)
        return learned is not None and learned.outputs == EMBEDDINGS

    @property
    def best(self) -> Optional[EpochRecord]:
        """The epoch with the best validation metric; None if no epoch was evaluated."""
        evaluated = [record for record in self.record.history if record.valid_metric is not None]
        named = [record for record in evaluated if record.epoch == self.result.get("best_epoch")]
        if named or not evaluated:
            return named[0] if named else None
        sign = 1 if self.is_better_high(self.metric) else -1
        return max(evaluated, key=lambda record: (sign * (record.valid_metric or 0.0), -(record.valid_loss or 0.0)))

    def is_better_high(self, metric: str) -> bool:
        """Whether more of a metric is better, as it is called on the page; what the run does not say is taken to be."""
        told = self.record.manifest.get("metric") or {}
        if metric_name(told.get("name", "")) == metric:
            return bool(told["higher_is_better"])
        known = {metric_name(name): each.higher_is_better for name, each in METRICS.items()}
        return known.get(metric, True)

    def attempt(self, part: str, work: Callable[[], None]) -> None:
        """Do something that may be impossible, and keep the reason if it is."""
        try:
            work()
        except GnnkitError as error:
            self.missing[part] = str(error)


def collect(
    runs: Sequence[Union[str, Path]], options: ReportOptions, progress: Callable[[str, float], None] = quiet
) -> List[RunFacts]:
    """Gather what there is to say about runs.

    Args:
        runs: Run folders.
        options: What to compute, and with what.
        progress: Told what is being done, and which share of everything is done.

    Raises:
        ConfigError: One of them is no run folder, has no finished epoch, or is given twice.
    """
    paths = [Path(run) for run in runs]
    resolved = [path.resolve() for path in paths]
    for path, whole in zip(paths, resolved):
        if resolved.count(whole) > 1:
            raise ConfigError(f"The run {path} is given twice. Give each run once.")
    # Every folder is looked at before anything is computed.
    records = [read_run(path) for path in paths]
    configs = [recorded_config(path) for path in paths]
    facts: List[RunFacts] = []
    graphs: List[Optional[Graph]] = []
    for path, label, record, config in zip(paths, run_labels(resolved), records, configs):
        run, done = RunFacts(path, label, record, config), len(facts)

        def begin(part: int, what: str, label: str = label, done: int = done) -> None:
            progress(f"{label}: {what}", (done + part / _PARTS) / len(paths))

        graphs.append(_fill(run, options, begin))
        facts.append(run)
    group_runs(facts, graphs)
    return facts


def run_labels(paths: Sequence[Path]) -> List[str]:
    """Names that tell runs apart: of their folders, with the folders above where those are equal."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            break
    return labels


def _fill(run: RunFacts, options: ReportOptions, begin: Callable[[int, str], None]) -> Optional[Graph]:
    """Everything about one run; its graph is handed back for comparisons. ``begin`` is told of each part."""
    begin(0, "data")
    if not run.record.is_complete:
        run.warnings.append(_how_it_ended(run))
    losses = [(record.epoch, record.train_loss) for record in run.record.history]
    broken = [epoch for epoch, loss in losses if loss is None or not math.isfinite(loss)]
    if broken:
        run.warnings.append(f"The training of {run.label} diverged: its loss is not finite in epoch {broken[0]}.")
    graph: Optional[Graph] = None
    try:
        graph = _load(run.config, options)
    except GnnkitError as error:
        for part in ("data", "predictions", "maps", "stages"):
            run.missing[part] = f"The data could not be loaded. {error}"
        return None
    run.data, run.types = describe_graph(graph), count_types(graph)
    run.links = graph.links if run.is_about_pairs else None
    if run.is_about_graphs:
        run.graph, run.items = graph, describe_graph(graph_items(graph))
    run.attempt("predictions", lambda: _apply_checkpoint(run, graph, options, begin))
    if options.batches:
        begin(3, "stages of a batch")
        run.attempt("stages", lambda: _measure(run, graph, options.batches))
    return graph


def _load(config: Dict[str, Any], options: ReportOptions) -> Graph:
    """The data, with the pairs that the run's task learns and judges."""
    named = load_config(base={name: config[name] for name in _OF_DATA if name in config})
    if options.graph is not None:
        return arranged_as(named, options.graph)
    if "dataset" not in config:
        raise ConfigError("The run does not say which data set it was trained on: its graph was made in a program.")
    return load_data(named, options.data_dir)


def _how_it_ended(run: RunFacts) -> str:
    manifest, epochs = run.record.manifest, len(run.record.history)
    status = manifest.get("status")
    reached = f"after {epochs} epoch{'s' if epochs != 1 else ''}"
    if status == "running":
        return f"The run {run.label} has not ended, or was killed: what is shown is what it had {reached}."
    return f"The run {run.label} did not come to its end ({status}, {manifest.get('error')}): it stopped {reached}."


def _apply_checkpoint(run: RunFacts, graph: Graph, options: ReportOptions, begin: Callable[[int, str], None]) -> None:
    """Scores and maps, from the weights of the best epoch."""
    begin(1, "predictions")
    trained = open_run(run.path, backend=options.backend, device=options.device, graph=graph)
    if trained.differences:
        run.warnings.append(
            f"The data are not those that {run.label} was trained on; what differs: {', '.join(trained.differences)}. "
            "Scores and maps are of the data at hand."
        )
    run.warnings += [f"Data and model of {run.label} do not fit in all: {note}." for note in trained.notes]
    names, num_outputs = trained.class_names, trained.learned.num_scores or trained.model.spec.out_channels
    run.class_names = list(names) or [str(number) for number in range(num_outputs)]
    modules = [trained.model, *([trained.pair_head] if run.is_about_pairs else [])]
    run.num_parameters = sum(parameter.numel() for module in modules for parameter in module.parameters())
    try:
        run.attempt("predictions", lambda: score_run(run, trained))
        begin(2, "maps")
        run.attempt("maps", lambda: _map(run, trained, graph, options))
    finally:
        trained.close()


def _map(run: RunFacts, trained: TrainedRun, graph: Graph, options: ReportOptions) -> None:
    items = graph_items(graph) if run.is_about_graphs else graph
    nodes = sample_nodes(items, options.map_nodes)
    classes = _classes_of(items, nodes)
    found = trained.embed(graphs=nodes) if run.is_about_graphs else trained.embed(nodes)
    for layer, vectors in found.items():
        points, method = project(vectors, options.map)
        run.maps.append(EmbeddingMap(layer, int(vectors.shape[1]), METHODS[method], points, classes))


def _classes_of(graph: Graph, nodes: torch.Tensor) -> np.ndarray:
    if graph.y is None or graph.has_numbers:
        return np.full(nodes.numel(), -1)
    y = graph.y[nodes]
    if y.ndim == 2:
        is_member = y > 0.5
        y = torch.where(is_member.any(dim=1), is_member.int().argmax(dim=1), IGNORED_LABEL)
    return torch.where(y == IGNORED_LABEL, -1, y).numpy()


def _measure(run: RunFacts, graph: Graph, num_batches: int) -> None:
    """Stages of a batch as the run had it: its own backend, device and settings."""
    if run.record.manifest.get("custom_model"):
        raise ConfigError("The run trained a custom module, which its folder does not hold.")
    config = load_config(base=run.config)
    backend = load_backend(config.backend, config.backend_options)
    device = choose_device(config.device, backend, config.device_options)
    trainer = make_trainer(config, backend, device, run_dir=None)
    model = GNN(ModelSpec.from_dict(run.record.manifest["model"]), backend, config.seed)
    graph, _ = match_graph(graph, learned_by_run(run.record.manifest, graph), model.spec.out_channels)
    run.measurement = measure(trainer, model, graph, num_batches=num_batches)
    run.measured = datetime.now().astimezone()
