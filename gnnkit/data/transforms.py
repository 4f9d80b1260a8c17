"""Transforms: functions that take a ``Graph`` and return another one.

Rules: nothing is changed in place and unchanged arrays are shared; the edges of the result are sorted by (destination,
source) again and every edge array moves with them; random choices come from a seed alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.build import sort_edges
from gnnkit.data.graph import Graph, map_arrays
from gnnkit.data.typed_checks import errors_of
from gnnkit.data.typed_views import labelled_type, type_nodes
from gnnkit.errors import ConfigError, DataError

EDGE_FILLS = ("zeros", "mean")
"""What can be the edge features of new self-loops."""


def add_self_loops(graph: Graph, *, edge_fill: str = "zeros") -> Graph:
    """Add a self-loop to every node that has none (A + I).

    An existing self-loop stays as it is, with its own weight and features. New ones have weight 1 if the graph carries
    weights, and zeros in all other edge arrays but the edge features, for which there is a choice.

    Args:
        graph: The graph.
        edge_fill: Edge features of new self-loops: "zeros", or "mean" over the features of the node's incoming edges, 0
            where there are none, as PyTorch Geometric's attention layers have it by default.

    Returns:
        A graph in which every node has a self-loop; the same graph if that was so already.

    Raises:
        ConfigError: No such filling.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> add_self_loops(from_edge_index([[0, 1], [1, 1]])).edge_index.tolist()
        [[0, 0, 1], [0, 1, 1]]
    """
    _refuse_typed(graph, "a self-loop is of no relation", "A convolution has weights of its own for a node itself.")
    if edge_fill not in EDGE_FILLS:
        raise ConfigError(f"edge_fill is {edge_fill!r}, expected one of {', '.join(EDGE_FILLS)}.")
    has_loop = torch.zeros(graph.num_nodes, dtype=torch.bool)
    has_loop[graph.indices[graph.indices == graph.dst]] = True
    missing = (~has_loop).nonzero()[:, 0]
    if missing.numel() == 0:
        return graph

    def extend(tensor: Tensor, value: float) -> Tensor:
        return torch.cat([tensor, tensor.new_full((missing.numel(), *tensor.shape[1:]), value)])

    weight = None if graph.edge_weight is None else extend(graph.edge_weight, 1.0)
    longer = replace(map_arrays(graph, edges=lambda tensor: extend(tensor, 0)), edge_weight=weight)
    if edge_fill == "mean" and longer.edge_attr is not None:
        longer.edge_attr[graph.num_edges :] = _mean_in_edges(graph)[missing]
    return _sorted(longer, torch.cat([graph.indices, missing]), torch.cat([graph.dst, missing]))


def _mean_in_edges(graph: Graph) -> Tensor:
    """Mean features of every node's incoming edges, 0 without any. Shape [N, D], at least float32."""
    assert graph.edge_attr is not None
    rows = graph.edge_attr.to(torch.promote_types(graph.edge_attr.dtype, torch.float32))
    sums = rows.new_zeros(graph.num_nodes, rows.shape[1]).index_add_(0, graph.dst, rows)
    return sums / graph.in_degrees.clamp(min=1)[:, None]


def remove_self_loops(graph: Graph) -> Graph:
    """Remove every edge from a node to itself.

    Args:
        graph: The graph.

    Returns:
        A graph without self-loops.
    """
    graph = _on_test_edges(graph, remove_self_loops)
    keep = graph.indices != graph.dst
    return _sorted(map_arrays(graph, edges=lambda tensor: tensor[keep]), graph.indices[keep], graph.dst[keep])


def to_undirected(graph: Graph) -> Graph:
    """Add the reverse of every edge that has none.

    A reverse edge takes its weight and attributes from the edge that it reverses (the first of several between the
    same two nodes). No edge is doubled, and repeated edges that were there stay.

    Args:
        graph: The graph.

    Returns:
        A graph in which every edge has its reverse.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> to_undirected(from_edge_index([[0], [1]])).edge_index.tolist()
        [[1, 0], [0, 1]]
    """
    _refuse_typed(graph, "the reverse of an edge is of another relation", "Use gnnkit.data.add_reverses.")
    graph = _on_test_edges(graph, to_undirected)
    src, dst = graph.indices, graph.dst
    keys = dst * graph.num_nodes + src  # ascending, because the edges are sorted
    wanted = src * graph.num_nodes + dst
    place = torch.searchsorted(keys, wanted).clamp(max=max(0, graph.num_edges - 1))
    is_first = torch.ones_like(keys, dtype=torch.bool)
    is_first[1:] = keys[1:] != keys[:-1]
    lone = ((keys[place] != wanted) & is_first).nonzero()[:, 0]
    take = torch.cat([torch.arange(graph.num_edges), lone])
    both = map_arrays(graph, edges=lambda tensor: tensor[take])
    return _sorted(both, torch.cat([src, dst[lone]]), torch.cat([dst, src[lone]]))


