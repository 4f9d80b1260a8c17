"""Lists of ``Data`` as one ``Batch``, after a look at whether they are alike.

Rules: PyTorch Geometric's own ``Batch`` puts attributes together, by its rules. What it would drop, such as one that
only some of the graphs have, or turn into another type, is refused here, by the number of the graph.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Batch, Data

from gnnkit.data.lists import check_alike
from gnnkit.errors import DataError
from gnnkit_pyg.extras import Extras, merge_extras

_ALIKE = tuple(each.name for each in fields(Extras) if each.name not in ("name", "links", "num_nodes"))
_SPLITS = ("train_mask", "val_mask", "test_mask", "split")
_OWN = ("num_nodes", "gnnkit", "split")


@dataclass(frozen=True)
class Joined:
    """A list of ``Data`` as one.

    Attributes:
        batch: All of them.
        extras: What they have noted, if all have.
        kinds: Of what each attribute can be by its rows: "node", "edge", "graph".
        y_of_graphs: Whether ``y`` labels graphs; None if there is none.
    """

    batch: Any
    extras: Optional[Extras]
    kinds: Mapping[str, FrozenSet[str]]
    y_of_graphs: Optional[bool]


def join_data(several: Sequence[Any]) -> Joined:
    """Make one batch of a list.

    Args:
        several: ``Data``, each of one graph.

    Raises:
        DataError: The list is empty, has something else in it, or its graphs are not alike.
    """
    if not several:
        raise DataError("graph", "received an empty list, expected Data.")
    for number, data in enumerate(several):
        check_data(data)
        if isinstance(data, Batch):
            problem = f"item {number} of the list is a Batch, expected Data."
            raise DataError("graph", problem, fix="Join their graphs: gnnkit.data.join_graphs.")
    held: List[Dict[str, Any]] = [
        {name: each for name, each in data.to_dict().items() if each is not None} for data in several
    ]
    extras = merge_extras([values.get("gnnkit") for values in held])
    if extras is not None:
        check_alike([{name: getattr(values["gnnkit"], name) or None for name in _ALIKE} for values in held])
    splits = [name for name in _SPLITS if any(name in values for values in held)]
    several = [_completed(data, values, splits) for data, values in zip(several, held)]
    check_alike([_layout(data, values) for data, values in zip(several, held)])
    nodes = [int(data.num_nodes) for data in several]
    edges = [int(data.num_edges) for data in several]
    kinds = {
        name: _kinds([_rows(values[name]) for values in held], nodes, edges, [1] * len(held))
        for name in held[0]
        if name not in _OWN
    }
    of_graphs = _labels_graphs(held, nodes, kinds["y"], extras) if "y" in kinds else None
    try:
        batch = Batch.from_data_list(several, exclude_keys=["gnnkit"])
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise DataError("graph", f"these Data do not go into one batch: {type(error).__name__}: {error}") from error
    return Joined(batch, extras, kinds, of_graphs)


def check_data(obj: Any) -> None:
    """Refuse what is no ``Data``.

    Raises:
        DataError: It is none.
    """
    if not isinstance(obj, Data):
        problem = f"received {type(obj).__name__}, expected a Data, a Batch or a list of Data."
        fix = "Use to_homogeneous()." if hasattr(obj, "to_homogeneous") else ""
        raise DataError("graph", problem, fix=fix)


def fitting_kinds(
    values: Mapping[str, Any], num_nodes: int, num_edges: int, num_graphs: int
) -> Dict[str, FrozenSet[str]]:
    """Of what each attribute of one ``Data`` can be by its rows: "node", "edge", "graph".

    Args:
        values: Attributes by name.
        num_nodes: Number of nodes.
        num_edges: Number of edges.
        num_graphs: Number of graphs.
    """
    return {name: _kinds([_rows(value)], [num_nodes], [num_edges], [num_graphs]) for name, value in values.items()}


def graph_ptr_of(values: Dict[str, Any]) -> Optional[Tensor]:
    """Take out where the nodes of each graph begin, [G + 1]; None if nothing says that there are several.

    Raises:
        DataError: The nodes of a graph lie apart.
    """
    batch: Optional[Tensor] = values.pop("batch", None)
    ptr: Optional[Tensor] = values.pop("ptr", None)
    if ptr is not None or batch is None:
        return ptr
    batch = batch.long()  # Differences of unsigned numbers are never below 0.
    falling = batch.diff() < 0
    if bool(falling.any()):
        row = int(falling.nonzero()[0]) + 1
        problem = "the nodes of a graph do not lie side by side."
        raise DataError("batch", problem, row=row, fix="Sort the nodes by graph.")
    sizes: Tensor = torch.bincount(batch)
    return functional.pad(sizes.cumsum(0), (1, 0))


def _kinds(rows: List[Optional[int]], nodes: List[int], edges: List[int], graphs: List[int]) -> FrozenSet[str]:
    return frozenset(kind for kind, counts in (("node", nodes), ("edge", edges), ("graph", graphs)) if rows == counts)


def _rows(value: Any) -> Optional[int]:
    """Rows of an array; one number is one row; None for what is no array."""
    if isinstance(value, Tensor):
        return int(value.shape[0]) if value.ndim else 1
    return 1 if isinstance(value, (int, float)) else None


def _layout(data: Any, values: Mapping[str, Any]) -> Dict[str, Any]:
    """What the graphs of a list must agree in, by attribute."""
    return {name: _described(data, name, value) for name, value in values.items() if name not in _OWN}


def _described(data: Any, name: str, value: Any) -> str:
    if not isinstance(value, Tensor):
        return "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
    if value.layout != torch.strided or not value.ndim:
        return f"{str(value.dtype)[6:]}, {'one number' if not value.ndim else 'sparse'}"
    sizes: List[Any] = list(value.shape)
    sizes[data.__cat_dim__(name, value) or 0] = "n"
    return f"{str(value.dtype)[6:]} of shape [{', '.join(map(str, sizes))}]"


def _labels_graphs(
    held: Sequence[Mapping[str, Any]], nodes: Sequence[int], kinds: FrozenSet[str], extras: Optional[Extras]
) -> bool:
    """Whether ``y`` is of graphs, which goes before nodes where it could be of both."""
    if kinds & {"node", "graph"}:
        of_nodes = "node" in kinds and ("graph" not in kinds or (extras is not None and not extras.y_of_graphs))
        return not of_nodes
    for number, (values, count) in enumerate(zip(held, nodes)):
        rows = _rows(values["y"])
        if rows not in (1, count):
            problem = f"graph {number} has {rows} rows and {count} nodes, expected one row, or one for each node."
            raise DataError("y", problem, fix="Several numbers of a graph are data.y of shape [1, T].")
    problem = "some graphs have one row, others one for each node."
    raise DataError("y", problem, fix="Give each graph one row, or each node.")


def _completed(data: Any, values: Dict[str, Any], splits: Sequence[str]) -> Any:
    """The graph with the splits that others have, none of whose members are in it: a Batch has what all have."""
    missing = [name for name in splits if name not in values]
    if not missing:
        return data
    changed = copy.copy(data)
    for name in missing:
        changed[name] = values[name] = "" if name == "split" else torch.zeros(int(data.num_nodes), dtype=torch.bool)
    return changed
