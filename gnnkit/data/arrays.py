"""Turning what users hold (lists, NumPy arrays, tensors) into the tensors of a ``Graph``.

Rules: memory is shared wherever the dtype allows it; what cannot be read as numbers is a ``DataError`` that names the
field. Labels of nodes have a module of their own. Lengths and values are left to ``check_graph``.
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, Mapping, Optional

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.check import check_ids
from gnnkit.errors import DataError

SPLIT_ALIASES = {"val": "valid", "validation": "valid"}


def as_tensor(value: Any, field: str) -> Tensor:
    """Read any array-like as a tensor in host memory, shared where possible.

    Args:
        value: A tensor, NumPy array (memory-mapped or not), list or tuple of numbers.
        field: Name of the field, for messages.

    Returns:
        A tensor of the same shape; unsigned integers that torch does not know become int64.

    Raises:
        DataError: The value is ragged, sparse or not numeric.
    """
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            raise DataError(field, f"received a {value.layout} tensor, expected a dense one.", fix="Use to_dense().")
        return value.detach().cpu().contiguous()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(field, f"rows have different lengths ({error}), expected a rectangular array.") from error
    if array.dtype.kind not in "biuf":
        received = f"{type(value).__name__} of dtype {array.dtype}"
        raise DataError(field, f"received a {received}, expected a dense array of numbers.", fix=_advice(value))
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)
    with warnings.catch_warnings():
        # Memory-mapped files are opened read-only; a graph's arrays are never written to.
        warnings.filterwarnings("ignore", message=".*not writ[e]?able.*")
        return torch.from_numpy(array)


def _advice(value: Any) -> str:
    return "Turn it into a dense array with .toarray()." if hasattr(value, "toarray") else ""


def as_floats(value: Any, field: str) -> Optional[Tensor]:
    """Read features or weights: floating point is kept; whole numbers, booleans and plain lists become float32."""
    if value is None:
        return None
    tensor = as_tensor(value, field)
    if tensor.is_complex():
        raise DataError(field, f"dtype is {tensor.dtype}, expected floating point.")
    # A plain list has no dtype to keep: Python's numbers being double says nothing about the data.
    is_typed = hasattr(value, "dtype") and tensor.is_floating_point()
    return tensor if is_typed else tensor.to(torch.float32)


def as_codes(value: Any, field: str) -> Optional[Tensor]:
    """Read categories as int64."""
    return None if value is None else as_integers(value, field)


def as_integers(value: Any, field: str) -> Tensor:
    """Read ids or offsets as int64; an empty list counts as whole numbers."""
    tensor = as_tensor(value, field)
    if tensor.numel() and (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool):
        raise DataError(field, f"dtype is {tensor.dtype}, expected integers.")
    return tensor.to(torch.int64).contiguous()


def as_graph_labels(value: Any) -> Optional[Tensor]:
    """Read graph labels: whole numbers and booleans as int64, several a graph as float32; floating point as it is."""
    if value is None:
        return None
    labels = as_tensor(value, "graph_y")
    if labels.is_floating_point():
        return labels
    if labels.ndim == 2 and labels.shape[1] != 1:
        return labels.to(torch.float32)
    return labels.to(torch.int64).reshape(-1) if labels.ndim == 2 else labels.to(torch.int64)


def as_splits(splits: Optional[Mapping[str, Any]], num: int, where: str = "splits") -> Dict[str, Tensor]:
    """Read splits given as ids or boolean masks into sorted ids; "val" and "validation" mean "valid".

    Args:
        splits: By name.
        num: Number of nodes; of graphs, where these are split.
        where: The field, for messages: "splits" of nodes, or "graph_splits".
    """
    item = "node" if where == "splits" else "graph"
    of_all = f"the graph has {num} nodes" if item == "node" else f"there are {num} graphs"
    read: Dict[str, Tensor] = {}
    for given, value in (splits or {}).items():
        name = SPLIT_ALIASES.get(given, given)
        if name in read:
            raise DataError(where, f"split {name!r} is given twice, once as {given!r}.")
        field = f"{where}[{given!r}]"
        ids = as_tensor(value, field)
        if ids.ndim != 1:
            shape = list(ids.shape)
            fix = "Pick one split, for example " + ("mask[:, 0]." if shape[:1] == [num] else "mask[0].")
            raise DataError(field, f"shape is {shape}, expected one dimension.", fix=fix)
        if ids.dtype == torch.bool:
            if ids.numel() != num:
                problem = f"the mask has {ids.numel()} entries but {of_all}."
                raise DataError(field, problem)
            read[name] = ids.nonzero()[:, 0]
        else:
            ids = as_integers(ids, field)
            # No list of so many ids has 0 and 1 alone, without repeats.
            if ids.numel() == num > 2 and bool(((ids == 0) | (ids == 1)).all()):
                problem = f"it has a 0 or 1 for each of the {num} {item}s, which is a mask, not a list of {item} ids."
                raise DataError(field, problem, fix="Turn it into booleans, for example mask == 1.")
            check_ids(ids, field, item, num)  # before sorting, so that the row is the caller's
            read[name] = ids.sort().values
    return read


def as_named(data: Optional[Mapping[str, Any]], field: str) -> Dict[str, Tensor]:
    """Read ``node_data`` or ``edge_data``; dtypes stay as they are."""
    return {str(name): as_tensor(value, f"{field}[{name!r}]") for name, value in (data or {}).items()}
