"""What tasks about pairs of nodes have in common: their data, their head, and how they are judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Iterator, Mapping, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.data import SPLITS, Graph, Items, Links, Targets, links_of_relation, relation_of, split_edges
from gnnkit.data.targets import count_targets
from gnnkit.errors import ConfigError, DataError, UnknownNameError
from gnnkit.loading import Draw, LinkDraw
from gnnkit.loading.drawing import PairRelation
from gnnkit.tasks.base import Head, Judged, Task
from gnnkit.tasks.pair_heads import HEADS, PairHead, pair_head

_CHUNK_SCORES = 1 << 16
"""Scores that are computed at a time when a split is judged."""


SPLIT_OPTIONS = ("valid_share", "test_share", "split_by")
"""Options that say how pairs are split, where the data do not."""


@dataclass(frozen=True)
class PairOptions:
    """Options that tasks about pairs have in common.

    Attributes:
        relation: Of typed data, the relation that pairs are of: ``src:name:dst``, or its name alone where only one has
            it. Nothing: the only one.
        valid_share: Share of the pairs that validate, where the data bring no split.
        test_share: Share of the pairs that test, likewise.
        split_by: A column of ``Graph.edge_data`` with times: the latest pairs test, those before them validate.
            Nothing: at random, by the run's seed.
        split_seed: Seed of a random split and of the negatives that are judged. None: the run's.
        head: What scores a pair from two embeddings: "dot", "cosine", "bilinear", "mlp" (on their product, entry by
            entry) or "mlp_joined" (on both side by side).
        head_channels: Width between the layers of an MLP.
        head_layers: Number of its layers.
        head_dropout: Dropout probability between them while training.
    """

    relation: Optional[str] = None
    valid_share: float = 0.05
    test_share: float = 0.1
    split_by: Optional[str] = None
    split_seed: Optional[int] = None
    head: str = "dot"
    head_channels: int = 64
    head_layers: int = 2
    head_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise UnknownNameError("head of pairs:", self.head, HEADS)
        for name in ("head_channels", "head_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if not 0 <= self.head_dropout < 1:
            raise ConfigError(f"head_dropout is {self.head_dropout}, expected a probability from 0 up to below 1.")
        check_shares(self.valid_share, self.test_share)

    def make_head(self, width: int, num_scores: int, *, symmetric: bool) -> PairHead:
        """The head that these options name.

        Args:
            width: How wide embeddings are.
            num_scores: How many scores a pair has.
            symmetric: Whether pairs are undirected.
        """
        return pair_head(
            self.head,
            width,
            num_scores,
            channels=self.head_channels,
            num_layers=self.head_layers,
            dropout=self.head_dropout,
            symmetric=symmetric,
        )


def check_shares(valid: float, test: float) -> None:
    """Refuse shares of a split that leave a part empty.

    Raises:
        ConfigError: They do.
    """
    if min(valid, test) <= 0 or valid + test >= 1:
        raise ConfigError(
            f"valid_share is {valid} and test_share {test}, expected shares above 0 that leave some pairs to train on."
        )


def split_pairs(
    graph: Graph, options: Any, seed: int, *, y: Optional[str] = None, relation: Optional[str] = None
) -> Graph:
    """The graph with pairs to train, validate and test on, split off its edges if it has none.

    Args:
        graph: As loaded.
        options: Those of a task about pairs that say how.
        seed: The run's.
        y: As for :func:`gnnkit.data.split_edges`.
        relation: Likewise.
    """
    if graph.links is not None:
        return graph
    return split_edges(
        graph,
        valid=options.valid_share,
        test=options.test_share,
        by=options.split_by,
        y=y,
        seed=seed if options.split_seed is None else options.split_seed,
        negatives=False,
        relation=relation,
    )


def with_columns(graph: Graph, by_relation: Mapping[str, Mapping[str, Tensor]], relation: str) -> Graph:
    """The graph with the columns of a relation beside those of all edges, to be looked up by name."""
    return replace(graph, edge_data={**graph.edge_data, **by_relation.get(relation, {})})


def _of_relation(graph: Graph, relation: int) -> Graph:
    """The graph with the pairs of a relation alone."""
    assert graph.typed is not None, "it has relations"
    links, kind = links_of(graph), graph.typed.schema.relations[relation]
    if all(bool((of == relation).all()) for of in links.relations.values()):
        return graph
    mine = links_of_relation(links, relation, kind.reverse == relation)
    if not mine.pairs:
        counts = torch.cat(list(links.relations.values())).unique().tolist()
        held = ", ".join(str(graph.typed.schema.relations[each]) for each in counts)
        raise DataError("links.pairs", f"there are none of relation {kind}.", fix=f"There are pairs of {held}.")
    return replace(graph, links=mine)


class PairTask(Task):
    """Base of tasks whose items are pairs of nodes.

    Args:
        options: The settings.
        undirected: Whether (u, v) and (v, u) are the same pair.
        num_scores: How many outputs a pair has.
    """

    level: ClassVar[str] = "edges"
    needs_features: ClassVar[bool] = False
    options_class = PairOptions
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {"out_channels": 64},
        "train": {"weight_decay": 0.0},
    }

    def __init__(self, options: Any = None, *, undirected: bool = False, num_scores: int = 1) -> None:
        super().__init__(options)
        self.undirected = undirected
        self.num_scores = num_scores

    @classmethod
    def arrange(cls, graph: Graph, options: Any, seed: int) -> Graph:
        """See :class:`Task`: pairs to train, validate and test on, of one relation of a typed graph."""
        relation = relation_of(graph, options.relation, cls.name)
        if relation is not None and graph.typed is not None and graph.links is not None:
            return _of_relation(graph, relation)
        name = None if relation is None or graph.typed is None else str(graph.typed.schema.relations[relation])
        columns = graph if name is None or graph.typed is None else with_columns(graph, graph.typed.edge_data, name)
        return split_pairs(graph, options, seed, y=cls.label(columns, options), relation=name)

    @classmethod
    def label(cls, graph: Graph, options: Any) -> Optional[str]:
        """The column of ``edge_data`` that is learnt; None where pairs are told from others that are none."""
        return None

    def items(self, graph: Graph, split: str) -> Items:
        """The pairs of a split."""
        return Items("edges", links_of(graph).pairs[split])

    def draw(self, graph: Graph, seed: int) -> Optional[Draw]:
        """The pairs of a batch with what is true of them; the batch does not see them."""
        links = links_of(graph)
        how: Any = {"undirected": links.undirected, "seed": seed, "relation": pair_relation(graph)}
        return LinkDraw(links.pairs["train"], y=links.y.get("train"), **how)

    def head(self, width: int) -> Head:
        """What scores pairs."""
        options: PairOptions = self.options
        return options.make_head(width, self.num_scores, symmetric=self.undirected)

    def judged(self, graph: Graph, split: str) -> Judged:
        """The nodes of a split's pairs, and what is true of these."""
        links = links_of(graph)
        pairs, y = links.pairs[split], links.y.get(split)
        nodes, rows = numbered(pairs, graph.num_nodes)
        num = len(pairs) if y is None else count_targets(y)
        return Judged(nodes, Targets(y, {"src": rows[:, 0], "dst": rows[:, 1]}, num=num))

    def score(self, head: Head, h: Tensor, targets: Targets) -> Tensor:
        """See :class:`Task`; in chunks of pairs."""
        assert isinstance(head, PairHead), "the task made it"
        return score_targets(head, h, targets)


