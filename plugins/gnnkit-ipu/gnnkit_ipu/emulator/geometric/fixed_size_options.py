"""The sizes of padded batches."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from gnnkit_ipu.emulator.errors import NotEmulatedError
from gnnkit_ipu.emulator.restrictions import refuse


class FixedSizeOptions:
    """Sizes of every padded batch.

    Args:
        num_nodes: Nodes, padding included. Numbers by type of node are not emulated.
        num_edges: Edges, padding included; None for ``num_nodes * (num_nodes - 1)``.
        num_graphs: Graphs, padding included; at least 2.
        node_pad_value: Value of padded node features; None for 0.
        edge_pad_value: Value of padded edge features; None for 0.
        graph_pad_value: Value of padded graph features; None for 0.
        pad_graph_defaults: Values of attributes that are no tensors, by name.

    Raises:
        RestrictionError: Fewer than two graphs.

    Example:
        >>> FixedSizeOptions(10).num_edges
        90
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
        if isinstance(num_nodes, dict) or isinstance(num_edges, dict):
            raise NotEmulatedError("FixedSizeOptions with numbers by type", "Take graphs of one type.")
        if num_graphs < 2:
            refuse(37, f"num_graphs is {num_graphs}", where="")
        self.num_nodes = num_nodes
        self.num_edges = num_edges or num_nodes * (num_nodes - 1)
        self.num_graphs = num_graphs
        self.node_pad_value = node_pad_value or 0.0
        self.edge_pad_value = edge_pad_value or 0.0
        self.graph_pad_value = graph_pad_value or 0.0
        self.pad_graph_defaults = dict(pad_graph_defaults or {})

    def __repr__(self) -> str:
        sizes = f"num_nodes={self.num_nodes}, num_edges={self.num_edges}, num_graphs={self.num_graphs}"
        return f"FixedSizeOptions({sizes}; one of each at least is padding)"

    def is_hetero(self) -> bool:
        """Whether sizes are given by type: they are not."""
        return False

    def to_hetero(self, node_types: List[Any], edge_types: List[Any]) -> FixedSizeOptions:
        """Give sizes by type: not emulated."""
        raise NotEmulatedError("FixedSizeOptions.to_hetero", "Take graphs of one type.")

    @property
    def total_num_nodes(self) -> int:
        """Nodes of all types."""
        return self.num_nodes

    @property
    def total_num_edges(self) -> int:
        """Edges of all types."""
        return self.num_edges

    @classmethod
    def from_dataset(
        cls, dataset: Any, batch_size: int, sample_limit: Optional[int] = None, progress_bar: Optional[bool] = None
    ) -> FixedSizeOptions:
        """Sizes that hold any ``batch_size - 1`` graphs of a data set, and one node and edge of padding.

        Args:
            dataset: Graphs by number.
            batch_size: Graphs of a batch, padding included.
            sample_limit: Without effect.
            progress_bar: Without effect.
        """
        if batch_size < 2:
            refuse(37, f"batch_size is {batch_size}", where="")
        graphs = [dataset[i] for i in range(len(dataset))]
        nodes, edges = (max(getattr(graph, name) for graph in graphs) for name in ("num_nodes", "num_edges"))
        return cls(nodes * (batch_size - 1) + 1, edges * (batch_size - 1) + 1, batch_size)

    @classmethod
    def from_loader(cls, loader: Any, sample_limit: int = 1000) -> FixedSizeOptions:
        """Sizes that hold the largest of the batches that a loader gives, and one of each of padding.

        Args:
            loader: Gives batches, or single graphs; gone through again until there are enough.
            sample_limit: Batches to look at.
        """
        largest, seen = (0, 0, 1), 0
        while seen < sample_limit:
            for batch in loader:
                sizes = (batch.num_nodes, batch.num_edges, getattr(batch, "num_graphs", 1))
                largest = tuple(map(max, largest, sizes))
                seen += 1
                if seen == sample_limit:
                    break
        return cls(largest[0] + 1, largest[1] + 1, largest[2] + 1)
