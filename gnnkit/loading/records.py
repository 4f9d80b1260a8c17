"""Records of many graphs: how large their graphs are, taking some of them, and bringing a record to a fixed size.

Rules: as in :mod:`gnnkit.loading.padding`, what is real comes first. The spare nodes and edges of a padded record
belong to one padding graph directly after the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence, Tuple, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Graph
from gnnkit.data.graph import map_arrays, offsets_of
from gnnkit.errors import ConfigError
from gnnkit.loading.padding import BatchSizes, PadSpec, pad_rows, real_mask

GraphSizes = Union[Graph, Sequence[Tuple[int, int]], NDArray[np.int64]]
"""Graphs whose sizes matter: a record that holds them, or a list of (nodes, edges)."""


def graph_sizes(graphs: GraphSizes) -> NDArray[np.int64]:
    """Nodes and edges of every graph. Shape [G, 2], int64.

    Raises:
        ConfigError: There are none, or what was given are no sizes.
    """
    if isinstance(graphs, Graph):
        pointer = graphs.graph_offsets
        return torch.stack([pointer.diff(), graphs.indptr[pointer].diff()], dim=1).numpy()
    sizes = np.asarray(graphs)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or not len(sizes) or sizes.dtype.kind not in "iu" or sizes.min() < 0:
        raise ConfigError("Sizes of graphs are a list of (nodes, edges), whole numbers from 0, of at least one graph.")
    return sizes.astype(np.int64)


def take_graphs(graph: Graph, graphs: Sequence[int]) -> Graph:
    """Some of the graphs in a record, as a record of their own, without splits, splits of graphs and links.

    Args:
        graph: A record of graphs.
        graphs: Numbers of the graphs to take, in the order wanted.

    Raises:
        ConfigError: None, or numbers of graphs that are not there.
    """
    if not len(graphs) or min(graphs) < 0 or max(graphs) >= graph.num_graphs:
        raise ConfigError(f"Got graphs {list(graphs)[:5]}; expected at least one from 0 to {graph.num_graphs - 1}.")
    pointer = graph.graph_offsets
    chosen = torch.as_tensor(graphs, dtype=torch.int64)
    starts, ends = pointer[chosen], pointer[chosen + 1]
    new_pointer = offsets_of(ends - starts)
    nodes = _ranges(starts, ends)
    edges = _ranges(graph.indptr[starts], graph.indptr[ends])
    shift = torch.repeat_interleave(new_pointer[:-1] - starts, graph.indptr[ends] - graph.indptr[starts])
    taken = map_arrays(
        graph, nodes=lambda rows: rows[nodes], edges=lambda rows: rows[edges], graphs=lambda rows: rows[chosen]
    )
    return replace(
        taken,
        typed=None if taken.typed is None else replace(taken.typed, splits={}),
        indptr=offsets_of(graph.in_degrees[nodes]),
        indices=graph.indices[edges] + shift,
        splits={},
        links=None,
        graph_ptr=new_pointer,
        graph_splits={},
        graph_names=tuple(graph.graph_names[int(each)] for each in chosen) if graph.graph_names else (),
    )


@dataclass(frozen=True, eq=False)
class PaddedGraphs:
    """A record of graphs brought to a fixed size.

    Attributes:
        graph: The record; real graphs come first, then one with all padding nodes and edges, then empty ones.
        node_mask: Which nodes are real. Shape [num_nodes], bool.
        edge_mask: Which edges are real. Shape [num_edges], bool.
        graph_mask: Which graphs are real. Shape [num_graphs], bool.
    """

    graph: Graph
    node_mask: Tensor
    edge_mask: Tensor
    graph_mask: Tensor


def pad_graphs(graph: Graph, spec: PadSpec) -> PaddedGraphs:
    """Bring a record of graphs to a fixed size, as jraph's ``pad_with_graphs`` does.

    Padding edges run from the last node to itself. Padding has features and weights 0 and labels -100. Splits are
    kept, names of graphs and links are left out.

    Args:
        graph: The record.
        spec: Sizes of one block, with ``num_graphs``, such as ``Packing.spec``.

    Raises:
        BatchOverflowError: The record does not fit with one spare of each.
        ConfigError: The sizes are not of one block, or say nothing of graphs.
    """
    if spec.num_graphs is None:
        raise ConfigError("To pad a record of graphs, the sizes need num_graphs.")
    spec.check(BatchSizes((graph.num_nodes,) * 2, (graph.num_edges,), num_graphs=graph.num_graphs))
    num_nodes, num_edges, num_graphs = spec.num_nodes[0], spec.num_edges[0], spec.num_graphs
    indptr = pad_rows(graph.indptr, num_nodes + 1, graph.num_edges)
    indptr[-1] = num_edges
    padded = replace(
        map_arrays(
            graph,
            nodes=lambda rows: pad_rows(rows, num_nodes, 0),
            edges=lambda rows: pad_rows(rows, num_edges, 0),
            graphs=lambda rows: pad_rows(rows, num_graphs, 0),
        ),
        links=None,
        graph_names=(),
        indptr=indptr,
        indices=pad_rows(graph.indices, num_edges, num_nodes - 1),
        y=None if graph.y is None else pad_rows(graph.y, num_nodes, IGNORED_LABEL),
        graph_ptr=pad_rows(graph.graph_offsets, num_graphs + 1, num_nodes),
        graph_y=None if graph.graph_y is None else pad_rows(graph.graph_y, num_graphs, IGNORED_LABEL),
    )
    return PaddedGraphs(
        padded,
        real_mask(graph.num_nodes, num_nodes),
        real_mask(graph.num_edges, num_edges),
        real_mask(graph.num_graphs, num_graphs),
    )


def _ranges(starts: Tensor, ends: Tensor) -> Tensor:
    """All numbers from each start up to its end, one range after the other."""
    counts = ends - starts
    shift = starts - offsets_of(counts)[:-1]
    return torch.arange(int(counts.sum())) + torch.repeat_interleave(shift, counts)
