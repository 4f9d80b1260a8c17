"""The metrics of a trained run on a split of its data, or of other data.

Rules: the same numbers as at the end of the training, wherever data and settings are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Mapping, Optional

from torch import Tensor

from gnnkit.data import Graph
from gnnkit.engine.inference import Report
from gnnkit.errors import ConfigError
from gnnkit.inference.checks import check_values
from gnnkit.inference.graphs import graph_outputs
from gnnkit.runs.checkpoint import BEST, checkpoint_file, read_head
from gnnkit.runs.learned import EDGES, GRAPHS
from gnnkit.tasks import LossModule, Metrics, make_task
from gnnkit.train.judging import head_outputs
from gnnkit.train.settings import TrainConfig

if TYPE_CHECKING:
    from gnnkit.inference.run import TrainedRun


def judge_split(
    run: TrainedRun, split: str, metrics: Optional[Metrics], config: TrainConfig, report: Report
) -> Dict[str, float]:
    """Metrics of a split; see :meth:`TrainedRun.evaluate`.

    Args:
        run: With the data.
        split: Which one.
        metrics: As for :class:`gnnkit.Trainer`.
        config: How outputs are computed.
        report: Told how many batches are done, and how many there are.
    """
    task = make_task(run.config.task, run.graph, run.config.task_options, metrics=metrics)
    graph = task.labelled(run.graph)
    known = _splits(graph, task.level)
    if split not in known:
        raise ConfigError(f"split is {split!r}, and {graph.name} has {', '.join(known) or 'no splits'}. Give one.")
    judged = task.judged(graph, split)
    ids: Dict[str, Tensor] = {split: judged.nodes}
    if task.needs_training_outputs:
        ids = {"train": graph.splits["train"], **ids}
    found = {name: _outputs(run, wanted, name, config, report) for name, wanted in ids.items()}
    for name, wanted in ids.items():
        check_values(found[name], wanted, "outputs", "graph" if task.level == GRAPHS else "node")
    if task.needs_training_outputs:
        assert graph.y is not None
        scores = task.readout(found["train"], graph.y[ids["train"]])(found[split])
        return task.judge(scores, judged.targets)
    module = LossModule(run.model, task)
    module.load_head(read_head(checkpoint_file(run.path, BEST)))
    scores = head_outputs(module, found[split], judged.targets)
    if task.units is not None and run.learned.units is not None and task.units != run.learned.units:
        # Other data have another mean and deviation, which the model has not learned.
        scores = task.units.to_model(run.learned.units.to_data(scores))
    return task.judge(scores, judged.targets)


def _outputs(run: TrainedRun, ids: Tensor, split: str, config: TrainConfig, report: Report) -> Tensor:
    """The encoder's outputs for items of a split."""
    if run.learned.level == GRAPHS:
        return graph_outputs(run, ids, config, report)
    return run.encoded(ids, config, report, split)


def _splits(graph: Graph, level: str) -> List[str]:
    if level == GRAPHS:
        return list(graph.graph_splits)
    if level == EDGES:
        pairs: Mapping[str, Tensor] = {} if graph.links is None else graph.links.pairs
        return list(pairs)
    return list(graph.splits)
