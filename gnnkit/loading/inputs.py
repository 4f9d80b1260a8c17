"""Where the features of a batch's input nodes come from: one matrix, or a table for each node type.

Rules: a typed graph's nodes have features of their types, unless the graph has a matrix of its own, as in the later
layers of a layer-wise evaluation. Within a batch the rows of a type come in the order of the batch's nodes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Block, Graph, Inputs, Typed, TypedInputs, missing_array
from gnnkit.jit import fetch, kernel
from gnnkit.loading.gather import gathered, loaded_dtype
from gnnkit.loading.reducing import InputReduction, reduce_inputs, reduced_block
from gnnkit.loading.reducing_typed import TypedRows, reduce_typed_inputs, reduced_typed_block
from gnnkit.sampling import Buffers

NODES_AHEAD = 32
"""Nodes between the one that is asked for and the one that is read."""


class InputTable:
    """The features of all nodes of a graph.

    Args:
        graph: The graph.
        buffers: Where the memory of batches comes from.

    Raises:
        DataError: It has neither features nor types.
    """

    def __init__(self, graph: Graph, buffers: Buffers) -> None:
        self._source: Union[Tensor, Typed]
        if graph.x is not None:
            self._source = graph.x
        elif graph.typed is not None:
            self._source = graph.typed
            self._rows = np.ascontiguousarray(graph.typed.rows.numpy())
        else:
            raise missing_array("x", "a batch")
        self._buffers = buffers

    def rows(self, nodes: Tensor, types: Optional[Tensor]) -> Inputs:
        """The features of nodes, in memory that is used again.

        Args:
            nodes: Node ids. Shape [n], int64.
            types: Their types, as a block's ``src_type``; None where features are one matrix. Shape [n], int64.
        """
        if isinstance(self._source, Tensor):
            return gathered(self._source, nodes, self._buffers)
        found = self._sorted(nodes, types, self._source)
        tables: List[Tensor] = []
        for name, part in zip(self._source.schema.node_types, found.rows):
            x = self._source.x.get(name)
            tables.append(part[:, None] if x is None else gathered(x, part, self._buffers))
        return TypedInputs(tuple(tables), torch.from_numpy(found.place), is_permutation=True)

    def reduced_block(self, block: Block, reduction: InputReduction) -> Block:
        """The first block with its neighbours reduced.

        Args:
            block: As it was sampled.
            reduction: What to do.
        """
        if isinstance(self._source, Tensor):
            return reduced_block(block, reduction)
        return reduced_typed_block(block, self._source.schema)[0]

    def reduced(self, nodes: Tensor, block: Block, reduction: InputReduction) -> Tuple[Block, Inputs]:
        """The first block with its neighbours reduced, and the features of its sources.

        Args:
            nodes: Ids of the sources of the block as it was sampled. Shape [block.num_src], int64.
            block: That block.
            reduction: What to do.
        """
        if isinstance(self._source, Tensor):
            x = reduce_inputs(self._source, nodes, block, reduction, self._buffers)
            return reduced_block(block, reduction), x
        made, runs = reduced_typed_block(block, self._source.schema)
        sources = np.empty(block.num_edges, dtype=np.int64)
        _rows_of(self._rows, nodes.numpy(), runs.sources, sources)
        own = self._sorted(nodes[: block.num_dst], block.src_type, self._source)
        return made, reduce_typed_inputs(self._source, own, sources, runs, reduction.rounded, self._buffers)

    def _sorted(self, nodes: Tensor, types: Optional[Tensor], typed: Typed) -> TypedRows:
        assert types is not None, "blocks of a graph with types have them"
        kinds = types[: nodes.numel()].numpy()
        starts = np.zeros(len(typed.schema.node_types) + 1, dtype=np.int64)
        wanted, place = np.empty((2, nodes.numel()), dtype=np.int64)
        _by_type(kinds, self._rows, nodes.numpy(), starts, wanted, place)
        rows = torch.split(torch.from_numpy(wanted), np.diff(starts).tolist())
        return TypedRows(rows, place, starts[:-1], kinds)

    @property
    def everything(self) -> Inputs:
        """The features of all nodes, in the type in which they are loaded."""
        if isinstance(self._source, Tensor):
            return self._source.to(loaded_dtype(self._source.dtype))
        return whole_inputs(self._source)


def whole_inputs(typed: Typed) -> TypedInputs:
    """The features of all nodes of a typed graph, as one batch has them."""
    tables: List[Tensor] = []
    starts: List[int] = []
    total = 0
    for name, count in typed.num_nodes.items():
        x = typed.x.get(name)
        tables.append(torch.arange(count)[:, None] if x is None else x.to(loaded_dtype(x.dtype)))
        starts.append(total)
        total += count
    rows = typed.rows + torch.tensor(starts)[typed.node_type.long()]
    return TypedInputs(tuple(tables), rows, is_permutation=True)


def input_sizes(graph: Graph, nodes: Tensor) -> List[int]:
    """How many of some nodes are of each type; empty where features are one matrix.

    Args:
        graph: The graph.
        nodes: Node ids. Shape [n], int64.
    """
    if graph.x is not None or graph.typed is None:
        return []
    types = graph.typed.node_type[nodes].long()
    counts: List[int] = torch.bincount(types, minlength=len(graph.typed.schema.node_types)).tolist()
    return counts


def with_types(block: Block, graph: Graph, edges: Tensor, nodes: Tensor) -> Block:
    """A block with the types of its edges and sources, if the graph has any.

    Args:
        block: The block.
        graph: The graph.
        edges: Positions of the block's edges in it. Shape [E], int64.
        nodes: Ids of the block's sources. Shape [num_src], int64.
    """
    if graph.typed is None:
        return block
    edge_type, src_type = graph.typed.edge_type[edges].long(), graph.typed.node_type[nodes].long()
    return replace(block, edge_type=edge_type, src_type=src_type)


@kernel
def _by_type(kinds: Any, rows: Any, nodes: Any, starts: Any, wanted: Any, place: Any) -> None:
    """Sort nodes by their types.

    ``starts``: int64 zeros [types + 1], becomes where each type begins. ``wanted`` becomes the row of each sorted node
    in the table of its type, ``place`` where each node is among the sorted ones.
    """
    for kind in kinds:
        starts[kind + 1] += 1
    for each in range(1, len(starts)):
        starts[each] += starts[each - 1]
    at = starts[:-1].copy()
    for position in range(len(nodes)):
        if position + NODES_AHEAD < len(nodes):
            fetch(rows, nodes[position + NODES_AHEAD], 0)
        kind = kinds[position]
        wanted[at[kind]] = rows[nodes[position]]
        place[position] = at[kind]
        at[kind] += 1


@kernel
def _rows_of(rows: Any, nodes: Any, sources: Any, out: Any) -> None:
    """Write ``rows[nodes[sources]]``."""
    for edge in range(len(sources)):
        if edge + NODES_AHEAD < len(sources):
            fetch(rows, nodes[sources[edge + NODES_AHEAD]], 0)
        out[edge] = rows[nodes[sources[edge]]]
