"""Splits of the edges of typed graphs: the pairs of one relation, or the triples of all.

Rules: a pair goes to one split with all its edges, and with the same edges of the relation that is declared the reverse
of its own. Edges of other relations carry messages whatever is split. A self-loop is no pair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Dict, List, Mapping, Optional

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.graph import Graph, map_arrays
from gnnkit.data.link_keys import keys_of, pair_keys
from gnnkit.data.links import Links
from gnnkit.data.typed import Typed
from gnnkit.errors import ConfigError, DataError

_ROW = "row of the edge"
"""A column of ``edge_data`` that says where an edge of a relation stands among all."""


def split_relation(graph: Graph, relation: int, split: Callable[[Graph, bool], Graph]) -> Graph:
    """Split the pairs of one relation of a typed graph.

    Args:
        graph: The graph, without links.
        relation: Position of the relation.
        split: Splits a graph that has the edges of the relation alone; told whether pairs are undirected.

    Returns:
        The graph with ``links``, without the edges of pairs that are judged and without those of their reverse.

    Raises:
        DataError: There is nothing to split, or a column is missing; it names the relation.
    """
    typed = graph.typed
    assert typed is not None, "the caller has looked"
    kind = typed.schema.relations[relation]
    alone = _edges_of(graph, typed, relation)
    if not alone.num_edges:
        raise DataError("indices", f"relation {kind} has no edges, expected some to split.")
    try:
        done = split(alone, kind.reverse == relation)
    except DataError as error:
        raise error.of(str(kind)) from error
    found = done.links
    assert found is not None, "it was split"
    kept = torch.ones(graph.num_edges, dtype=torch.bool)
    kept[alone.edge_data[_ROW]] = False
    kept[done.edge_data[_ROW]] = True
    judged = [pairs for name, pairs in found.pairs.items() if name != "train"]
    if kind.reverse is not None and kind.reverse != relation and judged:
        back = _edges_of(graph, typed, kind.reverse)
        away = torch.cat(judged).flip(1).numpy()
        keys = [pair_keys(*ends, graph.num_nodes, False) for ends in ((back.indices.numpy(), back.dst.numpy()), away.T)]
        kept[back.edge_data[_ROW][torch.from_numpy(np.isin(*keys))]] = False
    relations = {name: torch.full((len(pairs),), relation) for name, pairs in found.pairs.items()}
    return replace(keep_edges(graph, kept), links=replace(found, relations=relations))


def split_triples(graph: Graph, part: Callable[[int, np.ndarray, np.ndarray], np.ndarray]) -> Graph:
    """Split the triples of all relations of a typed graph.

    Of two relations that are each other's reverse, the pairs are listed under the first.

    Args:
        graph: The graph, without links.
        part: From the number of pairs, the rows of all edges of pairs in the order of these, and where each pair begins
            there, to the number of the split of each pair.

    Returns:
        The graph with ``links``, without the edges of triples that are judged and without their reverses.

    Raises:
        DataError: There are no edges but self-loops.
    """
    typed = graph.typed
    assert typed is not None, "the caller has looked"
    edges = torch.stack([graph.indices, graph.dst], dim=1)
    rows = np.flatnonzero(graph.indices.numpy() != graph.dst.numpy())
    if not rows.size:
        raise DataError("indices", "all edges are self-loops, expected some between two nodes to split.")
    chosen = torch.from_numpy(rows)
    keys = keys_of(edges[chosen], graph.num_nodes, False, typed.edge_type[chosen].long(), typed.schema)
    order = np.argsort(keys, kind="stable")
    found, starts, number = np.unique(keys[order], return_index=True, return_inverse=True)
    parts = part(len(found), rows[order], starts)
    kept = torch.ones(graph.num_edges, dtype=torch.bool)
    kept[chosen[torch.from_numpy(order)]] = torch.from_numpy(parts[number.reshape(-1)] == 0)
    num_relations = len(typed.schema.relations)
    run, src = np.divmod(found, graph.num_nodes)
    dst, kinds = np.divmod(run, num_relations)
    pairs: Dict[str, Tensor] = {}
    relations: Dict[str, Tensor] = {}
    for place, name in enumerate(("train", "valid", "test")):
        members = np.flatnonzero(parts == place)
        if members.size:
            pairs[name] = torch.from_numpy(np.stack([src[members], dst[members]], axis=1))
            relations[name] = torch.from_numpy(kinds[members])
    return replace(keep_edges(graph, kept), links=Links(pairs, False, relations=relations))


def links_of_relation(links: Links, relation: int, undirected: bool) -> Links:
    """The pairs of one relation among links of several.

    Args:
        links: With relations.
        relation: Position of the relation.
        undirected: Whether it is its own reverse.

    Example:
        >>> pairs, relations = torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 1])
        >>> links_of_relation(Links({"train": pairs}, False, relations={"train": relations}), 1, False).pairs
        {'train': tensor([[1, 2]])}
    """
    mine = {name: of == relation for name, of in links.relations.items()}

    def taken(held: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        return {name: rows[mine[name]] for name, rows in held.items() if bool(mine[name].any())}

    return replace(
        links,
        pairs=taken(links.pairs),
        undirected=undirected,
        y=taken(links.y),
        negatives={},
        negative_destinations=taken(links.negative_destinations),
        relations=taken(links.relations),
    )


def keep_edges(graph: Graph, kept: Tensor) -> Graph:
    """The graph with some of its edges, and all that belongs to them.

    Args:
        graph: The graph.
        kept: Which. Shape [E], bool.
    """
    before = torch.zeros(graph.num_edges + 1, dtype=torch.int64)
    torch.cumsum(kept, 0, out=before[1:])
    indptr, indices = before[graph.indptr], graph.indices[kept]
    return replace(map_arrays(graph, edges=lambda rows: rows[kept]), indptr=indptr, indices=indices)


def _edges_of(graph: Graph, typed: Typed, relation: int) -> Graph:
    """The edges of a relation as a graph without types, with its columns and their rows among all edges."""
    mine = typed.edge_type == relation
    before = torch.zeros(graph.num_edges + 1, dtype=torch.int64)
    torch.cumsum(mine, 0, out=before[1:])
    columns = {name: rows[mine] for name, rows in graph.edge_data.items()}
    columns.update(typed.edge_data.get(str(typed.schema.relations[relation]), {}))
    columns[_ROW] = mine.nonzero()[:, 0]
    return Graph(before[graph.indptr], graph.indices[mine], edge_data=columns, name=graph.name)


def relation_of(graph: Graph, name: Optional[str], task: str) -> Optional[int]:
    """The relation whose pairs a task is about; None where the graph has no types.

    Args:
        graph: With or without types.
        name: What the user calls it. None: the only one that there is, not counting reverses.
        task: What messages call the task.

    Raises:
        DataError: There are no types, and a relation is named.
        UnknownNameError: There is no such relation.
        ConfigError: None is named, and there are several.
    """
    typed = graph.typed
    if typed is None:
        if name is not None:
            raise DataError("typed", f"the graph has no types, and relation {name!r} is asked for.")
        return None
    if name is not None:
        return typed.schema.relation(name)
    own = [i for i, each in enumerate(typed.schema.relations) if each.reverse is None or each.reverse >= i]
    if graph.links is not None and graph.links.relations:
        own = torch.cat(list(graph.links.relations.values())).unique().tolist()
    if len(own) != 1:
        names: List[str] = [str(typed.schema.relations[i]) for i in own]
        raise ConfigError(
            f"Task {task!r} is about the pairs of one relation, and there are {len(names)}: {', '.join(names)}. Name "
            f"one: task_options.relation={names[0] if names else 'NAME'}; or learn all with --task knowledge_graph."
        )
    return own[0]
