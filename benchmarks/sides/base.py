"""What all sides have in common: they make themselves ready, then wait for commands.

Rules: a turn is a whole epoch of a loader over so many seeds, so it starts and ends with an empty pipeline and nothing
is prepared in another side's time. All sides start from the same weights.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Optional, Protocol, Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.memory import peak_memory
from benchmarks.work import Work
from gnnkit import Graph, build_model
from gnnkit.data import split_edges
from gnnkit.tasks.node_types import with_labels_of_type

Answer = Dict[str, Any]

NUM_CLASSES = 2
"""Classes of whole graphs."""

COUNTED = 20
"""Batches whose sizes are averaged, at least: those of a few draws differ more than two samplers may."""


class Absent(Exception):  # noqa: N818 - no error: this side cannot take part here.
    """Something that the side needs is not installed; the text says what."""


class Channel(Protocol):
    """Commands in, answers out."""

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        """Wait for commands until there are no more."""

    def answer(self, values: Answer) -> None:
        """Answer the last command."""


class Clock:
    """Times a turn; on request also how long a CUDA device had nothing to compute.

    Args:
        device: "cpu" or "cuda".
        profile: Whether to watch the device, which costs time.
    """

    def __init__(self, device: str, profile: bool) -> None:
        self._device = device
        self._profiler: Any = None
        if profile:
            from torch.profiler import ProfilerActivity

            self._profiler = torch.profiler.profile(activities=[ProfilerActivity.CUDA])
            self._profiler.start()
        self._start = time.perf_counter()

    def stop(self) -> Answer:
        """Seconds since the start, and the share of them in which no kernel ran."""
        if self._device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._start
        if self._profiler is None:
            return {"seconds": seconds}
        self._profiler.stop()
        kernels = [
            (event.time_range.start / 1e6, event.time_range.end / 1e6)
            for event in self._profiler.events()
            if event.device_type == torch.autograd.DeviceType.CUDA and not event.name.startswith("Mem")
        ]
        return {"seconds": seconds, "gpu_waits": 1 - covered(kernels) / seconds}


def covered(spans: List[Tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


class Side(ABC):
    """One participant.

    Args:
        work: What to do.
        graph: On which graph; its split "train" holds what a turn learns, nodes or ``links.pairs``.
        settings: See the classes.
    """

    def __init__(self, work: Work, graph: Graph, settings: Dict[str, Any]) -> None:
        self.work = work
        self.graph = graph
        self.settings = settings

    @abstractmethod
    def serve(self, channel: Channel) -> None:
        """Say that everything is in place, then obey."""

    def count(self) -> Answer:
        """What a batch holds: mean numbers of input "nodes" and of sampled "edges" of all layers; {} if not known."""
        return {}

    def weights(self) -> Dict[str, Tensor]:
        """The model's weights by canonical name; {} for a side without a model."""
        return {}

    def other(self, command: Dict[str, Any]) -> Answer:
        """Do what is no turn."""
        if command["do"] == "count":
            return self.count()
        if command["do"] == "memory":
            return {"peak": peak_memory()}
        if command["do"] == "accuracy":
            return {"accuracy": sage_accuracy(self.weights(), self.graph, self.graph.splits["test"])}
        raise ValueError(f"unknown command {command!r}")


class TurnSide(Side):
    """A side that does a turn when it is told to."""

    @abstractmethod
    def turn(self) -> Optional[float]:
        """Do one turn and return the mean loss of its batches, if there is one."""

    def serve(self, channel: Channel) -> None:
        """Say that everything is in place, then obey."""
        channel.answer({"ready": True})
        for command in channel:
            if command["do"] == "turn":
                clock = Clock(self.work.device, command.get("profile", False))
                loss = self.turn()
                channel.answer({**clock.stop(), "loss": loss})
            else:
                channel.answer(self.other(command))


