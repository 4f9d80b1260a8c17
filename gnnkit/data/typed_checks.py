"""Checks of what has a type in a graph: the schema, the types of nodes and edges, and the arrays of each type.

Rules: a message names the type or the relation, the field and the first offending row.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.graph import Graph, expand_indptr
from gnnkit.data.typed import Relation, Schema, Typed
from gnnkit.data.typed_views import relation_arrays, type_nodes
from gnnkit.errors import DataError, UnknownNameError

MOST_TYPES = 32767
"""How many node types or relations a schema can have: types are int16."""

_CHUNK_EDGES = 1 << 22
_OF_TYPES = ("x", "y", "class_names", "splits", "node_data", "feature_names", "node_categories")
_OF_RELATIONS = ("edge_attr", "edge_data")


def check_typed(graph: Graph, *, most_values: Optional[int] = None) -> None:
    """Check everything that has a type in a graph whose structure was checked.

    Args:
        graph: The graph; one without types is fine.
        most_values: See :func:`gnnkit.data.check_graph`.

    Raises:
        DataError: The first rule that is broken, with field and row.
    """
    typed = graph.typed
    if typed is None:
        return
    check_schema(typed.schema)
    _check_type_numbers(typed.node_type, "node_type", graph.num_nodes, len(typed.schema.node_types), "nodes")
    _check_type_numbers(typed.edge_type, "edge_type", graph.num_edges, len(typed.schema.relations), "edges")
    _check_ends(graph, typed)
    labels = [str(relation) for relation in typed.schema.relations]
    for fields, what, known in (
        (_OF_TYPES, "node type", typed.schema.node_types),
        (_OF_RELATIONS, "relation", labels),
    ):
        for field in fields:
            check_known(getattr(typed, field), field, what, known)
    for node_type in typed.schema.node_types:
        with errors_of(node_type):
            _check_part(type_nodes(graph, node_type), most_values)
    for label in labels:
        with errors_of(label):
            _check_part(relation_arrays(graph, label), most_values)
    _check_reverses(graph, typed)


@contextmanager
def errors_of(owner: str) -> Iterator[None]:
    """Name a node type or a relation in the errors about data of a block."""
    try:
        yield
    except DataError as error:
        raise error.of(owner) from None


def check_known(values: Mapping[str, Any], field: str, what: str, known: Sequence[str]) -> None:
    """Check that the keys of a field name types that there are.

    Raises:
        DataError: One does not.
    """
    for name in values:
        if name not in known:
            raise DataError(field, str(UnknownNameError(what, str(name), known)))


def check_schema(schema: Schema) -> None:
    """Check names, ends and reverses of a schema.

    Raises:
        DataError: Two types or two relations have one name, a relation runs between types that there are not, or a
            reverse is none.

    Example:
        >>> check_schema(Schema(("paper", "paper"), ()))
        Traceback (most recent call last):
        gnnkit.errors.DataError: Bad data in schema: two node types are called 'paper'. Give each a name of its own.
    """
    for what, names in (("node types", schema.node_types), ("relations", schema.relations)):
        if len(names) > MOST_TYPES:
            raise DataError("schema", f"there are {len(names):,} {what}, expected {MOST_TYPES:,} at most.")
    for name in schema.node_types:
        _check_name("node type", name)
        if ":" in name:
            raise DataError("schema", f"node type {name!r} has a colon, which divides the names of a relation.")
    for relation in schema.relations:
        _check_name("relation", relation.name)
        for end in (relation.src, relation.dst):
            if end not in schema.node_types:
                problem = str(UnknownNameError("node type", end, schema.node_types))
                raise DataError("schema", f"relation {str(relation)!r} has an unknown end. {problem}")
    _check_once("node types", schema.node_types)
    _check_once("relations", [str(relation) for relation in schema.relations])
    for number, relation in enumerate(schema.relations):
        _check_reverse(schema, number, relation)


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or not name or name != name.strip():
        raise DataError("schema", f"a {what} is called {name!r}, expected text without outer blanks.")


def _check_once(what: str, names: Sequence[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise DataError("schema", f"two {what} are called {name!r}.", fix="Give each a name of its own.")
        seen.add(name)


def _check_reverse(schema: Schema, number: int, relation: Relation) -> None:
    if relation.reverse is None:
        return
    if not 0 <= relation.reverse < len(schema.relations):
        problem = f"the reverse of {str(relation)!r} is {relation.reverse}, expected 0 to {len(schema.relations) - 1}."
        raise DataError("schema", problem)
    other = schema.relations[relation.reverse]
    if (other.src, other.dst) != (relation.dst, relation.src):
        raise DataError("schema", f"{str(other)!r} cannot be the reverse of {str(relation)!r}, whose ends are others.")
    if other.reverse != number:
        raise DataError("schema", f"the reverse of {str(relation)!r} is {str(other)!r}, which has another reverse.")


def _check_type_numbers(types: Tensor, field: str, count: int, num_types: int, what: str) -> None:
    if not isinstance(types, Tensor) or types.dtype != torch.int16 or types.ndim != 1 or types.numel() != count:
        is_tensor = isinstance(types, Tensor)
        received = f"shape {list(types.shape)} and {types.dtype}" if is_tensor else type(types).__name__
        raise DataError(field, f"received {received}, expected int16 of shape [{count}], one for each of the {what}.")
    broken = (types < 0) | (types >= num_types)
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        expected = f"expected 0 to {num_types - 1}" if num_types else "but the schema has none"
        raise DataError(field, f"type {int(types[row])} is out of range, {expected}.", row=row)


def _check_ends(graph: Graph, typed: Typed) -> None:
    """Check that edges run between nodes of their relation's types."""
    schema = typed.schema
    for end, nodes in (("source", graph.indices), ("destination", graph.dst)):
        names = [relation.src if end == "source" else relation.dst for relation in schema.relations]
        wanted = torch.tensor([schema.node_type(name) for name in names], dtype=torch.int16)
        found = typed.node_type[nodes]
        wrong = found != wanted[typed.edge_type.long()]
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            relation = schema.relations[int(typed.edge_type[row])]
            problem = f"its {end}, node {int(nodes[row])}, is of type {schema.node_types[int(found[row])]!r}."
            raise DataError(f"edge_type of {str(relation)!r}", problem, row=row)


