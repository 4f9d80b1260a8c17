"""DGL's loops over typed graphs, written from its user guide: ``HeteroGraphConv`` over its own batches, the same loader
alone, and ``RelGraphConv``.

Chapter 6.2, "Training GNN for Node Classification with Neighborhood Sampling on heterogeneous graphs":
``NeighborSampler`` and ``DataLoader`` of ``dgl.dataloading`` without worker processes; a fan-out is one of each
relation. ``RelGraphConv`` has gnnkit's batches, with one over the number of edges of a destination and relation as
its norm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sides.base import COUNTED, Answer, Side, TurnSide
from benchmarks.sides.dgl_peer import dgl
from benchmarks.sides.typed import Inputs, Rgcn, TypedPeer, mean_sizes
from gnnkit.data import Batch, Block
from gnnkit_dgl.hetero import to_typed_dgl

_SAGE = {"lin_self.weight": "fc_self.weight", "lin_neigh.weight": "fc_neigh.weight", "bias": "fc_self.bias"}


class Hetero(nn.Module):
    """Layers of ``HeteroGraphConv`` around ``SAGEConv`` with "mean", and ReLU between them."""

    def __init__(self, inputs: Inputs, sizes: List[int], names: List[str], aggregate: str, learned: str) -> None:
        super().__init__()
        self.inputs = inputs
        self.learned = learned
        self.layers = nn.ModuleList(
            dgl.nn.HeteroGraphConv({name: dgl.nn.SAGEConv(a, b, "mean") for name in names}, aggregate=aggregate)
            for a, b in zip(sizes, sizes[1:])
        )

    def forward(self, tables: Mapping[str, Tensor], blocks: List[Any]) -> Tensor:
        """Outputs of the last block's destinations of the type that is learnt."""
        h = self.inputs(tables)
        for i, (layer, block) in enumerate(zip(self.layers, blocks)):
            h = layer(block, h)
            h = {name: functional.relu(x) for name, x in h.items()} if i < len(self.layers) - 1 else h
        out: Tensor = h[self.learned]
        return out


def hetero_loader(side: Side) -> Any:
    """DGL's loader of a turn's seeds."""
    graph, work = side.graph, side.work
    assert graph.typed is not None
    (learned,) = graph.typed.y
    dgl.seed(work.seed)
    torch.manual_seed(work.seed)  # Of the order.
    native = to_typed_dgl(replace(graph, y=None, splits={}, class_names=()))  # They are there by type.
    return dgl.dataloading.DataLoader(
        native,
        {learned: graph.typed.rows[graph.splits["train"]]},
        dgl.dataloading.NeighborSampler(list(reversed(work.fanouts))),
        device=work.device,
        batch_size=work.batch_size,
        shuffle=True,
        drop_last=False,
        num_workers=0,
    )


def count_blocks(loader: Any) -> Answer:
    """Sizes of the batches of an epoch."""
    sizes: List[Tuple[int, int]] = []
    while len(sizes) < COUNTED:
        for _, _, blocks in loader:
            sizes.append((blocks[0].num_src_nodes(), sum(block.num_edges() for block in blocks)))
    return mean_sizes(sizes)


class HeteroSide(TypedPeer):
    """The guide's training loop."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._native = hetero_loader(self)

    def make_model(self) -> nn.Module:
        """See :class:`TypedPeer`."""
        assert self.graph.typed is not None
        (learned,) = self.graph.typed.y
        names = [name for _, name, _ in self.relations]
        inputs = Inputs(self.tables, self.work.hidden)
        return Hetero(inputs, self.widths(), names, self.work.relational, learned)

    def state(self, weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """See :class:`TypedPeer`."""
        found = {}
        for name, value in weights.items():
            if name.startswith("convs."):
                _, layer, _, number, rest = name.split(".", 4)
                found[f"layers.{layer}.mods.{self.relations[int(number)][1]}.{_SAGE[rest]}"] = value
        return found

    def convert(self, batch: Batch) -> Tuple[Any, ...]:
        """See :class:`TypedPeer`."""
        blocks = []
        for layer in map(self.apart, batch.blocks):
            edges = {key: (ends[0], ends[1]) for key, ends in layer.edges.items()}
            blocks.append(dgl.create_block(edges, layer.num_src, layer.num_dst))
        return self.named(batch.x.tables), blocks

    def batches(self) -> Iterator[Tuple[Tuple[Any, ...], Tensor]]:
        """DGL's."""
        for _, _, blocks in self._native:
            labels = blocks[-1].dstnodes[self.model.learned].data["label"]
            yield (
                ({name: self._table(blocks[0].srcnodes[name].data) for name in self.schema.node_types}, blocks),
                labels,
            )

    def _table(self, data: Any) -> Tensor:
        """Features of a type's nodes, or where it has none, the rows of their embeddings."""
        found: Tensor = data["feat"] if "feat" in data else data[dgl.NID][:, None]
        return found

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        return count_blocks(self._native)


class LoadingSide(TurnSide):
    """The guide's loader with the features of every type and the labels, without a model."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._native = hetero_loader(self)

    def turn(self) -> Optional[float]:
        """One epoch."""
        for _, _, blocks in self._native:
            assert all(len(x) for x in blocks[0].srcdata["feat"].values()) and blocks[-1].dstdata["label"]
        return None

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        return count_blocks(self._native)


class RelGraphConvSide(TypedPeer):
    """Training with ``RelGraphConv`` on gnnkit's batches as they come, or the full graph."""

    def make_model(self) -> nn.Module:
        """See :class:`TypedPeer`."""
        sizes, bases = self.widths(), self.work.num_bases
        kind = ("basis", bases) if bases else (None, None)
        convs = [dgl.nn.RelGraphConv(a, b, len(self.relations), *kind) for a, b in zip(sizes, sizes[1:])]
        return Rgcn(Inputs(self.tables, self.work.hidden), convs, lambda conv, h, layer: conv(layer[0], h, *layer[1:]))

    def state(self, weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """See :class:`TypedPeer`."""
        names = {"lin_self.weight": "loop_weight", "bases": "linear_r.W", "coefficients": "linear_r.coeff"}
        names.update(weight="linear_r.W", bias="h_bias")
        found = {}
        for name, value in weights.items():
            if name.startswith("convs."):
                _, layer, rest = name.split(".", 2)
                turned = value if rest in ("bias", "coefficients") else value.transpose(-1, -2)
                found[f"convs.{layer}.{names[rest]}"] = turned
        return found

    def convert(self, batch: Batch) -> Tuple[Any, ...]:
        """See :class:`TypedPeer`."""
        return self.named(batch.x.tables), batch.x.rows, [self._layer(block) for block in batch.blocks]

    def _layer(self, block: Block) -> Tuple[Any, Tensor, Tensor]:
        assert block.edge_type is not None
        native = dgl.create_block((block.indices, block.dst), block.num_src, block.num_dst)
        place = block.dst * len(self.relations) + block.edge_type
        norm = 1 / torch.bincount(place)[place].float()
        return native, block.edge_type, norm[:, None]
