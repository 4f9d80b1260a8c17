"""Whether model, data, task and metric fit each other; everything is checked before anything is written."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gnnkit.backends import Backend
from gnnkit.data import Graph
from gnnkit.data.targets import LEVELS
from gnnkit.devices import Device
from gnnkit.errors import ConfigError, DataError
from gnnkit.nn import GNN, CustomModel, ModelSpec, check_edge_features, check_node_inputs
from gnnkit.tasks import LossModule, Task
from gnnkit.tasks.base import EMBEDDINGS
from gnnkit.train.capabilities import check_capabilities
from gnnkit.train.judging import head_outputs
from gnnkit.train.settings import TrainConfig


def check_fit(model: GNN, graph: Graph, task: Task, backend: Backend, device: Device, config: TrainConfig) -> None:
    """Refuse a model that does not fit the data, the task, the backend or the device.

    Raises:
        DataError: The graph lacks what the model reads.
        ConfigError: Widths or kinds differ.
        CapabilityError: Backend or device do not do what is asked.
    """
    spec, wanted = model.spec, task.num_outputs(graph)
    check_node_inputs(spec, graph)
    if wanted not in (None, spec.out_channels):
        what = (
            f"the graph has {wanted} classes" if graph.num_classes == wanted else f"task {task.name!r} wants {wanted}"
        )
        raise ConfigError(f"The model gives {spec.out_channels} outputs, {what}. Build the model for this graph.")
    if spec.num_embeddings is not None and task.changes_inputs:
        raise ConfigError(
            f"Task {task.name!r} changes features before the model reads them, and this model learns embeddings in "
            "their place. Give the graph features, or take another task."
        )
    check_edge_features(spec, graph)
    _check_level(spec, task)
    check_capabilities(
        backend,
        device,
        spec=None if isinstance(model, CustomModel) else spec,
        precision=config.precision,
        task=type(task),
    )


def _check_level(spec: ModelSpec, task: Task) -> None:
    """Refuse a model of nodes for a task about graphs, and the other way round."""
    if task.level not in LEVELS:
        raise ConfigError(f"Task {task.name!r} learns from {task.level}; the Trainer takes {', '.join(LEVELS)}.")
    if task.level == "graphs" and spec.pooling == "none":
        raise ConfigError(
            f"Task {task.name!r} learns from whole graphs, and the model gives outputs of nodes. Build it with pooling "
            "('sum', 'mean', 'max' or 'attention'), which a custom module does not have."
        )
    if task.level != "graphs" and spec.pooling != "none":
        raise ConfigError(
            f"The model pools nodes to graphs (pooling is {spec.pooling!r}), and task {task.name!r} learns from "
            f"{task.level}. Leave pooling out, or take a task about graphs."
        )


def check_judging(graph: Graph, module: LossModule) -> None:
    """Refuse validation labels from which the metric cannot be computed, such as an area under a curve from one class.

    This also tries a loss that the user gave, and imports what computes metrics, which would else count as time of the
    training.
    """
    task = module.task
    nodes, targets = task.judged(graph, "valid")
    width = graph.num_classes if task.outputs == EMBEDDINGS else module.model.spec.out_channels
    scores = torch.zeros(len(nodes), width)
    if task.outputs != EMBEDDINGS:
        scores = head_outputs(module, scores, targets)
        if task.custom_loss is not None:
            loss = task.custom_loss(scores, targets)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                received = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
                raise ConfigError(f"The loss gives {received}, expected a tensor with one number: the batch's mean.")
    if math.isnan(task.judge(scores, targets)[task.metric]):
        place = {"nodes": "splits", "edges": "links.y", "graphs": "graph_splits"}[task.level]
        raise DataError(
            f"{place}['valid']",
            f"the metric {task.metric} cannot be computed from its labels, which are all alike.",
            fix=f"Add {task.level} with other labels, or choose another metric.",
        )
