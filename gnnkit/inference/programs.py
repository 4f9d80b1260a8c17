"""Models as functions of tensors over a whole graph, or over many: what an exported program computes, and from what."""

from __future__ import annotations

from typing import Any, Dict, Optional, Union

import torch
from torch import Tensor, nn

from gnnkit.data import BatchLayout, Block, Graph, check_graph, from_edge_index
from gnnkit.data.batch import BlockLayout
from gnnkit.data.check import MOST_CHECKED as MOST_VALUES
from gnnkit.errors import ConfigError
from gnnkit.inference.pairs import pairs_of
from gnnkit.inference.typed_programs import TypedProgram, typed_inputs
from gnnkit.nn import GNN, ModelSpec, check_edge_features, check_node_inputs
from gnnkit.tasks import PairHead

Inputs = Dict[str, Any]
"""Tensors by name; for a typed graph, features by node type and edges by relation."""


class Program(nn.Module):
    """A model as a function of tensors over a whole graph."""

    def __init__(self, model: GNN) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_weight: Optional[Tensor] = None,
        edge_attr: Optional[Tensor] = None,
        graphs: Optional[Block] = None,
    ) -> Tensor:
        """Outputs of all nodes, [N, out_channels], or of graphs; edges may come in any order."""
        src, dst = edge_index[0], edge_index[1]
        num_nodes = x.shape[0]
        degrees = dst.new_zeros(num_nodes).index_add(0, dst, torch.ones_like(dst))
        indptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
        of_edges = {"indptr": indptr, "indices": src, "dst": dst, "edge_weight": edge_weight, "edge_attr": edge_attr}
        block = {name: tensor for name, tensor in of_edges.items() if tensor is not None}
        layout = BatchLayout((BlockLayout(num_nodes, tuple(block)),), (0,) * self.model.num_layers)
        batch = layout.unflatten((*block.values(), x))
        out: Tensor = self.model(batch.blocks, batch.x) if graphs is None else self.model(batch.blocks, batch.x, graphs)
        return out


class PairProgram(nn.Module):
    """A model and the head that scores pairs as one function of tensors over a whole graph."""

    def __init__(self, model: GNN, head: PairHead) -> None:
        super().__init__()
        self.encoder = Program(model)
        self.model = model
        self.head = head

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        pairs: Tensor,
        edge_weight: Optional[Tensor] = None,
        edge_attr: Optional[Tensor] = None,
    ) -> Tensor:
        """Outputs of pairs [n, 2], source first: [n, C]."""
        h = self.encoder(x, edge_index, edge_weight, edge_attr)
        return self.head.score(h[pairs[:, 0]], h[pairs[:, 1]])


class GraphProgram(nn.Module):
    """A model of graphs as a function of tensors over many of them."""

    def __init__(self, model: GNN) -> None:
        super().__init__()
        self.nodes = Program(model)
        self.model = model

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        graph_sizes: Tensor,
        edge_weight: Optional[Tensor] = None,
        edge_attr: Optional[Tensor] = None,
    ) -> Tensor:
        """Outputs of all graphs, [G, out_channels]; ``graph_sizes`` [G] says how many nodes each has."""
        num_nodes = x.shape[0]
        # Not offsets [G + 1]: of a dimension that is another one less one, a tracer cannot tell that it may be 1.
        ends = graph_sizes.cumsum(0)
        pointer = torch.cat([ends.new_zeros(1), ends])
        begins = pointer.new_zeros(num_nodes + 1).index_add(0, pointer, torch.ones_like(pointer))
        nodes = torch.arange(num_nodes, device=x.device)
        layout = BatchLayout((BlockLayout(num_nodes, ("indptr", "indices", "dst")),), (0,))
        graphs = layout.unflatten((pointer, nodes, begins.cumsum(0)[:-1] - 1, x)).blocks[0]
        out: Tensor = self.nodes(x, edge_index, edge_weight, edge_attr, graphs)
        return out


AnyProgram = Union[Program, PairProgram, GraphProgram, TypedProgram]


def make_program(model: GNN, head: Optional[PairHead] = None) -> AnyProgram:
    """The program of a model of nodes, of pairs with their head, or of graphs."""
    if model.spec.typed is not None:
        return TypedProgram(model)
    if head is not None:
        return PairProgram(model, head)
    return Program(model) if model.spec.pooling == "none" else GraphProgram(model)


