"""Metrics of classes: a constant added to all outputs of a node says nothing about its class."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

import gnnkit
from gnnkit.data import full_block, prepare_graph
from gnnkit.tasks import METRICS
from gnnkit.tasks.metrics import ogb_metric
from tests.graphs import communities


def test_the_area_of_two_classes_is_that_of_their_difference() -> None:
    assert METRICS["rocauc"](torch.tensor([[0.0, 1], [9, 8]]), torch.tensor([1, 0])) == 1.0


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_the_area_is_that_of_probabilities(num_classes: int) -> None:
    outputs, y = torch.randn(300, num_classes).double() * 3, torch.randint(0, num_classes, (300,))
    shares = outputs.softmax(dim=1).numpy()
    expected = roc_auc_score(y, shares[:, 1]) if num_classes == 2 else roc_auc_score(y, shares, multi_class="ovr")
    assert METRICS["rocauc"](outputs, y) == pytest.approx(expected)


def test_certain_outputs_keep_their_order() -> None:
    # All of these probabilities are 1 or 0 in floating point.
    outputs = torch.tensor([[0.0, 900], [0, 800], [0, 700], [0, 600]])
    assert METRICS["rocauc"](outputs, torch.tensor([1, 1, 0, 0])) == 1.0


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "rocauc"])
@settings(max_examples=30)
@given(st.integers(2, 30), st.integers(2, 5), st.integers(0, 2**31))
def test_a_constant_per_node_changes_no_metric(metric: str, num: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Whole numbers, so that sums are exact.
    outputs = torch.randint(-8, 8, (num, classes), generator=generator).float()
    y = torch.randint(0, classes, (num,), generator=generator)
    shifted = outputs + torch.randint(-64, 64, (num, 1), generator=generator)
    assert METRICS[metric](shifted, y) == pytest.approx(METRICS[metric](outputs, y), nan_ok=True)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_area_of_probabilities_picks_the_best_epoch(num_classes: int) -> None:
    graph = replace(communities(num_classes=num_classes), metric="rocauc")
    result = gnnkit.Trainer(device="cpu", progress=False, epochs=12).fit(gnnkit.build_model("gcn", graph), graph)
    judged = [record.valid_metric for record in result.history]
    assert judged[result.best_epoch - 1] == max(judged)
    prepared, valid = prepare_graph(graph, self_loops=True, gcn_norm=True), graph.splits["valid"]
    with torch.no_grad():
        shares = result.model.eval()([full_block(prepared)] * 2, prepared.x)[valid].double().softmax(dim=1).numpy()
    y = graph.y[valid]
    area = roc_auc_score(y, shares[:, 1]) if num_classes == 2 else roc_auc_score(y, shares, multi_class="ovr")
    assert max(judged) == pytest.approx(area, abs=1e-6)


@pytest.mark.parametrize("dataset", ["ogbg-molhiv", "ogbg-molpcba"])
def test_metrics_of_graphs_are_those_of_ogb(dataset):
    pytest.importorskip("ogb")
    ((name, official),) = ogb_metric(dataset).items()
    random = torch.Generator().manual_seed(0)
    if dataset == "ogbg-molhiv":  # One answer, which is two classes here.
        outputs, y = torch.randn(50, 2, generator=random), torch.randint(0, 2, (50,), generator=random)
    else:
        outputs = torch.randn(50, 128, generator=random)
        y = torch.randint(0, 2, (50, 128), generator=random).float()
        y[::3, 5] = -100
    expected = METRICS[name](outputs, y)
    assert official(outputs, y) == pytest.approx(expected) and 0 < expected < 1


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 6), st.booleans(), st.integers(0, 2**31))
def test_macro_f1_is_that_of_scikit_learn(num: int, classes: int, several: bool, seed: int) -> None:
    """Bit for bit; with few nodes classes are absent from labels, outputs or both, and labels are missing."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(num, classes, generator=generator)
    y = torch.randint(0, 2 if several else classes, (num, classes) if several else (num,), generator=generator)
    y = torch.where(torch.rand(y.shape, generator=generator) < 0.2, -100, y)
    kept, predicted = y != -100, outputs > 0 if several else outputs.argmax(dim=1)
    if several:
        columns = [(y[k, c], predicted[k, c].long()) for c, k in enumerate(kept.T) if k.any()]
        scores = [f1_score(*column, zero_division=0.0) for column in columns]
        expected = np.mean(scores) if scores else math.nan
    else:
        expected = f1_score(y[kept], predicted[kept], average="macro", zero_division=0.0) if kept.any() else math.nan
    found = METRICS["macro_f1"](outputs, y)
    assert found == expected or (math.isnan(found) and math.isnan(expected))
