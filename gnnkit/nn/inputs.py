"""What a model reads of graphs and batches: features of the data, or embeddings of nodes that it learns.

Rules: a model reads features or learns embeddings, never both. An embedding belongs to one node of the data that the
model was trained on, so it means nothing on others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import torch

from gnnkit.data import Block, Graph, missing_array
from gnnkit.errors import ConfigError
from gnnkit.nn.spec import ModelSpec


def node_ids_as_features(graph: Graph) -> Graph:
    """The graph with the number of every node as its only feature, for a model that learns embeddings.

    Args:
        graph: N nodes, without features.

    Returns:
        The graph with ``x`` of shape [N, 1], int64.

    Example:
        >>> import gnnkit
        >>> node_ids_as_features(gnnkit.from_edge_index([[0], [1]], num_nodes=3)).x.tolist()
        [[0], [1], [2]]
    """
    return replace(graph, x=torch.arange(graph.num_nodes)[:, None])


def check_node_inputs(spec: ModelSpec, graph: Graph) -> None:
    """Refuse a graph whose nodes are not what a model reads.

    Args:
        spec: The model.
        graph: What it is to compute on, as loaded.

    Raises:
        DataError: It has no features, and the model reads them.
        ConfigError: Features have another width; or the model learns embeddings, and the graph has features or another
            number of nodes.
    """
    if spec.typed is not None:
        spec.typed.check(graph, spec.name)
        return
    if graph.typed is not None and graph.x is None:
        raise ConfigError(
            f"Graph {graph.name!r} has node types, which this model of {spec.name!r} does not know. Build the model "
            "for this graph."
        )
    if spec.num_embeddings is None and graph.x is None:
        raise missing_array("x", f"this model of {spec.name!r}")
    if spec.num_embeddings is None and graph.num_features != spec.in_channels:
        raise ConfigError(
            f"The model takes {spec.in_channels} features, graph {graph.name!r} has {graph.num_features}. Build the "
            "model for this graph; for a trained one give the data that it was trained on, or data prepared in the "
            "same way."
        )
    if spec.num_embeddings is None:
        if tuple(spec.node_categories) != graph.node_categories:
            theirs, ours = (list(each) or "no categories" for each in (graph.node_categories, spec.node_categories))
            raise ConfigError(
                f"The model reads node_categories {ours}, graph {graph.name!r} has {theirs}. Build the model for this "
                "graph; for a trained one give data with the categories that it was trained on."
            )
        return
    check_without_features(graph)
    if graph.num_nodes != spec.num_embeddings:
        raise ConfigError(
            f"The model has embeddings of {spec.num_embeddings:,} nodes, graph {graph.name!r} has "
            f"{graph.num_nodes:,}. Embeddings belong to the nodes of the data that the model was trained on: give "
            "those data. For other nodes, train a model on features."
        )


def check_without_features(graph: Graph) -> None:
    """Refuse features that a model with embeddings would not read.

    Raises:
        ConfigError: The graph has some.
    """
    if graph.x is not None:
        raise ConfigError(
            f"The model has an embedding of every node in place of features, but graph {graph.name!r} has "
            f"{graph.num_features} features, which it would not read. Leave out embedding_channels to read them, or "
            "give the graph without features: dataclasses.replace(graph, x=None, feature_names=())."
        )


def edge_width(graph: Graph) -> Optional[int]:
    """How many edge features a model reads of a graph: one for each category, where they are categories."""
    if graph.edge_attr is None:
        return None
    return sum(graph.edge_categories) or int(graph.edge_attr.shape[1])


def check_edge_features(spec: ModelSpec, graph: Graph) -> None:
    """Refuse a graph whose edges have not the features that a model reads.

    Args:
        spec: The model.
        graph: What it is to compute on.

    Raises:
        ConfigError: They have others, or none.
    """
    found = edge_width(graph)
    if spec.edge_channels is not None and found != spec.edge_channels:
        has = "no edge_attr" if found is None else f"edge_attr with {found}"
        raise ConfigError(
            f"The model reads {spec.edge_channels} features of every edge, the graph has {has}. Give a graph that has "
            "them, or build the model for this graph."
        )


def check_edge_attr(spec: ModelSpec, block: Block) -> None:
    """Refuse a block without edge features for a model that reads them.

    Raises:
        ConfigError: It has none.
    """
    if spec.reads_edges and block.edge_attr is None:
        raise ConfigError(
            f"The model reads {spec.edge_channels} edge features, and the block has none (edge_attr). Give a "
            "graph that has them; by hand, full_block(graph, edge_features=True)."
        )


def check_graphs(spec: ModelSpec, graphs: Optional[Block]) -> None:
    """Refuse a batch of graphs for a model of nodes, and the other way round.

    Args:
        spec: The model.
        graphs: ``Batch.graphs``.

    Raises:
        ConfigError: They do not fit.
    """
    if spec.pooling == "none" and graphs is not None:
        raise ConfigError(
            "The model gives outputs of nodes, and the batch asks for those of whole graphs. Give pooling "
            "('sum', 'mean', 'max' or 'attention') when the model is built."
        )
    if spec.pooling != "none" and graphs is None:
        raise ConfigError(
            f"The model pools nodes to graphs (pooling is {spec.pooling!r}), and the batch has none. Train it for "
            "a task about graphs, or leave pooling out."
        )
