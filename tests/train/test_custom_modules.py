"""Any module that takes blocks and features trains with all that belongs to a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

import pytest
import torch
from torch import Tensor, nn

import gnnkit
from gnnkit.data import Block, Graph
from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.nn import CustomModel
from gnnkit.parity import compare
from gnnkit.report import write_report
from tests.graphs import communities

FULL: dict = {}
SAMPLED = {"fanouts": [4, 4], "batch_size": 32}


class Net(nn.Module):
    """Sums over neighbours, written with torch alone."""

    num_layers = 2

    def __init__(self, width: int, num_classes: int = 3) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, 8), nn.Linear(8, num_classes)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, blocks: Sequence[Block], x: Tensor) -> Tensor:
        h = self.norm(self.first(gathered(blocks[0], x))).relu()
        return self.last(gathered(blocks[1], nn.functional.dropout(h, 0.2, self.training)))


def gathered(block: Block, h: Tensor) -> Tensor:
    return h[: block.num_dst].index_add(0, block.dst, h[block.indices])


@pytest.fixture
def graph() -> Graph:
    return communities()


@pytest.fixture
def net(graph: Graph) -> Net:
    torch.manual_seed(0)
    return Net(graph.num_features)


def trainer(epochs: int = 6, **settings: Any) -> gnnkit.Trainer:
    return gnnkit.Trainer(device="cpu", progress=False, epochs=epochs, lr=0.05, **settings)


@pytest.mark.parametrize("settings", [FULL, SAMPLED], ids=["full", "sampled"])
def test_it_trains_and_can_be_opened_again(settings: dict, graph: Graph, net: Net, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = trainer(**settings, run_dir=tmp_path / "run").fit(net, graph)
    assert result.history[-1].train_loss < 0.7 * result.history[0].train_loss
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    assert isinstance(result.model, CustomModel)
    assert isinstance(result.model.module, Net)

    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["portable"], manifest["custom_model"]) == (False, True)
    run = gnnkit.open_run(tmp_path / "run", graph=graph, model=Net(graph.num_features), device="cpu")
    assert set(run.model.canonical_state()) == set(net.state_dict())
    outputs = run.predict(graph.splits["test"]).outputs
    found = (outputs.argmax(dim=1) == graph.y[graph.splits["test"]]).double().mean()
    assert float(found) == pytest.approx(result.test["accuracy"], abs=1e-6)


@pytest.mark.parametrize("settings", [FULL, SAMPLED], ids=["full", "sampled"])
def test_resumed_it_is_what_it_would_have_been(settings: dict, graph: Graph, net: Net, tmp_path: Path) -> None:
    whole = trainer(**settings).fit(net, graph)
    trainer(3, **settings, run_dir=tmp_path / "run").fit(net, graph)
    resumed = trainer(**settings).fit(Net(graph.num_features), graph, resume=tmp_path / "run")
    assert [record.train_loss for record in resumed.history] == [record.train_loss for record in whole.history]
    assert resumed.test == whole.test


def test_it_is_reported_with_what_can_be_had(graph: Graph, net: Net, tmp_path: Path) -> None:
    trainer(run_dir=tmp_path / "run").fit(net, graph)
    report = write_report(tmp_path / "run", graph=graph)
    (missing,) = report.missing.values()
    assert "custom module" in missing["predictions"]
    assert "custom module" in missing["stages"]
    assert "data" not in missing
    assert "loss" in " ".join(figure.name for figure in report.figures)


def test_its_precision_and_frozen_parts_are_kept(graph: Graph, net: Net) -> None:
    net.first.requires_grad_(False)
    result = trainer(precision="float64").fit(net, graph)
    assert result.model.module.first.weight.equal(net.first.weight)
    assert not result.model.module.last.weight.equal(net.last.weight)


def test_a_folder_alone_is_not_enough(graph: Graph, net: Net, tmp_path: Path) -> None:
    trainer(2, run_dir=tmp_path / "run").fit(net, graph)
    with pytest.raises(ConfigError, match=r"test_custom_modules:Net.*model=MODULE"):
        gnnkit.open_run(tmp_path / "run", graph=graph)
    with pytest.raises(CheckpointError, match=r"last\.weight is \[3, 8\], expected \[4, 8\]"):
        gnnkit.open_run(tmp_path / "run", graph=graph, model=Net(graph.num_features, 4))
    run = gnnkit.open_run(tmp_path / "run", graph=graph, model=net, device="cpu")
    with pytest.raises(ConfigError, match="only its outputs"):
        run.embed()


def test_a_module_is_for_runs_of_modules(graph: Graph, net: Net, tmp_path: Path) -> None:
    trainer(2, run_dir=tmp_path / "run").fit(gnnkit.build_model("gcn", graph), graph)
    with pytest.raises(ConfigError, match="trained 'gcn'. Leave it out"):
        gnnkit.open_run(tmp_path / "run", graph=graph, model=net)


class EachSource(Net):
    def forward(self, blocks: Sequence[Block], x: Tensor) -> Tensor:
        return self.last(self.first(x))


class Nameless(Net):
    num_layers = None


@pytest.mark.parametrize(
    "module, problem",
    [
        (EachSource, r"gives \[3, 3\] .* one row for each destination"),
        (Nameless, "num_layers = None, expected a whole"),
    ],
)
def test_what_cannot_be_trained_is_refused(module: type, problem: str, graph: Graph) -> None:
    with pytest.raises(ConfigError, match=problem):
        trainer().fit(module(graph.num_features), graph)


def test_its_own_errors_stay_what_they_are(graph: Graph) -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trainer().fit(Net(graph.num_features + 1), graph)


def test_another_number_of_outputs_than_classes_is_refused(graph: Graph) -> None:
    with pytest.raises(ConfigError, match="gives 7 outputs, the graph has 3 classes"):
        trainer().fit(Net(graph.num_features, 7), graph)


def test_what_looks_into_layers_is_refused(graph: Graph, net: Net) -> None:
    with pytest.raises(ConfigError, match="evaluation is 'layerwise'"):
        trainer(evaluation="layerwise").fit(net, graph)
    with pytest.raises(ConfigError, match="fuse_first_layer is 'always'"):
        trainer(**SAMPLED, fuse_first_layer="always").fit(net, graph)
    with pytest.raises(ConfigError, match="is a Net, expected one of gnnkit.build_model"):
        compare(net, graph, ["reference", "reference"])
