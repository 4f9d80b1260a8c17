"""Graphs of a record as items: to split, at random or by folds, and to learn from as if they were nodes.

Rules: random choices come from a seed alone; graphs without a label enter no split. Classes are spread evenly over the
parts, as far as whole graphs allow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data.graph import Graph, are_answers
from gnnkit.errors import ConfigError, DataError

FOLD = "fold"
"""The array of ``Graph.graph_data`` that says in which fold each graph is tested."""


def graph_items(graph: Graph) -> Graph:
    """The graphs of a record as nodes of a graph without edges: what is true of nodes holds for graphs.

    Args:
        graph: A record of graphs.

    Returns:
        A graph of G nodes whose ``y``, ``splits`` and ``node_data`` are those of the graphs. One column of answers 0
        and 1 is two classes.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> graph_items(from_edge_index([[0], [1]], 3, graph_ptr=[0, 2, 3], graph_y=[1, 0])).y.tolist()
        [1, 0]
    """
    y, names = graph.graph_y, graph.class_names if graph.y is None else ()
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        if y.is_floating_point() and are_answers(y):  # In one dimension, floating-point labels are numbers.
            y, names = y.long(), ()
        y = y[:, 0]
    return Graph(
        indptr=torch.zeros(graph.num_graphs + 1, dtype=torch.int64),
        indices=torch.empty(0, dtype=torch.int64),
        x=torch.empty(graph.num_graphs, 0),
        y=y,
        splits=graph.graph_splits,
        node_data=graph.graph_data,
        class_names=names,
        metric=graph.metric,
        evaluator=graph.evaluator,
        notes=graph.notes,
        name=graph.name,
    )


def random_graph_split(
    graph: Graph, valid: float = 0.1, test: float = 0.1, *, seed: int = 0, labelled: Optional[Tensor] = None
) -> Graph:
    """Split the labelled graphs at random, classes in equal shares.

    Args:
        graph: A record of graphs.
        valid: Share of the graphs that validate.
        test: Share of the graphs that test.
        seed: Seed of the order, at least 0.
        labelled: Which graphs have a label. Shape [G], bool. None: as ``graph_y`` says.

    Returns:
        The record with ``graph_splits``.

    Raises:
        ConfigError: Shares that leave nothing to train on.
        DataError: Too few labelled graphs.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> graph = from_edge_index([[], []], 20, graph_ptr=range(21), graph_y=[0, 1] * 10)
        >>> {name: len(ids) for name, ids in random_graph_split(graph).graph_splits.items()}
        {'train': 16, 'valid': 2, 'test': 2}
    """
    if not (valid > 0 and test > 0 and valid + test < 1) or seed < 0:
        raise ConfigError(f"The shares are valid {valid} and test {test} with seed {seed}, expected some for training.")
    groups = _groups(graph, seed, labelled)
    first = _shares(groups, test)
    rest = [group[~np.isin(group, first)] for group in groups]
    second = _shares(rest, valid / (1 - test))
    third = np.concatenate(rest)
    return _with_splits(graph, third[~np.isin(third, second)], second, first)


def make_folds(graph: Graph, num_folds: int, *, seed: int = 0, labelled: Optional[Tensor] = None) -> Graph:
    """Deal the labelled graphs into folds of equal size, classes in equal shares.

    Args:
        graph: A record of graphs.
        num_folds: How many folds, at least 2.
        seed: Seed of the order, at least 0.
        labelled: As for :func:`random_graph_split`.

    Returns:
        The record with ``graph_data["fold"]``: the fold, from 0, in which each graph is tested; -1 for a graph without
        a label. Shape [G], int64.

    Raises:
        ConfigError: Less than two folds.
        DataError: Fewer labelled graphs than folds.
    """
    if num_folds < 2 or seed < 0:
        raise ConfigError(f"{num_folds} folds with seed {seed}; expected at least 2 folds, and a seed from 0.")
    order = np.concatenate(_groups(graph, seed, labelled))
    if len(order) < num_folds:
        raise DataError("graph_y", f"there are {len(order)} labelled graphs, too few for {num_folds} folds.")
    fold = torch.full((graph.num_graphs,), -1, dtype=torch.int64)
    fold[torch.from_numpy(order)] = torch.arange(len(order)) % num_folds
    return replace(graph, graph_data={**graph.graph_data, FOLD: fold})


def num_folds(graph: Graph) -> int:
    """How many folds a record has; 0 without.

    Raises:
        DataError: Folds are not numbered from 0 without a gap, or fewer than two.
    """
    fold = graph.graph_data.get(FOLD)
    if fold is None:
        return 0
    found = torch.unique(fold[fold >= 0]).tolist()
    if len(found) < 2 or found != list(range(len(found))):
        problem = f"it holds folds {found[:10]}, expected numbers from 0 without a gap, of at least two folds."
        raise DataError(f"graph_data[{FOLD!r}]", problem)
    return len(found)


def fold_split(
    graph: Graph, fold: int, valid: float = 0.1, *, seed: int = 0, labelled: Optional[Tensor] = None
) -> Graph:
    """Test one fold, and train and validate on the others.

    Args:
        graph: A record with folds.
        fold: The fold, from 0.
        valid: Share of the other graphs that validate, classes in equal shares.
        seed: Seed of these, at least 0.
        labelled: As for :func:`random_graph_split`.

    Returns:
        The record with ``graph_splits``.

    Raises:
        ConfigError: There is no such fold.
        DataError: Too few labelled graphs.
    """
    count = num_folds(graph)
    if not 0 <= fold < count:
        raise ConfigError(f"fold is {fold}, expected 0 to {count - 1}.")
    folds = graph.graph_data[FOLD].numpy()
    groups = _groups(graph, seed, labelled)
    tested = np.concatenate([group[folds[group] == fold] for group in groups])
    rest = [group[(folds[group] != fold) & (folds[group] >= 0)] for group in groups]
    validating = _shares(rest, valid)
    training = np.concatenate(rest)
    return _with_splits(graph, training[~np.isin(training, validating)], validating, tested)


def _groups(graph: Graph, seed: int, labelled: Optional[Tensor]) -> List[NDArray[np.int64]]:
    """The labelled graphs of each class in a random order; all in one group where there are no classes."""
    items = graph_items(graph)
    known = items.has_label if labelled is None else labelled
    ids = np.arange(graph.num_graphs) if known is None else known.nonzero()[:, 0].numpy()
    if not len(ids):
        raise DataError("graph_y", "no graph has a label.", fix="Give labels, or the splits yourself.")
    order = ids[np.random.Generator(np.random.Philox(key=seed)).permutation(len(ids))]
    if items.y is None or items.y.is_floating_point():
        return [order]
    classes = items.y.numpy()[order]
    return [order[classes == each] for each in np.unique(classes)]


def _shares(groups: List[NDArray[np.int64]], share: float) -> NDArray[np.int64]:
    """The first of every group, such a share of it; the sum over groups is rounded, not each."""
    ends = np.round(np.cumsum([0, *map(len, groups)]) * share).astype(np.int64)
    return np.concatenate([group[:count] for group, count in zip(groups, np.diff(ends))])


def _with_splits(graph: Graph, train: NDArray[np.int64], valid: NDArray[np.int64], test: NDArray[np.int64]) -> Graph:
    splits: Dict[str, Tensor] = {}
    for name, ids in (("train", train), ("valid", valid), ("test", test)):
        if not len(ids):
            problem = f"there are too few labelled graphs to give some to {name!r}."
            raise DataError("graph_splits", problem, fix="Change the shares or the folds, or give the splits yourself.")
        splits[name] = torch.from_numpy(np.sort(ids))
    return replace(graph, graph_splits=splits)
