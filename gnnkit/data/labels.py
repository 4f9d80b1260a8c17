"""Reading labels of nodes: which are missing, which are classes, and which are numbers to regress.

Rules: marks of a missing label become -100 whatever the reader; classes are whole numbers from 0 without large gaps;
numbers to regress stay numbers, NaN for a missing one, and are never turned into a class each. Names of classes, where
they are given, say how many classes there are, so that a part of a data set may lack most of them.
"""

from __future__ import annotations

from typing import Any, Dict, Hashable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.arrays import as_tensor
from gnnkit.data.graph import IGNORED_LABEL
from gnnkit.data.words import MISSING_LABELS, MISSING_TEXT, is_missing_text, missing_labels
from gnnkit.errors import DataError

FREE_CLASSES = 100
"""So many classes are never too many. Beyond them, more than one class for five nodes is taken for numbers to regress,
and more than twice as many outputs as there are different labels for codes that need renumbering."""

_FEWEST_NODES = 5

_RENUMBER = "gnnkit.data.renumber_classes(labels) numbers them 0, 1, ...; if the gaps are meant, give class_names."


def as_labels(value: Any, named: bool = False) -> Optional[Tensor]:
    """Read node labels: classes as int64 of shape [N], multi-label data as float32 of shape [N, C].

    One column counts as classes. The marks of ``gnnkit.data.words.MISSING_LABELS``, NaN, and 255 in uint8 become -100.
    What is not whole, and columns of other numbers than 0 and 1, are numbers to regress: float32 as they are, NaN for
    a missing one.

    Args:
        value: Numbers of shape [N], [N, 1] or [N, C]; None for none.
        named: Whether the classes have names, so that these numbers are classes however many they are.

    Raises:
        DataError: The classes are -1 and 1 alone, or codes with large gaps, or a number is infinite.
    """
    if value is None:
        return None
    labels = as_tensor(value, "y")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2):
        raise DataError("y", f"shape is {list(labels.shape)}, expected [N] classes or [N, C] multi-label data.")
    if bool(labels.isinf().any()):
        row = int(labels.isinf().nonzero()[0][0])
        problem = "a label is infinite, expected a class 0, 1, ..., or a finite number to regress."
        raise DataError("y", problem, row=row)
    if _are_numbers(labels):
        return labels.to(torch.float32).contiguous()
    marked = _mark_missing(labels)
    if marked.ndim == 2:
        return marked.to(torch.float32).contiguous()
    classes = marked.to(torch.int64).contiguous()
    given = classes[classes >= 0]
    if not named and given.numel() and is_regression(given.numpy()):
        return torch.where(classes == IGNORED_LABEL, float("nan"), labels.to(torch.float32)).contiguous()
    if not named:
        check_classes(classes)
    return classes


def _are_numbers(labels: Tensor) -> bool:
    """Whether labels are numbers to regress by themselves, however many there are."""
    known = labels[~labels.isnan()]
    if labels.ndim == 1:
        return labels.is_floating_point() and bool((known != known.trunc()).any())
    if labels.dtype in (torch.bool, torch.uint8):
        return False
    known = known.double()
    marks = [float(mark) for mark in MISSING_LABELS]
    return not bool(torch.isin(known, known.new_tensor([0.0, 1.0, *marks])).all())


def _mark_missing(labels: Tensor) -> Tensor:
    """The labels with -100 for each mark, in a dtype that has room for it."""
    values = (labels.float() if labels.dtype == torch.bfloat16 else labels).numpy()
    missing = torch.from_numpy(which_missing(values))
    if not bool(missing.any()):
        return labels
    labels = labels if labels.is_floating_point() else labels.to(torch.int64)
    return torch.where(missing, torch.full_like(labels, IGNORED_LABEL), labels)


def which_missing(labels: np.ndarray, marks: Sequence[Any] = MISSING_LABELS) -> np.ndarray:
    """Which labels are missing, see :func:`gnnkit.data.words.missing_labels`.

    Args:
        labels: Numbers of any shape.
        marks: Marks of a missing label.

    Raises:
        DataError: -1 is a mark and all other labels are 1, which may be two classes.
    """
    missing = missing_labels(labels, marks)
    others = labels[~missing]
    if others.size and bool((others == 1).all()) and bool((labels[missing] == -1).any()):
        problem = "labels are -1 and 1 alone, which is two classes to some and a missing label to others."
        raise DataError("y", problem, fix="Give 0 and 1 for two classes, or -100 for a missing label.")
    return missing


def is_regression(labels: np.ndarray) -> bool:
    """Whether numbers are values to regress rather than classes: not whole, or too many for the number of nodes.

    Args:
        labels: Labels without the missing ones. One dimension.

    Example:
        >>> is_regression(np.array([0, 1, 2])), is_regression(np.array([0.5, 1, 2])), is_regression(np.arange(500))
        (False, True, True)
    """
    if not bool((labels == np.trunc(labels)).all()) or not bool(np.isfinite(labels).all()):
        return True
    distinct = np.unique(labels).size
    return distinct > FREE_CLASSES and _FEWEST_NODES * distinct > labels.size


