"""What the checks of a task are made on: small graphs, batches of theirs, and trainings.

Rules: everything is computed on the reference backend and the device ``cpu``, because a task knows of neither.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Callable, ClassVar, Iterator, List, Mapping, Optional, Tuple, Type

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.backends import build_model, load_backend
from gnnkit.data import Batch, Graph, Targets
from gnnkit.devices import DeviceCapabilities
from gnnkit.devices.cpu import CpuDevice
from gnnkit.loading import pad_batch, plan_padding
from gnnkit.nn import GNN
from gnnkit.runs import RunResult
from gnnkit.tasks import LossModule, Task, arranged, make_task, tasks
from gnnkit.tasks.base import EMBEDDINGS, LABELS, NUMBERS, SCORES
from gnnkit.testing.graphs import communities, draw, many_graphs, triples
from gnnkit.testing.places import file_of
from gnnkit.testing.suite import Suite
from gnnkit.train import Trainer
from gnnkit.train.config import train_config
from gnnkit.train.loaders import training_loader

SAMPLED: Mapping[str, Any] = {"fanouts": [4, 4], "batch_size": 40, "overflow_rate": 0.0}
GRAPHS: Mapping[str, Any] = {"batch_size": 16, "packing": "never"}
PACKED: Mapping[str, Any] = {"batch_size": 16, "packing": "always"}
_OF_GRAPHS: Mapping[str, Mapping[str, Any]] = {"whole graphs": GRAPHS, "packed graphs": PACKED}
WAYS: Mapping[str, Mapping[str, Any]] = {"full graph": {}, "sampled": SAMPLED, **_OF_GRAPHS}
"""Ways to train, by name."""
_IN_WORDS = {"full graph": "the full graph", "sampled": "samples"}


class FixedShapes(CpuDevice):
    """``cpu`` as a device with fixed shapes that offers nothing besides."""

    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities("cpu", static_shapes=True)


class TaskBase(Suite):
    """What :class:`gnnkit.testing.TaskSuite` has besides its checks.

    Attributes:
        options: Options of the task.
    """

    kind: ClassVar[str] = "task"
    options: Mapping[str, Any] = {}

    def task_class(self) -> Type[Task]:
        """The class under test. Override it for one that is not registered."""
        return tasks.load(self.name)

    def graph(self) -> Graph:
        """What is learned from: a graph of 240 nodes, or 120 graphs, with splits and the labels or numbers it takes.

        It is typed for a task that needs relations.
        """
        kind = self.task_class().outputs
        if self.task_class().needs_relations:
            return arranged(self.task_class(), triples(), self.options or {}, 0)
        if self.task_class().level == "graphs":
            graph = many_graphs()
            assert graph.graph_y is not None
            y = graph.graph_y
            if kind == NUMBERS:
                y = torch.stack([y, 2 - y], dim=1) * 3 + draw(len(y), 2, seed=9)
                y[::9, 0] = float("nan")
            if kind == LABELS:
                own = torch.nn.functional.one_hot(y, 3)
                y = (own + own.roll(1, dims=1) * (draw(len(y), 1, seed=9) > 0)).clamp(max=1).float()
            return replace(graph, graph_y=y)
        graph = communities()
        assert graph.y is not None and graph.x is not None
        if self.task_class().level == "edges":
            alike = (graph.y[graph.indices] == graph.y[graph.dst]).long()
            columns = {} if kind == SCORES else {"label": alike.double() * 3 if kind == NUMBERS else alike}
            return arranged(self.task_class(), replace(graph, edge_data=columns), self.options or {}, 0)
        if kind == NUMBERS:
            numbers = graph.x[:, :2] * 3 + torch.stack([graph.y, -graph.y], dim=1)
            numbers[::9, 0] = float("nan")
            return replace(graph, y=numbers, class_names=())
        if kind == LABELS:
            own = torch.nn.functional.one_hot(graph.y, 3)
            return replace(graph, y=(own + own.roll(1, dims=1) * (graph.x[:, :1] > 0)).clamp(max=1).float())
        return graph

    def plugin_file(self) -> str:
        """See :class:`Suite`."""
        try:
            return file_of(self.task_class())
        except Exception:  # One that cannot even be found has no file; the check says what is wrong with it.
            return ""

    def lacks(self, need: str, case: str) -> str:
        """See :class:`Suite`."""
        cls = self.task_class()
        if need == "the way of training":
            return "" if case in self.ways else f"training on {_IN_WORDS.get(case, case)}"
        if need == "fixed shapes":
            return ", ".join(sorted(cls.needs))
        if need == "labels in its loss":
            known = all(batch.targets is not None and batch.targets.y is not None for _, batch in self.batches())
            return "" if known and cls.outputs != EMBEDDINGS and not cls.needs_relations else need
        if need == "draws":
            return "" if self.task().draw(self.labelled(), 0) is not None else "targets that are drawn"
        if need == "a head":
            return "" if self.module().has_head else need
        return super().lacks(need, case)

    @property
    def ways(self) -> Mapping[str, Mapping[str, Any]]:
        """Those of ``WAYS`` that the task can be trained in."""
        cls = self.task_class()
        if cls.level == "graphs":
            return _OF_GRAPHS
        return {name: WAYS[name] for name in ("full graph", "sampled")[1 if cls.needs_batches else 0 :]}

    def task(self, graph: Optional[Graph] = None) -> Task:
        """The task on a graph."""
        return make_task(self.task_class(), self.graph() if graph is None else graph, self.options)

    def labelled(self) -> Graph:
        """The graph as the loaders of a training see it."""
        graph = self.graph()
        return self.task(graph).labelled(graph)

    def numbers(self) -> NDArray[np.int64]:
        """Items of a training as loaders have them: node ids, or numbers of pairs."""
        items = self.task().items(self.labelled(), "train")
        return np.arange(len(items.ids)) if items.level == "edges" else items.ids.numpy()

    def model(self, graph: Optional[Graph] = None) -> GNN:
        """A small model of two layers without dropout."""
        graph = self.graph() if graph is None else graph
        return build_model(
            "rgcn" if self.task_class().needs_relations else "sage",
            graph,
            backend=load_backend("reference"),
            seed=3,
            hidden_channels=8,
            dropout=0.0,
            pooling="sum" if self.task_class().level == "graphs" else "none",
            out_channels=self.task(graph).num_outputs(graph) or 8,
        )

    def module(self, seed: int = 0) -> LossModule:
        """The model with the task's head and loss."""
        return LossModule(self.model(), self.task(), seed)

    def batches(self, way: str = "") -> Iterator[Tuple[str, Batch]]:
        """The first batches of each way to train that the task has, with what it is called."""
        for name, settings in self.ways.items():
            if way not in ("", name):
                continue
            for number, batch in enumerate(list(self.loader(settings).epoch(1))[:2]):
                yield f"batch {number} ({name})", batch

    def loader(self, settings: Mapping[str, Any], *, static_shapes: bool = False) -> Any:
        """The loader of a training, whose batches are in host memory; of graphs, on request in fixed shapes."""
        model, task = self.model(), self.task()
        if task.level == "graphs":
            config = train_config(model.spec.conv, settings, type(task)).resolved(2, level="graphs")
            return training_loader(self.labelled(), model.spec, task, config, 0, static_shapes=static_shapes)
        config = train_config(
            model.spec.conv, {**settings, "fuse_first_layer": "never"} if settings else {}, type(task)
        )
        return training_loader(self.labelled(), model.spec, task, config.resolved(2), 0)

    def padded(self, way: str) -> List[Tuple[Batch, Batch]]:
        """Batches, each with itself padded."""
        loader = self.loader(WAYS[way])
        if self.task_class().level == "graphs":
            fixed = self.loader(WAYS[way], static_shapes=True)
            return list(zip(loader.epoch(1), fixed.epoch(1)))[:2]
        spec = plan_padding(loader, overflow_rate=0.0, epochs=range(1, 2)).spec
        return [(batch, pad_batch(batch, spec)) for batch in list(loader.epoch(1))[:2]]

    def fit(self, graph: Optional[Graph] = None, device: Any = "cpu", resume: Any = None, **settings: Any) -> RunResult:
        """Train, in the first of the task's ways."""
        graph = self.graph() if graph is None else graph
        how = {**next(iter(self.ways.values())), "epochs": 3, "lr": 0.01, **settings}
        trainer = Trainer(None, device, task=self.task_class(), task_options=self.options, progress=False, **how)
        return trainer.fit(self.model(graph), graph, resume=resume)


