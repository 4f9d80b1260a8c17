"""Training on a graph whose edges and features lie elsewhere: what cannot be had there, and how it is prepared."""

from __future__ import annotations

from dataclasses import replace

from gnnkit.data import Graph
from gnnkit.devices import Device
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.nn import GNN, CustomModel, ModelSpec
from gnnkit.tasks import Task
from gnnkit.train.settings import TrainConfig

_HERE = "and edges and features of this graph lie elsewhere"


def check_remote(graph: Graph, model: GNN, task: Task, device: Device, config: TrainConfig) -> TrainConfig:
    """Settings for a remote graph; those of any other stay as they are.

    Args:
        graph: The graph.
        model: What is trained.
        task: What is learned.
        device: Runs the steps.
        config: Settings, not resolved.

    Raises:
        ConfigError: The training needs the graph here.
        CapabilityError: The device does.
    """
    if graph.remote is None:
        return config
    if device.capabilities.static_shapes:
        raise CapabilityError(f"Device {device.name!r} plans batches of fixed shapes, {_HERE}. Take another device.")
    if task.level == "graphs" or (task.level == "nodes" and task.needs_batches):
        raise ConfigError(f"Task {task.name!r} reads whole graphs, {_HERE}. Take a task about nodes or pairs.")
    if isinstance(model, CustomModel):
        raise ConfigError(f"A custom module may need edges prepared, {_HERE}. Take a model of gnnkit.build_model.")
    if model.spec.num_embeddings is not None:
        raise ConfigError(f"The model learns embeddings of nodes, {_HERE}. Take data with features.")
    for problem, what, fix in (
        (not config.is_sampled, "is on the full graph or on parts of it", "Give --batch-size or --fanouts"),
        (config.evaluation in ("full", "layerwise"), f"evaluates {config.evaluation!r}", "Take evaluation=sampled"),
        (config.fuse_first_layer == "always", "fuses the first layer", "Leave fuse_first_layer out"),
        (config.weighted, "draws neighbours by weight", "Leave weighted out"),
        (config.precision == "float64", "is in float64", "Take float32"),
        (config.deterministic, "is to repeat its bits", "Leave deterministic out, as neighbours are drawn there"),
    ):
        if problem:
            raise ConfigError(f"The training {what}, {_HERE}. {fix}.")
    return replace(config, evaluation="sampled", fuse_first_layer="never", num_threads=0)


def prepared_remote(graph: Graph, spec: ModelSpec) -> Graph:
    """A remote graph with its preparation for a model named; edges are prepared when they are sampled."""
    assert graph.remote is not None, "the caller has looked"
    preparation = "gcn_norm" if spec.gcn_norm else "self_loops" if spec.self_loops else "none"
    return replace(graph, remote=replace(graph.remote, preparation=preparation))