def program_inputs(spec: ModelSpec, graph: Graph, pairs: Optional[Tensor] = None) -> Inputs:
    """What an exported program takes, for a graph as it is loaded.

    Args:
        spec: The model's.
        graph: Not prepared; N nodes, and E edges after preparation.
        pairs: For a program about pairs, those to score: node ids, source first. Shape [n, 2], int64.

    Returns:
        By name and in order: ``x`` [N, F]; ``edge_index`` [2, E], int64, sources and destinations;
        ``graph_sizes`` [G], int64, nodes of each graph, for a model of graphs; ``edge_weight`` [E], if the model reads
        weights; ``edge_attr`` [E, D], float32, if it reads edge features, categories as columns of zeros and ones; and
        ``pairs``, if some are given. For a typed graph two mappings: ``x`` by node type, each [N_t, F_t],
        or where the model has learnt embeddings the numbers of nodes within the type, [N_t], int64; and ``edge_index``
        by relation ("author:writes:paper"), each [2, E_r], int64, numbers within the types.

    Raises:
        ConfigError: The graph has no features, or no edge features where the model reads some; or there are no pairs in
            what is given.
        DataError: The graph breaks a rule, or pairs are of another shape or out of range.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> model = gnnkit.build_model("gcn", graph)
        >>> {name: tuple(value.shape) for name, value in program_inputs(model.spec, graph).items()}
        {'x': (34, 34), 'edge_index': (2, 190), 'edge_weight': (190,)}
    """
    check_graph(graph, most_values=MOST_VALUES)
    if spec.typed is not None:
        check_node_inputs(spec, graph)
        return typed_inputs(graph, torch.float32)
    if graph.x is None:
        raise ConfigError(f"Graph {graph.name!r} has no features, and the model reads them. Give x.")
    check_edge_features(spec, graph)
    inputs = prepared_inputs(spec, spec.prepare(graph), torch.float32)
    return inputs if pairs is None else {**inputs, "pairs": pairs_of(pairs, graph.num_nodes)}


def prepared_inputs(spec: ModelSpec, prepared: Graph, dtype: torch.dtype) -> Inputs:
    """What a program takes, for a prepared graph, with numbers of a type."""
    assert prepared.x is not None
    inputs = {
        "x": prepared.x if spec.node_categories else prepared.x.to(dtype),
        "edge_index": prepared.edge_index,
    }
    if spec.pooling != "none":
        pointer = prepared.graph_ptr
        inputs["graph_sizes"] = torch.tensor([prepared.num_nodes]) if pointer is None else pointer.diff()
    if prepared.edge_weight is not None and spec.reads_weights:
        inputs["edge_weight"] = prepared.edge_weight.to(dtype)
    if spec.reads_edges:
        assert prepared.edge_attr is not None
        inputs["edge_attr"] = prepared.edge_attr.to(dtype)
    return inputs


def random_graph(spec: ModelSpec, num_nodes: int, weighted: bool) -> Graph:
    """A prepared graph with hubs, repeated edges and, if there are no self-loops, nodes without neighbours.

    For a model of graphs these are several, of unequal size, one without nodes and one without edges.
    """
    draw = torch.Generator().manual_seed(num_nodes)
    ends = torch.randint(0, num_nodes - 3, (2, 4 * num_nodes), generator=draw)
    ends[1, :num_nodes] = 0
    pointer = None
    if spec.pooling != "none":
        pointer = torch.tensor([0, num_nodes // 2, num_nodes // 2, num_nodes - 3, num_nodes])
        home = torch.bucketize(ends, pointer[1:], right=True)
        ends = ends[:, home[0] == home[1]]
    columns = [torch.randint(0, size, (num_nodes,), generator=draw) for size in spec.node_categories]
    num_edges = ends.shape[1]
    graph = from_edge_index(
        ends,
        num_nodes,
        x=torch.stack(columns, dim=1) if columns else torch.randn(num_nodes, spec.in_channels, generator=draw),
        node_categories=spec.node_categories,
        edge_weight=torch.rand(num_edges, generator=draw) if weighted and not spec.gcn_norm else None,
        edge_attr=torch.randn(num_edges, spec.edge_channels, generator=draw) if spec.edge_channels else None,
        graph_ptr=pointer,
    )
    return spec.prepare(graph)


def tried_inputs(spec: ModelSpec, prepared: Graph, dtype: torch.dtype, head: Optional[PairHead]) -> Inputs:
    """Inputs to trace or compare with; for a head with pairs at random."""
    inputs = prepared_inputs(spec, prepared, dtype)
    if head is None:
        return inputs
    draw = torch.Generator().manual_seed(prepared.num_nodes)
    return {**inputs, "pairs": torch.randint(0, prepared.num_nodes, (2 * prepared.num_nodes, 2), generator=draw)}
