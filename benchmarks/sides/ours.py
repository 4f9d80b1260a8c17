"""gnnkit, as its users have it: the whole Trainer; and its loader alone."""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Optional, Union

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.sides.base import COUNTED, Answer, Channel, Clock, Side, TurnSide, fanouts_of, model_settings
from gnnkit import GNN, Trainer, build_model
from gnnkit.loading import GraphLoader, Loader, NeighborLoader
from gnnkit.runs import EpochRecord
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks.link_prediction import LinkPrediction
from gnnkit.train import Callback

_FOREVER = 10**9


class _Finished(BaseException):
    """Ends a training from a callback."""


class TrainerSide(Side):
    """``Trainer.fit``, held at the end of its epochs by a callback.

    ``settings``: "backend", and any field of the training configuration.
    """

    model: Optional[GNN] = None

    def serve(self, channel: Channel) -> None:
        """Train; between two turns the training waits in a callback."""
        work, settings = self.work, dict(self.settings)
        backend = settings.pop("backend")
        model = build_model(work.conv, self.graph, backend=backend, seed=work.seed, **model_settings(work))
        if work.fanouts:
            settings = {"fanouts": fanouts_of(work), **settings}
        if not work.is_full:
            settings = {"batch_size": work.batch_size, **settings}
        trainer = Trainer(
            backend,
            work.device,
            seed=work.seed,
            task=work.task,
            callbacks=[_Turns(self, channel)],
            progress=False,
            epochs=_FOREVER,
            eval_every=_FOREVER,
            lr=work.lr,
            schedule="constant",
            weight_decay=work.weight_decay,
            **settings,
        )
        try:
            trainer.fit(model, self.graph)
        except _Finished:
            return

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        return {} if self.work.is_full else count_batches(make_loader(self))

    def weights(self) -> Dict[str, Tensor]:
        """As they are now."""
        assert self.model is not None
        return {name: value.detach().cpu().float() for name, value in self.model.canonical_state().items()}


class _Turns(Callback):
    def __init__(self, side: TrainerSide, channel: Channel) -> None:
        self._side = side
        self._channel = channel
        self._epochs = side.work.batches if side.work.is_full else 1
        self._losses: List[float] = []
        self._clock: Optional[Clock] = None

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        self._side.model = model
        self._channel.answer({"ready": True})
        self._wait()

    def on_epoch(self, record: EpochRecord) -> None:
        self._losses.append(record.train_loss)
        if len(self._losses) < self._epochs:
            return
        assert self._clock is not None
        self._channel.answer({**self._clock.stop(), "loss": statistics.mean(self._losses)})
        self._wait()

    def _wait(self) -> None:
        for command in self._channel:
            if command["do"] == "turn":
                self._losses.clear()
                self._clock = Clock(self._side.work.device, command.get("profile", False))
                return
            self._channel.answer(self._side.other(command))
        raise _Finished


def make_loader(side: Side, **settings: Any) -> Union[NeighborLoader, GraphLoader]:
    """gnnkit's loader of a turn's seeds."""
    graph, work = side.graph, side.work
    if work.is_graphs:
        graphs = graph.graph_splits["train"]
        return GraphLoader(
            graph, graphs, num_layers=work.layers, batch_size=work.batch_size, seed=work.seed, **settings
        )
    sampler = NeighborSampler(graph, fanouts_of(work), seed=work.seed)
    items = graph.splits["train"]
    if work.is_links:
        assert graph.links is not None
        items = torch.arange(len(graph.links.pairs["train"]))
        settings = {"draw": LinkPrediction.for_graph(graph).draw(graph, work.seed), **settings}
    return NeighborLoader(graph, items, sampler, batch_size=work.batch_size, shuffle=True, seed=work.seed, **settings)


def count_batches(loader: Loader) -> Answer:
    """Mean numbers of input nodes and of edges of all layers in a batch."""
    sizes = [size for epoch in range(-(-COUNTED // len(loader))) for size in loader.sizes(epoch)]
    nodes = statistics.mean(size.num_nodes[0] for size in sizes)
    return {"nodes": nodes, "edges": statistics.mean(sum(size.num_edges) for size in sizes)}


class StepsSide(TurnSide):
    """Steps of a model with Adam on batches that were made before, nothing else.

    ``settings``: "backend".
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        work = self.work
        self._loader = make_loader(self)
        self._made = list(self._loader.epoch(1))
        backend = self.settings["backend"]
        self.model = build_model(work.conv, self.graph, backend=backend, seed=work.seed, **model_settings(work))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr, weight_decay=work.weight_decay)

    def turn(self) -> Optional[float]:
        """A step on each batch."""
        losses = []
        self.model.train()
        for batch in self._made:
            assert batch.targets is not None and batch.targets.y is not None
            loss = functional.cross_entropy(self.model(batch.blocks, batch.x), batch.targets.y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        return count_batches(self._loader)


class LoadingSide(TurnSide):
    """Sampling and gathering features and labels, nothing else.

    ``settings``: arguments of :class:`gnnkit.loading.NeighborLoader`.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._loader = make_loader(self, **self.settings)
        self._epoch = 0

    def turn(self) -> Optional[float]:
        """One epoch."""
        self._epoch += 1
        for batch in self._loader.epoch(self._epoch):
            assert batch.blocks
        return None

    def count(self) -> Answer:
        """Sizes of the batches of an epoch."""
        return count_batches(self._loader)
