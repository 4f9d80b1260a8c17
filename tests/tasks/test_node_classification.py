"""Loss and metrics against their definitions; -100 takes no part."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gnnkit.data import Graph, Targets
from gnnkit.errors import DataError, UnknownNameError
from gnnkit.tasks import METRICS, NodeClassification, NodeClassificationOptions


def test_loss_is_the_mean_over_targets() -> None:
    outputs = torch.randn(5, 3)
    y = torch.tensor([0, -100, 2, 1, -100])
    kept = y != -100
    expected = functional.cross_entropy(outputs[kept], y[kept])
    torch.testing.assert_close(NodeClassification().loss(outputs, Targets(y)), expected)


def test_multi_label_loss_is_the_mean_over_labelled_entries() -> None:
    outputs = torch.randn(4, 3)
    y = torch.tensor([[0.0, 1, -100], [1, 1, 0], [-100, -100, -100], [0, 0, 1]])
    kept = y != -100
    expected = functional.binary_cross_entropy_with_logits(outputs[kept], y[kept])
    torch.testing.assert_close(NodeClassification(multi_label=True).loss(outputs, Targets(y)), expected)


@pytest.mark.parametrize("y", [torch.full((3,), -100), torch.full((3, 2), -100.0)])
def test_no_targets_give_no_loss_and_no_gradient(y: torch.Tensor) -> None:
    outputs = torch.randn(3, 2, requires_grad=True)
    loss = NodeClassification(multi_label=y.ndim == 2).loss(outputs, Targets(y))
    loss.backward()
    assert float(loss) == 0.0
    assert float(outputs.grad.abs().max()) == 0.0


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**31))
def test_metrics_ignore_unlabelled_nodes(num: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(num, classes, generator=generator)
    y = torch.randint(0, classes, (num,), generator=generator)
    y[torch.rand(num, generator=generator) < 0.3] = -100
    kept = y != -100
    for metric in (METRICS[name] for name in ("accuracy", "macro_f1", "rocauc")):
        full, part = metric(outputs, y), metric(outputs[kept], y[kept])
        assert full == pytest.approx(part, nan_ok=True)


def test_accuracy_and_f1_by_hand() -> None:
    outputs = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2]])
    y = torch.tensor([0, 1, 2, 2])
    assert METRICS["accuracy"](outputs, y) == 0.75
    assert METRICS["macro_f1"](outputs, y) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert math.isnan(METRICS["accuracy"](outputs, torch.full((4,), -100)))


def test_ogb_evaluator_is_used_and_agrees() -> None:
    pytest.importorskip("ogb")
    from gnnkit.tasks.metrics import ogb_metric

    outputs, y = torch.randn(50, 40), torch.randint(0, 40, (50,))
    official = ogb_metric("ogbn-arxiv")
    assert official["accuracy"](outputs, y) == pytest.approx(METRICS["accuracy"](outputs, y))
    outputs, y = torch.randn(200, 112), (torch.rand(200, 112) > 0.5).float()
    assert ogb_metric("ogbn-proteins")["rocauc"](outputs, y) == pytest.approx(METRICS["rocauc"](outputs, y))
    assert ogb_metric("ogbn-unheard-of") == {}


def test_a_graph_without_a_split_is_refused() -> None:
    graph = Graph(torch.tensor([0, 0]), torch.tensor([], dtype=torch.long), torch.ones(1, 2), torch.tensor([0]))
    with pytest.raises(DataError, match="splits\\['train'\\]"):
        NodeClassification.for_graph(graph)


def test_unknown_metric() -> None:
    with pytest.raises(UnknownNameError, match="macro_f1"):
        NodeClassification(NodeClassificationOptions(metric="macro_f"))
