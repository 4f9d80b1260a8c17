"""Faults of tasks, each with the checks that point at it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Tuple, Type

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gnnkit.data import Items, Targets
from gnnkit.loading import Drawn
from gnnkit.tasks import METRICS, Head, Metric, NodeClassification, NodeRegression, Task, Unsupervised
from gnnkit.tasks.graph_classification import GraphClassification
from gnnkit.tasks.graph_regression import GraphRegression
from gnnkit.tasks.knowledge_graph import KnowledgeGraph, KnowledgeGraphOptions


class Classes(NodeClassification):
    name = "mutant"


class Numbers(NodeRegression):
    name = "mutant"


class Pairs(Unsupervised):
    name = "mutant"


class Graphs(GraphClassification):
    name = "mutant"


class NumbersOfGraphs(GraphRegression):
    name = "mutant"


@dataclass(frozen=True)
class FewNegatives(KnowledgeGraphOptions):
    num_negatives: int = 20


class Triples(KnowledgeGraph):
    name = "mutant"
    options_class = FewNegatives


class MeanOverPadding(Classes):
    def loss(self, outputs, targets):
        total = functional.cross_entropy(outputs, targets.y, ignore_index=-100, reduction="sum")
        return total / len(targets.y)


class CountsMissing(Numbers):
    def loss(self, outputs, targets):
        return super().loss(outputs, replace(targets, y=targets.y.nan_to_num(0.0)))


class Sum(Classes):
    def loss(self, outputs, targets):
        return functional.cross_entropy(outputs, targets.y, ignore_index=-100, reduction="sum")


class LaterTargetsCountMore(Classes):
    def loss(self, outputs, targets):
        each = functional.cross_entropy(outputs, targets.y, ignore_index=-100, reduction="none")
        known = (targets.y != -100).float()
        weights = torch.arange(1, len(each) + 1) * known
        return (each * weights).sum() / weights.sum().clamp(min=1)


class NoisyLoss(Classes):
    def loss(self, outputs, targets):
        return super().loss(outputs + 0.1 * torch.randn_like(outputs), targets)


class NothingIsNaN(Classes):
    def loss(self, outputs, targets):
        return functional.cross_entropy(outputs, targets.y, ignore_index=-100)


class IgnoresTheMask(Pairs):
    def loss(self, outputs, targets):
        return super().loss(outputs, replace(targets, mask=None))


class DetachedLoss(Numbers):
    def loss(self, outputs, targets):
        return super().loss(outputs.detach(), targets) + 0 * outputs.sum()


class GlobalDraws(Pairs):
    def draw(self, graph, seed):
        keyed = super().draw(graph, seed)

        def draw(items, part, epoch, number):
            drawn = keyed(items, part, epoch, number)
            drawn.seeds[-len(drawn.targets.rows["negatives"]) :] = np.random.randint(0, graph.num_nodes, 100)
            return drawn

        return draw


class SeedIsIgnored(Pairs):
    def draw(self, graph, seed):
        keyed = super().draw(graph, 0)
        return lambda items, part, epoch, number: keyed(items, part, 0, number)


class DrawsByPosition(Pairs):
    def draw(self, graph, seed):
        def draw(items, part, epoch, number):
            nodes = items[part]
            random = np.random.default_rng([seed, epoch, number])
            seeds = np.concatenate([nodes, random.integers(0, graph.num_nodes, len(nodes)), random.integers(0, 9, 5)])
            rows, num = torch.arange(len(seeds)), len(nodes)
            return Drawn(
                seeds,
                Targets(rows={"src": rows[:num], "dst": rows[num : 2 * num], "negatives": rows[2 * num :]}, num=num),
            )

        return draw


class MiscountsTargets(Pairs):
    def draw(self, graph, seed):
        keyed = super().draw(graph, seed)

        def draw(items, part, epoch, number):
            drawn = keyed(items, part, epoch, number)
            return drawn._replace(targets=replace(drawn.targets, num=len(drawn.seeds)))

        return draw


class TestsOnTraining(Classes):
    def items(self, graph, split):
        return super().items(graph, "train" if split == "test" else split)


class TrainsOnValidation(Classes):
    def items(self, graph, split):
        found = super().items(graph, split)
        if split == "train":
            return Items("nodes", torch.cat([found.ids, graph.splits["valid"]]))
        return found


class WrongDirection(Numbers):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.metrics = {"rmse": Metric(METRICS["rmse"].compute, higher_is_better=True)}


class JudgesMissing(Numbers):
    def judge(self, scores, targets):
        return super().judge(scores, replace(targets, y=targets.y.nan_to_num(0.0)))


class TaskKeepsALayer(Classes):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.last = nn.Linear(3, 3)

    def loss(self, outputs, targets):
        return super().loss(self.last(outputs), targets)


class LooseScale(Head):
    def __init__(self, width):
        super().__init__()
        self.scale = torch.ones(width, requires_grad=True)

    def forward(self, h, targets):
        return h * self.scale


class HeadKeepsATensor(Classes):
    def head(self, width):
        return LooseScale(width)


class NumpyScale(Head):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.from_numpy(np.random.uniform(1, 2, width)).float())

    def forward(self, h, targets):
        return h * self.scale


class HeadFromGlobalNumbers(Classes):
    def head(self, width):
        return NumpyScale(width)


class Remembers(Classes):
    """A running mean that no state holds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = 0

    def loss(self, outputs, targets):
        self.seen += 1
        return super().loss(outputs / math.sqrt(self.seen), targets)


