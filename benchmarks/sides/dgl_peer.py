"""DGL's loops, written from its documentation: the tutorial on large graphs, the same loader alone, a full-batch GCN.

The tutorial is "Training GNN with Neighbor Sampling for Node Classification" of DGL's documentation: NeighborSampler
and DataLoader of ``dgl.dataloading`` without worker processes, ``SAGEConv`` with "mean", Adam. DGL numbers fan-outs
from the input layer.
"""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sides.base import COUNTED, Absent, Answer, TurnSide, initial_weights, widths
from gnnkit_dgl import import_dgl  # DGL 2.1 does not import by itself beside newer versions of torch.
from gnnkit_dgl.compat import has_cuda

dgl = import_dgl()
SAGEConv, GraphConv = dgl.nn.SAGEConv, dgl.nn.GraphConv


class Sage(nn.Module):
    """Layers of ``dgl.nn.SAGEConv`` with ReLU between them."""

    def __init__(self, sizes: List[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SAGEConv(a, b, "mean") for a, b in zip(sizes, sizes[1:]))

    def forward(self, blocks: List[Any], h: Tensor) -> Tensor:
        """Outputs of the last block's destinations."""
        for i, (layer, block) in enumerate(zip(self.layers, blocks)):
            h = layer(block, (h, h[: block.num_dst_nodes()]))
            if i < len(self.layers) - 1:
                h = functional.relu(h)
        return h


class Gcn(nn.Module):
    """Layers of ``dgl.nn.GraphConv`` with ReLU and dropout."""

    def __init__(self, sizes: List[int], dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GraphConv(a, b) for a, b in zip(sizes, sizes[1:]))
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Any, h: Tensor) -> Tensor:
        """Outputs of all nodes."""
        for i, layer in enumerate(self.layers):
            h = functional.relu(h) if i else h
            h = layer(graph, self.dropout(h))
        return h


class _Sampled(TurnSide):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if self.work.device == "cuda" and not torch.cuda.is_available():
            raise Absent("no CUDA GPU")
        if self.work.device == "cuda" and not has_cuda(dgl):
            raise Absent("this DGL was built without CUDA")
        graph, work = self.graph, self.work
        dgl.seed(work.seed)
        torch.manual_seed(work.seed)  # Of the order.
        native = dgl.graph(("csc", (graph.indptr, graph.indices, torch.empty(0, dtype=torch.int64))))
        native.ndata["feat"] = graph.x
        native.ndata["label"] = graph.y
        sampler = dgl.dataloading.NeighborSampler(list(reversed(work.fanouts)))
        self.loader = dgl.dataloading.DataLoader(
            native,
            graph.splits["train"],
            sampler,
            device=work.device,
            batch_size=work.batch_size,
            shuffle=True,
            drop_last=False,
            num_workers=0,
        )

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        sizes: List[Tuple[int, int]] = []
        while len(sizes) < COUNTED:
            sizes += [(blocks[0].num_src_nodes(), sum(b.num_edges() for b in blocks)) for _, _, blocks in self.loader]
        return {"nodes": statistics.mean(s[0] for s in sizes), "edges": statistics.mean(s[1] for s in sizes)}


class TutorialSide(_Sampled):
    """The tutorial's training loop."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.model = Sage(widths(self.work, self.graph)).to(self.work.device)
        self.model.load_state_dict(sage_state(initial_weights(self.work, self.graph)))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.work.lr, weight_decay=self.work.weight_decay)

    def turn(self) -> Optional[float]:
        """One epoch of the tutorial."""
        losses = []
        self.model.train()
        for _, _, blocks in self.loader:
            inputs = blocks[0].srcdata["feat"]
            labels = blocks[-1].dstdata["label"]
            loss = functional.cross_entropy(self.model(blocks, inputs), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def weights(self) -> Dict[str, Tensor]:
        """As they are now."""
        return _canonical({name: value.cpu() for name, value in self.model.state_dict().items()})


class LoadingSide(_Sampled):
    """The tutorial's loader with the features and labels of every batch, without a model."""

    def turn(self) -> Optional[float]:
        """One epoch."""
        for _, _, blocks in self.loader:
            assert len(blocks[0].srcdata["feat"]) and len(blocks[-1].dstdata["label"])
        return None


class FullSide(TurnSide):
    """A full-batch GCN as DGL's introduction trains it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        graph, work = self.graph, self.work
        assert graph.x is not None and graph.y is not None
        native = dgl.graph((graph.indices, graph.dst), num_nodes=graph.num_nodes)
        self.native = dgl.add_self_loop(dgl.remove_self_loop(native)).to(work.device)
        self.x, self.y = graph.x.to(work.device), graph.y.to(work.device)
        self.train = graph.splits["train"].to(work.device)
        self.model = Gcn(widths(work, graph), work.dropout).to(work.device)
        self.model.load_state_dict(_gcn_state(initial_weights(work, graph)))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr, weight_decay=work.weight_decay)

    def turn(self) -> Optional[float]:
        """So many epochs."""
        losses = []
        for _ in range(self.work.batches):
            self.model.train()
            logits = self.model(self.native, self.x)
            loss = functional.cross_entropy(logits[self.train], self.y[self.train])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return statistics.mean(losses)


_SAGE = {"lin_self.weight": "fc_self.weight", "lin_neigh.weight": "fc_neigh.weight", "bias": "fc_self.bias"}


def sage_state(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """DGL's names for canonical ones: ``convs.0.bias`` is ``layers.0.fc_self.bias``."""
    parts = {name: name.split(".", 2) for name in weights}
    return {f"layers.{i}.{_SAGE[rest]}": weights[name] for name, (_, i, rest) in parts.items()}


def _canonical(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    names = {native: name for name, native in _SAGE.items()}
    parts = {name: name.split(".", 2) for name in state}
    return {f"convs.{i}.{names[rest]}": state[name] for name, (_, i, rest) in parts.items()}


def _gcn_state(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """DGL's GraphConv keeps its matrix as [in, out]."""
    state = {}
    for name, value in weights.items():
        layer, rest = name.split(".", 2)[1:]
        state[f"layers.{layer}.{'bias' if rest == 'bias' else 'weight'}"] = value if rest == "bias" else value.t()
    return state
