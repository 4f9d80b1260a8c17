"""The part of PopTorch Geometric that scripts meet first: the sizes of padded batches."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .restrictions import refuse


class FixedSizeOptions:
    """Sizes of every padded batch.

    Args:
        num_nodes: Nodes, padding included.
        num_edges: Edges, padding included; None for ``num_nodes * (num_nodes - 1)``.
        num_graphs: Graphs, padding included; at least 2.
        node_pad_value: Value of padded node features; None for 0.
        edge_pad_value: Value of padded edge features; None for 0.
        graph_pad_value: Value of padded graph features; None for 0.
        pad_graph_defaults: Values by attribute name.

    Raises:
        RestrictionError: Fewer than two graphs.
    """

    def __init__(
        self,
        num_nodes: int,
        num_edges: Optional[int] = None,
        num_graphs: int = 2,
        node_pad_value: Optional[float] = None,
        edge_pad_value: Optional[float] = None,
        graph_pad_value: Optional[float] = None,
        pad_graph_defaults: Optional[Dict[str, Any]] = None,
    ) -> None:
        if num_graphs < 2:
            refuse(37, f"num_graphs is {num_graphs}", where="")
        self.num_nodes = num_nodes
        self.num_edges = num_nodes * (num_nodes - 1) if num_edges is None else num_edges
        self.num_graphs = num_graphs
        self.node_pad_value = node_pad_value or 0.0
        self.edge_pad_value = edge_pad_value or 0.0
        self.graph_pad_value = graph_pad_value or 0.0
        self.pad_graph_defaults = dict(pad_graph_defaults or {})
