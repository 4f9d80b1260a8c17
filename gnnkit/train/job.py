"""A training made ready: model, data, backend and device, checked and brought together.

Rules: everything is checked here, before anything is written; nothing here knows the name of a backend or a device.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from torch import nn

from gnnkit.backends import Backend, as_backend, load_backend, move_model
from gnnkit.data import Graph, check_graph, check_leaks, expect_graph, message_graph, missing_array
from gnnkit.data.check import MOST_CHECKED
from gnnkit.devices import Device, Step, StepOptions, choose_device
from gnnkit.engine.graphs import GraphInference
from gnnkit.engine.inference import Inference, make_inference
from gnnkit.engine.loading import transfer_to
from gnnkit.errors import ConfigError
from gnnkit.loading import Loader, plan_padding
from gnnkit.nn import (
    GNN,
    CustomModel,
    beyond_spec,
    check_layers,
    check_parameter_names,
    has_own_forward,
)
from gnnkit.nn.custom import custom_model
from gnnkit.nn.message_passing import is_custom_layer
from gnnkit.parallel import ALONE, World, made_once
from gnnkit.runs.callback import Callback
from gnnkit.stages import stage
from gnnkit.tasks import LossModule, Task, arranged, make_task
from gnnkit.train.allocator import keep_freed_memory, use_large_pages
from gnnkit.train.capabilities import check_updates
from gnnkit.train.config import train_config
from gnnkit.train.fit_checks import check_fit, check_judging
from gnnkit.train.keeper import StateKeeper
from gnnkit.train.loaders import computed_graph, evaluation_reduction, make_sampler, training_loader
from gnnkit.train.optimizers import make_optimizer, optimizer_name
from gnnkit.train.processes import check_processes
from gnnkit.train.progress import Progress
from gnnkit.train.remote import check_remote, prepared_remote
from gnnkit.train.schedules import Schedule
from gnnkit.train.settings import TrainConfig
from gnnkit.train.sparse import decide_sparse

if TYPE_CHECKING:
    from gnnkit.runs.state import TrainState
    from gnnkit.train.trainer import Trainer

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Job:
    """Everything that one training needs, checked and in place.

    ``graph`` is the prepared one, as the manifest describes it; ``labelled`` has what is learned as labels.
    ``inferences`` are by split: edges that carry messages may be others for testing. ``settled`` are the device's
    options that it decided itself.
    """

    model: GNN
    module: LossModule
    graph: Graph
    labelled: Graph
    task: Task
    backend: Backend
    device: Device
    config: TrainConfig
    seed: int
    loader: Loader
    step: Step
    progress: Progress
    inferences: Dict[str, Inference]
    optimizer: str
    callbacks: Sequence[Callback] = ()
    keeper: Optional[StateKeeper] = None
    facts: Dict[str, Any] = field(default_factory=dict)
    settled: Dict[str, Any] = field(default_factory=dict)
    nondeterministic: List[str] = field(default_factory=list)
    beyond_spec: Optional[str] = None
    world: World = ALONE


def prepare_job(
    trainer: Trainer, model: nn.Module, graph: Graph, world: World = ALONE, earlier: Optional[TrainState] = None
) -> Job:
    """Check everything, and bring model, data and device together. The model itself is left as it is.

    Args:
        trainer: With the settings.
        model: Its weights are where training starts.
        graph: As for :meth:`Trainer.fit`, which says what is raised.
        world: The processes that train together.
        earlier: The state that training will go on from.
    """
    if not isinstance(model, nn.Module):
        problem = "model and graph in the other order" if isinstance(model, Graph) else f"a {type(model).__qualname__}"
        raise ConfigError(f"Received {problem}, expected fit(model, graph) with a model of gnnkit.build_model.")
    dtypes = {str(parameter.dtype) for parameter in model.parameters()} - {"torch.float32"}
    if dtypes:
        raise ConfigError(
            f"The model has parameters of {', '.join(sorted(dtypes))}, expected float32. Leave them so and give "
            'precision="float64" or "bfloat16" to the Trainer.'
        )
    arrange = partial(arranged, trainer.task, graph, trainer.task_options, trainer.seed)
    once = made_once if expect_graph(graph).remote is None else _for_itself
    graph = once(world, arrange, "the data to be split")
    with stage("checking the data"):
        world.on_machine(partial(_check, graph), "the data to be checked")
    backend = _backend(trainer, model)
    if not isinstance(model, GNN):
        if graph.x is None:
            raise missing_array("x", "a custom module")
        edge_channels = None if graph.edge_attr is None else graph.edge_attr.shape[1]
        model = custom_model(model, graph.num_features, backend, edge_channels)
    settings = train_config(model.spec.conv, trainer.settings, trainer.task)
    task = make_task(trainer.task, graph, trainer.task_options, loss=trainer.loss, metrics=trainer.metrics)
    device = trainer.device
    if isinstance(device, str):
        device = choose_device(device, backend, trainer.device_options)
    settled = _settle(device, world, earlier)
    special = beyond_spec(model)
    if special is not None:
        if not isinstance(model, CustomModel):
            check_parameter_names(model, special)
        settings = _for_special(settings, model, special)
    settings = check_remote(graph, model, task, device, settings)
    static_shapes = device.capabilities.static_shapes
    config = settings.resolved(model.num_layers, static_shapes=static_shapes, level=task.level)
    if config.keep_memory:
        keep_freed_memory()
        use_large_pages()
    labelled = task.labelled(graph)
    check_fit(model, labelled, task, backend, device, config)
    check_processes(world, model, task, device, config)
    make = partial(prepared_graphs, model, graph, labelled, config.precision)
    with stage("preparing the graph"):
        prepared, computed, tested = once(world, make, "the data to be prepared")
    tested = computed if tested is None else tested
    if not isinstance(model, CustomModel) and (special is not None or any(map(is_custom_layer, model.spec.kinds))):
        sampled = config.is_sampled or config.evaluation != "full"
        check_layers(model, weighted=prepared.edge_weight is not None, sampled=sampled)
    model = move_model(model, backend)
    module = LossModule(model, task, trainer.seed)
    if trainer.head_weights and not module.load_head(trainer.head_weights):
        _LOG.warning("The head of the weights that training starts from is another task's and is left out.")
    if config.precision == "float64":
        module = module.double()
    check_judging(computed, module)
    trained, table = _trained(module), _table(model)
    config = decide_sparse(config, table, device)
    if table is not None:
        model.embedding.sparse = bool(config.sparse_embeddings)
    sparse = table if config.sparse_embeddings else None
    optimizer, config = make_optimizer(config, trained, trainer.make_optimizer, table=sparse)
    better = task.higher_is_better
    schedule = Schedule(optimizer, config, trainer.make_schedule, higher_is_better=better)
    check_updates(device, optimizer_name(optimizer), config)
    options = StepOptions(config.precision, config.clip_norm, config.accumulate, config.average, world)
    with stage("preparing the device"):
        step = device.prepare(module, optimizer, options)
    inference = _inference(module, computed, device, config, trainer.seed, world)
    testing = inference if tested is computed else _inference(module, tested, device, config, trainer.seed, world)
    settings_of_loader: Dict[str, Any] = {
        "static_shapes": static_shapes,
        "share": (world.rank, world.size),
        "dropout_keys": world.size > 1 or world.place.launcher is not None,
    }
    loader_for = partial(training_loader, computed, model.spec, task, config, trainer.seed, **settings_of_loader)
    pad = None
    if static_shapes and task.level != "graphs":
        with stage("planning the sizes of batches"):
            pad = plan_padding(loader_for(), overflow_rate=config.overflow_rate, epochs=config.planned_epochs).spec
    with stage("preparing batches"):
        loader = loader_for(transfer=transfer_to(device, model), pad=pad, overlap=not device.capabilities.uses_host)
    progress = Progress(schedule, config.patience, higher_is_better=better)
    return Job(
        model,
        module,
        prepared,
        computed,
        task,
        backend,
        device,
        config,
        trainer.seed,
        loader,
        step,
        progress,
        {"train": inference, "valid": inference, "test": testing},
        optimizer_name(optimizer),
        settled=settled,
        beyond_spec=None if isinstance(model, CustomModel) else special,
        world=world,
    )


def _settle(device: Device, world: World, earlier: Optional[TrainState]) -> Dict[str, Any]:
    """Let the device decide what is left to it: as the earlier training did, and in all processes as in the first."""
    recorded: Mapping[str, Any] = {} if earlier is None else earlier.facts["device"]
    if recorded.get("name") != device.name:
        recorded = {}
    settled = world.from_first(partial(device.settle, recorded), "the device to be measured")
    if not world.is_first:
        device.settle(settled)
    return settled


def _check(graph: Graph) -> None:
    """Refuse a graph that breaks a rule; reading all of it is enough once a machine."""
    check_graph(graph, most_values=MOST_CHECKED)
    check_leaks(graph)


def _for_itself(world: World, make: Callable[[], T], what: str) -> T:
    """What every process makes for itself, because it is little."""
    return make()


def prepared_graphs(model: GNN, graph: Graph, labelled: Graph, precision: str) -> Tuple[Graph, Graph, Optional[Graph]]:
    """The prepared graph, what is computed on, and what is computed on for testing, where that is another."""
    if graph.remote is not None:
        prepared = prepared_remote(labelled, model.spec)
        return prepared, prepared, None
    prepared = model.spec.prepare(graph)
    # Labels have no part in preparing edges, which is not done twice.
    learned = prepared
    if labelled is not graph:
        changed = {name: getattr(labelled, name) for name in ("y", "graph_y", "class_names", "links")}
        learned = replace(prepared, **changed)
    computed = computed_graph(labelled, learned, model.spec, precision)
    messages = message_graph(labelled, "test")
    if messages is labelled:
        return prepared, computed, None
    return prepared, computed, computed_graph(messages, model.spec.prepare(messages), model.spec, precision)


def _inference(
    module: LossModule, graph: Graph, device: Device, config: TrainConfig, seed: int, world: World
) -> Inference:
    """How the outputs that are judged are computed."""
    spec = module.model.spec
    if module.task.level == "graphs":
        step = device.prepare(module, None, StepOptions(config.precision))
        assert config.eval_batch_size is not None
        return GraphInference(
            step, module.model, graph, device, config.eval_batch_size, config.eval_memory * 1e9, world
        )
    return make_inference(
        config.evaluation,
        module,
        graph,
        device,
        StepOptions(config.precision),
        batch_size=config.eval_batch_size or 0,
        memory=config.eval_memory * 1e9,
        sampler=make_sampler(graph, spec, config, config.eval_fanouts, seed),
        reduction=evaluation_reduction(spec, config, device),
        world=world,
    )


def _trained(module: LossModule) -> List[nn.Parameter]:
    """The parameters that are not frozen, the head's last."""
    found = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not found:
        raise ConfigError("Every parameter of the model is frozen (requires_grad is False), so nothing can be trained.")
    return found