def outputs_like(module: LossModule, batch: Batch) -> Tensor:
    """Outputs of a batch, which gradients can be asked of."""
    targets = batch.targets
    assert targets is not None, "a training batch has targets."
    graphs = () if batch.graphs is None else (batch.graphs,)
    with torch.no_grad():
        h = module.model(batch.blocks, module.head.inputs(batch.x, targets), *graphs)
        found: Tensor = module.head(h, targets)
    return found.detach().clone().requires_grad_()


def loss_of(task: Task, outputs: Tensor, targets: Targets) -> Tensor:
    """The loss, which must be one number."""
    loss = task.loss(outputs, targets)
    assert isinstance(loss, Tensor) and loss.numel() == 1, f"the loss is {loss!r}, expected a tensor with one number."
    return loss


def close(received: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether two losses are equal to a tolerance, relative beyond 1."""
    difference = float((received.detach() - expected.detach()).abs())
    return difference <= tolerance * max(1.0, abs(float(expected.detach())))


def missing_label(y: Tensor) -> float:
    """What stands for a label that is missing: NaN among numbers, -100 among classes and answers of 0 and 1."""
    is_answer = bool(((y == 0) | (y == 1) | (y == -100)).all())
    return float("nan") if y.is_floating_point() and not is_answer else -100


def unchanged_generators(work: Callable[[], Any], what: str) -> Any:
    """Do something twice that must not draw from the global generators of torch, NumPy or Python, nor be moved by them.

    Returns:
        Both results.
    """
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = _generators()
        found.append(work())
        same = _generators() == before
        assert same, f"{what} draws from a global generator, so that nothing can be repeated. Key it by the seed."
    return found


def _generators() -> Tuple[Any, ...]:
    state: Any = np.random.get_state()
    return torch.random.get_rng_state().tolist(), state[1].tolist(), state[2], random.getstate()