def categories_as_columns(graph: Graph) -> Graph:
    """Turn the categories of edges into 0/1 columns, one for each category.

    A linear layer on them is what summed embeddings of the categories are.

    Args:
        graph: The graph.

    Returns:
        A graph whose edge features are numbers, float32; the same one if they are already.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> graph = from_edge_index([[0, 1], [1, 0]], edge_attr=[[2, 0], [0, 1]], edge_categories=[3, 2])
        >>> categories_as_columns(graph).edge_attr.tolist()
        [[1.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0, 0.0]]
    """
    if graph.edge_attr is None or not graph.edge_categories:
        return graph
    starts = torch.tensor([0, *graph.edge_categories[:-1]]).cumsum(0)
    columns = torch.zeros(graph.num_edges, sum(graph.edge_categories))
    columns.scatter_(1, graph.edge_attr + starts, 1.0)
    return replace(graph, edge_attr=columns, edge_categories=())


def gcn_norm(graph: Graph) -> Graph:
    """Set the edge weights to D^-1/2 A D^-1/2.

    A holds the edge weights as they are (1 without weights); the graph should have its self-loops already. D is the
    weighted in-degree of a node, on both sides, also in directed graphs, as in PyTorch Geometric. A node of degree 0
    or below gives 0. From Kipf and Welling 2017, "Semi-supervised classification with graph convolutional networks".

    Args:
        graph: The graph.

    Returns:
        The graph with ``edge_weight`` of shape [E]: float64 if the features or the weights are, else float32.
    """
    return replace(graph, edge_weight=_gcn_weights(graph, None))


def normalize_features(graph: Graph) -> Graph:
    """Divide every row of the features by its sum; rows whose sum is 0 stay as they are.

    From the preparation of the citation data in Kipf and Welling 2017.

    Args:
        graph: A graph with features; those of all types of a typed graph.

    Returns:
        The graph with new ``x`` of the same shape and dtype.

    Raises:
        DataError: The graph has no features.
    """
    if graph.typed is not None and graph.x is None:
        x = {
            name: rows if name in graph.typed.node_categories else _sum_to_one(rows)
            for name, rows in graph.typed.x.items()
        }
        return replace(graph, typed=replace(graph.typed, x=x))
    if graph.x is None:
        raise DataError("x", "the graph has no features to normalise.", fix="Give x when building the graph.")
    return replace(graph, x=_sum_to_one(graph.x))


