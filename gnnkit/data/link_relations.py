"""Pairs of several relations of a typed graph."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

import torch
from torch import Tensor

from gnnkit.data.arrays import as_integers
from gnnkit.data.check import check_ids
from gnnkit.data.graph import Graph
from gnnkit.data.typed_checks import errors_of
from gnnkit.data.typed_views import expect_typed
from gnnkit.errors import DataError


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
