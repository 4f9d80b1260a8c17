"""Building a typed graph from edges by relation, and taking it apart again.

Rules: nodes of the types follow one another in the schema's order, edges are sorted by (destination, relation, source),
stably, and every edge array moves with them. A builder ends in ``check_graph``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.arrays import as_codes, as_floats, as_integers, as_named, as_splits, as_tensor
from gnnkit.data.build import check_count, sort_edges
from gnnkit.data.check import check_finite, check_graph
from gnnkit.data.graph import Graph
from gnnkit.data.labels import as_labels
from gnnkit.data.notes import Notes
from gnnkit.data.typed import Relation, Schema, Typed
from gnnkit.data.typed_checks import check_known, errors_of
from gnnkit.data.typed_schema import parse_relation, schema_of
from gnnkit.data.typed_views import expect_typed
from gnnkit.errors import DataError

_ByType = Mapping[str, Any]
_ByRelation = Mapping[Any, Any]  # By RelationKey: a mapping by one kind of key is none by both kinds, to mypy.


def from_typed(
    edges: _ByRelation,
    *,
    num_nodes: Optional[Mapping[str, int]] = None,
    x: Optional[_ByType] = None,
    y: Optional[_ByType] = None,
    splits: Optional[Mapping[str, Mapping[str, Any]]] = None,
    node_data: Optional[Mapping[str, Mapping[str, Any]]] = None,
    edge_attr: Optional[_ByRelation] = None,
    edge_weight: Optional[_ByRelation] = None,
    edge_data: Optional[Mapping[Any, Mapping[str, Any]]] = None,
    reverses: Optional[Mapping[Any, Any]] = None,
    node_types: Sequence[str] = (),
    class_names: Optional[Mapping[str, Sequence[str]]] = None,
    feature_names: Optional[Mapping[str, Sequence[str]]] = None,
    node_categories: Optional[Mapping[str, Sequence[int]]] = None,
    name: str = "graph",
    metric: Optional[str] = None,
    notes: Optional[Notes] = None,
) -> Graph:
    """Build a typed graph from edges by relation.

    All arrays may be lists, NumPy arrays or tensors. N_t is the number of nodes of a type, E_r of edges of a relation.
    Repeated edges and self-loops are kept. Node ids count within their type, from 0; in the graph, the nodes of a type
    follow those of the types before it.

    Args:
        edges: Source row and destination row by relation, ``(src, name, dst)`` or ``"src:name:dst"``. Each [2, E_r],
            integers. A relation without edges is one of the graph, too.
        num_nodes: N_t by type. By default the rows of the type's ``x``, else of its ``y``, else the largest id plus one
            in the edges.
        x: Features by type. Each [N_t, F_t]. Types may have none, or others of another width.
        y: Labels by type. Each [N_t] or [N_t, C], read as :func:`gnnkit.from_edge_index` does.
        splits: For each type, node ids or masks by "train", "valid" and "test".
        node_data: For each type, further arrays by name.
        edge_attr: Edge features by relation. Each [E_r, D_r].
        edge_weight: Edge weights by relation. Each [E_r]. Relations without any get 1, if others have some.
        edge_data: For each relation, further arrays by name.
        reverses: By relation, the one that has the same edges in the other direction; saying it once is enough. A
            relation that holds both directions is the reverse of itself.
        node_types: The order of types. By default they stand as ``num_nodes``, ``edges`` and the arrays name them.
        class_names: Names of the classes by type.
        feature_names: Names of the columns of ``x`` by type.
        node_categories: For types whose ``x`` holds categories, codes from 0, how many each column has. A model adds up
            an embedding for each column.
        name: What messages and run folders call this graph.
        metric: "accuracy", "macro_f1" or "rocauc"; None lets the labels decide.
        notes: What the reader of the data noted.

    Returns:
        The graph. Its features, labels and splits are in ``Graph.typed``, by type.

    Raises:
        DataError: Something breaks a rule of :class:`gnnkit.data.Typed`; it names the type or relation, the field and
            the row.

    Example:
        >>> graph = from_typed(
        ...     {("author", "writes", "paper"): [[0, 1, 1], [0, 0, 1]], "paper:cites:paper": [[1], [0]]},
        ...     x={"paper": [[1.0], [2.0]]},
        ... )
        >>> graph.typed.num_nodes, graph.indices.tolist(), graph.typed.edge_type.tolist()
        ({'author': 2, 'paper': 2}, [0, 1, 3, 1], [0, 0, 1, 0])
    """
    ends = {key: _as_edges(value, key) for key, value in _by_relation(edges, "edges").items()}
    by_type = {"x": x, "y": y, "splits": splits, "node_data": node_data}
    by_type.update(class_names=class_names, feature_names=feature_names, node_categories=node_categories)
    categories = node_categories or {}
    schema = schema_of(list(ends), [node_types, num_nodes or {}, ends, *by_type.values()], reverses or {})
    types = schema.node_types
    labels = [str(relation) for relation in schema.relations]
    for field, values in (*by_type.items(), ("num_nodes", num_nodes)):
        check_known(values or {}, field, "node type", types)
    counts = _count_nodes(schema, list(ends.values()), num_nodes or {}, x or {}, y or {})
    fused = _Fused(schema, counts, list(ends.values()))
    read = _of_relations(edge_attr, "edge_attr", labels), _of_relations(edge_weight, "edge_weight", labels)
    more = _of_relations(edge_data, "edge_data", labels)
    graph = Graph(
        indptr=fused.indptr,
        indices=fused.indices,
        edge_weight=fused.weights(read[1]),
        name=name,
        metric=metric,
        notes=notes or Notes(),
        typed=Typed(
            schema=schema,
            node_type=fused.node_type,
            edge_type=fused.edge_type,
            x=_read_types(x, lambda key, value: as_codes(value, "x") if key in categories else as_floats(value, "x")),
            y=_read_types(y, lambda key, value: as_labels(value, named=bool((class_names or {}).get(key)))),
            splits=_read_types(splits, lambda key, value: as_splits(value, counts[key])),
            node_data=_read_types(node_data, lambda key, value: as_named(value, "node_data")),
            edge_attr={key: fused.arranged(key, as_floats, value, "edge_attr") for key, value in read[0].items()},
            edge_data={
                key: {
                    str(each): fused.arranged(key, as_tensor, rows, f"edge_data[{str(each)!r}]")
                    for each, rows in value.items()
                }
                for key, value in more.items()
            },
            class_names={key: tuple(map(str, names)) for key, names in (class_names or {}).items()},
            feature_names={key: tuple(map(str, names)) for key, names in (feature_names or {}).items()},
            node_categories={key: tuple(map(int, sizes)) for key, sizes in categories.items()},
        ),
    )
    check_graph(graph)
    return graph


def to_typed(graph: Graph) -> Dict[str, Any]:
    """Take a typed graph apart, into what :func:`from_typed` builds it from.

    Args:
        graph: The graph. Links, and which graph of several a node is of, have no place in the result.

    Returns:
        The arguments of :func:`from_typed` by name: arrays by type and relation, edges with ids that count within
        types, in the order of ``Graph.indices``.

    Raises:
        DataError: The graph has no types.

    Example:
        >>> graph = from_typed({"author:writes:paper": [[0, 1], [1, 0]]}, num_nodes={"author": 3})
        >>> parts = to_typed(graph)
        >>> parts["edges"]["author:writes:paper"].tolist(), parts["num_nodes"]
        ([[1, 0], [0, 1]], {'author': 3, 'paper': 2})
    """
    typed = expect_typed(graph)
    labels = [str(relation) for relation in typed.schema.relations]
    masks = {label: typed.edge_type == number for number, label in enumerate(labels)}
    ends = torch.stack([typed.rows[graph.indices], typed.rows[graph.dst]])
    nodes = {name: typed.node_type == number for number, name in enumerate(typed.schema.node_types)}
    node_data = {name: dict(typed.node_data.get(name, {})) for name in nodes}
    for key, rows in graph.node_data.items():
        for name, mask in nodes.items():
            node_data[name].setdefault(key, rows[mask])
    edge_data = {label: dict(typed.edge_data.get(label, {})) for label in labels}
    for key, rows in graph.edge_data.items():
        for label, mask in masks.items():
            edge_data[label].setdefault(key, rows[mask])
    weight = graph.edge_weight
    return {
        "edges": {label: ends[:, mask] for label, mask in masks.items()},
        "num_nodes": dict(typed.num_nodes),
        "x": dict(typed.x),
        "y": dict(typed.y),
        "splits": {name: dict(splits) for name, splits in typed.splits.items()},
        "node_data": {name: held for name, held in node_data.items() if held},
        "edge_attr": dict(typed.edge_attr),
        "edge_weight": {} if weight is None else {label: weight[mask] for label, mask in masks.items()},
        "edge_data": {label: held for label, held in edge_data.items() if held},
        "reverses": {
            label: labels[relation.reverse]
            for label, relation in zip(labels, typed.schema.relations)
            if relation.reverse is not None
        },
        "class_names": dict(typed.class_names),
        "feature_names": dict(typed.feature_names),
        "node_categories": dict(typed.node_categories),
        "name": graph.name,
        "metric": graph.metric,
        "notes": graph.notes,
    }


class _Fused:
    """The edges of all relations between nodes of all types."""

    def __init__(self, schema: Schema, counts: Mapping[str, int], edges: Sequence[Tensor]) -> None:
        sizes = torch.tensor([counts[name] for name in schema.node_types], dtype=torch.int64)
        starts = dict(zip(schema.node_types, (sizes.cumsum(0) - sizes).tolist()))
        numbers = torch.arange(len(schema.node_types), dtype=torch.int16)
        self.node_type = torch.repeat_interleave(numbers, sizes)
        self._labels = [str(relation) for relation in schema.relations]
        self._sizes = torch.tensor([each.shape[1] for each in edges], dtype=torch.int64)
        unsorted = torch.repeat_interleave(torch.arange(len(edges), dtype=torch.int16), self._sizes)
        none = torch.empty(2, 0, dtype=torch.int64)
        moved = [each + _shift(relation, starts) for relation, each in zip(schema.relations, edges)]
        src, dst = torch.cat([none, *moved], dim=1)
        self.indptr, self.indices, order = sort_edges(src, dst, int(sizes.sum()), unsorted)
        self._order = order
        self.edge_type = unsorted if order is None else unsorted[order]

    def weights(self, given: Mapping[str, Any]) -> Optional[Tensor]:
        """Weights of all edges, 1 for those of relations without any; None if no relation has any."""
        if not given:
            return None
        parts: List[Tensor] = []
        for label, size in zip(self._labels, self._sizes.tolist()):
            part = self._checked(label, as_floats, given[label], "edge_weight") if label in given else torch.ones(size)
            if part.ndim != 1:
                problem = f"shape is {list(part.shape)}, expected one dimension."
                raise DataError(f"edge_weight of {label!r}", problem)
            parts.append(part)
        dtypes = [part.dtype for label, part in zip(self._labels, parts) if label in given]
        dtype = dtypes[0]
        for each in dtypes[1:]:
            dtype = torch.promote_types(dtype, each)
        fused = torch.cat([part.to(dtype) for part in parts])
        return fused if self._order is None else fused[self._order]

    def arranged(self, label: str, read: Any, value: Any, field: str) -> Tensor:
        """An array of a relation's edges in the order that they have in the graph."""
        rows = self._checked(label, read, value, field)
        if self._order is None:
            return rows
        number = self._labels.index(label)
        start = int(self._sizes[:number].sum())
        return rows[self._order[self.edge_type == number] - start]

    def _checked(self, label: str, read: Any, value: Any, field: str) -> Tensor:
        with errors_of(label):
            rows: Tensor = read(value, field)
            size = int(self._sizes[self._labels.index(label)])
            if rows.ndim == 0 or rows.shape[0] != size:
                received = "no dimension" if rows.ndim == 0 else f"{rows.shape[0]} rows"
                raise DataError(field, f"it has {received}, but the relation has {size} edges.")
            if rows.is_floating_point() and not field.startswith("edge_data"):
                check_finite(rows, field)  # before sorting, so that the row is the caller's
        return rows