def check_classes(labels: Tensor, where: str = "y") -> None:
    """Check that whole numbers are classes: no codes with gaps between them, no numbers to regress.

    Args:
        labels: Labels of shape [N], int64; below 0 for a missing one.
        where: What messages call them.

    Raises:
        DataError: Of more than 100 classes, fewer than half occur, or there are fewer than five nodes a class.

    Example:
        >>> check_classes(torch.tensor([0, 2, -100, 1]))
    """
    outputs = int(labels.max()) + 1 if labels.numel() else 0
    if outputs <= FREE_CLASSES:
        return
    given = labels[labels >= 0]
    # So far apart that they need no counting, which takes memory for every output.
    is_sparse = outputs > 2 * given.numel() + FREE_CLASSES
    distinct = np.unique(given.numpy()).size if is_sparse else int((torch.bincount(given) > 0).sum())
    if distinct > FREE_CLASSES and _FEWEST_NODES * distinct > given.numel():
        problem = f"{given.numel():,} labelled nodes have {distinct:,} different labels, like numbers to regress."
        fix = "Give floating-point numbers to regress them, class_names if they are classes, or put them into few bins."
        raise DataError(where, problem, fix=fix)
    if is_sparse or outputs > 2 * distinct + FREE_CLASSES:
        problem = f"there are {distinct:,} different labels, but a label of {outputs - 1} asks for {outputs:,} outputs."
        raise DataError(where, problem, fix=_RENUMBER)


def renumber_classes(labels: Any) -> Tuple[Tensor, Tuple[str, ...]]:
    """Number labels of any kind from 0, in sorted order.

    Args:
        labels: One label per node: numbers with gaps or below 0, or words. None, NaN, -100 and the words for a missing
            value stand for no label; -1 is a label here, because it may be a code like the others.

    Returns:
        Classes of shape [N], int64, with -100 for a missing one; and the names of the classes, for the arguments ``y``
        and ``class_names`` of :func:`gnnkit.data.from_edge_index`.

    Raises:
        DataError: Words and numbers are mixed.

    Example:
        >>> renumber_classes([90210, 10001, None, 90210])
        (tensor([   1,    0, -100,    1]), ('10001', '90210'))
    """
    listed = labels.tolist() if isinstance(labels, (Tensor, np.ndarray)) else list(labels)
    listed = [None if is_missing(label) or label == IGNORED_LABEL else label for label in listed]
    try:
        found = sorted({label for label in listed if label is not None})
    except TypeError as error:
        raise DataError("y", f"words and numbers are mixed among the labels ({error}).") from error
    number: Dict[Optional[Hashable], int] = {label: position for position, label in enumerate(found)}
    number[None] = IGNORED_LABEL
    return torch.tensor([number[label] for label in listed], dtype=torch.int64), tuple(map(_name, found))


def _name(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def is_missing(cell: Any, marks: Sequence[Any] = MISSING_TEXT) -> bool:
    """Whether a cell of a table holds no value: None, NaN, pandas' marks, or a word for it.

    Args:
        cell: Anything.
        marks: Words that stand for no value.
    """
    if isinstance(cell, str):
        return is_missing_text(cell, marks)
    if isinstance(cell, (float, np.floating)):
        return bool(np.isnan(cell))
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def encode_classes(
    labels: Sequence[Any], class_names: Sequence[str], marks: Sequence[Any] = MISSING_TEXT
) -> Tuple[Any, Tuple[str, ...]]:
    """Turn labels that are names into classes.

    Args:
        labels: One label per node; None, NaN, a word for a missing value, and -1 or -100 beside names stand for a
            missing one.
        class_names: Names in the order of their classes. Empty to number the names found in sorted order.
        marks: Words that stand for no value; a name of a class never does.

    Returns:
        Class of every node (-100 for a missing one) and the names of the classes; labels that are not names come back
        as they are, with NaN for a missing one.

    Raises:
        DataError: A label is not among the names, only some labels are names, or they name nodes, not classes.
    """
    words = [*marks, *map(str, MISSING_LABELS)] if marks else []
    names = set(class_names)
    cells: List[Any] = [
        None if is_missing(label, words) and not (isinstance(label, str) and label in names) else label
        for label in labels
    ]
    found = {label for label in cells if isinstance(label, str)}
    if not found:
        return [float("nan") if label is None else label for label in cells], tuple(class_names)
    ordered = tuple(class_names) or tuple(sorted(found))
    numbers: Dict[Any, int] = {name: number for number, name in enumerate(ordered)}
    unlabelled: Sequence[Any] = (None, *MISSING_LABELS) if marks else (None,)
    numbers.update(dict.fromkeys(unlabelled, IGNORED_LABEL))
    for row, label in enumerate(cells):
        if label not in numbers:
            raise DataError("y", f"label {label!r} is not one of the classes {', '.join(ordered)}.", row=row)
    classes = [numbers[label] for label in cells]
    if not class_names:
        check_classes(torch.tensor(classes))
    return classes, ordered
