"""Packing: graphs in the order of a sampler, each into the batch at hand or, if it does not fit, into the next one."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Optional

from torch.utils.data import RandomSampler, Sampler, SequentialSampler

from gnnkit_ipu.emulator.errors import BatchSizeError


class StreamPackingSampler(Sampler[List[int]]):
    """Numbers of the graphs of one batch after the other.

    A batch is left when a graph, or the padding of the places that stay free (a node and an edge for each), does not
    fit any more.

    Args:
        data_source: Graphs by number.
        max_num_graphs: Graphs of a batch.
        max_num_nodes: Nodes of a batch. None: so many of the largest graph.
        max_num_edges: Edges of a batch. None: so many of the largest graph.
        base_sampler: Order of the graphs. None: as they are.
        allow_skip_data: Whether a graph that fits in no batch is left out.

    Raises:
        BatchSizeError: While iterating: a graph fits in no batch.
    """

    def __init__(
        self,
        data_source: Any,
        max_num_graphs: int,
        max_num_nodes: Optional[int] = None,
        max_num_edges: Optional[int] = None,
        base_sampler: Optional[Iterable[int]] = None,
        allow_skip_data: Optional[bool] = False,
    ) -> None:
        self.data_source = data_source
        self.max_num_graphs = max_num_graphs
        graphs = range(len(data_source))
        self.max_num_nodes = max_num_nodes or max_num_graphs * max(data_source[i].num_nodes for i in graphs)
        self.max_num_edges = max_num_edges or max_num_graphs * max(data_source[i].num_edges for i in graphs)
        self.base_sampler = SequentialSampler(data_source) if base_sampler is None else base_sampler
        self.allow_skip_data = allow_skip_data

    def __iter__(self) -> Iterator[List[int]]:
        """Yield the numbers of each batch."""
        chosen: List[int] = []
        nodes = edges = 0
        for index in self.base_sampler:
            graph = self.data_source[index]
            if chosen and not self._fits(len(chosen) + 1, nodes + graph.num_nodes, edges + graph.num_edges):
                yield chosen
                chosen, nodes, edges = [], 0, 0
            if not self._fits(len(chosen) + 1, nodes + graph.num_nodes, edges + graph.num_edges):
                if self.allow_skip_data:
                    continue
                raise BatchSizeError(
                    f"Graph {index} has {graph.num_nodes} nodes and {graph.num_edges} edges and fits in no batch of "
                    f"{self.max_num_nodes} nodes, {self.max_num_edges} edges and {self.max_num_graphs} graphs, with a "
                    "node and an edge for each place that stays free."
                )
            chosen.append(index)
            nodes, edges = nodes + graph.num_nodes, edges + graph.num_edges
        if chosen:
            yield chosen

    def _fits(self, graphs: int, nodes: int, edges: int) -> bool:
        free = self.max_num_graphs - graphs
        return free >= 0 and self.max_num_nodes - nodes >= free and self.max_num_edges - edges >= free

    def __len__(self) -> int:
        """Number of batches.

        Raises:
            NotImplementedError: It depends on a random order.
        """
        if isinstance(self.base_sampler, RandomSampler):
            raise NotImplementedError("The number of packed batches depends on their random order.")
        return sum(1 for _ in self)