def _shift(relation: Relation, starts: Mapping[str, int]) -> Tensor:
    return torch.tensor([[starts[relation.src]], [starts[relation.dst]]])


def _by_relation(given: _ByRelation, field: str) -> Dict[Tuple[str, str, str], Any]:
    found: Dict[Tuple[str, str, str], Any] = {}
    for key, value in given.items():
        parts = parse_relation(key, field)
        if parts in found:
            raise DataError(field, f"relation {':'.join(parts)!r} is given twice.")
        found[parts] = value
    return found


def _as_edges(value: Any, key: Tuple[str, str, str]) -> Tensor:
    with errors_of(":".join(key)):
        edges = as_integers(value, "edges")
        if edges.ndim != 2 or edges.shape[0] != 2:
            is_transposed = edges.ndim == 2 and edges.shape[1] == 2
            fix = "Transpose it." if is_transposed else "Give one row of sources and one of destinations."
            raise DataError("edges", f"shape is {list(edges.shape)}, expected [2, E].", fix=fix)
    return edges


def _of_relations(given: Optional[_ByRelation], field: str, labels: Sequence[str]) -> Dict[str, Any]:
    """Arrays by ``str(relation)``, in the schema's order."""
    found = {":".join(key): value for key, value in _by_relation(given or {}, field).items()}
    check_known(found, field, "relation", labels)
    return {label: found[label] for label in labels if label in found}


