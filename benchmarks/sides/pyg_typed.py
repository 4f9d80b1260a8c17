"""PyG's loops over typed graphs, written from its documentation: ``HeteroConv``, ``RGCNConv`` and ``FastRGCNConv``.

PyG's own samplers of typed graphs need pyg-lib or torch-sparse, so all of these have batches of gnnkit's loader. Those
of ``HeteroConv`` are brought into its form, with their features, before the first turn: a turn is its model alone.
Each layer computes what its successor reads and no more, as with ``trim_to_layer``.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Tuple

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sides.typed import Inputs, Rgcn, TypedLayer, TypedPeer
from gnnkit.data import Batch

_SAGE = {"lin_self.weight": "lin_r.weight", "lin_neigh.weight": "lin_l.weight", "bias": "lin_l.bias"}


class Hetero(nn.Module):
    """Layers of ``HeteroConv`` around ``SAGEConv`` with ReLU between them."""

    def __init__(self, inputs: Inputs, sizes: List[int], relations: List[Any], aggr: str, learned: str) -> None:
        super().__init__()
        self.inputs = inputs
        self.learned = learned
        self.convs = nn.ModuleList(
            pyg.HeteroConv({relation: pyg.SAGEConv(a, b) for relation in relations}, aggr=aggr)
            for a, b in zip(sizes, sizes[1:])
        )

    def forward(self, tables: Mapping[str, Tensor], layers: List[TypedLayer]) -> Tensor:
        """Outputs of the last layer's destinations of the type that is learnt."""
        h = self.inputs(tables)
        for i, (conv, layer) in enumerate(zip(self.convs, layers)):
            ends = {key: (h[key[0]], h[key[2]][: layer.num_dst[key[2]]]) for key in layer.edges}
            h = conv(ends, layer.edges)
            h = {name: functional.relu(x) for name, x in h.items()} if i < len(self.convs) - 1 else h
        out: Tensor = h[self.learned]
        return out


class HeteroSide(TypedPeer):
    """Training with ``HeteroConv``, its batches made beforehand."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._made = list(super().batches())

    def make_model(self) -> nn.Module:
        """See :class:`TypedPeer`."""
        assert self.graph.typed is not None
        (learned,) = self.graph.typed.y
        inputs = Inputs(self.tables, self.work.hidden)
        return Hetero(inputs, self.widths(), self.relations, self.work.relational, learned)

    def state(self, weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """See :class:`TypedPeer`."""
        names = [f"<{'___'.join(relation)}>" for relation in self.relations]
        found = {}
        for name, value in weights.items():
            if name.startswith("convs."):
                _, layer, _, number, rest = name.split(".", 4)
                found[f"convs.{layer}.convs.{names[int(number)]}.{_SAGE[rest]}"] = value
        return found

    def convert(self, batch: Batch) -> Tuple[Any, ...]:
        """See :class:`TypedPeer`."""
        return self.named(batch.x.tables), [self.apart(block) for block in batch.blocks]

    def batches(self) -> Iterator[Tuple[Tuple[Any, ...], Tensor]]:
        """Those that were made."""
        yield from self._made


class RgcnSide(TypedPeer):
    """Training with ``RGCNConv`` or another layer of its form, on gnnkit's batches as they come, or the full graph.

    ``settings``: "layer", its name in ``torch_geometric.nn``.
    """

    def make_model(self) -> nn.Module:
        """See :class:`TypedPeer`."""
        make, sizes, bases = getattr(pyg, self.settings["layer"]), self.widths(), self.work.num_bases or None
        convs = [make(a, b, len(self.relations), num_bases=bases) for a, b in zip(sizes, sizes[1:])]
        return Rgcn(Inputs(self.tables, self.work.hidden), convs, _call)

    def state(self, weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """See :class:`TypedPeer`."""
        names = {"lin_self.weight": "root", "bases": "weight", "coefficients": "comp"}
        found = {}
        for name, value in weights.items():
            if name.startswith("convs."):
                _, layer, rest = name.split(".", 2)
                turned = value if rest in ("bias", "coefficients") else value.transpose(-1, -2)
                found[f"convs.{layer}.{names.get(rest, rest)}"] = turned
        return found

    def convert(self, batch: Batch) -> Tuple[Any, ...]:
        """See :class:`TypedPeer`."""
        layers = [(torch.stack([b.indices, b.dst]), b.edge_type, b.num_dst) for b in batch.blocks]
        return self.named(batch.x.tables), batch.x.rows, layers


def _call(conv: nn.Module, h: Tensor, layer: Any) -> Tensor:
    edge_index, edge_type, num_dst = layer
    out: Tensor = conv((h, h[:num_dst]), edge_index, edge_type)
    return out