def _table(model: GNN) -> Optional[nn.Parameter]:
    """The embeddings of nodes, if the model learns some and they are not frozen."""
    if model.spec.num_embeddings is None:
        return None
    weight: nn.Parameter = model.embedding.weight
    return weight if weight.requires_grad else None


def _for_special(settings: TrainConfig, model: GNN, special: str) -> TrainConfig:
    """Settings for a model that is more than its specification: nothing may be computed without calling it."""
    if settings.fuse_first_layer == "always":
        raise ConfigError(f"fuse_first_layer is 'always', but this model's first layer cannot be fused: {special}.")
    settings = replace(settings, fuse_first_layer="never")
    if not has_own_forward(model) or settings.evaluation in ("full", "sampled"):
        return settings
    if settings.evaluation == "layerwise":
        raise ConfigError(
            "evaluation is 'layerwise', which computes layer by layer and would never call this model's own forward. "
            "Take 'full' or 'sampled'."
        )
    return replace(settings, evaluation="full")


def _backend(trainer: Trainer, model: nn.Module) -> Backend:
    if trainer.backend is not None:
        return as_backend(trainer.backend, trainer.backend_options)
    backend = model.backend if isinstance(model, GNN) else load_backend("reference")
    assert isinstance(backend, Backend)
    return backend
