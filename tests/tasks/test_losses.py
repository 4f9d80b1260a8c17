"""Losses with their options against torch's own, over what is known alone."""

from __future__ import annotations

import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

import gnnkit
from gnnkit.data import Targets, from_edge_index
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.tasks import NodeClassification, NodeClassificationOptions, NodeRegression, NodeRegressionOptions, make_task
from tests.graphs import communities, multi_label

Y = torch.tensor([0, -100, 2, 1, -100, 2])
WEIGHTS = [0.5, 2.0, 3.5]


def outputs_of(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_own(weights, smoothing) -> None:
    task = NodeClassification(NodeClassificationOptions(label_smoothing=smoothing), weights=weights)
    outputs = outputs_of(6, 3)
    expected = functional.cross_entropy(
        outputs,
        Y,
        weight=None if weights is None else outputs.new_tensor(weights),
        label_smoothing=smoothing,
        ignore_index=-100,
    )
    torch.testing.assert_close(task.loss(outputs, Targets(Y)), expected)


def test_classes_of_weight_0_alone_have_loss_0_and_finite_gradients() -> None:
    outputs = outputs_of(2, 3).requires_grad_()
    loss = NodeClassification(weights=[0.0, 1.0, 1.0]).loss(outputs, Targets(torch.tensor([0, -100])))
    loss.backward()
    assert loss.item() == 0 and float(outputs.grad.abs().max()) == 0


def test_binary_cross_entropy_with_positive_weights_is_torchs_own() -> None:
    outputs, y = outputs_of(4, 3), torch.tensor([[0.0, 1, -100], [1, 1, 0], [-100, -100, -100], [0, 0, 1]])
    kept = y != -100
    every = functional.binary_cross_entropy_with_logits(
        outputs, y.clamp(min=0).double(), pos_weight=outputs.new_tensor(WEIGHTS), reduction="none"
    )
    task = NodeClassification(multi_label=True, weights=WEIGHTS)
    torch.testing.assert_close(task.loss(outputs, Targets(y)), every[kept].mean())


def test_balanced_weights_are_scikit_learns_on_the_training_nodes() -> None:
    graph = communities()
    y = graph.y[graph.splits["train"]]
    task = make_task("node_classification", graph, {"class_weights": "balanced"})
    expected = compute_class_weight("balanced", classes=y.unique().numpy(), y=y.numpy())
    assert task.weights == pytest.approx(expected.tolist())
    several = multi_label()
    y = several.y[several.splits["train"]]
    task = make_task("node_classification", several, {"positive_weights": "balanced"})
    assert task.weights == pytest.approx(((y == 0).sum(0) / (y == 1).sum(0)).tolist())


@pytest.mark.parametrize(
    "options, words",
    [
        ({"class_weights": [1.0]}, "Received 1 weights, expected 3"),
        ({"class_weights": "even"}, "expected 'balanced' or a list"),
        ({"class_weights": [1.0, -1.0, 1.0]}, "at least 0"),
        ({"positive_weights": [1.0, 1.0, 1.0]}, "no effect on data with one class"),
        ({"label_smoothing": 1.0}, "below 1"),
        ({"metrics": []}, "each once"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        make_task("node_classification", communities(), options)


def test_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="class_weights"):
        make_task("node_classification", communities(), {"clas_weights": "balanced"})
    with pytest.raises(UnknownNameError, match="accuracy"):
        make_task("node_classification", communities(), {"metrics": ["rmse"]})
    with pytest.raises(UnknownNameError, match="node_regression"):
        make_task("node_regresion", communities())
    with pytest.raises(UnknownNameError, match="huber"):
        NodeRegressionOptions(loss="hubert")


@pytest.mark.parametrize(
    "loss, theirs",
    [
        ("squared", functional.mse_loss),
        ("absolute", functional.l1_loss),
        ("huber", lambda predicted, true: functional.huber_loss(predicted, true, delta=0.3)),
    ],
)
def test_losses_of_numbers_are_torchs_own_over_what_is_known(loss, theirs) -> None:
    task = NodeRegression(NodeRegressionOptions(loss=loss, huber_delta=0.3))
    outputs, y = outputs_of(5, 2).requires_grad_(), outputs_of(5, 2) * 2
    y[1, 0] = y[3] = float("nan")
    mask = torch.tensor([True, True, True, True, False])
    kept = ~y.isnan() & mask[:, None]
    found = task.loss(outputs, Targets(y, mask=mask))
    torch.testing.assert_close(found, theirs(outputs[kept], y[kept]))
    found.backward()
    assert bool(outputs.grad.isfinite().all()) and float(outputs.grad[~kept].abs().max()) == 0
    nothing = task.loss(outputs, Targets(torch.full((5, 2), float("nan"))))
    assert nothing.item() == 0


def test_weights_of_classes_change_what_is_learned(backend) -> None:
    graph = from_edge_index([[0], [1]], 60, x=torch.eye(60), y=torch.tensor([0] * 45 + [1] * 15))
    graph = gnnkit.data.random_split(graph, 0.6, 0.2)
    net = gnnkit.build_model("sage", graph, dropout=0.0, hidden_channels=8)
    settings = {"device": "cpu", "epochs": 2, "progress": False}
    plain, weighed = (
        gnnkit.Trainer(backend, task_options=options, **settings).fit(net, graph)
        for options in ({}, {"class_weights": "balanced"})
    )
    assert plain.history[1].train_loss != weighed.history[1].train_loss
