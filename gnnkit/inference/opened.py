"""A run that is open: its best model with the data, on any backend and device, and how embeddings are computed.

Rules: weights are canonical, so the backend is free. Data are those that the run's configuration names, or a graph that
the caller has; whether they are the run's own is said, not enforced, because new nodes are other data. Their features
and classes are matched to the model's by name; what outputs mean is said by the run alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple, TypeVar, Union

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gnnkit.data import Graph, Targets, check_graph, data_differences, describe_data, message_graph
from gnnkit.data.check import MOST_CHECKED
from gnnkit.datasets import NodeNames
from gnnkit.devices import Device, StepOptions
from gnnkit.engine.inference import Inference, JoinedLayers, Report, make_inference
from gnnkit.errors import ConfigError
from gnnkit.inference.checks import matched
from gnnkit.inference.evaluating import evaluation_settings
from gnnkit.nn import GNN
from gnnkit.parallel import ALONE, World, made_once
from gnnkit.runs import Learned, RunRecord
from gnnkit.runs.checkpoint import BEST, checkpoint_file, read_head
from gnnkit.sampling.neighbor import check_node_ids
from gnnkit.tasks import (
    LossModule,
    NodeClassification,
    Task,
    make_task,
    task_class,
)
from gnnkit.train import RunConfig
from gnnkit.train.judging import head_outputs
from gnnkit.train.loaders import computed_graph, evaluation_reduction, make_sampler
from gnnkit.train.settings import TrainConfig

Nodes = Union[Tensor, ArrayLike, None]
"""Node ids; None means all nodes."""


R = TypeVar("R", bound="OpenedRun")


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A trained model with its data, and how its embeddings are computed.

    Attributes:
        path: The run folder.
        model: With the best weights, in evaluation mode.
        graph: Not prepared, with splits; features in the model's order, labels by the numbers of the model's classes.
        record: What the run folder says: manifest and history.
        learned: What outputs mean, and which features the model reads.
        config: The recorded configuration.
        device: Where the model runs.
        names: Reads what the data's files call nodes and features; nothing, for a graph that the caller gave.
        notes: What was dropped from the data to match them to the model, and what could not be checked.
        world: The processes that share what is computed.
    """

    path: Path
    model: GNN
    graph: Graph
    record: RunRecord
    learned: Learned
    config: RunConfig
    device: Device
    names: Callable[[], NodeNames] = NodeNames
    notes: Tuple[str, ...] = ()
    world: World = ALONE

    @cached_property
    def differences(self) -> List[str]:
        """In which parts the graph differs from the data of the run, in words. Empty where they are the same."""
        return data_differences(self.record.manifest["data"], describe_data(self.prepared))

    @property
    def class_names(self) -> Tuple[str, ...]:
        """Names of the model's classes, in the order of its outputs. Empty if they have none."""
        return self.learned.class_names

    @property
    def default_method(self) -> str:
        """How outputs are computed if nothing is said: "layerwise", which gives the exact answer in bounded memory.

        A library layer may look further than to its neighbours, or at all degrees, so that it gives other
        outputs on parts of a graph. Of such a model, outputs are computed as the run was evaluated.
        """
        return "layerwise" if self.model.spec.is_portable else self.config.train.evaluation

    def on(self: R, graph: Graph) -> R:
        """The same model on another graph, for example one with new nodes (:func:`gnnkit.data.add_nodes`).

        Args:
            graph: Not prepared, with the features that the model reads: by name, or where either side has no names, in
                their order. All edges of a graph without links carry messages.

        Raises:
            ConfigError: Features are missing, or have another width.
            DataError: The graph breaks a rule.
        """
        check_graph(graph, most_values=MOST_CHECKED)
        graph, notes = matched(self.model, graph, self.learned)
        return replace(self, graph=graph, notes=notes)

    def head_outputs(self, h: Tensor) -> Tensor:
        """What the head of the run's task makes of the encoder's outputs."""
        cls = task_class(self.config.task)
        if cls.head is Task.head:
            return h
        module = LossModule(self.model, make_task(cls, self.graph, self.config.task_options))
        module.load_head(read_head(checkpoint_file(self.path, BEST)))
        return head_outputs(module, h, Targets())

    def close(self) -> None:
        """Release the device."""
        self.device.close()

    @cached_property
    def prepared(self) -> Graph:
        """The graph with what the convolution asks for."""
        return self.model.spec.prepare(self.graph)

    def _ids(self, nodes: Nodes) -> Tensor:
        if nodes is None:
            return torch.arange(self.graph.num_nodes)
        return torch.from_numpy(check_node_ids(nodes, self.graph.num_nodes, "nodes"))

    def wanted_layers(self, layers: Optional[Sequence[int]]) -> List[int]:
        """Layers in their order, each once; None are all. Unknown ones are a :class:`ConfigError`."""
        known = range(1, self.model.num_layers + 1)
        wanted = sorted(set(known if layers is None else layers))
        unknown = [layer for layer in wanted if layer not in known]
        if unknown or not wanted:
            received = f"layer {unknown[0]}" if unknown else "no layer"
            raise ConfigError(f"Received {received}; the model has layers 1 to {self.model.num_layers}.")
        return wanted

    def _settings(
        self, method: Optional[str], fanouts: Optional[Sequence[int]], batch_size: Optional[int]
    ) -> TrainConfig:
        """The recorded settings, with evaluation as it is asked for."""
        return evaluation_settings(
            self.config.train,
            self.model.num_layers,
            method=self.default_method if method is None else method,
            fanouts=fanouts,
            batch_size=batch_size,
            static_shapes=self.device.capabilities.static_shapes,
        )

    def encoded(self, nodes: Tensor, config: TrainConfig, report: Report, split: str = "test") -> Tensor:
        """The encoder's outputs. The batches have no targets: no head and no loss is computed with them.

        Args:
            nodes: Node ids. Shape [M], int64.
            config: How they are computed.
            report: Told how many batches are done, and how many there are.
            split: For which one edges carry messages, where that differs.
        """
        return self._inference(config, LossModule(self.model, NodeClassification()), split).outputs(nodes, report)

    def _inference(
        self, config: TrainConfig, module: Union[LossModule, JoinedLayers], split: str = "test"
    ) -> Inference:
        spec, is_sampled = self.model.spec, config.evaluation == "sampled"

        def make() -> Graph:
            messages = message_graph(self.graph, split)
            prepared = self.prepared if messages is self.graph else spec.prepare(messages)
            return computed_graph(messages, prepared, spec, config.precision)

        graph = made_once(self.world, make, "the data to be prepared")
        sampler = None
        if is_sampled:
            sampler = make_sampler(graph, spec, config, config.eval_fanouts, self.config.seed)
        return make_inference(
            config.evaluation,
            module,
            graph,
            self.device,
            StepOptions(config.precision),
            batch_size=config.eval_batch_size or 0,
            memory=config.eval_memory * 1e9,
            sampler=sampler,
            reduction=evaluation_reduction(spec, config, self.device),
            world=self.world,
        )
