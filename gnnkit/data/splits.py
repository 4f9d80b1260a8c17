"""Splits as data sets publish them: masks, several of them side by side, and how to pick one.

Rules: a split is counted from 0; masks of several splits are of shape [N, S] or [S, N], by which side is as long as
there are nodes. Nothing is picked by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Tuple

import numpy as np
from torch import Tensor

from gnnkit.data.arrays import SPLIT_ALIASES, as_tensor
from gnnkit.data.graph import SPLITS, Graph
from gnnkit.errors import DataError

MASK_SUFFIX = "_mask"
"""What follows the name of a split in the name of its mask, as in "train_mask"."""


def split_of(name: str) -> str:
    """The split that a mask or a file is of, by its name; empty if it names none.

    Example:
        >>> split_of("val_mask"), split_of("train"), split_of("stopping_mask")
        ('valid', 'train', '')
    """
    stem = name[: -len(MASK_SUFFIX)] if name.endswith(MASK_SUFFIX) else name
    split = SPLIT_ALIASES.get(stem, stem)
    return split if split in SPLITS else ""


def mask_rows(value: Any, num_nodes: int, where: str) -> Tensor:
    """Masks of several splits as booleans of shape [N, S], given so or as [S, N].

    Args:
        value: Booleans, or 0 and 1. Two dimensions.
        num_nodes: N.
        where: What messages call them.

    Raises:
        DataError: Neither side is as long as there are nodes, or a value is neither 0 nor 1.

    Example:
        >>> mask_rows([[1, 0, 0], [0, 1, 1]], 3, "train_mask").tolist()
        [[True, False], [False, True], [False, True]]
    """
    masks = as_tensor(value, where)
    if masks.ndim != 2 or num_nodes not in masks.shape:
        problem = f"shape is {list(masks.shape)}, expected masks of [{num_nodes}, splits] or [splits, {num_nodes}]."
        raise DataError(where, problem)
    masks = masks if masks.shape[0] == num_nodes else masks.T
    broken = (masks != 0) & (masks != 1)
    if bool(broken.any()):
        row, column = broken.nonzero()[0].tolist()
        raise DataError(where, f"a mask has {masks[row, column].item()}, expected booleans or 0 and 1.", row=row)
    return masks.bool().contiguous()


def pick_masks(masks: Mapping[str, Any], num_nodes: int, number: int) -> Dict[str, Tensor]:
    """Pick one of several splits.

    Args:
        masks: Masks by the name of the split, with or without "_mask". Shape [N, S], [S, N], or [N] for a mask that is
            the same in every split.
        num_nodes: N.
        number: Which split, from 0.

    Returns:
        A mask of shape [N], booleans, by split; those without any node are left out.

    Raises:
        DataError: There are not so many splits, or a mask is no mask.
    """
    picked: Dict[str, Tensor] = {}
    for name, value in masks.items():
        mask = as_tensor(value, name)
        if mask.ndim != 1:
            columns = mask_rows(mask, num_nodes, name)
            if not 0 <= number < columns.shape[1]:
                problem = f"there is no split {number}; {columns.shape[1]} splits are numbered from 0."
                raise DataError(name, problem, fix=f"Give a number from 0 to {columns.shape[1] - 1}.")
            mask = columns[:, number]
        if bool(mask.any()):
            picked[split_of(name)] = mask.bool()
    return picked


def pick_split(graph: Graph, number: int) -> Graph:
    """Take one of the several splits that a data set brings as masks in ``node_data``.

    Args:
        graph: A graph with masks of several columns, such as ``node_data["train_mask"]`` of shape [N, S].
        number: Which split, from 0.

    Returns:
        The graph with this split in ``splits`` and without these masks. A split of which there is but one, as the test
        split of WikiCS, stays.

    Raises:
        DataError: The graph has no such masks, or not so many.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> masks = {"train_mask": [[True, False], [False, True]], "test_mask": [[False, True], [True, False]]}
        >>> graph = pick_split(from_edge_index([[0], [1]], 2, node_data=masks), 1)
        >>> {name: ids.tolist() for name, ids in graph.splits.items()}
        {'train': [1], 'test': [0]}
    """
    masks = {name: value for name, value in graph.node_data.items() if is_several(name, value)}
    if not masks:
        problem = f"the graph has no masks of several splits, so there is no split {number} to pick."
        raise DataError("splits", problem, fix="Leave the choice of a split out.")
    picked = pick_masks(masks, graph.num_nodes, number)
    chosen = {name: mask.nonzero()[:, 0] for name, mask in picked.items()}
    others = {name: value for name, value in graph.node_data.items() if name not in masks}
    kept = {name: ids for name, ids in graph.splits.items() if name not in {split_of(mask) for mask in masks}}
    splits = {**kept, **chosen}
    ordered = {name: splits[name] for name in SPLITS if name in splits}
    _check_apart(ordered, number)
    notes = replace(graph.notes, splits=f"split {number} of {next(iter(masks.values())).shape[1]}")
    return replace(graph, splits=ordered, node_data=others, notes=notes)


def warn_of_splits(graph: Graph) -> Graph:
    """Add a warning if a graph that was just read has masks of several splits, of which none has been picked."""
    several = {name: value for name, value in graph.node_data.items() if is_several(name, value)}
    if not several:
        return graph
    count = next(iter(several.values())).shape[1]
    warning = f"there are masks of {count} splits, none of which is taken; gnnkit.data.pick_split(graph, 0) takes one."
    return replace(graph, notes=graph.notes.warned(warning))


def take_masks(splits: Mapping[str, Any], arrays: Mapping[str, Any]) -> Tuple[Mapping[str, Any], Dict[str, Any]]:
    """Masks among arrays of nodes, such as "train_mask" of shape [N], as the splits of data that give no others.

    Args:
        splits: Those that the data give otherwise.
        arrays: Arrays of nodes by name.

    Returns:
        The splits, and the arrays that are left.

    Example:
        >>> take_masks({}, {"train_mask": [1, 0], "age": [5, 6]})
        ({'train': array([ True, False])}, {'age': [5, 6]})
    """
    found = {}
    for name, value in arrays.items():
        values = np.asarray(value) if name.endswith(MASK_SUFFIX) and split_of(name) else np.empty(0)
        if values.ndim == 1 and values.size and bool(((values == 0) | (values == 1)).all()):
            found[name] = values == 1
    if splits or not found:
        return splits, dict(arrays)
    picked = {split_of(name): mask for name, mask in found.items() if bool(mask.any())}
    return picked, {name: value for name, value in arrays.items() if name not in found}


def is_several(name: str, value: Tensor) -> bool:
    """Whether an array of nodes holds masks of several splits."""
    return name.endswith(MASK_SUFFIX) and bool(split_of(name)) and value.ndim == 2


def _check_apart(splits: Mapping[str, Tensor], number: int) -> None:
    together = np.concatenate([ids.numpy() for ids in splits.values()]) if splits else np.empty(0)
    if np.unique(together).size != together.size:
        raise DataError("splits", f"the masks of split {number} overlap, expected every node in one split at most.")
