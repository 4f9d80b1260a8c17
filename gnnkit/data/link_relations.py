"""Pairs of several relations: when two are the same, and which edges of a typed graph they are.

Rules: a pair of a relation and the reversed pair of its declared reverse are the same. A relation that is the reverse
of itself has undirected pairs.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.arrays import as_integers
from gnnkit.data.check import check_ids
from gnnkit.data.graph import Graph
from gnnkit.data.link_keys import edge_rows, keys_of, pair_keys
from gnnkit.data.links import Links
from gnnkit.data.typed import Schema
from gnnkit.data.typed_checks import errors_of
from gnnkit.data.typed_views import expect_typed
from gnnkit.errors import DataError


def check_relations(graph: Graph, links: Links) -> None:
    """Check the relations of pairs: one for each pair of each split, between nodes of the relation's types.

    Raises:
        DataError: The first rule that is broken, with split and row.
    """
    if graph.typed is not None and links.test_edges is not None:
        problem = "a typed graph has one set of edges that carry messages, but there are edges for testing."
        raise DataError("links.test_edges", problem, fix="Leave them out.")
    if not links.relations:
        return
    if graph.typed is None:
        raise DataError("links.relations", "pairs have relations, but the graph has no types.")
    if len(links.relations) < len(links.pairs):
        lacking = next(name for name in links.pairs if name not in links.relations)
        raise DataError("links.relations", f"there are none for {lacking!r}.", fix="Give them for all splits.")
    for split, relations in links.relations.items():
        _check_split(graph, split, links.pairs[split], relations)


def _check_split(graph: Graph, split: str, pairs: Tensor, relations: Tensor) -> None:
    assert graph.typed is not None
    field, schema = f"links.relations[{split!r}]", graph.typed.schema
    if not isinstance(relations, Tensor) or relations.dtype != torch.int64 or relations.shape != pairs.shape[:1]:
        is_tensor = isinstance(relations, Tensor)
        received = f"{relations.dtype} {list(relations.shape)}" if is_tensor else type(relations).__name__
        raise DataError(field, f"received {received}, expected int64 of shape [{len(pairs)}].")
    broken = (relations < 0) | (relations >= len(schema.relations))
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        problem = f"relation {int(relations[row])} is out of range, expected 0 to {len(schema.relations) - 1}."
        raise DataError(field, problem, row=row)
    types = torch.tensor([[schema.node_type(name) for name in (each.src, each.dst)] for each in schema.relations])
    wrong = (types[relations] != graph.typed.node_type[pairs]).any(dim=1)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        ends = [schema.node_types[int(graph.typed.node_type[node])] for node in pairs[row]]
        relation = str(schema.relations[int(relations[row])])
        problem = f"relation {relation!r} cannot join {ends[0]!r} and {ends[1]!r}."
        raise DataError(f"links.pairs[{split!r}]", problem, row=row)


def pairs_of_relations(graph: Graph, pairs: Mapping[str, Any]) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """Pairs by split, and the relation of each, from pairs by split and relation.

    Args:
        graph: A typed graph.
        pairs: For each split, pairs by relation. Each [n, 2], ids that count within their types.

    Raises:
        DataError: A split has no relations, or an id is out of its type's range.
        UnknownNameError: There is no such relation.
    """
    typed = expect_typed(graph)
    schema, nodes = typed.schema, {name: typed.nodes(name) for name in typed.schema.node_types}
    joined: Dict[str, Tensor] = {}
    relations: Dict[str, Tensor] = {}
    for split, held in pairs.items():
        field = f"links.pairs[{split!r}]"
        if not isinstance(held, Mapping):
            raise DataError(field, "pairs of other splits have relations, these have none.")
        parts, numbers = [torch.empty(0, 2, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
        for name, rows in held.items():
            relation = schema.relations[schema.relation(name)]
            with errors_of(str(relation)):
                ids = as_integers(rows, field)
                if ids.ndim != 2 or ids.shape[1] != 2:
                    raise DataError(field, f"shape is {list(ids.shape)}, expected [n, 2].")
                for end, what, home in zip(ids.T, ("source", "destination"), (relation.src, relation.dst)):
                    check_ids(end, field, what, len(nodes[home]))
            parts.append(torch.stack([nodes[relation.src][ids[:, 0]], nodes[relation.dst][ids[:, 1]]], dim=1))
            numbers.append(torch.full((len(ids),), schema.relation(name)))
        joined[split], relations[split] = torch.cat(parts), torch.cat(numbers)
    return joined, relations


def split_keys(graph: Graph, links: Links) -> Dict[str, np.ndarray]:
    """A number for each pair, by split: the same for what is the same pair, of the same relation or its reverse."""
    if not links.relations or graph.typed is None:
        return {split: keys_of(pairs, graph.num_nodes, links.undirected) for split, pairs in links.pairs.items()}
    schema = graph.typed.schema
    told: Dict[str, Tuple[np.ndarray, np.ndarray]] = {}
    for split, pairs in links.pairs.items():
        ends, relations = _one_way(pairs.numpy(), links.relations[split].numpy(), schema)
        told[split] = pair_keys(ends[:, 0], ends[:, 1], graph.num_nodes, links.undirected), relations
    places = np.unique(np.concatenate([keys for keys, _ in told.values()]), return_inverse=True)[1]
    numbers = np.split(places.reshape(-1), np.cumsum([len(keys) for keys, _ in told.values()])[:-1])
    count = len(schema.relations)
    return {split: part * count + relations for part, (split, (_, relations)) in zip(numbers, told.items())}


def _one_way(pairs: np.ndarray, relations: np.ndarray, schema: Schema) -> Tuple[np.ndarray, np.ndarray]:
    """Pairs and relations, where those of a relation and its reverse are told in one direction."""
    told = [(number, each.reverse) for number, each in enumerate(schema.relations)]
    reverse = np.array([number if other is None else other for number, other in told])
    is_own = np.array([number == other for number, other in told], dtype=bool)
    other = reverse[relations]
    is_turned = (other < relations) | (is_own[relations] & (pairs[:, 0] > pairs[:, 1]))
    return np.where(is_turned[:, None], pairs[:, ::-1], pairs), np.minimum(relations, other)


def typed_edge_rows(graph: Graph, pairs: np.ndarray, relations: Optional[np.ndarray]) -> np.ndarray:
    """Which edge each pair is, of its relation or in the other direction of the declared reverse.

    Args:
        graph: A typed graph.
        pairs: Sources and destinations. Shape [n, 2], int64.
        relations: Relation of each pair. Shape [n], int64. None: edges of all relations count.

    Returns:
        A row of ``graph.indices``, -1 without one. Shape [n], int64.
    """
    assert graph.typed is not None
    rows = np.full(len(pairs), -1, dtype=np.int64)
    for number, relation in enumerate(graph.typed.schema.relations):
        chosen = np.ones(len(pairs), dtype=bool) if relations is None else relations == number
        ways = [(number, False)]
        if relations is not None and relation.reverse is not None:
            ways.append((relation.reverse, True))
        for other, is_turned in ways if chosen.any() else []:
            ends = pairs[chosen][:, ::-1] if is_turned else pairs[chosen]
            found = _rows_in(graph, other, ends)
            rows[chosen] = np.where(rows[chosen] < 0, found, rows[chosen])
    return rows


def _rows_in(graph: Graph, relation: int, pairs: np.ndarray) -> np.ndarray:
    """Which edge of one relation each pair is."""
    assert graph.typed is not None
    kept = (graph.typed.edge_type == relation).nonzero()[:, 0]
    counts = torch.bincount(graph.dst[kept], minlength=graph.num_nodes)
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    edges = Graph(indptr=indptr, indices=graph.indices[kept])
    keys = pair_keys(pairs[:, 0], pairs[:, 1], graph.num_nodes, undirected=False)
    order = np.argsort(keys, kind="stable")
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = edge_rows(edges, keys[order]) if len(kept) else -1
    return np.where(places < 0, -1, kept.numpy()[places.clip(min=0)] if len(kept) else -1)