class HidesInputs(Head):
    def inputs(self, x, targets):
        return x * 0.5


class ChangesInputsSilently(Classes):
    def head(self, width):
        return HidesInputs()


class WritesIntoFeatures(Head):
    def inputs(self, x, targets):
        return x.mul_(0.5)


class WritesInputs(Classes):
    changes_inputs = True

    def head(self, width):
        return WritesIntoFeatures()


class UnknownPreset(Classes):
    preset = {"train": {"learning_rate": 0.1}}


class NeedsMagic(Classes):
    needs = frozenset({"magic"})


class PlainMetrics(Classes):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.metrics = {"accuracy": METRICS["accuracy"].compute}


class TakesGraphsWithoutValidation(Numbers):
    @classmethod
    def for_graph(cls, graph, options=None):
        return super().for_graph(replace(graph, splits={"valid": graph.splits["train"], **graph.splits}), options)


class MeanOverPaddingGraphs(Graphs):
    def loss(self, outputs, targets):
        total = functional.cross_entropy(outputs, targets.y, ignore_index=-100, reduction="sum")
        return total / len(targets.y)


class CentresOverTheBatch(Head):
    def forward(self, h, targets):
        return h - h.mean(0)


class HeadSeesPaddingGraphs(Graphs):
    def head(self, width):
        return CentresOverTheBatch()


class ListsGraphsTwice(Graphs):
    def items(self, graph, split):
        ids = super().items(graph, split).ids
        return Items("graphs", torch.cat([ids, ids[:1]]))


class TrainsOnValidationGraphs(Graphs):
    def items(self, graph, split):
        ids = graph.graph_splits[split]
        return Items("graphs", torch.cat([ids, graph.graph_splits["valid"]]) if split == "train" else ids)


class CallsGraphsNodes(Graphs):
    def items(self, graph, split):
        return Items("nodes", super().items(graph, split).ids)


class CountsMissingOfGraphs(NumbersOfGraphs):
    def loss(self, outputs, targets):
        return super().loss(outputs, replace(targets, y=targets.y.nan_to_num(0.0)))


class MeanOverPaddingTriples(Triples):
    def loss(self, outputs, targets):
        return super().loss(outputs, replace(targets, mask=None))


class RanksByTheOtherEnd(Triples):
    """Puts last what comes first."""

    def score(self, head, h, targets):
        found = super().score(head, h, targets)
        found[:, 0] = h.shape[0] + 1 - found[:, 0]
        return found


