"""A trained run, opened: its best model with the data, on any backend and device.

Rules: weights are canonical, so the backend is free. Data are those that the run's configuration names, or a graph that
the caller has; whether they are the run's own is said, not enforced, because new nodes are other data. Their features
and classes are matched to the model's by name; what outputs mean is said by the run alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gnnkit.backends import Backend, load_backend
from gnnkit.data import Graph, Targets, check_graph, data_differences, describe_data
from gnnkit.data.check import MOST_CHECKED
from gnnkit.datasets import NodeNames, load_node_names
from gnnkit.devices import Device, StepOptions, choose_device, devices
from gnnkit.engine import LayerwiseInference
from gnnkit.engine.inference import Inference, JoinedLayers, Report, make_inference, quiet
from gnnkit.errors import ConfigError
from gnnkit.inference.checks import check_dataset, check_values, check_weights, matched
from gnnkit.inference.predictions import Predictions
from gnnkit.nn import GNN, CustomModel, conv_name
from gnnkit.nn.custom import like_custom_model
from gnnkit.paths import user_path
from gnnkit.runs import Learned, RunRecord, load_model, read_run, read_weights, recorded_config
from gnnkit.runs.checkpoint import BEST, checkpoint_file, read_head
from gnnkit.runs.learned import learned_by_run
from gnnkit.sampling.neighbor import check_fanouts, check_node_ids
from gnnkit.tasks import LossModule, NodeClassification, Task, make_task, task_class
from gnnkit.tasks.base import EMBEDDINGS, LABELS, NUMBERS
from gnnkit.train import RunConfig, load_config
from gnnkit.train.assembling import load_data
from gnnkit.train.capabilities import check_capabilities
from gnnkit.train.judging import head_outputs
from gnnkit.train.loaders import computed_graph, input_reduction, make_sampler
from gnnkit.train.settings import TrainConfig

METHODS = ("layerwise", "full", "sampled")
"""Ways to compute outputs: layer by layer over all neighbours in bounded memory; in one pass; with fan-outs."""

Nodes = Union[Tensor, ArrayLike, None]
"""Node ids; None means all nodes."""


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained model with its data. Made by :func:`open_run`.

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

    @cached_property
    def differences(self) -> List[str]:
        """In which parts the graph differs from the data of the run, in words. Empty where they are the same."""
        return data_differences(self.record.manifest["data"], describe_data(self._prepared))

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

    def on(self, graph: Graph) -> TrainedRun:
        """The same model on another graph, for example one with new nodes (:func:`gnnkit.data.add_nodes`).

        Args:
            graph: Not prepared, with the features that the model reads: by name, or where either side has no names, in
                their order.

        Raises:
            ConfigError: Features are missing, or have another width.
            DataError: The graph breaks a rule.
        """
        check_graph(graph, most_values=MOST_CHECKED)
        graph, notes = matched(self.model, graph, self.learned)
        return replace(self, graph=graph, notes=notes)

    def predict(
        self,
        nodes: Nodes = None,
        *,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> Predictions:
        """Compute outputs.

        Args:
            nodes: Node ids. Shape [M], integers. None: all nodes of the graph.
            method: "layerwise" (over all neighbours, layer by layer, in bounded memory), "full" (one pass over the
                whole graph) or "sampled". None: :attr:`default_method`.
            fanouts: Neighbours per layer for "sampled", seeds first; -1 takes all. None: those of the run.
            batch_size: Nodes per batch. None: the run's, or 4,096; 1,024 where it sampled nothing.
            report: Told how many batches are done, and how many there are.

        Returns:
            Outputs in the order of ``nodes``. What is larger than the run's ``train.eval_memory`` is mapped from a
            temporary file, except for "full".

        Raises:
            ConfigError: No such method, fan-outs that do not fit, no nodes, a run that learned no classes, or outputs
                that are not finite.
            DataError: A node id that the graph does not have.
        """
        if self.learned.outputs == EMBEDDINGS:
            task = self.config.task
            raise ConfigError(
                f"The run was trained for the task {task!r}: its outputs are embeddings. Embed nodes instead."
            )
        if self.learned.outputs is None:
            raise ConfigError(
                f"The run {self.path} does not say whether a node has one class or several labels: gnnkit 0.1.0 made "
                "it, and it did not come to its end. Open it with the data that it was trained on."
            )
        ids = self._ids(nodes)
        config = self._settings(method, fanouts, batch_size)
        # The batches have no targets: no head and no loss is computed with them.
        encoder = LossModule(self.model, NodeClassification())
        outputs = self._head_outputs(self._inference(config, encoder).outputs(ids, report))
        check_values(outputs, ids, "outputs")
        if self.learned.units is not None:
            outputs = self.learned.units.to_data(outputs)
            check_values(outputs, ids, "predictions in the data's units")
        kind = self.learned.outputs
        return Predictions(ids, outputs, kind == LABELS, self.class_names, kind == NUMBERS)

    def _head_outputs(self, h: Tensor) -> Tensor:
        """What the head of the run's task makes of the encoder's outputs."""
        cls = task_class(self.config.task)
        if cls.head is Task.head:
            return h
        module = LossModule(self.model, make_task(cls, self.graph, self.config.task_options))
        module.load_head(read_head(checkpoint_file(self.path, BEST)))
        return head_outputs(module, h, Targets())

    def embed(
        self,
        nodes: Nodes = None,
        *,
        layers: Optional[Sequence[int]] = None,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> Dict[int, Tensor]:
        """Compute embeddings: what layers hand on, after normalisation and activation.

        Those of the last layer are the model's outputs, unless a head follows (jumping knowledge).

        Args:
            nodes: As for :meth:`predict`.
            layers: Which layers, counted from 1 at the input. None: all.
            method: As for :meth:`predict`.
            fanouts: As for :meth:`predict`.
            batch_size: As for :meth:`predict`.
            report: As for :meth:`predict`.

        Returns:
            By layer, [M, width] in the order of ``nodes``, of the type of outputs.

        Raises:
            ConfigError: No such layer, or embeddings that are not finite; or as :meth:`predict`.
            DataError: As :meth:`predict`.
        """
        ids = self._ids(nodes)
        if isinstance(self.model, CustomModel):
            raise ConfigError(f"{self.model.spec.conv} is a custom module: only its outputs can be had. Predict.")
        wanted = self._wanted_layers(layers)
        config = self._settings(method, fanouts, batch_size)
        module = JoinedLayers(self.model, wanted)
        inference = self._inference(config, module)
        if isinstance(inference, LayerwiseInference):
            found = inference.layers(ids, wanted, report)
        else:
            widths = [self.model.spec.conv_spec(layer - 1).out_width for layer in wanted]
            found = dict(zip(wanted, torch.split(inference.outputs(ids, report), widths, dim=1)))
        for layer, values in found.items():
            check_values(values, ids, f"embeddings in layer {layer}")
        return found

    def close(self) -> None:
        """Release the device."""
        self.device.close()

    @cached_property
    def _prepared(self) -> Graph:
        """The graph with what the convolution asks for."""
        return self.model.spec.prepare(self.graph)

    def _ids(self, nodes: Nodes) -> Tensor:
        if nodes is None:
            return torch.arange(self.graph.num_nodes)
        return torch.from_numpy(check_node_ids(nodes, self.graph.num_nodes, "nodes"))

    def _wanted_layers(self, layers: Optional[Sequence[int]]) -> List[int]:
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
        recorded = self.config.train
        method = self.default_method if method is None else method
        if method not in METHODS:
            raise ConfigError(f"method is {method!r}, expected one of {', '.join(METHODS)}.")
        taken = self._fanouts(method, fanouts)
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"The batch size is {batch_size}, expected at least 1.")
        if batch_size is None and method == recorded.evaluation:
            batch_size = recorded.eval_batch_size
        config = replace(recorded, evaluation=method, eval_fanouts=taken, eval_batch_size=batch_size)
        return config.resolved(self.model.num_layers, static_shapes=self.device.capabilities.static_shapes)

    def _fanouts(self, method: str, given: Optional[Sequence[int]]) -> Optional[List[int]]:
        """The fan-outs asked for, or the run's; None for methods that sample nothing."""
        if method != "sampled":
            if given is not None:
                raise ConfigError(f"Fan-outs are for method 'sampled', not for {method!r}. Leave one of them out.")
            return None
        recorded = self.config.train.eval_fanouts or self.config.train.fanouts
        fanouts = recorded if given is None else given
        if fanouts is None:
            raise ConfigError("The run sampled no neighbours, so it has no fan-outs. Give them, seeds first.")
        received, expected = len(check_fanouts(fanouts)), self.model.num_layers
        if received != expected:
            raise ConfigError(
                f"Received {received} fan-outs for a model of {expected} layers. Give one for each, seeds first."
            )
        return list(fanouts)

    def _inference(self, config: TrainConfig, module: Union[LossModule, JoinedLayers]) -> Inference:
        spec, is_sampled = self.model.spec, config.evaluation == "sampled"
        graph = computed_graph(self.graph, self._prepared, spec, config.precision)
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
            reduction=input_reduction(spec, config.fuse_first_layer) if is_sampled else None,
        )


