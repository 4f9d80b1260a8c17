"""The checks of a task: its loss is a mean over what is known, what it draws is keyed, its head is kept."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from gnnkit.data import Graph, Inputs, Targets, TypedInputs
from gnnkit.data.links import BY_SPLIT
from gnnkit.errors import DataError, GnnkitError, UnknownNameError
from gnnkit.registry import API_VERSION
from gnnkit.tasks import LossModule, Metric, Task, make_task
from gnnkit.tasks.base import CLASSES, EMBEDDINGS, LABELS, NEEDS, NUMBERS, SCORES
from gnnkit.testing.compare import compare_states, expect_error
from gnnkit.testing.graphs import draw as draw_normal
from gnnkit.testing.suite import check
from gnnkit.testing.task_base import (
    FixedShapes,
    TaskBase,
    missing_label,
    unchanged_generators,
)
from gnnkit.testing.task_loss import DrawChecks, LossChecks
from gnnkit.testing.training import compare_losses, losses
from gnnkit.train.model_config import ModelConfig
from gnnkit.train.settings import TrainConfig

_FITTING = 100
"""Updates after which embeddings know the triples of a small graph."""


class _DeclarationChecks(TaskBase):
    """What the task says of itself, and how it refuses."""

    @check()
    def test_declaration(self) -> None:
        """The declaration is sound.

        Name and interface version are right; the options all have defaults; what it needs, its kind of outputs and the
        settings that it presets are known; it has metrics.
        """
        cls = self.task_class()
        assert issubclass(cls, Task), f"the plugin is {cls!r}, expected a Task."
        assert cls.name == self.name.split("@")[0], (
            f"the class is named {cls.name!r}, it was asked for as {self.name!r}."
        )
        assert cls.api_version == API_VERSION, f"api_version is {cls.api_version!r}, this is version {API_VERSION}."
        assert dataclasses.is_dataclass(cls.options_class), f"options_class is {cls.options_class!r}, no dataclass."
        cls.options_class()
        unknown = sorted(set(cls.needs) - NEEDS)
        assert not unknown, f"needs {unknown} are declared, known are {sorted(NEEDS)}."
        task = self.task()
        kinds = (CLASSES, LABELS, NUMBERS, EMBEDDINGS, SCORES)
        assert task.outputs in kinds, f"outputs are {task.outputs!r}, expected one of {', '.join(kinds)}."
        assert task.metrics, "there are no metrics, so nothing can be judged."
        odd = [name for name, metric in task.metrics.items() if not isinstance(metric, Metric)]
        assert not odd, f"the metrics {odd} are no gnnkit.tasks.Metric, which says whether more is better."
        known = {"model": ModelConfig, "train": TrainConfig}
        for section, settings in cls.preset.items():
            assert section in known, f"the preset has a section {section!r}, expected {' or '.join(known)}."
            names = {item.name for item in dataclasses.fields(known[section])} | {"attention_dropout"}
            assert set(settings) <= names, f"the preset names {sorted(set(settings) - names)}, which do not exist."
        draws = task.draw(self.labelled(), 0) is not None
        assert cls.needs_batches or not draws or cls.level == "edges", (
            "it draws its targets, so needs_batches must be True."
        )

    @check()
    def test_bad_option(self) -> None:
        """Bad options are refused clearly.

        One that the task does not have raises an ``UnknownNameError`` that names it; each that it has, given an object
        that cannot be meant, raises a ``GnnkitError`` that names it.
        """
        graph, cls = self.graph(), self.task_class()
        expect_error(UnknownNameError, partial(make_task, cls, graph, {"no_such_option": 1}), "no_such_option")
        for item in dataclasses.fields(cls.options_class):
            expect_error(GnnkitError, partial(make_task, cls, graph, {item.name: object()}), item.name)

    @check()
    def test_missing_data(self) -> None:
        """A graph that lacks something is refused clearly.

        Without anything to validate on, making the task raises a ``DataError`` that says so.
        """
        graph = self.graph()
        if graph.links is not None:
            kept = {name: pairs for name, pairs in graph.links.pairs.items() if name != "valid"}
            lacking = replace(graph, links=replace(graph.links, pairs=kept))
        else:
            field = "graph_splits" if self.task_class().level == "graphs" else "splits"
            kept = {name: ids for name, ids in getattr(graph, field).items() if name != "valid"}
            lacking = replace(graph, **{field: kept})  # type: ignore[arg-type]
        expect_error(DataError, partial(self.task, lacking), "valid")


class _HeadChecks(TaskBase):
    """What the head keeps, and what it changes."""

    @check()
    def test_head(self) -> None:
        """What is learned is in the head.

        Parameters stand in the module that ``head`` gives, are drawn by the seed alone, move in a training step that
        asks for it, and come back under canonical names that begin with ``task.``; the task itself keeps none.
        """
        own = [name for name, value in vars(self.task()).items() if isinstance(value, (nn.Module, nn.Parameter))]
        assert not own, f"the task keeps {own}, which nobody trains or saves. Make them parts of its head."
        module, again = unchanged_generators(self.module, "making the head")
        names = [name for name in module.canonical_state() if name.startswith("task.")]
        loose = [name for name, value in _attributes(module.head) if isinstance(value, Tensor)]
        assert not loose, f"the head keeps {loose} as plain tensors. Make them parameters or buffers."
        compare_states(again.canonical_state(), module.canonical_state(), "of two models of one seed", 0.0)
        if not names:
            return
        _, batch = next(self.batches())
        loss, _ = module(batch)
        loss.backward()
        gone = [name for name, p in module.parameters_by_name().items() if name in names and p.grad is None]
        assert not gone, f"the loss has no gradients for {gone}."
        other = self.module(seed=1)
        other.load_canonical(module.canonical_state())
        compare_states(other.canonical_state(), module.canonical_state(), "after loading", 0.0)

    @check()
    def test_inputs(self) -> None:
        """Features are changed only where the task says so.

        A head that does not declare ``changes_inputs`` hands features on as they are. One that does leaves their shape
        and the batch's own tensor alone.
        """
        module = self.module()
        for what, batch in self.batches():
            assert batch.targets is not None
            before = [tensor.clone() for tensor in _tensors(batch.x)]
            x = _tensors(module.head.inputs(batch.x, batch.targets))
            same = _equal(before, _tensors(batch.x))
            assert same, f"the head writes into the features of {what}, which may be shared."
            shapes = [[list(each.shape) for each in some] for some in (x, before)]
            assert shapes[0] == shapes[1], f"the head makes features {shapes[0]} of {shapes[1]}."
            if not module.task.changes_inputs:
                assert _equal(x, before), f"the head changes features of {what}, changes_inputs is False."


class _JudgeChecks(TaskBase):
    """How results are judged."""

    @check()
    def test_judge(self) -> None:
        """The truth is the best that can be.

        Scores that say the truth are judged better than noise by every metric, in the direction that it declares;
        labels that are missing take no part. The names are those of ``metrics``, in their order. Of triples, embeddings
        that were fitted to the triples to judge are better than noise.
        """
        task, graph = self.task(), self.labelled()
        targets = task.judged(graph, "valid").targets
        if task.needs_relations:
            _check_metrics(task, *(task.judge(each, targets) for each in _fitted_and_noise(self.module(), graph)))
            return
        y = targets.y
        assert y is not None, "what is judged has labels, or says which pairs are none."
        truth = _truth(y, task)
        noise = torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(truth.shape))).to(truth.dtype)
        best, worst = (task.judge(scores, targets) for scores in (truth, noise))
        _check_metrics(task, best, worst)
        if task.outputs == SCORES:  # That a pair is one is never missing.
            return
        hidden = y.clone()
        hidden[::2] = missing_label(y)
        wild = truth.clone()
        wild[::2] = noise[::2] * 9
        received = task.judge(wild, Targets.of_labels(hidden))
        expected = task.judge(truth[1::2], Targets.of_labels(y[1::2]))
        for name in task.metrics:
            same = math.isclose(received[name], expected[name], rel_tol=1e-6, abs_tol=1e-9)
            assert same, (
                f"{name} is {received[name]:.6g} with labels missing, of the others alone {expected[name]:.6g}."
            )


class _TrainingChecks(TaskBase):
    """Whole trainings."""

    @check()
    def test_learns(self) -> None:
        """It learns.

        In 15 epochs the training loss falls; the best epoch is the best by the first metric; all numbers are finite.
        """
        result = self.fit(epochs=15, lr=0.02)
        values = losses(result)
        assert all(map(math.isfinite, values)), "a training or validation loss is not finite."
        first, last = result.history[0].train_loss, result.history[-1].train_loss
        assert last < first, f"the training loss is {first:.4g} in the first epoch and {last:.4g} in the last."
        found = [record.valid_metric or 0.0 for record in result.history]
        best = max(found) if self.task().higher_is_better else min(found)
        chosen = result.valid[result.metric]
        assert math.isclose(chosen, best, rel_tol=1e-3, abs_tol=1e-6), (
            f"the best {result.metric} is {best}, not {chosen}."
        )

    @check()
    def test_repeated(self) -> None:
        """A training can be repeated.

        Two trainings with one seed have the same losses, bit by bit.
        """
        assert losses(self.fit()) == losses(self.fit()), "two trainings with one seed differ."

    @check()
    def test_resumed(self) -> None:
        """A training can be gone on with.

        Four epochs, saved after two and gone on with, have the losses of four without a break. The learning
        rate is constant: a schedule over all epochs would be another one.
        """
        whole = self.fit(epochs=4, schedule="constant")
        with tempfile.TemporaryDirectory() as folder:
            self.fit(epochs=2, run_dir=Path(folder) / "run", schedule="constant")
            resumed = self.fit(epochs=4, resume=Path(folder) / "run", schedule="constant")
        compare_losses("the resumed training", losses(resumed), losses(whole), 1e-6)

    @check()
    def test_unseen(self) -> None:
        """What is judged is not seen.

        With other labels of validation and test items, or with other pairs there, training losses are the same.
        """
        graph = self.graph()
        both = (graph, _judged_otherwise(graph))
        found = [[record.train_loss for record in self.fit(each).history] for each in both]
        assert found[0] == found[1], "what is true in the validation or test split changes the training loss."

    @check(needs=["fixed shapes"])
    def test_fixed_shapes(self) -> None:
        """It trains where shapes are fixed.

        On a device with fixed shapes that offers nothing besides, losses are those without, to 1e-4; of graphs, packed
        and not.
        """
        for how in self.ways.values() if self.task_class().level == "graphs" else [{}]:
            plain, fixed = self.fit(**how), self.fit(device=FixedShapes(), **how)
            compare_losses("the training with fixed shapes", losses(fixed), losses(plain), 1e-4)


class TaskSuite(_DeclarationChecks, LossChecks, DrawChecks, _HeadChecks, _JudgeChecks, _TrainingChecks):
    """Checks of a task. Subclass it in a plugin's tests and give its name; pytest does the rest.

    Attributes:
        name: Name of the task.
        options: Options of the task.

    Example:
        >>> class TestMine(TaskSuite):
        ...     name = "node_regression"
        >>> TestMine().run(only=["loss", "nothing"]).verdict
        'conformant'
    """

    floor: ClassVar[int] = 14


def _judged_otherwise(graph: Graph) -> Graph:
    """The graph with other labels in what is judged; of pairs, validation and test change places."""
    if graph.links is not None:
        swap = {"valid": "test", "test": "valid"}
        changed: Dict[str, Any] = {
            name: {swap.get(split, split): values for split, values in getattr(graph.links, name).items()}
            for name in BY_SPLIT
        }
        return replace(graph, links=replace(graph.links, **changed))
    if graph.graph_y is not None:
        return replace(graph, graph_y=_rolled(graph.graph_y, graph.graph_splits))
    assert graph.y is not None
    return replace(graph, y=_rolled(graph.y, graph.splits))


def _rolled(y: Tensor, splits: Mapping[str, Tensor]) -> Tensor:
    """Labels of which those in the validation and test split have changed places."""
    changed, rest = y.clone(), torch.cat([splits["valid"], splits["test"]])
    changed[rest] = changed[rest].roll(1, dims=0)
    return changed


def _check_metrics(task: Task, best: Mapping[str, float], worst: Mapping[str, float]) -> None:
    assert list(best) == list(task.metrics), f"judge names {list(best)}, metrics are {list(task.metrics)}."
    for name, metric in task.metrics.items():
        sign = 1 if metric.higher_is_better else -1
        told = f"{name} of the truth is {best[name]:.4g}, of noise {worst[name]:.4g}"
        declared = "more" if metric.higher_is_better else "less"
        assert sign * best[name] > sign * worst[name], f"{told}, where {declared} is declared to be better."


def _fitted_and_noise(module: LossModule, graph: Graph) -> Tuple[Tensor, Tensor]:
    """Scores of a validation split, of embeddings that were fitted to it by the task's own loss, and of random ones."""
    task, head = module.task, module.head
    assert graph.links is not None
    learnt: Dict[str, Any] = {
        name: {**getattr(graph.links, name), "train": getattr(graph.links, name)["valid"]}
        for name in ("pairs", "relations")
    }
    shown = replace(graph, links=replace(graph.links, **learnt))
    draw, ids = task.draw(shown, 0), np.arange(len(task.items(shown, "train").ids))
    assert draw is not None, "a task about triples draws its questions"
    judged = task.judged(graph, "valid")
    h = nn.Parameter(draw_normal(graph.num_nodes, module.model.spec.out_channels, seed=0))
    noise = task.score(head.eval(), h.detach()[judged.nodes], judged.targets)
    optimizer = torch.optim.Adam([h, *head.train().parameters()], lr=0.1)
    for epoch in range(1, _FITTING + 1):
        seeds, targets, _ = draw(ids, slice(None), epoch, 0)
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(head(h[torch.from_numpy(np.asarray(seeds))], targets), targets))
        optimizer.step()
    return task.score(head.eval(), h.detach()[judged.nodes], judged.targets), noise


def _truth(y: Tensor, task: Task) -> Tensor:
    """Scores that say the truth."""
    if y.is_floating_point():
        if task.outputs == SCORES:
            return y[:, None] * 8 - 4
        known = y.nan_to_num(0.0)
        return known.reshape(len(y), -1) if task.outputs == NUMBERS else known * 8 - 4
    return nn.functional.one_hot(y.clamp(min=0), int(y.max()) + 1).float() * 8 - 4


def _tensors(x: Inputs) -> Sequence[Tensor]:
    """One matrix, or what typed inputs consist of."""
    return x.tensors if isinstance(x, TypedInputs) else (x,)


def _equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def _attributes(head: nn.Module) -> List[Any]:
    """Attributes of a head and its parts that torch does not know as parameters or buffers."""
    return [item for part in head.modules() for item in vars(part).items() if not item[0].startswith("_")]