def with_seeds(graph: Graph, work: Work) -> Graph:
    """The graph with what a turn learns as training nodes, pairs or graphs, the same for all sides.

    Of a typed graph nodes of one type are learnt. Where pairs are learnt, the edges of all training pairs carry
    messages, not only those of the turn.
    """
    if work.is_links:
        graph = split_edges(graph, seed=work.seed)
        assert graph.links is not None
        pairs = {**graph.links.pairs, "train": _some(graph.links.pairs["train"], work, "pairs")}
        return replace(graph, links=replace(graph.links, pairs=pairs))
    if work.is_graphs:
        return replace(
            graph, graph_splits={**graph.graph_splits, "train": _some(graph.graph_splits["train"], work, "graphs")}
        )
    graph = with_labels_of_type(graph, None, work.seed)
    if not work.fanouts:
        return graph
    return replace(graph, splits={**graph.splits, "train": _some(graph.splits["train"], work, "nodes")})


def _some(items: Tensor, work: Work, what: str) -> Tensor:
    """As many items as a turn learns, drawn at random."""
    wanted = work.batches * work.batch_size or len(items)
    if wanted > len(items):
        raise ValueError(f"a turn needs {wanted} seeds, the graph has {len(items)} training {what}")
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(work.seed))
    return items[order[:wanted]] if work.batches else items


def single_graphs(graph: Graph) -> Iterator[Tuple[Tensor, Tensor, Tensor]]:
    """The training graphs: features, edges [2, E] and label of each, in memory of their own."""
    assert graph.graph_ptr is not None and graph.x is not None and graph.graph_y is not None
    pointer, edges = graph.graph_ptr.tolist(), graph.edge_index
    for number in graph.graph_splits["train"].tolist():
        nodes = slice(pointer[number], pointer[number + 1])
        own = slice(int(graph.indptr[nodes.start]), int(graph.indptr[nodes.stop]))
        yield graph.x[nodes].clone(), edges[:, own] - nodes.start, graph.graph_y[number : number + 1].clone()


def model_settings(work: Work) -> Dict[str, Any]:
    """The model of a work in gnnkit's words."""
    values: Dict[str, Any] = {"hidden_channels": work.hidden, "num_layers": work.layers, "dropout": work.dropout}
    values["out_channels"] = work.out or None
    if work.is_graphs:
        values.update(pooling="sum", norm="batch", out_channels=NUM_CLASSES)
    if work.num_bases:
        values["num_bases"] = work.num_bases
    if work.relational != "none":
        values["relational"] = work.relational
    return {**values, "input_dropout": work.dropout if work.conv == "gcn" else 0.0}


def fanouts_of(work: Work) -> Union[List[int], Dict[str, List[int]]]:
    """The fan-outs in gnnkit's words: of each relation where there are several."""
    return {"*": list(work.fanouts)} if work.graph.is_typed else list(work.fanouts)


def initial_weights(work: Work, graph: Graph) -> Dict[str, Tensor]:
    """The weights that all sides start from, by canonical name."""
    model = build_model(work.conv, graph, backend="reference", seed=work.seed, **model_settings(work))
    return model.canonical_state()


def widths(work: Work, graph: Graph) -> List[int]:
    """Widths from the features to the outputs."""
    return [graph.num_features, *[work.hidden] * (work.layers - 1), work.out or graph.num_classes]


@torch.no_grad()
def sage_accuracy(weights: Dict[str, Tensor], graph: Graph, nodes: Tensor) -> float:
    """Share of nodes classified correctly by a SAGE model over all neighbours, layer by layer, in float32.

    The same few lines judge every side, so that no side is judged by its own evaluation.
    """
    assert graph.x is not None and graph.y is not None
    degrees = graph.in_degrees
    values = torch.repeat_interleave(1 / degrees.clamp(min=1).float(), degrees)
    mean = torch.sparse_csr_tensor(graph.indptr, graph.indices, values, (graph.num_nodes, graph.num_nodes))
    h = graph.x.float()
    layers = len({name.split(".")[1] for name in weights})
    for i in range(layers):
        own, other, bias = (weights[f"convs.{i}.{name}"] for name in ("lin_self.weight", "lin_neigh.weight", "bias"))
        h = functional.linear(h, own.float(), bias.float()) + functional.linear(mean @ h, other.float())
        h = functional.relu(h) if i < layers - 1 else h
    return float((h[nodes].argmax(dim=1) == graph.y[nodes]).float().mean())
