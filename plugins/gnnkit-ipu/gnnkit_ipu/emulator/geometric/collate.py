"""From lists of graphs to batches of one size, and from the batches of a call to one."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gnnkit_ipu.emulator.errors import BatchSizeError, NotEmulatedError, PartialBatchError
from gnnkit_ipu.emulator.restrictions import refuse

from .fixed_size_options import FixedSizeOptions


class FixedSizeCollater:
    """Joins graphs to a batch and fills it with padding graphs, at its end.

    A padding edge is a self-loop of its graph's first node; features of padding are ``*_pad_value``, labels of nodes 0,
    masks False.

    Args:
        fixed_size_options: The sizes.
        add_masks_to_batch: Whether the batch says what is real: ``nodes_mask``, ``edges_mask``, ``graphs_mask``.
        trim_nodes: Whether random nodes are left out of a batch that is too large.
        trim_edges: The same of edges.
        follow_batch: See :class:`torch_geometric.data.Batch`.
        exclude_keys: Attributes that are left out.

    Raises:
        BatchSizeError: When called: graphs, nodes or edges do not fit.
        RestrictionError: When called: not one node and edge is left for the padding.
    """

    def __init__(
        self,
        fixed_size_options: FixedSizeOptions,
        add_masks_to_batch: Optional[bool] = False,
        trim_nodes: Optional[bool] = False,
        trim_edges: Optional[bool] = False,
        follow_batch: Optional[Sequence[str]] = None,
        exclude_keys: Optional[Sequence[str]] = None,
    ) -> None:
        self.opts = fixed_size_options
        self.add_masks_to_batch = add_masks_to_batch
        self.trim_nodes = trim_nodes
        self.trim_edges = trim_edges
        self.follow_batch = list(follow_batch or [])
        self.exclude_keys = list(exclude_keys or [])

    def __call__(self, data_list: List[Any]) -> Any:
        """The batch of some graphs; the list stays as it is."""
        if not isinstance(data_list[0], Data):
            raise NotEmulatedError(f"a batch of {type(data_list[0]).__name__}", "Take graphs of one type.")
        graphs = self._trimmed(list(data_list))
        real = {name: sum(getattr(graph, f"num_{name}") for graph in graphs) for name in ("nodes", "edges")}
        real["graphs"] = len(graphs)
        sizes = {name: getattr(self.opts, f"num_{name}") for name in real}
        for name, number in real.items():
            if number > sizes[name] - (name == "graphs"):
                room = "one of which is padding" if name == "graphs" else "padding included"
                raise BatchSizeError(f"A batch has {number} {name}, and its size is {sizes[name]}, {room}.")
        padding = self._padding(graphs, *(sizes[name] - real[name] for name in ("nodes", "edges", "graphs")))
        batch = Batch.from_data_list([*graphs, *padding], self.follow_batch, self.exclude_keys)
        if self.add_masks_to_batch:
            for name in ("graphs", "nodes", "edges"):
                setattr(batch, f"{name}_mask", torch.arange(sizes[name]) < real[name])
        return batch

    def _padding(self, graphs: List[Any], nodes: int, edges: int, number: int) -> List[Any]:
        shares = [_shares(nodes, number), _shares(edges, number)]
        if not nodes or any(edges and not nodes for nodes, edges in zip(*shares)):
            refuse(38, f"a batch leaves {nodes} nodes and {edges} edges for {number} padding graphs", where="")
        of_nodes = _labels_are_of_nodes(graphs)
        return [self._padding_graph(graphs[0], nodes, edges, of_nodes) for nodes, edges in zip(*shares)]

    def _padding_graph(self, like: Any, nodes: int, edges: int, labels_of_nodes: bool) -> Any:
        values: Dict[str, Any] = {}
        for key, value in like.to_dict().items():
            if key in self.exclude_keys or key == "num_nodes":
                continue
            if not isinstance(value, Tensor):
                values[key] = self.opts.pad_graph_defaults.get(key, value)
            elif key == "edge_index":
                values[key] = value.new_zeros(2, edges)
            elif key == "y" and not labels_of_nodes:
                values[key] = torch.full_like(value, self.opts.graph_pad_value)
            elif key == "y" or (value.dtype == torch.bool and like.is_node_attr(key)):
                values[key] = value.new_zeros(nodes, *value.shape[1:])
            elif like.is_node_attr(key):
                values[key] = value.new_full((nodes, *value.shape[1:]), self.opts.node_pad_value)
            elif like.is_edge_attr(key):
                values[key] = value.new_full((edges, *value.shape[1:]), self.opts.edge_pad_value)
            else:
                values[key] = torch.full_like(value, self.opts.graph_pad_value)
        return Data(**values, num_nodes=nodes)

    def _trimmed(self, graphs: List[Any]) -> List[Any]:
        excess = sum(graph.num_nodes for graph in graphs) - self.opts.num_nodes + 1
        if self.trim_nodes and excess > 0:
            kept = _drawn([graph.num_nodes for graph in graphs], excess)
            graphs = [graph.subgraph(mask) for graph, mask in zip(graphs, kept)]
        excess = sum(graph.num_edges for graph in graphs) - self.opts.num_edges + 1
        if self.trim_edges and excess > 0:
            kept = _drawn([graph.num_edges for graph in graphs], excess)
            graphs = [graph.edge_subgraph(mask) for graph, mask in zip(graphs, kept)]
        return graphs


class CombinedBatchingCollater:
    """Makes the batch of each step of a call, and joins their tensors along dimension 0, indices as they are.

    Args:
        collater: Makes a batch of a list of graphs.
        mini_batch_size: Graphs of a step. None: all that are given.

    Raises:
        PartialBatchError: When called: the graphs do not fill steps.
    """

    def __init__(self, collater: Callable[[List[Any]], Any], mini_batch_size: Optional[int] = None) -> None:
        self.collater = collater
        self.mini_batch_size = mini_batch_size

    def __call__(self, batch: List[Any]) -> Any:
        """The tensors of all steps, as one batch."""
        size = self.mini_batch_size or len(batch)
        if len(batch) % size:
            refuse(39, f"{len(batch)} graphs do not fill steps of {size}", where="", error=PartialBatchError)
        steps = [self.collater(batch[start : start + size]) for start in range(0, len(batch), size)]
        first = steps[0]
        names = sorted(key for key, value in first.to_dict().items() if isinstance(value, Tensor))
        joined = Batch(_base_cls=Data, **{name: torch.cat([step[name] for step in steps]) for name in names})
        joined._num_graphs = first.num_graphs
        joined.num_nodes = first.num_nodes
        return joined


def _shares(amount: int, parts: int) -> List[int]:
    """An amount in even parts, larger ones first."""
    return [amount // parts + (part < amount % parts) for part in range(parts)]


def _labels_are_of_nodes(graphs: List[Any]) -> bool:
    """Whether ``y`` has a row for each node instead of one for the graph."""
    if getattr(graphs[0], "y", None) is None:
        return False
    nodes = all(graph.y.shape[0] == graph.num_nodes for graph in graphs)
    ones = all(graph.y.shape[0] == 1 for graph in graphs)
    if nodes == ones:
        raise BatchSizeError("y has neither a row for each node nor one for each graph, expected one of them.")
    return nodes


def _drawn(sizes: List[int], excess: int) -> List[Tensor]:
    """Masks of what is kept: all but so many at random, and one at least of each graph."""
    kept, fixed = torch.ones(sum(sizes), dtype=torch.bool), torch.zeros(sum(sizes), dtype=torch.bool)
    for part in torch.split(fixed, sizes):
        if len(part):
            part[torch.randint(len(part), (1,))] = True
    free = (~fixed).nonzero().flatten()
    kept[free[torch.randperm(len(free))[:excess]]] = False
    return list(torch.split(kept, sizes))
