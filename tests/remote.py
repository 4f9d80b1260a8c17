"""A graph whose edges and features lie elsewhere, for tests: behind the interface there is a graph in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from gnnkit.data import PREPARATIONS, Graph, Neighbors, Remote, describe_data, prepare_graph, summarize


class InMemory(Neighbors):
    """Edges and features of a graph in memory; draws from a generator of its own, as servers do."""

    sampling = "by a generator of the tests"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.random = np.random.default_rng(0)

    def sample(self, nodes, fanout, *, replace):
        assert len(set(nodes.tolist())) == len(nodes)
        sources, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for node in nodes.tolist():
            found = self.graph.indices[self.graph.indptr[node] : self.graph.indptr[node + 1]].numpy()
            if fanout >= 0 and (len(found) > fanout or (replace and len(found))):
                found = self.random.choice(found, fanout, replace=replace)
            sources.append(found)
            ends.append(np.full(len(found), node))
        order = self.random.permutation(sum(map(len, sources)))
        return np.concatenate(sources)[order], np.concatenate(ends)[order]

    def features(self, nodes):
        return self.graph.x[nodes].float()

    def degrees(self, nodes):
        is_loop = self.graph.indices == self.graph.dst
        loops = torch.bincount(self.graph.indices[is_loop], minlength=self.graph.num_nodes)
        return (self.graph.in_degrees - loops).numpy()[nodes]


def as_remote(graph: Graph) -> Graph:
    """The same graph as one whose edges and features lie elsewhere."""
    descriptions = {
        each: describe_data(prepare_graph(graph, self_loops=each != "none", gcn_norm=each == "gcn_norm"))
        for each in PREPARATIONS
    }
    return replace(
        graph,
        indptr=torch.zeros(graph.num_nodes + 1, dtype=torch.int64),
        indices=torch.empty(0, dtype=torch.int64),
        x=None if graph.x is None else torch.zeros(1, graph.num_features).expand(graph.num_nodes, -1),
        remote=Remote(InMemory(graph), graph.num_edges, summarize(graph), descriptions),
    )
