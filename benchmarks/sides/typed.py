"""What the loops of the peers have in common that learn nodes of a typed graph.

Rules: before anything is timed, a peer's model computes on a batch of gnnkit's loader, with gnnkit's initial weights,
and has to give gnnkit's outputs; a side that does not is no side.
"""

from __future__ import annotations

import statistics
from abc import abstractmethod
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sides.base import Absent, Answer, TurnSide, initial_weights, model_settings
from benchmarks.sides.ours import count_batches, make_loader
from gnnkit import Graph, build_model
from gnnkit.data import Batch, Block, Targets, full_block
from gnnkit.loading.inputs import whole_inputs

TOLERANCE = 1e-4
"""How far outputs may be from gnnkit's, over the largest of them."""

_CHECKED = 64
"""Seeds of the batch that outputs are compared on."""


class Inputs(nn.Module):
    """Features of each type at one width: a linear layer, or learnt embeddings."""

    def __init__(self, tables: Mapping[str, Tensor], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                name: nn.Linear(x.shape[1], width) if x.is_floating_point() else nn.Embedding(len(x), width)
                for name, x in tables.items()
            }
        )

    def forward(self, tables: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """Each [n, width]."""
        return {name: self.layers[name](x if x.is_floating_point() else x[:, 0]) for name, x in tables.items()}


class Rgcn(nn.Module):
    """R-GCN over nodes of all types in one order.

    Args:
        inputs: Of all types.
        convs: The layers.
        call: Calls a layer with features of the sources and what the library has for a block.
    """

    def __init__(
        self, inputs: Inputs, convs: List[nn.Module], call: Callable[[nn.Module, Tensor, Any], Tensor]
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.convs = nn.ModuleList(convs)
        self._call = call

    def forward(self, tables: Mapping[str, Tensor], rows: Tensor, layers: List[Any]) -> Tensor:
        """Outputs of the last layer's destinations."""
        h = torch.cat(list(self.inputs(tables).values())).index_select(0, rows)
        for i, (conv, layer) in enumerate(zip(self.convs, layers)):
            h = self._call(conv, h, layer)
            h = functional.relu(h) if i < len(self.convs) - 1 else h
        return h


class TypedLayer(NamedTuple):
    """A block taken apart by relation, each type numbered by itself.

    Attributes:
        edges: Source and destination of each edge, by relation. Each [2, E_r].
        num_src: Sources of each type.
        num_dst: Destinations of each type, which come first among its sources.
    """

    edges: Dict[Tuple[str, str, str], Tensor]
    num_src: Dict[str, int]
    num_dst: Dict[str, int]


def with_plain_names(graph: Graph) -> Graph:
    """A typed graph whose relations are called r0, r1, ...: PyG loses the ``#`` of an IRI, and DGL takes no dot."""
    assert graph.typed is not None
    schema = graph.typed.schema
    named = tuple(replace(each, name=f"r{number}") for number, each in enumerate(schema.relations))
    return replace(graph, typed=replace(graph.typed, schema=replace(schema, relations=named)))


class TypedPeer(TurnSide):
    """A loop of another library over a typed graph.

    Attributes:
        model: Its model.
        optimizer: Its Adam.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        work = self.work
        if work.device != "cpu":
            raise Absent("this loop runs on the CPU")
        self.graph = with_plain_names(self.graph)
        assert self.graph.typed is not None
        self.schema = self.graph.typed.schema
        self.relations = [(each.src, each.name, each.dst) for each in self.schema.relations]
        torch.manual_seed(work.seed)  # Of the order.
        if not work.is_full:
            self.loader = make_loader(self)
        self.model = self.make_model()
        weights = initial_weights(work, self.graph)
        self.model.load_state_dict({**self._inputs_state(weights), **self.state(weights)})
        self._check()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr, weight_decay=work.weight_decay)
        self._epoch = 0
        self._whole: Optional[Tuple[Tuple[Any, ...], Tensor]] = None

    @abstractmethod
    def make_model(self) -> nn.Module:
        """The library's model, whose inputs are an :class:`Inputs` called ``inputs``."""

    @abstractmethod
    def state(self, weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """The library's names and layouts for the canonical weights of the convolutions."""

    @abstractmethod
    def convert(self, batch: Batch) -> Tuple[Any, ...]:
        """What the model is called with for one of gnnkit's batches."""

    def batches(self) -> Iterator[Tuple[Tuple[Any, ...], Tensor]]:
        """What the model is called with, and the labels: by default the full graph, or gnnkit's batches."""
        if self.work.is_full:
            self._whole = self._whole or self._learned(self.full_batch())
            yield from [self._whole] * self.work.batches
            return
        self._epoch += 1
        yield from map(self._learned, self.loader.epoch(self._epoch))

    def turn(self) -> float:
        """One epoch of batches."""
        losses = []
        self.model.train()
        for arguments, labels in self.batches():
            loss = functional.cross_entropy(self.model(*arguments), labels, ignore_index=-100)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        return {} if self.work.is_full else count_batches(self.loader)

    @property
    def tables(self) -> Dict[str, Tensor]:
        """Features, or row numbers of embeddings, of all nodes by type."""
        assert self.graph.typed is not None
        return self.named(whole_inputs(self.graph.typed).tables)

    def named(self, tables: Tuple[Tensor, ...]) -> Dict[str, Tensor]:
        """Tables by the names of their types."""
        return dict(zip(self.schema.node_types, tables))

    def widths(self) -> List[int]:
        """From the projected features to the outputs."""
        work = self.work
        return [*[work.hidden] * work.layers, work.out or self.graph.num_classes]

    def full_batch(self) -> Batch:
        """The whole graph; targets are the training nodes alone."""
        graph = self.graph
        assert graph.typed is not None and graph.y is not None
        labels = torch.full_like(graph.y, -100)
        labels[graph.splits["train"]] = graph.y[graph.splits["train"]]
        blocks = (full_block(graph),) * self.work.layers
        return Batch(blocks, whole_inputs(graph.typed), Targets.of_labels(labels), torch.arange(graph.num_nodes))

    def apart(self, block: Block) -> TypedLayer:
        """A block by relation."""
        assert block.src_type is not None and block.edge_type is not None
        local = torch.empty_like(block.src_type)
        num_src, num_dst = {}, {}
        for number, name in enumerate(self.schema.node_types):
            own = block.src_type == number
            num_src[name], num_dst[name] = int(own.sum()), int(own[: block.num_dst].sum())
            local[own] = torch.arange(num_src[name])
        ends = torch.stack([local[block.indices], local[block.dst]])
        edges = {key: ends[:, block.edge_type == number] for number, key in enumerate(self.relations)}
        return TypedLayer(edges, num_src, num_dst)

    def _learned(self, batch: Batch) -> Tuple[Tuple[Any, ...], Tensor]:
        assert batch.targets is not None and batch.targets.y is not None
        return self.convert(batch), batch.targets.y

    def _inputs_state(self, weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        found = {}
        for name, value in weights.items():
            if name.startswith("input."):
                key, kind = name[len("input.") :].rsplit(".", 1)
                found[f"inputs.layers.{key}.{'weight' if kind == 'embedding' else kind}"] = value
        return found

    def _check(self) -> None:
        """Refuse to be measured where outputs are not gnnkit's."""
        work = self.work
        if work.is_full:
            batch = self.full_batch()
        else:
            # A peer like this one in all but the size of the batch.
            loader = make_loader(_Small(replace(work, batch_size=_CHECKED), self.graph, {}))
            batch = next(iter(loader.epoch(0)))
        model = build_model(work.conv, self.graph, backend="reference", seed=work.seed, **model_settings(work)).eval()
        self.model.eval()
        with torch.no_grad():
            expected, found = model(list(batch.blocks), batch.x), self.model(*self.convert(batch))
        error = float((expected - found).abs().max() / expected.abs().max())
        if not error <= TOLERANCE:
            raise ValueError(f"outputs differ from gnnkit's by {error:.2g} of the largest, expected {TOLERANCE:g}")


class _Small(TurnSide):
    def turn(self) -> None:
        """Nothing: it stands for a size of batches."""


def mean_sizes(sizes: List[Tuple[int, int]]) -> Answer:
    """What a side answers of the nodes and edges of its batches."""
    return {"nodes": statistics.mean(s[0] for s in sizes), "edges": statistics.mean(s[1] for s in sizes)}
