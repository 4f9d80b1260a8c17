"""What tasks about whole graphs have in common: their data, and how graphs become items."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Dict, Mapping, Optional, Type, TypeVar

from torch import Tensor

from gnnkit.data import (
    SPLITS,
    Graph,
    Items,
    Targets,
    fold_split,
    graph_items,
    make_folds,
    num_folds,
    random_graph_split,
)
from gnnkit.errors import ConfigError, DataError
from gnnkit.tasks.base import Judged, Task

GRAPH_SPLIT_OPTIONS = ("valid_share", "test_share")
"""Options that say how graphs are split, where the data do not."""

Options = TypeVar("Options")


@dataclass(frozen=True)
class GraphOptions:
    """Options that tasks about graphs have in common.

    Attributes:
        valid_share: Share of the graphs that validate, where the data bring no split.
        test_share: Share of the graphs that test, likewise.
        split_seed: Seed of such a split, and of folds. None: the run's.
        folds: Number of folds, of which one tests and the others train and validate: those of the data
            (``Graph.graph_data["fold"]``), else graphs are dealt at random. Nothing: no folds.
        fold: Which of them tests, from 0; ``gnnkit run --folds`` goes through all.
    """

    valid_share: float = 0.1
    test_share: float = 0.1
    split_seed: Optional[int] = None
    folds: Optional[int] = None
    fold: Optional[int] = None

    def __post_init__(self) -> None:
        if (self.folds is None) != (self.fold is None):
            raise ConfigError(
                f"folds is {self.folds} and fold is {self.fold}; expected both or none. 'gnnkit run --folds 10' goes "
                "through all of ten folds."
            )
        shares = self.valid_share, self.test_share
        if min(shares) <= 0 or sum(shares) >= 1:
            raise ConfigError(
                f"valid_share is {shares[0]} and test_share {shares[1]}, expected shares above 0 that leave some "
                "graphs to train on."
            )


class GraphTask(Task):
    """Base of tasks whose items are whole graphs. Loss, units and metrics are those of a task about nodes.

    Args:
        options: The settings.
        judge: The task of the graphs as items of their own.
    """

    level: ClassVar[str] = "graphs"
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {
            "pooling": "sum",
            "norm": "batch",
            "hidden_channels": 64,
            "num_layers": 4,
            "jumping_knowledge": "cat",
            "dropout": 0.5,
            "input_dropout": 0.0,
        },
        "train": {"lr": 0.005, "weight_decay": 0.0, "schedule": "cosine"},
    }
    options_class = GraphOptions

    def __init__(self, options: Any, judge: Task) -> None:
        super().__init__(options)
        self._judge = judge
        self.outputs, self.metrics, self.units = judge.outputs, judge.metrics, judge.units

    @classmethod
    def arrange(cls, graph: Graph, options: Any, seed: int) -> Graph:
        """See :class:`Task`: graphs to train, validate and test on."""
        if graph.graph_splits and options.folds is None:
            return graph
        if graph.graph_ptr is None:
            raise DataError(
                "graph_ptr",
                f"graph {graph.name!r} is one graph, and task {cls.name!r} learns from many.",
                fix="Give a record of graphs, see gnnkit.join_graphs; or take a task about nodes or edges.",
            )
        seed = seed if options.split_seed is None else options.split_seed
        labelled = cls.which_labelled(graph, options)
        if options.folds is None:
            return random_graph_split(graph, options.valid_share, options.test_share, seed=seed, labelled=labelled)
        found = num_folds(graph)
        if found not in (0, options.folds):
            raise ConfigError(f"The data bring {found} folds, and {options.folds} are asked for. Ask for theirs.")
        folded = graph if found else make_folds(graph, options.folds, seed=seed, labelled=labelled)
        return fold_split(folded, options.fold, options.valid_share, seed=seed, labelled=labelled)

    @classmethod
    def which_labelled(cls, graph: Graph, options: Any) -> Optional[Tensor]:
        """Which graphs the task can learn from. Shape [G], bool. None: those with a label in ``graph_y``."""
        return None

    def num_outputs(self, graph: Graph) -> Optional[int]:
        """See :class:`Task`."""
        return self._judge.num_outputs(graph_items(graph))

    def labelled(self, graph: Graph) -> Graph:
        """See :class:`Task`; what is learned of graphs stands in ``graph_y``."""
        items = self._judge.labelled(graph_items(graph))
        return replace(graph, graph_y=items.y, class_names=items.class_names if graph.y is None else graph.class_names)

    def items(self, graph: Graph, split: str) -> Items:
        """The graphs of a split."""
        return Items("graphs", graph.graph_splits[split])

    def judged(self, graph: Graph, split: str) -> Judged:
        """The graphs of a split, and what is true of them."""
        ids = graph.graph_splits[split]
        assert graph.graph_y is not None, "the task has found labels"
        return Judged(ids, Targets.of_labels(graph.graph_y[ids]))

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """As of nodes, over graphs.

        Args:
            outputs: Shape [G, C].
            targets: Of the batch's graphs.
        """
        return self._judge.loss(outputs, targets)

    def weight(self, targets: Targets) -> float:
        """As of nodes."""
        return self._judge.weight(targets)

    def judge(self, scores: Tensor, targets: Targets) -> Dict[str, float]:
        """See :class:`Task`."""
        return self._judge.judge(scores, targets)


def check_graphs_learnable(graph: Graph, task: str) -> Graph:
    """The labelled graphs of a record as items, see :func:`gnnkit.data.graph_items`.

    Args:
        graph: The record, split.
        task: What messages call the task.

    Raises:
        DataError: It has no labels, or a split is missing or has none.
    """
    if graph.graph_y is None:
        held = " It has labels of nodes (y): take a task about nodes." if graph.y is not None else ""
        raise DataError(
            "graph_y",
            f"graph {graph.name!r} says nothing about its graphs, {task} needs a label of each.{held}",
            fix="Build the record with graph_y=.",
        )
    return with_labelled_splits(graph_items(graph), task)


def with_labelled_splits(items: Graph, task: str) -> Graph:
    """Items of which each split has one with a label at least.

    Args:
        items: From :func:`gnnkit.data.graph_items`.
        task: What messages call the task.

    Raises:
        DataError: A split is missing or has none.
    """
    for split in SPLITS:
        ids, field = items.splits.get(split), f"graph_splits[{split!r}]"
        if ids is None or not ids.numel():
            raise DataError(field, "is empty or missing.", fix="Give numbers of graphs for train, valid and test.")
        if items.has_label is not None and not bool(items.has_label[ids].any()):
            raise DataError(
                field,
                f"none of its {ids.numel():,} graphs has a label, {task} needs one at least.",
                fix="Give labels to some of them, or put graphs that have one into this split.",
            )
    return items


def options_of(cls: Type[Options], options: Any) -> Options:
    """Options of another task by those of the same names."""
    return cls(**{item.name: getattr(options, item.name) for item in fields(cls)})  # type: ignore[arg-type]