def _read_types(given: Optional[_ByType], read: Any) -> Dict[str, Any]:
    found = {}
    for key, value in (given or {}).items():
        with errors_of(key):
            found[key] = read(key, value)
    return {key: value for key, value in found.items() if value is not None}


def _count_nodes(
    schema: Schema, edges: Sequence[Tensor], given: Mapping[str, int], x: _ByType, y: _ByType
) -> Dict[str, int]:
    """How many nodes each type has; every edge runs between nodes that there are."""
    most, named = dict.fromkeys(schema.node_types, -1), dict.fromkeys(schema.node_types, 0)
    for relation, ends in zip(schema.relations, edges):
        for name, ids in zip((relation.src, relation.dst), ends):
            if ids.numel():
                most[name] = max(most[name], int(ids.max()))
                named[name] += ids.numel()
    counts: Dict[str, int] = {}
    for name in schema.node_types:
        with errors_of(name):
            counts[name] = _count(name, given, x, y, most[name] + 1, named[name])
    for relation, ends in zip(schema.relations, edges):
        for end, name, ids in zip(("source", "destination"), (relation.src, relation.dst), ends):
            _check_ids(ids, relation, end, name, counts[name])
    return counts


def _count(name: str, given: Mapping[str, int], x: _ByType, y: _ByType, needed: int, num_ends: int) -> int:
    count = given.get(name)
    if count is not None:
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise DataError("num_nodes", f"it is {count!r}, expected a whole number of at least 0.")
        return int(count)
    for field, values in (("x", x), ("y", y)):
        if values.get(name) is not None:
            rows = as_tensor(values[name], field)
            return int(rows.shape[0]) if rows.ndim else 0
    check_count(needed, (num_ends + 1) // 2)
    return needed


def _check_ids(ids: Tensor, relation: Relation, end: str, name: str, count: int) -> None:
    broken = (ids < 0) | (ids >= count)
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        value = int(ids[row])
        expected = f"expected 0 to {count - 1} of type {name!r}" if count else f"but type {name!r} has no nodes"
        fix = "Ids of a type start at 0." if value == count else ""
        problem = f"{end} {value} is out of range, {expected}."
        raise DataError(f"edges of {str(relation)!r}", problem, row=row, fix=fix)
