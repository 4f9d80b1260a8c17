"""From a configuration to what it says: data, model, backend, device and Trainer.

Rules: every command and everything that opens a run goes through here, so that the same configuration means the same
everywhere. What is not there or cannot be done is told before data are loaded.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from gnnkit.backends import Backend, build_model
from gnnkit.data import Graph
from gnnkit.datasets import load_dataset
from gnnkit.devices import Device
from gnnkit.errors import ConfigError
from gnnkit.nn import GNN, conv_kinds
from gnnkit.nn.no_messages import NO_MESSAGES
from gnnkit.parallel import join_world, made_once
from gnnkit.paths import user_path
from gnnkit.runs import Learned, read_learned, read_weights
from gnnkit.runs.checkpoint import BEST, checkpoint_file, read_head
from gnnkit.runs.learned import match_training_graph
from gnnkit.stages import stage
from gnnkit.tasks import arranged, make_task, task_class
from gnnkit.tasks.graphs import GRAPH_SPLIT_OPTIONS
from gnnkit.tasks.pairs import SPLIT_OPTIONS
from gnnkit.train.config import RunConfig
from gnnkit.train.hardware import choose_hardware
from gnnkit.train.parts import open_parts
from gnnkit.train.processes import check_run_dir
from gnnkit.train.trainer import Trainer


class Assembly(NamedTuple):
    """A training as a configuration says it, ready for ``trainer.fit(model, graph)``; nothing has been written.

    Attributes:
        trainer: With backend, device and settings.
        model: With its initial weights.
        graph: The data, not prepared.
    """

    trainer: Trainer
    model: GNN
    graph: Graph


def assemble(
    config: RunConfig, *, initial: bool = True, learned: Optional[Learned] = None, data: Optional[Graph] = None
) -> Assembly:
    """Everything that a configuration says.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        initial: Whether the model gets the weights that the configuration names as initial ones.
        learned: What the weights know, to which the data are matched by name. None: what the initial ones know.
        data: The data, read and not split, for several trainings on the same. None: they are read.

    Raises:
        GnnkitError: Something cannot be had or does not fit; see the functions below.

    Example:
        >>> from gnnkit.train import load_config
        >>> config = load_config(overrides=["dataset.name=karate", "device=cpu", "train.epochs=2"])
        >>> trainer, model, graph = assemble(config)
        >>> len(trainer.fit(model, graph).history)
        2
    """
    world = join_world()
    with stage("choosing backend and device"):
        backend, device = choose_hardware(config)
    if config.run_dir is not None:
        check_run_dir(user_path(config.run_dir, "run_dir"), world)
    if config.dataset.parts is not None and data is None:
        graph = open_parts(config)
    else:
        read = partial(load_data, config) if data is None else partial(split_data, config, data)
        graph = made_once(world, read, "the data to be loaded")
    file = checkpoint_file(config.init_from, BEST) if config.init_from is not None and initial else None
    if file is not None and learned is None:
        learned = read_learned(file) or Learned(None)
    graph = match_training_graph(graph, learned)
    with stage("building the model"):
        model = make_model(config, graph, backend)
    trainer = make_trainer(config, backend, device)
    if file is not None:
        model.load_canonical(read_weights(file)[1])
        trainer.head_weights = read_head(file)
    return Assembly(trainer, model, graph)


def load_data(config: RunConfig, data_dir: Union[str, Path, None] = None, *, split: bool = True) -> Graph:
    """The data that a configuration names, split for its task.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        data_dir: Where files are looked for first. None: where the configuration says.
        split: Whether they are split where they bring no split.
    """
    graph = load_dataset(**config.dataset.arguments(config.seed, data_dir))
    return split_data(config, graph) if split else graph


def split_data(config: RunConfig, graph: Graph) -> Graph:
    """The data split for the configuration's task, where they bring no split.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        graph: The data.

    Raises:
        ConfigError: The configuration says how to split what is split already.
    """
    has_graphs = bool(graph.graph_splits) and config.task_options.get("folds") is None
    for brought, items, names in (
        (graph.links is not None, "pairs", SPLIT_OPTIONS),
        (has_graphs, "graphs", GRAPH_SPLIT_OPTIONS),
    ):
        idle = [name for name in names if name in config.task_options]
        if brought and idle:
            raise ConfigError(
                f"task_options.{idle[0]} has no effect: {graph.name} brings {items} for each split. Leave it out."
            )
    with stage("splitting the data"):
        return arranged(config.task, graph, config.task_options, config.seed)


def make_model(config: RunConfig, graph: Graph, backend: Union[str, Backend] = "reference") -> GNN:
    """The model that a configuration names, with initial weights of its seed.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        graph: Gives the widths of input and output, as the task has it.
        backend: Computes the convolutions.
    """
    config.model.check_learns()
    settings = asdict(config.model)
    if settings["out_channels"] is None:
        settings["out_channels"] = make_task(config.task, graph, config.task_options).num_outputs(graph)
    if settings["embedding_channels"] is None and graph.x is None and not task_class(config.task).needs_features:
        is_table = conv_kinds(settings["name"]) == NO_MESSAGES
        settings["embedding_channels"] = settings["out_channels" if is_table else "hidden_channels"]
    if not settings.pop("edge_features"):
        settings["edge_channels"] = None
    return build_model(settings.pop("name"), graph, backend=backend, seed=config.seed, **settings)


def make_trainer(config: RunConfig, backend: Backend, device: Device, **more: Any) -> Trainer:
    """The Trainer that a configuration describes.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        backend: Computes the convolutions.
        device: Runs the steps.
        more: Arguments of :class:`Trainer` that win over the configuration's.
    """
    told = {"dataset": asdict(config.dataset), "init_from": config.init_from}
    told.update(config.labels, **({"track": config.track} if config.track else {}))
    arguments = {
        "task": config.task,
        "task_options": config.task_options,
        "seed": config.seed,
        "run_dir": config.run_dir,
        "facts": told,
        "backend_options": config.backend_options,
        "device_options": config.device_options,
        **asdict(config.train),
    }
    return Trainer(backend, device, **{**arguments, **more})
