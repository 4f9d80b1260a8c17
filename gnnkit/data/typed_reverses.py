"""Reverse relations: edges in the other direction, under a name of their own, and declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Mapping, Tuple

import torch
from torch import Tensor

from gnnkit.data.build import sort_edges
from gnnkit.data.graph import Graph
from gnnkit.data.typed import Relation, Schema, Typed
from gnnkit.data.typed_checks import check_schema
from gnnkit.data.typed_views import expect_typed
from gnnkit.errors import DataError


def add_reverses(graph: Graph, *, prefix: str = "rev_") -> Graph:
    """Add to every relation without a reverse one with the same edges in the other direction, and declare it.

    Weights, features and other arrays of edges go along. Nothing is guessed: a relation that holds both directions of
    its edges gets a reverse, too, unless it is declared the reverse of itself.

    Args:
        graph: A typed graph.
        prefix: What the name of a reverse begins with.

    Returns:
        The graph with further relations at the end of its schema; the same graph if all have a reverse.

    Raises:
        DataError: The graph has no types, has a relation that is called as a new one would be, or has links with edges
            of their own for testing.

    Example:
        >>> from gnnkit.data import from_typed
        >>> graph = add_reverses(from_typed({"author:writes:paper": [[0, 1], [0, 0]]}))
        >>> [(str(relation), relation.reverse) for relation in graph.typed.schema.relations]
        [('author:writes:paper', 1), ('paper:rev_writes:author', 0)]
    """
    typed = expect_typed(graph)
    schema, origins = _completed(graph, prefix)
    if schema == typed.schema:
        return graph
    if graph.links is not None and graph.links.test_edges is not None:
        problem = "there are edges for testing, which have no reverses."
        raise DataError("links", problem, fix="Add reverses before the links.")
    labels = [str(relation) for relation in schema.relations]
    copied = {number: (typed.edge_type == origin).nonzero()[:, 0] for number, origin in origins.items()}
    everything = torch.arange(graph.num_edges)
    copies = torch.cat([everything[:0], *copied.values()])
    src, dst = torch.cat([graph.indices, graph.dst[copies]]), torch.cat([graph.dst, graph.indices[copies]])
    new_types = [torch.full((places.numel(),), number, dtype=torch.int16) for number, places in copied.items()]
    types = torch.cat([typed.edge_type, *new_types])
    taken = torch.cat([everything, copies])
    indptr, indices, order = sort_edges(src, dst, graph.num_nodes, types)
    if order is not None:
        types, taken = types[order], taken[order]
    ranks = _ranks(typed)
    rows = {number: ranks[taken[types == number]] for number in range(len(labels))}
    sources = {number: labels[origins.get(number, number)] for number in rows}
    edge_data: Dict[str, Mapping[str, Tensor]] = {}
    edge_attr: Dict[str, Tensor] = {}
    for number, label in enumerate(labels):
        source = sources[number]
        if source in typed.edge_attr:
            edge_attr[label] = typed.edge_attr[source][rows[number]]
        if source in typed.edge_data:
            edge_data[label] = {name: held[rows[number]] for name, held in typed.edge_data[source].items()}
    return replace(
        graph,
        indptr=indptr,
        indices=indices,
        edge_weight=None if graph.edge_weight is None else graph.edge_weight[taken],
        edge_attr=None if graph.edge_attr is None else graph.edge_attr[taken],
        edge_data={name: held[taken] for name, held in graph.edge_data.items()},
        typed=replace(typed, schema=schema, edge_type=types, edge_attr=edge_attr, edge_data=edge_data),
    )


def _completed(graph: Graph, prefix: str) -> Tuple[Schema, Dict[int, int]]:
    """The schema with a reverse for every relation, and from which relation each new one has its edges."""
    assert graph.typed is not None
    schema = graph.typed.schema
    relations: List[Relation] = list(schema.relations)
    origins: Dict[int, int] = {}
    for number, relation in enumerate(schema.relations):
        if relation.reverse is not None:
            continue
        origins[len(relations)] = number
        relations[number] = replace(relation, reverse=len(relations))
        relations.append(Relation(relation.dst, prefix + relation.name, relation.src, number))
    completed = Schema(schema.node_types, tuple(relations))
    check_schema(completed)
    return completed, origins


def _ranks(typed: Typed) -> Tensor:
    """Row of each edge among those of its relation. Shape [E], int64."""
    ranks = torch.empty(typed.edge_type.numel(), dtype=torch.int64)
    for number, count in enumerate(typed.num_edges.values()):
        ranks[typed.edge_type == number] = torch.arange(count)
    return ranks
