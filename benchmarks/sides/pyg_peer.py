"""PyG's loops, written from its documentation: NeighborLoader with SAGEConv, and a full-batch GCN.

NeighborLoader samples one subgraph a batch, in which every node's neighbours are drawn once, and all layers run over
all of it: a batch holds other numbers of edges than one of blocks.
"""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Optional

import torch
import torch_geometric.typing as installed
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GCNConv, SAGEConv

from benchmarks.sides.base import Absent, Answer, TurnSide, initial_weights, widths


class Net(nn.Module):
    """Convolutions with ReLU and dropout between them."""

    def __init__(self, convs: List[nn.Module], dropout: float, input_dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.dropout = dropout
        self.input_dropout = input_dropout

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Outputs of all nodes."""
        for i, conv in enumerate(self.convs):
            x = functional.dropout(x, self.dropout if i else self.input_dropout, self.training)
            x = conv(x, edge_index)
            if i < len(self.convs) - 1:
                x = functional.relu(x)
        return x


class LoaderSide(TurnSide):
    """``NeighborLoader`` without worker processes, as in its documentation."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        graph, work = self.graph, self.work
        if not (installed.WITH_PYG_LIB or installed.WITH_TORCH_SPARSE):
            raise Absent("PyG's NeighborLoader needs pyg-lib or torch-sparse: run `make bench-peers`")
        if work.device == "cuda" and not torch.cuda.is_available():
            raise Absent("no CUDA GPU")
        self.loader = NeighborLoader(
            Data(x=graph.x, y=graph.y, edge_index=graph.edge_index),
            num_neighbors=list(work.fanouts),
            batch_size=work.batch_size,
            input_nodes=graph.splits["train"],
            shuffle=True,
        )
        sizes = widths(work, graph)
        self.model = Net([SAGEConv(a, b) for a, b in zip(sizes, sizes[1:])], work.dropout, 0.0)
        self.model.load_state_dict(_state(_SAGE, initial_weights(work, graph)))
        self.model.to(work.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr, weight_decay=work.weight_decay)

    def turn(self) -> Optional[float]:
        """One epoch."""
        losses = []
        self.model.train()
        for batch in self.loader:
            batch = batch.to(self.work.device)
            self.optimizer.zero_grad()
            out = self.model(batch.x, batch.edge_index)[: batch.batch_size]
            loss = functional.cross_entropy(out, batch.y[: batch.batch_size])
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def count(self) -> Answer:
        """Sizes of the batches of an epoch; every layer runs over all edges."""
        sizes = [(batch.num_nodes, batch.num_edges * self.work.layers) for batch in self.loader]
        return {"nodes": statistics.mean(s[0] for s in sizes), "edges": statistics.mean(s[1] for s in sizes)}

    def weights(self) -> Dict[str, Tensor]:
        """As they are now."""
        names = {native: name for name, native in _SAGE.items()}
        return {f"convs.{i}.{names[rest]}": value.cpu() for (_, i, rest), value in _split(self.model.state_dict())}


class FullSide(TurnSide):
    """A full-batch GCN as PyG's introduction trains it, with the normalised edges kept from epoch to epoch."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        graph, work = self.graph, self.work
        sizes = widths(work, graph)
        convs: List[nn.Module] = [GCNConv(a, b, cached=True) for a, b in zip(sizes, sizes[1:])]
        self.model = Net(convs, work.dropout, work.dropout)
        self.model.load_state_dict(_state(_GCN, initial_weights(work, graph)))
        self.model.to(work.device)
        self.data = Data(x=graph.x, y=graph.y, edge_index=graph.edge_index).to(work.device)
        self.train = graph.splits["train"].to(work.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr, weight_decay=work.weight_decay)

    def turn(self) -> Optional[float]:
        """So many epochs."""
        losses = []
        for _ in range(self.work.batches):
            self.model.train()
            self.optimizer.zero_grad()
            out = self.model(self.data.x, self.data.edge_index)
            loss = functional.cross_entropy(out[self.train], self.data.y[self.train])
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss))
        return statistics.mean(losses)


_SAGE = {"lin_self.weight": "lin_r.weight", "lin_neigh.weight": "lin_l.weight", "bias": "lin_l.bias"}
_GCN = {"lin.weight": "lin.weight", "bias": "bias"}


def _split(values: Dict[str, Tensor]) -> List[Any]:
    return [(name.split(".", 2), value) for name, value in values.items()]


def _state(names: Dict[str, str], weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """PyG's names for canonical ones: ``convs.0.bias`` is ``convs.0.lin_l.bias``."""
    return {f"convs.{i}.{names[rest]}": value for (_, i, rest), value in _split(weights)}
