"""The first layer's means of each relation, made while loading.

Rules: as in :mod:`gnnkit.loading.reducing`. A mean of features passes through the linear layer of their type, so a
mean stands for a node of that type. Means are sorted by (relation, destination), the order in which relational layers
multiply them; in the table of a type they follow the destinations' own features.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Block, Schema, Typed, TypedInputs
from gnnkit.loading.ahead import parts_ahead
from gnnkit.loading.gather import gather_rows
from gnnkit.loading.reducing import reduce_rows, reduced_dtype
from gnnkit.loading.runs import EdgeRuns, edge_runs
from gnnkit.sampling import Buffers


class TypedRows(NamedTuple):
    """Nodes sorted by type.

    Attributes:
        rows: For each type the rows of its nodes, in their order. Each int64.
        place: Where each node is among all of ``rows``. Shape [n], int64.
        starts: Where the nodes of each type begin there. Shape [types], int64.
        types: Type of each node. Shape [n], integer.
    """

    rows: Tuple[Tensor, ...]
    place: NDArray[np.int64]
    starts: NDArray[np.int64]
    types: NDArray[Any]


def reduced_typed_block(block: Block, schema: Schema) -> Tuple[Block, EdgeRuns]:
    """The block that stands in for ``block`` once its sources are reduced, and what they were reduced by.

    Args:
        block: A typed block, in host memory.
        schema: Its types.

    Returns:
        A block with the same destinations, and the runs of ``block``. Its sources are the destinations, then the runs;
        a destination has one in-edge from each run of its own.
    """
    assert block.edge_type is not None and block.src_type is not None, "the block is typed"
    runs = edge_runs(block, block.edge_type.numpy(), len(schema.relations))
    num, sizes = block.num_dst, np.diff(runs.ptr)
    relation = np.repeat(np.arange(len(sizes)), sizes)
    kinds = np.repeat([schema.node_type(each.src) for each in schema.relations], sizes).astype(np.int64)
    made = Block(
        torch.from_numpy(runs.dst_indptr),
        torch.from_numpy(runs.places + num),
        num + len(relation),
        edge_type=torch.from_numpy(relation[runs.places]),
        src_type=torch.cat([block.src_type[:num], torch.from_numpy(kinds)]),
        is_reduced=True,
    )
    return made, runs


def reduce_typed_inputs(
    typed: Typed, own: TypedRows, sources: NDArray[np.int64], runs: EdgeRuns, rounded: bool, buffers: Buffers
) -> TypedInputs:
    """Features of the sources of :func:`reduced_typed_block`.

    Args:
        typed: Types and features, in host memory, possibly memory-mapped.
        own: The destinations.
        sources: For each edge the row of its source among the nodes of its type, edges being sorted by run. Shape [E],
            int64.
        runs: The runs of the block as it was sampled.
        rounded: As :attr:`InputReduction.rounded`.
        buffers: Where the result is made.

    Returns:
        For each type the destinations' own features, then the means of the relations from it.
    """
    schema = typed.schema
    place = np.empty(len(own.place) + len(runs.dst), dtype=np.int64)
    starts: List[int] = []
    tables: List[Tensor] = []
    total = 0
    for name, rows in zip(schema.node_types, own.rows):
        x, num = typed.x[name], rows.numel()
        relations = [number for number, relation in enumerate(schema.relations) if relation.src == name]
        spans = [slice(int(runs.ptr[number]), int(runs.ptr[number + 1])) for number in relations]
        size = num + sum(span.stop - span.start for span in spans)
        table = buffers.empty((size, x.shape[1]), reduced_dtype(x.dtype, rounded))
        gather_rows(x, rows, table[:num])
        at = num
        for span in spans:
            after = at + span.stop - span.start
            _reduce_runs(x, sources, runs.indptr[span.start : span.stop + 1], table[at:after])
            place[len(own.place) + span.start : len(own.place) + span.stop] = np.arange(total + at, total + after)
            at = after
        starts.append(total)
        tables.append(table)
        total += size
    place[: len(own.place)] = own.place + (np.array(starts) - own.starts)[own.types]
    return TypedInputs(tuple(tables), torch.from_numpy(place), is_permutation=True)


def _reduce_runs(x: Tensor, sources: NDArray[np.int64], indptr: NDArray[np.int64], out: Tensor) -> None:
    """Write the mean of each run; ``indptr`` counts in ``sources``."""
    first, done = int(indptr[0]), 0
    for part in parts_ahead(x, torch.from_numpy(sources[first : int(indptr[-1])])):
        stop = int(np.searchsorted(indptr, first + part.stop, side="right")) - 1
        reduce_rows(x, None, indptr[done : stop + 1], sources, None, True, out[done:stop])
        done = stop