def score_targets(head: PairHead, h: Tensor, targets: Targets) -> Tensor:
    """What a head makes of pairs, so many at a time that memory stays bounded.

    Args:
        head: In host memory.
        h: Embeddings. Shape [M, D].
        targets: Their rows are positions among the embeddings.

    Returns:
        As the head gives it: [T, C], or [T, 1 + K].
    """
    return torch.cat([head(h, chunk) for chunk in _chunks(targets)])


def numbered(ids: Tensor, num_nodes: int) -> Tuple[Tensor, Tensor]:
    """Each node id once, ascending, and where every entry stands among them. Nothing is sorted.

    Args:
        ids: Node ids of any shape. int64.
        num_nodes: Number of nodes of the graph.

    Example:
        >>> [each.tolist() for each in numbered(torch.tensor([[7, 3], [3, 5]]), 9)]
        [[3, 5, 7], [[2, 0], [0, 1]]]
    """
    place = torch.zeros(num_nodes, dtype=torch.int64)
    place[ids.reshape(-1)] = 1
    nodes = place.nonzero()[:, 0]
    place[nodes] = torch.arange(len(nodes))
    return nodes, place[ids]


def links_of(graph: Graph) -> Links:
    """The links of a graph, which a task has arranged.

    Raises:
        DataError: It has none.
    """
    if graph.links is None:
        fix = "Split the edges: gnnkit.data.split_edges(graph)."
        raise DataError("links", "the graph has no pairs to learn from and to judge.", fix=fix)
    return graph.links


