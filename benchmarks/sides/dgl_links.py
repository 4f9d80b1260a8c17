"""DGL's loop for link prediction, written from chapter 6.3 of its user guide, "Training GNN for Link Prediction with
Neighborhood Sampling".

``as_edge_prediction_sampler`` around ``NeighborSampler``, without a batch's edges and their reverses, one negative for
each pair by the uniform sampler of destinations; scores are dot products by ``apply_edges``.
"""

from __future__ import annotations

import statistics
from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.sides.base import COUNTED, Absent, Answer, TurnSide, initial_weights, widths
from benchmarks.sides.dgl_peer import Sage, dgl, sage_state
from gnnkit import Graph


class LinkSide(TurnSide):
    """The guide's training loop."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        graph, work = self.graph, self.work
        if work.device != "cpu":
            raise Absent("this loop runs on the CPU")
        dgl.seed(work.seed)
        torch.manual_seed(work.seed)  # Of the order.
        native = dgl.graph(("csc", (graph.indptr, graph.indices, torch.empty(0, dtype=torch.int64))))
        native.ndata["feat"] = graph.x
        edges, reverses = edge_numbers(graph)
        sampler = dgl.dataloading.as_edge_prediction_sampler(
            dgl.dataloading.NeighborSampler(list(reversed(work.fanouts))),
            exclude="reverse_id",
            reverse_eids=reverses,
            negative_sampler=dgl.dataloading.negative_sampler.Uniform(1),
        )
        self.loader = dgl.dataloading.DataLoader(
            native,
            edges,
            sampler,
            device=work.device,
            batch_size=work.batch_size,
            shuffle=True,
            drop_last=False,
            num_workers=0,
        )
        self.model = Sage(widths(work, graph))
        self.model.load_state_dict(sage_state(initial_weights(work, graph)))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr, weight_decay=work.weight_decay)

    def turn(self) -> Optional[float]:
        """One epoch of the loop."""
        losses = []
        self.model.train()
        for _, positive, negative, blocks in self.loader:
            h = self.model(blocks, blocks[0].srcdata["feat"])
            scores = torch.cat([_scores(positive, h), _scores(negative, h)])
            labels = torch.cat([torch.ones(positive.num_edges()), torch.zeros(negative.num_edges())])
            loss = functional.binary_cross_entropy_with_logits(scores, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        sizes: List[Tuple[int, int]] = []
        while len(sizes) < COUNTED:
            sizes += [(blocks[0].num_src_nodes(), sum(b.num_edges() for b in blocks)) for *_, blocks in self.loader]
        return {"nodes": statistics.mean(s[0] for s in sizes), "edges": statistics.mean(s[1] for s in sizes)}


def _scores(pairs: Any, h: Tensor) -> Tensor:
    with pairs.local_scope():
        pairs.ndata["h"] = h
        pairs.apply_edges(dgl.function.u_dot_v("h", "h", "score"))
        scores: Tensor = pairs.edata["score"][:, 0]
        return scores


def edge_numbers(graph: Graph) -> Tuple[Tensor, Tensor]:
    """Numbers of the edges of the training pairs, and for every edge the number of its reverse.

    Args:
        graph: Undirected, no edge repeated; its edges are sorted by destination, then source.
    """
    assert graph.links is not None
    source, destination = graph.indices, graph.dst
    keys = destination * graph.num_nodes + source
    pairs = graph.links.pairs["train"]
    edges = torch.searchsorted(keys, pairs[:, 1] * graph.num_nodes + pairs[:, 0])
    return edges, torch.searchsorted(keys, source * graph.num_nodes + destination)
