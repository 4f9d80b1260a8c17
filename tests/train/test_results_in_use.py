"""What can be done with the result of a training: predict, evaluate, save."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import torch

import gnnkit
from gnnkit.data import Graph
from gnnkit.errors import ConfigError
from gnnkit.runs import RunResult
from tests.graphs import communities
from tests.inference.graph_runs import numbers_of_graphs, rings_and_paths
from tests.inference.pair_runs import LABEL
from tests.inference.pair_runs import graph_of as pairs_of


def numbers() -> Graph:
    graph = communities(90)
    return replace(graph, y=100 + 20 * graph.x[:, 0], class_names=())


TASKS: Dict[str, Tuple[Any, Dict[str, Any], Dict[str, Any]]] = {
    "node_classification": (communities, {}, {}),
    "node_classification, sampled": (communities, {}, {"fanouts": [3, 3], "batch_size": 32}),
    "node_regression": (numbers, {}, {}),
    "unsupervised": (communities, {"out_channels": 8}, {}),
    "link_prediction": (lambda: pairs_of("link_prediction"), {"out_channels": 8}, {}),
    "edge_regression": (lambda: pairs_of("edge_regression"), {"out_channels": 8}, {}),
    "graph_classification": (rings_and_paths, {"pooling": "sum"}, {}),
    "graph_regression": (numbers_of_graphs, {"pooling": "sum"}, {}),
}


def trained(case: str, **more: Any) -> Tuple[RunResult, Graph]:
    task = case.split(",")[0]
    make, model, settings = TASKS[case]
    graph = make()
    label = LABEL.get(task)
    outputs = {"out_channels": 1} if task == "node_regression" else {"out_channels": 2} if "graph" in task else {}
    options = {} if label is None else {"label": label}
    net = gnnkit.build_model("sage", graph, **{**outputs, **model})
    trainer = gnnkit.Trainer(
        device="cpu", task=task, task_options=options, epochs=4, progress=False, **settings, **more
    )
    return trainer.fit(net, graph), graph


@pytest.mark.parametrize("case", TASKS)
def test_evaluate_gives_the_numbers_of_the_training(case: str) -> None:
    result, graph = trained(case)
    assert result.evaluate() == pytest.approx(result.test, rel=1e-5)
    assert result.evaluate(split="valid") == pytest.approx(result.valid, rel=1e-5)
    assert result.evaluate(graph) == pytest.approx(result.test, rel=1e-5)


def test_metrics_of_the_user_are_those_of_evaluate() -> None:
    mine = {"share of zero": lambda scores, labels: float((scores.argmax(dim=1) == 0).float().mean())}
    result, _ = trained("node_classification", metrics=mine)
    assert list(result.test) == ["share of zero"] and result.evaluate() == result.test
    assert list(result.evaluate(metrics=None)) == ["accuracy", "macro_f1"]


def test_numbers_of_other_data_are_judged_in_their_own_units() -> None:
    result, graph = trained("node_regression")
    other = replace(graph, y=graph.y + 1000 * (torch.arange(len(graph.y)) % 2))  # Another mean and deviation.
    test = graph.splits["test"]
    off = (result.predict(test).outputs[:, 0] - other.y[test]).double()
    assert result.evaluate(other)["rmse"] == pytest.approx(float(off.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "run folder"])
def test_predictions_are_those_of_the_saved_run(in_memory: bool, tmp_path: Path) -> None:
    result, graph = trained("node_classification", **({} if in_memory else {"run_dir": tmp_path / "run"}))
    said = result.predict([0, 5, 7])
    folder = result.save(tmp_path / "saved")
    opened = gnnkit.open_run(folder, graph=graph)
    torch.testing.assert_close(opened.predict([0, 5, 7]).outputs, said.outputs, rtol=0, atol=0)
    assert opened.differences == [] and opened.record.is_complete
    assert len(opened.record.history) == 4 and said.probabilities.shape == (3, graph.num_classes)
    model = gnnkit.load_model(folder)
    assert model.backend.name == "reference"
    for name, value in result.model.canonical_state().items():
        torch.testing.assert_close(model.canonical_state()[name], value, rtol=0, atol=0)


def test_a_result_of_a_custom_module_predicts() -> None:
    class Two(torch.nn.Module):
        num_layers = 1

        def __init__(self, width: int, num_classes: int) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(width, num_classes)

        def forward(self, blocks: Any, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x[: blocks[-1].num_dst])

    graph = communities(60)
    result = gnnkit.Trainer(device="cpu", epochs=2, progress=False).fit(
        Two(graph.num_features, graph.num_classes), graph
    )
    assert result.evaluate() == result.test and len(result.predict()) == 60


def test_the_temporary_folder_goes_with_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result, _ = trained("node_classification")
    result.predict([0])
    assert list(tmp_path.glob("gnnkit-*"))
    del result
    gc.collect()
    assert not list(tmp_path.glob("gnnkit-*"))


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    result, _ = trained("node_classification")
    with pytest.raises(ConfigError, match="split is 'tests', and .* has train, valid, test"):
        result.evaluate(split="tests")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="already exists"):
        result.save(tmp_path / "full")
    with pytest.raises(ConfigError, match=r"Trainer\.fit"):
        replace(result, write=None).save(tmp_path / "new")