class TrainsOnValidationTriples(Triples):
    def _questions(self, graph, split):
        return super()._questions(graph, "valid" if split == "train" else split)


class SeedOfTriplesIsIgnored(Triples):
    def draw(self, graph, seed):
        keyed = super().draw(graph, 0)
        return lambda items, part, epoch, number: keyed(items, part, 0, number)


FAULTS: Tuple[Tuple[str, Type[Task], Tuple[str, ...], str], ...] = (
    ("mean over padding", MeanOverPadding, ("missing", "padding"), "padding counts"),
    ("missing numbers counted", CountsMissing, ("missing",), "every other label missing"),
    ("a sum, no mean", Sum, ("mean",), "no mean over the targets"),
    ("order of targets matters", LaterTargetsCountMore, ("order",), "in another order"),
    ("noise in the loss", NoisyLoss, ("loss",), "draws from a global generator"),
    ("NaN without targets", NothingIsNaN, ("nothing",), "without anything to learn"),
    ("mask ignored", IgnoresTheMask, ("nothing", "padding"), "padding counts"),
    ("no gradients", DetachedLoss, ("loss",), "no gradients"),
    ("draws from the global generator", GlobalDraws, ("draws",), "draws from a global generator"),
    ("seed ignored", SeedIsIgnored, ("draws",), "neither seed nor epoch"),
    ("drawn by position", DrawsByPosition, ("parts",), "other targets than the whole"),
    ("targets miscounted", MiscountsTargets, ("draws",), "are known"),
    ("tests on training nodes", TestsOnTraining, ("items",), "of 'test' is not in the split"),
    ("trains on validation nodes", TrainsOnValidation, ("items", "unseen"), "not in the split"),
    ("wrong direction", WrongDirection, ("judge",), "more is declared to be better"),
    ("missing numbers judged", JudgesMissing, ("judge",), "with labels missing"),
    ("the task keeps a layer", TaskKeepsALayer, ("head",), "nobody trains or saves"),
    ("the head keeps a plain tensor", HeadKeepsATensor, ("head",), "plain tensors"),
    ("the head is drawn from NumPy", HeadFromGlobalNumbers, ("head",), "draws from a global generator"),
    ("state that is not saved", Remembers, ("loss", "resumed"), "computed again"),
    ("changes features silently", ChangesInputsSilently, ("inputs",), "changes_inputs is False"),
    ("writes into features", WritesInputs, ("inputs",), "writes into the features"),
    ("unknown preset", UnknownPreset, ("declaration",), "['learning_rate']"),
    ("unknown need", NeedsMagic, ("declaration",), "['magic']"),
    ("metrics without direction", PlainMetrics, ("declaration",), "whether more is better"),
    ("mean over padding graphs", MeanOverPaddingGraphs, ("missing", "padding"), "padding counts"),
    ("a head sees padding graphs", HeadSeesPaddingGraphs, ("padding", "fixed_shapes"), "padding counts"),
    ("graphs listed twice", ListsGraphsTwice, ("items",), "is there twice"),
    ("trains on validation graphs", TrainsOnValidationGraphs, ("items", "unseen"), "not in the split"),
    ("graphs are called nodes", CallsGraphsNodes, ("items",), "declared are graphs"),
    ("missing numbers of graphs counted", CountsMissingOfGraphs, ("missing",), "every other label missing"),
    ("mean over padding triples", MeanOverPaddingTriples, ("nothing", "padding"), "padding counts"),
    ("ranks of triples the wrong way round", RanksByTheOtherEnd, ("judge",), "more is declared to be better"),
    ("trains on validation triples", TrainsOnValidationTriples, ("items", "unseen"), "not in the split"),
    ("seed of triples ignored", SeedOfTriplesIsIgnored, ("draws",), "neither seed nor epoch"),
    ("takes graphs without validation nodes", TakesGraphsWithoutValidation, ("missing_data",), "valid"),
)