def open_run(
    run: Union[str, Path],
    *,
    backend: Union[str, Backend, None] = None,
    device: Union[str, Device] = "auto",
    graph: Optional[Graph] = None,
    data_dir: Union[str, Path, None] = None,
    precision: Optional[str] = None,
    model: Optional[nn.Module] = None,
) -> TrainedRun:
    """Open a run folder: the best model, and data to use it on.

    Args:
        run: The run folder.
        backend: Name of a backend, or one that is loaded; it need not be the one that the run was trained on, which
            None takes.
        device: Name of a device, or one that is loaded; "auto" takes the best that is ready.
        graph: Data to use instead of the run's, not prepared; see :meth:`TrainedRun.on`. None loads those that the
            configuration names.
        data_dir: Where their files are looked for first. None: where the run looked.
        precision: "float32", "bfloat16" or "float64". None: the run's.
        model: For a run that trained a custom module, and no other: a module like it, whose weights do not matter.

    Returns:
        The run; ``differences`` says whether the data are the run's own. Close it to release a device that is held.

    Raises:
        CheckpointError: It is no run folder, it has no checkpoint, or the checkpoint is damaged or not finite.
        ConfigError: The folder is damaged, does not say which data it had, or features are missing or have another
            width.
        DataError: The graph that is given breaks a rule.
        CapabilityError: The backend or the device does not do what the model needs.
        GnnkitError: Backend, device or data cannot be used.

    Example:
        >>> import tempfile, gnnkit
        >>> from gnnkit.inference import open_run
        >>> graph = gnnkit.load_dataset("karate")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=folder, progress=False)
        ...     _ = trainer.fit(gnnkit.build_model("gcn", graph), graph)
        ...     run = open_run(folder, graph=graph)
        >>> run.differences, tuple(run.predict([0, 33]).outputs.shape), sorted(run.embed([0]))
        ([], (2, 4), [1, 2])
    """
    path = user_path(run, "The run folder")
    weights = checkpoint_file(path, BEST)
    record = read_run(path)
    config = load_config(base=recorded_config(path))
    if precision is not None:
        config.train.precision = precision
    loaded = _backend(backend, config)
    chosen = _device(device, loaded, config)
    net = _model(record, weights, loaded, model).eval()
    check_weights(net, weights)
    check_capabilities(
        loaded,
        chosen,
        spec=None if isinstance(net, CustomModel) else net.spec,
        precision=config.train.precision,
    )
    if config.train.precision == "float64":
        net = net.double()
    names: Callable[[], NodeNames] = NodeNames
    if graph is None:
        check_dataset(path)
        graph = load_data(config, data_dir)
        names = partial(load_node_names, **config.dataset.arguments(config.seed, data_dir))
    else:
        check_graph(graph, most_values=MOST_CHECKED)
    learned = learned_by_run(record.manifest, graph)
    graph, notes = matched(net, graph, learned)
    return TrainedRun(path, net, graph, record, learned, config, chosen, names, notes)