def _sum_to_one(x: Tensor) -> Tensor:
    # Half precision overflows at sums above 65504.
    sums = x.sum(dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    sums[sums == 0] = 1
    return (x / sums).to(x.dtype)


def random_split(
    graph: Graph, train: float = 0.6, valid: float = 0.2, *, seed: int = 0, node_type: Optional[str] = None
) -> Graph:
    """Split the labelled nodes at random; what is left after ``train`` and ``valid`` is the test split.

    Args:
        graph: The graph. Nodes without a label (-100) enter no split; without labels all nodes are split.
        train: Share of the training nodes, above 0 and at most 1.
        valid: Share of the validation nodes. A split that is empty for a share of 0 is left out.
        seed: Seed of the permutation, at least 0. The same seed gives the same split on every machine.
        node_type: In a typed graph, whose nodes are split. None: those of the only type that has labels.

    Returns:
        The graph with new ``splits``, a typed one with new ``typed.splits`` of that type.

    Raises:
        ConfigError: The shares or the seed are out of range.
        DataError: There are too few labelled nodes to fill the splits, or it is not clear of which type.
    """
    if graph.typed is not None:
        node_type = labelled_type(graph) if node_type is None else node_type
        with errors_of(node_type):
            drawn = random_split(type_nodes(graph, node_type), train, valid, seed=seed).splits
        return replace(graph, typed=replace(graph.typed, splits={**graph.typed.splits, node_type: drawn}))
    if node_type is not None:
        raise DataError("node_type", f"it is {node_type!r}, but the graph has no types.", fix="Leave it out.")
    is_number = all(isinstance(share, (int, float)) for share in (train, valid))
    if not is_number or not (train > 0 and valid >= 0 and train + valid <= 1 + 1e-9):
        raise ConfigError(f"The split shares are {train!r} and {valid!r}, expected positive shares of sum 1 at most.")
    if seed < 0:
        raise ConfigError(f"The split seed is {seed}, expected at least 0.")
    nodes = _labelled_nodes(graph)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(nodes.numel())
    first = round(train * nodes.numel())
    second = min(first + round(valid * nodes.numel()), nodes.numel())
    parts = np.split(order, [first, second])
    shares = {"train": train, "valid": valid, "test": 1 - train - valid}
    splits = {}
    for (name, share), part in zip(shares.items(), parts):
        if part.size:
            splits[name] = nodes[torch.from_numpy(np.sort(part))]
        elif share > 1e-9:
            problem = f"{nodes.numel()} labelled nodes are too few to give {share:.0%} of them to {name!r}."
            raise DataError("splits", problem, fix="Change the shares or give the splits yourself.")
    return replace(graph, splits=splits)


def prepare_graph(
    graph: Graph,
    *,
    self_loops: bool,
    gcn_norm: bool,
    dtype: Optional[torch.dtype] = None,
    edge_fill: str = "zeros",
) -> Graph:
    """Give a graph what a convolution asks for (see ``Convolution`` in ``gnnkit.nn``).

    Args:
        graph: The graph as loaded.
        self_loops: Whether every node gets a self-loop.
        gcn_norm: Whether the edges get the symmetric normalisation of GCN as weights, after the self-loops.
        dtype: Of these weights, float32 or float64. None takes float64 where the features or the weights are.
        edge_fill: Edge features of new self-loops; see :func:`add_self_loops`.

    Returns:
        The prepared graph, edges sorted as ever.
    """
    if self_loops:
        graph = add_self_loops(graph, edge_fill=edge_fill)
    return replace(graph, edge_weight=_gcn_weights(graph, dtype)) if gcn_norm else graph


def _refuse_typed(graph: Graph, problem: str, fix: str) -> None:
    if graph.typed is not None:
        raise DataError("typed", f"{problem}, so this cannot be done to a typed graph.", fix=fix)


def _gcn_weights(graph: Graph, dtype: Optional[torch.dtype]) -> Tensor:
    _refuse_typed(graph, "degrees of a node differ by relation", "Take the mean over the edges of each relation.")
    if dtype is None:
        held = [tensor.dtype for tensor in (graph.x, graph.edge_weight) if tensor is not None]
        dtype = torch.float64 if torch.float64 in held else torch.float32
    if graph.edge_weight is None:
        degrees = graph.in_degrees.to(torch.float64)
    else:
        degrees = torch.zeros(graph.num_nodes, dtype=torch.float64)
        degrees.index_add_(0, graph.dst, graph.edge_weight.to(torch.float64))
    scale = torch.where(degrees > 0, degrees, torch.full_like(degrees, float("inf"))).rsqrt().to(dtype)
    weights = scale[graph.indices] * scale[graph.dst]
    return weights if graph.edge_weight is None else weights * graph.edge_weight.to(dtype)


def _labelled_nodes(graph: Graph) -> Tensor:
    labelled = graph.has_label
    return torch.arange(graph.num_nodes) if labelled is None else labelled.nonzero()[:, 0]


def _on_test_edges(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with its edges for testing changed, where it has such: they are to be like its own."""
    if graph.links is None or graph.links.test_edges is None:
        return graph
    return replace(graph, links=replace(graph.links, test_edges=change(graph.links.test_edges)))


def _sorted(graph: Graph, src: Tensor, dst: Tensor) -> Graph:
    """Give a graph new edges, which its edge arrays already belong to, and sort all of them."""
    relations = None if graph.typed is None else graph.typed.edge_type
    indptr, indices, order = sort_edges(src, dst, graph.num_nodes, relations)
    if order is not None:
        graph = map_arrays(graph, edges=lambda tensor: tensor[order])
    return replace(graph, indptr=indptr, indices=indices)
