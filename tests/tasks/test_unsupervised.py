"""The task of unsupervised GraphSAGE: loss, linear probe, what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Optional

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from gnnkit.data import Targets
from gnnkit.errors import ConfigError, DataError
from gnnkit.tasks import Unsupervised, UnsupervisedOptions
from tests.graphs import communities, multi_label

PAIRS = Targets(
    rows={"src": torch.tensor([0, 1, 2]), "dst": torch.tensor([3, 4, 5]), "negatives": torch.tensor([6, 7])}, num=3
)


def by_hand(z: np.ndarray, weight: float) -> float:
    """The paper's loss for three pairs and two negatives, one number after the other."""

    def log_sigmoid(value: float) -> float:
        return -math.log(1 + math.exp(-value))

    z = z / np.sqrt((z**2).sum(axis=1, keepdims=True))
    total = 0.0
    for i in range(3):
        near = log_sigmoid(float(z[i] @ z[3 + i]))
        far = sum(log_sigmoid(-float(z[i] @ z[n])) for n in (6, 7)) / 2
        total += -near - weight * far
    return total / 3


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_loss_is_the_formula_written_out(weight: float) -> None:
    outputs = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 5)))
    task = Unsupervised(UnsupervisedOptions(negative_weight=weight))
    assert float(task.loss(outputs, PAIRS)) == pytest.approx(by_hand(outputs.numpy(), weight), rel=1e-12)
    # Pairs of padding, which point at the last row, change nothing.
    rows = {"src": torch.tensor([0, 1, 2, 8]), "dst": torch.tensor([3, 4, 5, 8]), "negatives": torch.tensor([6, 7])}
    padded = Targets(rows=rows, mask=torch.tensor([True, True, True, False]))
    other = task.loss(torch.cat([outputs, torch.zeros(1, 5)]), padded)
    torch.testing.assert_close(other, task.loss(outputs, PAIRS), rtol=1e-12, atol=0)


@pytest.mark.parametrize("mask", [None, torch.zeros(0, dtype=torch.bool)])
def test_a_batch_without_pairs_has_loss_0_and_finite_gradients(mask: Optional[torch.Tensor]) -> None:
    outputs = torch.zeros(2, 4, requires_grad=True)
    nobody = torch.zeros(0, dtype=torch.int64)
    rows = {"src": nobody, "dst": nobody, "negatives": torch.tensor([0, 1])}
    loss = Unsupervised().loss(outputs, Targets(rows=rows, mask=mask))
    loss.backward()
    assert float(loss) == 0 and bool(torch.isfinite(outputs.grad).all())


def test_probe_is_a_logistic_regression_on_standardised_embeddings() -> None:
    random = np.random.default_rng(0)
    train, other = random.standard_normal((2, 60, 4)) * [1, 10, 100, 1000] + 7
    y = random.integers(0, 3, 60)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    expected = LogisticRegression(max_iter=1000).fit((train - mean) / scale, y).predict_proba((other - mean) / scale)
    read = Unsupervised().readout(torch.from_numpy(train), torch.from_numpy(y))
    np.testing.assert_allclose(read(torch.from_numpy(other)).exp().numpy(), expected, atol=1e-9)


def test_a_class_that_no_training_node_has_gets_the_smallest_score() -> None:
    train, y = torch.randn(30, 2), torch.tensor([0, 2] * 15)
    y[0] = -100
    scores = Unsupervised().readout(train, y)(torch.randn(5, 2))
    assert scores.shape == (5, 3) and bool((scores.argmax(dim=1) != 1).all())
    assert bool(torch.isfinite(Unsupervised().validation_loss(scores, Targets(torch.ones(5, dtype=torch.int64)))))


def test_bad_input_is_refused() -> None:
    graph = communities()
    for name, value in (("walk_length", 0), ("num_negatives", 0), ("negative_weight", -1)):
        with pytest.raises(ConfigError, match=f"{name} is {value}"):
            UnsupervisedOptions(**{name: value})
    with pytest.raises(DataError, match="several labels per node"):
        Unsupervised.for_graph(multi_label())
    with pytest.raises(DataError, match="all of one class"):
        Unsupervised.for_graph(replace(graph, y=torch.zeros_like(graph.y)))
    with pytest.raises(DataError, match="linear probe of task 'unsupervised' needs them"):
        Unsupervised.for_graph(replace(graph, y=None))
    with pytest.raises(DataError, match="valid"):
        Unsupervised.for_graph(replace(graph, splits={"train": torch.arange(5), "test": torch.arange(5)}))