def _model(record: RunRecord, weights: Path, backend: Backend, module: Optional[nn.Module]) -> GNN:
    """The model of a run with its weights; ``module`` is like the one that was trained, where that was a custom one."""
    is_custom, name = bool(record.manifest.get("custom_model")), conv_name(record.manifest["model"]["conv"])
    if is_custom and module is None:
        raise ConfigError(
            f"The run trained a custom module, {name}, of which its folder has the weights alone. Open it in Python: "
            "gnnkit.open_run(run, model=MODULE) with a module like that one."
        )
    if module is None:
        return load_model(weights, backend)
    if not is_custom:
        raise ConfigError(f"model= is for runs that trained a custom module; this one trained {name!r}. Leave it out.")
    spec, values, _ = read_weights(weights)
    return like_custom_model(module, spec, values, backend)


def _backend(backend: Union[str, Backend, None], config: RunConfig) -> Backend:
    if isinstance(backend, Backend):
        return backend
    is_same = backend is None or backend == config.backend
    return load_backend(backend or config.backend, config.backend_options if is_same else None)


def _device(device: Union[str, Device], backend: Backend, config: RunConfig) -> Device:
    if isinstance(device, Device):
        return device
    chosen = choose_device(device, backend, config.device_options if device == config.device else {})
    if device == "auto" and devices.name_of(type(chosen)) == config.device:
        chosen.configure(config.device_options)
    return chosen
