"""Small trainings that the checks of backends and devices compare.

Rules: dropout is off wherever two backends or devices are compared, because random masks have the shape of the batch
and each device has a stream of its own; layer normalisation is on, so that whole models are under test.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.backends import Backend, build_model
from gnnkit.data import Batch, Graph
from gnnkit.devices import Device, DeviceCapabilities, StepOptions
from gnnkit.loading import (
    FullGraphLoader,
    GraphLoader,
    NeighborLoader,
    graph_sizes,
    largest_batch,
    pad_batch,
    plan_padding,
)
from gnnkit.nn import CONVS, GNN, node_ids_as_features
from gnnkit.runs import RunResult
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule, NodeClassification
from gnnkit.testing.compare import compare_states
from gnnkit.testing.graphs import communities, many_graphs
from gnnkit.train import Trainer

MODELS: Mapping[str, Mapping[str, Any]] = {
    "gcn": {"model": "gcn"},
    "sage mean": {"model": "sage"},
    "sage max": {"model": "sage", "aggregation": "max"},
    "gat": {"model": "gat", "heads": 2, "hidden_channels": 4},
    "gatv2": {"model": "gatv2", "heads": 2, "hidden_channels": 4, "edge_channels": None},
    "gin": {"model": "gin"},
    "gine": {"model": "gine"},
    "pna": {"model": "pna"},
    "transformer": {"model": "transformer", "heads": 2, "hidden_channels": 4},
    "graphconv": {"model": "graphconv"},
    "appnp": {"model": "appnp", "num_layers": 2, "mlp_dropout": 0.0},
}
"""Models of every convolution and reduction, by name."""

_SMALL: Mapping[str, Any] = {"hidden_channels": 8, "norm": "layer"}
_NO_DROPOUT: Mapping[str, Any] = {"dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0}

FULL: Mapping[str, Any] = {}
SAMPLED: Mapping[str, Any] = {"fanouts": [4, 4], "batch_size": 40, "overflow_rate": 0.0}
HOW: Mapping[str, Mapping[str, Any]] = {"full graph": FULL, "sampled": SAMPLED}
"""Ways to train, by name."""


def model_for(name: str, backend: Backend, graph: Optional[Graph] = None, **settings: Any) -> GNN:
    """A model of ``MODELS`` without dropout on a backend."""
    values = {**_SMALL, **_NO_DROPOUT, **MODELS[name], **settings}
    conv = CONVS[values["model"]]
    # Settings without effect are refused.
    idle = [] if conv.has_heads else ["attention_dropout"]
    idle += ["norm", "dropout"] if conv.is_propagation else []
    values = {key: value for key, value in values.items() if key not in idle}
    return build_model(graph=communities() if graph is None else graph, backend=backend, seed=3, **values)


def fit(
    model: GNN,
    device: Device,
    graph: Optional[Graph] = None,
    *,
    epochs: int = 3,
    lr: float = 0.01,
    resume: Optional[Path] = None,
    **settings: Any,
) -> RunResult:
    """Train a model on the communities, or on another graph; the device is closed at the end."""
    trainer = Trainer(None, device, progress=False, epochs=epochs, lr=lr, **settings)
    return trainer.fit(model, communities() if graph is None else graph, resume=resume)


def dropout_on(device: DeviceCapabilities) -> Mapping[str, Any]:
    """Rates of dropout for trainings on one device that must be equal; none where its random numbers may be its own."""
    names = () if device.static_shapes else _NO_DROPOUT
    return dict.fromkeys(names, 0.3)


def compare_resumed(model: GNN, make_device: Callable[[], Device], **settings: Any) -> None:
    """Refuse a training of four epochs, saved after two and gone on with, that is not the one without a break.

    Args:
        model: What is trained.
        make_device: Makes a new device for every training.
        settings: How it is trained.

    Raises:
        AssertionError: Nothing was saved, or with the first loss or weight that differs.
    """
    whole = fit(model, make_device(), epochs=4, **settings)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        fit(model, make_device(), epochs=2, run_dir=run, **settings)
        saved = (run / "checkpoints" / "last.safetensors").is_file()
        assert saved, "a run cannot be resumed: no state was saved, because the step's state_dict refuses."
        resumed = fit(model, make_device(), epochs=4, resume=run, **settings)
    compare_losses("the resumed training", losses(resumed), losses(whole), 1e-4)
    states = [result.model.canonical_state() for result in (resumed, whole)]
    compare_states(states[0], states[1], "after the resumed training", 1e-4)


def learnt_accuracy(name: str, backend: Backend, device: Device) -> float:
    """Test accuracy after 30 epochs on communities that few edges leave; from features alone it is 0.54."""
    graph = communities(400, strangers=0.02)
    model = model_for(name, backend, graph, hidden_channels=16, norm="none")
    return fit(model, device, graph, epochs=30, lr=0.05, eval_every=30).test["accuracy"]


def losses(result: RunResult) -> List[float]:
    """Training and validation losses of all epochs."""
    values: List[float] = []
    for record in result.history:
        values += [record.train_loss, math.nan if record.valid_loss is None else record.valid_loss]
    return values


def compare_losses(what: str, received: Sequence[float], expected: Sequence[float], tolerance: float) -> None:
    """Refuse losses that are not equal to a relative tolerance.

    Raises:
        AssertionError: With the first two that differ.
    """
    assert len(received) == len(expected), f"{what} has {len(received)} losses, expected {len(expected)}."
    for i, (ours, theirs) in enumerate(zip(received, expected)):
        split = "validation" if i % 2 else "training"
        close = math.isfinite(ours) and abs(ours - theirs) <= tolerance * max(abs(theirs), 1e-3)
        assert close, f"{what}: the {split} loss of epoch {i // 2 + 1} is {ours:.6g}, expected {theirs:.6g}."


def batches(model: GNN, device: Device, how: str, count: int, graph: Optional[Graph] = None) -> List[Batch]:
    """The first batches of the communities, or of another graph, for a model, padded where the device asks for it."""
    graph = _prepared(model, graph)
    nodes = graph.splits["train"]
    if how == "full graph":
        whole = FullGraphLoader(graph, nodes, num_layers=model.num_layers, edge_features=model.spec.reads_edges)
        found = list(whole.epoch(0)) * count
        pad = plan_padding(whole).spec
    else:
        loader = _neighbor_loader(model, graph, nodes, 40)
        found = list(loader.epoch(0))[:count]
        pad = plan_padding(loader, overflow_rate=0.0, epochs=range(1)).spec
    return [pad_batch(batch, pad) for batch in found] if device.capabilities.static_shapes else found


def batches_of_sizes(model: GNN, device: Device, sizes: Sequence[int]) -> List[Batch]:
    """Sampled batches of the communities with so many targets; padded to the largest where the device asks for it."""
    graph = _prepared(model, None)
    nodes = graph.splits["train"]
    found = [next(iter(_neighbor_loader(model, graph, nodes[:size], size).epoch(0))) for size in sizes]
    if not device.capabilities.static_shapes:
        return found
    pad = plan_padding(_neighbor_loader(model, graph, nodes, max(sizes)), overflow_rate=0.0, epochs=range(1)).spec
    return [pad_batch(batch, pad) for batch in found]


def graph_batches(model: GNN, device: Device, count: int) -> List[Batch]:
    """The first batches of :func:`many_graphs` for a model; padded where the device asks for it."""
    graph = model.spec.prepare(many_graphs())
    graphs = graph.graph_splits["train"]
    pad = None
    if device.capabilities.static_shapes:
        pad = largest_batch(graph_sizes(graph)[graphs.numpy()], 16).repeated(model.num_layers)
    loader = GraphLoader(
        graph, graphs, num_layers=model.num_layers, batch_size=16, pad=pad, edge_features=model.spec.reads_edges
    )
    return list(loader.epoch(0))[:count]


def _prepared(model: GNN, graph: Optional[Graph]) -> Graph:
    prepared = model.spec.prepare(communities() if graph is None else graph)
    return prepared if model.spec.num_embeddings is None else node_ids_as_features(prepared)


def _neighbor_loader(model: GNN, graph: Graph, nodes: Tensor, batch_size: int) -> NeighborLoader:
    spec = model.spec
    sampler = NeighborSampler(graph, [4, 4], keep_self_loops=spec.self_loops, rescale=spec.gcn_norm)
    return NeighborLoader(graph, nodes, sampler, batch_size=batch_size, shuffle=True, edge_features=spec.reads_edges)


def outputs(model: GNN, device: Device) -> Tensor:
    """A model's outputs for all nodes of the communities, in host memory. Shape [240, 3]."""
    (batch,) = batches(model, device, "full graph", 1)
    step = device.prepare(LossModule(model, task()), None, StepOptions())
    result = step(device.put(batch))
    device.synchronize()
    return result.outputs.float().cpu()[: communities().num_nodes]


def task() -> NodeClassification:
    """What is learned on the communities."""
    return NodeClassification.for_graph(communities())


def plain_step(
    model: GNN, optimizer: torch.optim.Optimizer, batch: Batch, clip: Optional[float] = None
) -> Tuple[float, Tensor]:
    """One training step in plain torch on the host: forward, loss, backward, clipping, update."""
    loss, out = LossModule(model.train(), task())(batch)
    optimizer.zero_grad()
    loss.backward()
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return float(loss.detach()), out.detach()
