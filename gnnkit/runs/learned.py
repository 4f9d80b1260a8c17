"""What a model has learned: the meaning of its outputs, and which features it reads in which order.

Rules: a run and its files of weights keep it. Data at hand are matched to it by name; what a model means is never taken
from them. Where one side has no names, places are all there is to go by, and that is said.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Graph, graph_items, part_fingerprints
from gnnkit.errors import ConfigError
from gnnkit.tasks import DEFAULT_TASK, PairTask, Task, Units, task_class
from gnnkit.tasks.base import CLASSES, EMBEDDINGS, LABELS

_LOG = logging.getLogger(__name__)
_MOST_NAMES = 10
NODES, EDGES, GRAPHS = "nodes", "edges", "graphs"
"""What outputs can be of."""


@dataclass(frozen=True)
class Learned:
    """What a model's outputs mean, and what its features are called.

    Attributes:
        outputs: "classes" (one a node, pair or graph), "labels" (several), "numbers", "scores" (of pairs being edges),
            or "embeddings". None: nobody knows, as for some runs of gnnkit 0.1.0.
        class_names: Names of the classes, labels or numbers, in the order of the outputs. Empty if they have none.
        feature_names: Names of the features, in the order in which the model reads them. Empty if they have none.
        units: How outputs that are numbers are brought into the data's units. None for other outputs.
        level: What has outputs: "nodes", "edges" for pairs of nodes, or "graphs".
        num_scores: How many outputs a pair has. None for nodes and graphs: as many as the model gives.
        edge_categories: How many categories each column of the edge features has, which the model reads as 0/1 columns.
            Empty if they are numbers.
    """

    outputs: Optional[str]
    class_names: Tuple[str, ...] = ()
    feature_names: Tuple[str, ...] = ()
    units: Optional[Units] = None
    level: str = NODES
    num_scores: Optional[int] = None
    edge_categories: Tuple[int, ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {
            "outputs": self.outputs,
            "class_names": list(self.class_names),
            "feature_names": list(self.feature_names),
            **({} if self.units is None else {"units": self.units.to_dict()}),
            **({} if self.level == NODES else {"level": self.level, "num_scores": self.num_scores}),
            **({"edge_categories": list(self.edge_categories)} if self.edge_categories else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Learned:
        """The inverse of :meth:`to_dict`."""
        units = Units.from_dict(values["units"]) if "units" in values else None
        level, num_scores = values.get("level", NODES), values.get("num_scores")
        names = tuple(values["class_names"]), tuple(values["feature_names"])
        return cls(values["outputs"], *names, units, level, num_scores, tuple(values.get("edge_categories", ())))

    @classmethod
    def among(cls, facts: Mapping[str, Any]) -> Optional[Learned]:
        """What the facts about a run say; None if they say nothing, as those of gnnkit 0.1.0."""
        return cls.from_dict(facts["learned"]) if "learned" in facts else None


def learned_from(graph: Graph, task: Task) -> Learned:
    """What a model learns from a graph.

    Args:
        graph: The training's.
        task: What is learned.
    """
    named = graph.links if task.level == EDGES and graph.links is not None else graph
    names = named.class_names if task.outputs in (CLASSES, LABELS) else ()
    if task.units is not None:
        names = task.units.names
    num_scores = task.num_scores if isinstance(task, PairTask) else None
    categories = graph.edge_categories
    return Learned(task.outputs, names, graph.feature_names, task.units, task.level, num_scores, categories)


def learned_by_run(manifest: Mapping[str, Any], graph: Graph) -> Learned:
    """What the model of a run has learned.

    Runs of gnnkit 0.1.0 do not say it. Of those, names are the data's where fingerprints show that labels or features
    are the run's own; else there are none.

    Args:
        manifest: The run's.
        graph: Data at hand.
    """
    learned = Learned.among(manifest)
    if learned is not None:
        return learned
    before, now = manifest["data"]["parts"], part_fingerprints(graph)
    features = graph.feature_names if before.get("features") == now["features"] else ()
    if task_class(manifest.get("task", DEFAULT_TASK)).outputs == EMBEDDINGS:
        return Learned(EMBEDDINGS, (), features)
    if before.get("labels") == now["labels"]:
        return Learned(LABELS if graph.is_multi_label else CLASSES, graph.class_names, features)
    return Learned(_outputs_by_metrics(manifest.get("result") or {}), (), features)


def _outputs_by_metrics(result: Mapping[str, Any]) -> Optional[str]:
    """Kind of outputs by the metrics of a run: first the one that picked the best model, then those of its kind."""
    names = [name for name in result if name.startswith("test_")]
    if not names:
        return None
    return LABELS if "test_rocauc" in names[:2] and names[1:2] != ["test_accuracy"] else CLASSES


def match_graph(graph: Graph, learned: Learned, num_outputs: int) -> Tuple[Graph, Tuple[str, ...]]:
    """Bring a graph into the order that a model knows, to use the model on it.

    Columns of features are put into the model's order; those that it does not read are dropped. Labels get the numbers
    that the model knows their classes by; a label that it does not know becomes a missing one (-100).

    Args:
        graph: Data at hand.
        learned: What the model has learned.
        num_outputs: How many outputs it gives.

    Returns:
        The graph, the same object if everything was in order; and sentences about what was dropped and what could not
        be checked.

    Raises:
        ConfigError: Features that the model reads are missing.
    """
    said: List[str] = []
    graph = _match_features(graph, learned.feature_names, said)
    if learned.outputs in (CLASSES, LABELS):
        if learned.level == EDGES:
            graph = _match_links(graph, learned, said)
        elif learned.level == GRAPHS:
            graph = _match_graphs(graph, learned, num_outputs, said)
        elif graph.y is not None:
            graph = _match_labels(graph, learned, num_outputs, said)
    return graph, tuple(said)


def match_training_graph(graph: Graph, learned: Optional[Learned]) -> Graph:
    """Bring a graph into the order that weights know, to go on training with them.

    As :func:`match_graph`, but no label gets lost: classes that the weights do not know take the places of those that
    the data do not have, in their order, and places behind them. What was dropped or not checked is logged.

    Args:
        graph: Data at hand.
        learned: What the weights know. None: nothing, and the graph is returned as it is.

    Raises:
        ConfigError: As :func:`match_graph`.
    """
    if learned is None:
        return graph
    said: List[str] = []
    found = _match_features(graph, learned.feature_names, said)
    is_same_kind = learned.outputs == (LABELS if graph.is_multi_label else CLASSES) and not graph.has_numbers
    is_same_kind = is_same_kind and learned.level == NODES
    if graph.y is not None and is_same_kind and graph.class_names and learned.class_names:
        new = _without(graph.class_names, learned.class_names)
        if new:
            said.append(f"the weights do not know {_listed('class', new)}, which take places that are free")
        theirs, others = set(graph.class_names), iter(new)
        placed = [name if name in theirs else next(others, name) for name in learned.class_names]
        placed += others
        found = _match_labels(found, replace(learned, class_names=tuple(placed)), len(placed), said)
    for sentence in said:
        _LOG.warning("%s: %s.", graph.name, sentence)
    return found


def _match_features(graph: Graph, wanted: Tuple[str, ...], said: List[str]) -> Graph:
    names = graph.feature_names
    if names == wanted or graph.x is None:
        return graph
    if not names or not wanted:
        whose = "the data" if wanted else "the model"
        said.append(f"{whose} {'have' if wanted else 'has'} no names of features, so their order could not be checked")
        return graph
    missing, left = _without(wanted, names), _without(names, wanted)
    if missing:
        added = f" It has {_listed('feature', left)}, which the model does not read." if left else ""
        raise ConfigError(
            f"Graph {graph.name!r} lacks {_listed('feature', missing)}, which the model reads.{added} Give data with "
            "the features of the training, under the same names."
        )
    if left:
        said.append(f"{_listed('feature', left)} of the data dropped, because the model does not read them")
    order = _places(wanted, names, "features")
    categories = tuple(graph.node_categories[place] for place in order) if graph.node_categories else ()
    return replace(graph, x=graph.x[:, torch.tensor(order)], feature_names=wanted, node_categories=categories)


def _match_labels(graph: Graph, learned: Learned, num_outputs: int, said: List[str]) -> Graph:
    assert graph.y is not None
    if graph.has_numbers:
        said.append("labels of the data left out, because they are numbers, and the model gives classes")
        return replace(graph, y=None, class_names=())
    is_multi = learned.outputs == LABELS
    if graph.is_multi_label != is_multi:
        theirs, mine = ("one class", "several labels") if is_multi else ("several labels", "one class")
        said.append(f"labels of the data left out, because each has {theirs} there, and the model gives {mine}")
        return replace(graph, y=None, class_names=())
    names, wanted = graph.class_names, learned.class_names
    if names and wanted:
        return graph if names == wanted else _by_name(graph, graph.y, wanted, said)
    if names or wanted:
        whose = "the data have" if wanted else "the model has"
        said.append(f"{whose} no names of classes, so labels are taken by number, which could not be checked")
    return _by_number(graph, graph.y, wanted, num_outputs, said)


def _match_links(graph: Graph, learned: Learned, said: List[str]) -> Graph:
    """Labels of pairs as those of nodes, which they are made for a moment."""
    links = graph.links
    if links is None or not links.y:
        return graph
    counts = [len(y) for y in links.y.values()]
    pointer = torch.zeros(sum(counts) + 1, dtype=torch.int64)
    items = Graph(pointer, pointer[:0], y=torch.cat(list(links.y.values())), class_names=links.class_names)
    found = _match_labels(items, learned, learned.num_scores or 0, said)
    if found is items:
        return graph
    y = {} if found.y is None else dict(zip(links.y, torch.split(found.y, counts)))
    return replace(graph, links=replace(links, y=y, class_names=found.class_names))


def _match_graphs(graph: Graph, learned: Learned, num_outputs: int, said: List[str]) -> Graph:
    """Labels of graphs as those of nodes."""
    if graph.graph_y is None:
        return graph
    items = graph_items(graph)
    found = _match_labels(items, learned, num_outputs, said)
    if found is items:
        return graph
    return replace(graph, graph_y=found.y, class_names=found.class_names if graph.y is None else graph.class_names)


def _by_name(graph: Graph, y: Tensor, wanted: Tuple[str, ...], said: List[str]) -> Graph:
    """Labels with the numbers that a model knows their classes by."""
    names = graph.class_names
    unknown = _without(names, wanted)
    known = _without(names, unknown)
    places = torch.tensor(_places(known, wanted, "classes"), dtype=torch.int64)
    columns = torch.tensor(_places(known, names, "classes"), dtype=torch.int64)
    if graph.is_multi_label:
        found = y.new_full((len(y), len(wanted)), IGNORED_LABEL)
        found[:, places] = y[:, columns]
    else:
        table = torch.full((len(names),), IGNORED_LABEL, dtype=torch.int64)
        table[columns] = places
        found = torch.where(y < 0, y, table[y.clamp(min=0)])
    if unknown:
        said.append(f"the model does not know {_listed('class', unknown)}; such labels count as missing")
    return replace(graph, y=found, class_names=wanted)


def _by_number(graph: Graph, y: Tensor, wanted: Tuple[str, ...], num_outputs: int, said: List[str]) -> Graph:
    if graph.is_multi_label and y.shape[1] != num_outputs:
        said.append(f"labels of the data left out: there are {y.shape[1]} for each, the model gives {num_outputs}")
        return replace(graph, y=None, class_names=())
    beyond = y >= num_outputs
    if not graph.is_multi_label and bool(beyond.any()):
        said.append(
            f"the model has classes 0 to {num_outputs - 1}; {int(beyond.sum()):,} labels beyond count as missing"
        )
        y = torch.where(beyond, IGNORED_LABEL, y)
    elif graph.class_names == wanted:
        return graph
    return replace(graph, y=y, class_names=wanted)


def _without(names: Sequence[str], others: Sequence[str]) -> List[str]:
    """Names that are not among others."""
    known = set(others)
    return [name for name in names if name not in known]


def _places(names: Sequence[str], among: Sequence[str], what: str) -> List[int]:
    """Where names stand among others.

    Raises:
        ConfigError: A name stands there more than once, or is asked for more than once.
    """
    for name, number in [*Counter(names).items(), *Counter(among).items()]:
        if number > 1:
            raise ConfigError(f"Names of {what} are repeated ({name!r}), so data cannot be matched to the model.")
    place = {name: number for number, name in enumerate(among)}
    return [place[name] for name in names]


def _listed(what: str, names: Sequence[str]) -> str:
    """Names in words, the first of many."""
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    ending = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    plural = {"class": "classes"}.get(what, f"{what}s")
    return f"{what if len(names) == 1 else plural} {shown}{ending}"