def _check_part(part: Graph, most_values: Optional[int]) -> None:
    from gnnkit.data.check import check_graph

    check_graph(part, most_values=most_values)


def _check_reverses(graph: Graph, typed: Typed) -> None:
    """Check that a relation and its reverse have the same edges, by sums of hashes; nothing is sorted."""
    relations = typed.schema.relations
    if not any(relation.reverse is not None for relation in relations):
        return
    forth, back = edge_hashes(graph)
    for number, relation in enumerate(relations):
        if relation.reverse is not None and forth[number] != back[relation.reverse]:
            other = relations[relation.reverse]
            raise reverse_error(graph, str(relation), str(other))


def edge_hashes(graph: Graph) -> Tuple[Any, Any]:
    """Sums of a hash over the edges of each relation, as they run and the other way round."""
    import numpy as np

    from gnnkit.data.fingerprint import hash_pairs

    assert graph.typed is not None
    count = len(graph.typed.schema.relations)
    forth, back = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    dst = expand_indptr(graph.indptr, graph.num_edges)
    for start in range(0, graph.num_edges, _CHUNK_EDGES):
        piece = slice(start, start + _CHUNK_EDGES)
        types = graph.typed.edge_type[piece].numpy()
        first = graph.indices[piece].numpy().astype(np.uint64)
        second = dst[piece].numpy().astype(np.uint64)
        np.add.at(forth, types, hash_pairs(first, second))
        np.add.at(back, types, hash_pairs(second, first))
    return forth, back


def reverse_error(graph: Graph, relation: str, other: str) -> DataError:
    """The error for a declared reverse that has other edges, with one of them."""
    from gnnkit.data.typed_views import relation_edges

    first, second = relation_edges(graph, relation), relation_edges(graph, other).flip(0)
    problem = f"{other!r} is declared the reverse of {relation!r}, but "
    if first.shape[1] != second.shape[1]:
        problem += f"they have {second.shape[1]:,} and {first.shape[1]:,} edges."
        return DataError("reverses", problem, fix="Leave it out, or see gnnkit.data.add_reverses.")
    order = [sorted(map(tuple, edges.T.tolist())) for edges in (first, second)]
    edge = next(mine for mine, theirs in zip(*order) if mine != theirs)
    problem += f"edge {edge[0]} -> {edge[1]} does not occur as often in the one as in the other."
    return DataError("reverses", problem, fix="Leave it out, or see gnnkit.data.add_reverses.")
