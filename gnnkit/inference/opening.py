"""Opening a run folder: its best model, on any backend and device, with data.

Rules: weights are canonical, so the backend is free. A graph that the caller has is split as the run split its own.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Union

from torch import nn

from gnnkit.backends import Backend, load_backend
from gnnkit.data import Graph, check_graph
from gnnkit.data.check import MOST_CHECKED
from gnnkit.datasets import NodeNames, load_node_names
from gnnkit.devices import Device, choose_device, devices
from gnnkit.errors import ConfigError, DataError
from gnnkit.inference.checks import check_dataset, check_single, check_weights, matched
from gnnkit.inference.run import TrainedRun
from gnnkit.nn import GNN, CustomModel, conv_name
from gnnkit.nn.custom import like_custom_model
from gnnkit.parallel import ALONE, World
from gnnkit.paths import user_path
from gnnkit.runs import RunRecord, load_model, read_run, read_weights, recorded_config
from gnnkit.runs.checkpoint import BEST, checkpoint_file
from gnnkit.runs.learned import GRAPHS, learned_by_run
from gnnkit.tasks import arranged, task_class, task_options
from gnnkit.train import RunConfig, load_config
from gnnkit.train.assembling import load_data
from gnnkit.train.capabilities import check_capabilities
from gnnkit.train.config import DatasetConfig

_LOG = logging.getLogger(__name__)


def open_run(
    run: Union[str, Path],
    *,
    backend: Union[str, Backend, None] = None,
    device: Union[str, Device] = "auto",
    graph: Optional[Graph] = None,
    dataset: Optional[str] = None,
    data_dir: Union[str, Path, None] = None,
    precision: Optional[str] = None,
    model: Optional[nn.Module] = None,
    world: World = ALONE,
) -> TrainedRun:
    """Open a run folder: the best model, and data to use it on.

    Args:
        run: The run folder.
        backend: Name of a backend, or one that is loaded; it need not be the one that the run was trained on, which
            None takes.
        device: Name of a device, or one that is loaded; "auto" takes the best that is ready.
        graph: Data to use instead of the run's, not prepared; see :meth:`TrainedRun.on`. They get the pairs that
            the run's task learns and judges, if they have none. None loads those that the configuration names.
        dataset: Name of other data to load instead of the run's, without their options. Graphs of them are in no split
            but their own.
        data_dir: Where their files are looked for first. None: where the run looked.
        precision: "float32", "bfloat16" or "float64". None: the run's.
        model: For a run that trained a custom module, and no other: a module like it, whose weights do not matter.
        world: The processes that share what is computed, :func:`gnnkit.parallel.join_world`: all of them then call the
            same methods, and each gets all results.

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
    check_single(path)
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
    if graph is not None and dataset is not None:
        raise ConfigError(f"graph and dataset ({dataset!r}) are both data to use. Give one of them.")
    if dataset is not None:
        config.dataset = DatasetConfig(dataset, None if data_dir is None else str(data_dir))
    elif graph is None:
        check_dataset(path)
    if graph is None:
        is_whole = dataset is not None and task_class(config.task).level == GRAPHS
        graph = load_data(config, split=False) if is_whole else load_data(config, data_dir)
        names = partial(load_node_names, **config.dataset.arguments(config.seed, data_dir))
    else:
        check_graph(graph, most_values=MOST_CHECKED)
        graph = arranged_as(config, graph)
    learned = learned_by_run(record.manifest, graph)
    graph, notes = matched(net, graph, learned)
    return TrainedRun(path, net, graph, record, learned, config, chosen, names, notes, world)


def arranged_as(config: RunConfig, graph: Graph) -> Graph:
    """A graph that the caller has, split as a run splits its own; one without what is learnt about pairs stays whole.

    Args:
        config: The run's.
        graph: As loaded.
    """
    cls = task_class(config.task)
    if cls.level == GRAPHS:
        return _split_graphs(config, graph)
    options = task_options(cls, config.task_options)
    label = getattr(options, "label", None)
    if graph.links is None and label is not None and label not in graph.edge_data:
        _LOG.warning("%s: it has no edge_data[%r], so all of its edges carry messages.", graph.name, label)
        return graph
    return arranged(config.task, graph, config.task_options, config.seed)


def _split_graphs(config: RunConfig, graph: Graph) -> Graph:
    """Graphs split as a run splits its own; one graph, or too few of them to be split, stay as they are."""
    if graph.graph_ptr is None:
        return graph
    try:
        return arranged(config.task, graph, config.task_options, config.seed)
    except DataError:
        return graph


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