def pair_relation(graph: Graph) -> Optional[PairRelation]:
    """The relation that the pairs of a graph are of; None where it has no types."""
    if graph.typed is None:
        return None
    schema = graph.typed.schema
    number = int(next(iter(links_of(graph).relations.values()))[0])
    kind = schema.relations[number]
    return PairRelation(number, kind.reverse, (schema.node_types.index(kind.src), schema.node_types.index(kind.dst)))


def check_splits(graph: Graph) -> Links:
    """The links of a graph, with pairs in each split.

    Raises:
        DataError: A split is missing.
    """
    links = links_of(graph)
    for split in SPLITS:
        if split not in links.pairs or not len(links.pairs[split]):
            raise DataError(
                f"links.pairs[{split!r}]", "is empty or missing.", fix="Give pairs for train, valid and test."
            )
    return links


def as_items(graph: Graph, task: str) -> Graph:
    """The labelled pairs of a graph as nodes of another one, which has no edges: what is true of nodes holds for pairs.

    Args:
        graph: With links.
        task: What messages call the task.

    Raises:
        DataError: A split is missing, or has no labels.
    """
    links = check_splits(graph)
    missing = [split for split in SPLITS if split not in links.y]
    if missing:
        raise DataError(
            f"links.y[{missing[0]!r}]",
            f"is missing, {task} needs something to learn about each pair.",
            fix="Name a column of edge_data: task_options.label=NAME; or give Links(y=...).",
        )
    counts = [len(links.pairs[split]) for split in SPLITS]
    places = torch.split(torch.arange(sum(counts)), counts)
    return Graph(
        indptr=torch.zeros(sum(counts) + 1, dtype=torch.int64),
        indices=torch.empty(0, dtype=torch.int64),
        x=torch.empty(sum(counts), 0),
        y=torch.cat([links.y[split] for split in SPLITS]),
        splits=dict(zip(SPLITS, places)),
        class_names=links.class_names,
        metric=graph.metric,
        name=graph.name,
    )


def label_column(graph: Graph, name: Optional[str], task: str) -> str:
    """The column of ``edge_data`` that is to be learnt: the one that is named, or the only one.

    Raises:
        ConfigError: None is named, and there is not just one.
        UnknownNameError: There is no such column.
    """
    held = ", ".join(sorted(graph.edge_data)) or "nothing"
    if name is None and len(graph.edge_data) == 1:
        return next(iter(graph.edge_data))
    if name is None:
        raise ConfigError(
            f"Task {task!r} needs the name of what it learns: task_options.label=NAME. edge_data holds {held}."
        )
    if name not in graph.edge_data:
        raise UnknownNameError("column of edge_data:", name, graph.edge_data)
    return name


def _chunks(targets: Targets) -> Iterator[Targets]:
    """Targets in parts, so that scores of all negatives need not be computed at once."""
    negatives = targets.rows.get("negatives")
    size = max(1, _CHUNK_SCORES // (1 if negatives is None else 1 + negatives.shape[1]))
    for start in range(0, max(targets.size, 1), size):
        rows = {name: row[start : start + size] for name, row in targets.rows.items()}
        y = None if targets.y is None else targets.y[start : start + size]
        yield replace(targets, y=y, rows=rows)
