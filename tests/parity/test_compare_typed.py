"""``compare`` on typed graphs and for knowledge graphs: backends agree, and faults are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest
from typer.testing import CliRunner

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.cli.main import app
from gnnkit.datasets import save_graph
from gnnkit.parity import compare
from gnnkit.tasks import arranged
from gnnkit.testing.graphs import triples
from tests.conftest import installed_backends
from tests.typed_graphs import papers

MODELS: Dict[str, Dict[str, Any]] = {
    "rgcn": {},
    "hgt": {"heads": 2},
    "sage": {"relational": "mean"},
    "gat": {"relational": "attention"},
}
HOW = {"full": {}, "sampled": {"fanouts": [4, 4], "batch_size": 8}}


def others(kind: str, relational: bool) -> list:
    """Backends besides the reference that compute a model."""
    found = installed_backends(kind)
    if relational:
        found = [name for name in found if kind in load_backend(name).capabilities.relational]
    return [name for name in found if name != "reference"]


def wrong() -> ReferenceBackend:
    """A backend whose last layer is off by a thousandth."""

    class Wrong(ReferenceBackend):
        name = "wrong"

        def conv(self, spec: Any) -> Any:
            conv = super().conv(spec)
            if spec.is_output:
                conv.register_forward_hook(lambda module, args, out: out * 1.001)
            return conv

    return Wrong()


CELLS = [(model, how) for model in MODELS for how in HOW]
SHORT = {("rgcn", "sampled"), ("sage", "full"), ("hgt", "full")}


@pytest.mark.parametrize("model, how", [c if c in SHORT else pytest.param(*c, marks=pytest.mark.long) for c in CELLS])
def test_backends_agree_on_typed_graphs(model: str, how: str) -> None:
    graph, options = papers(), MODELS[model]
    built = gnnkit.build_model(model, graph, hidden_channels=16, seed=1, dropout=0.0, **options)
    backends = ["reference", *others(model, "relational" in options)]
    found = compare(built, graph, backends, epochs=1, overflow_rate=0.0, **HOW[how])
    assert found.is_within, found.problems
    for report in found.backends[1:]:
        assert [item.name for item in report.outputs] == ["convs.0", "convs.1"]
        assert {item.name for item in report.gradients} == set(built.parameters_by_name())


@pytest.mark.parametrize("model", ["rgcn", "hgt", "gat"])
def test_the_wrong_typed_layer_is_named(model: str) -> None:
    graph, options = papers(), MODELS[model]
    built = gnnkit.build_model(model, graph, hidden_channels=16, seed=1, **options)
    found = compare(built, graph, ["reference", wrong()], device="cpu", epochs=0)
    assert found.problems == ["wrong against reference: the first to leave the tolerance is convs.1."]


class WrongSums(ReferenceBackend):
    """A backend whose sums over neighbours are off by a thousandth."""

    name = "wrong"

    def ops(self) -> Any:
        class Ops(type(super().ops())):
            def aggregate(self, *args: Any, **kwargs: Any) -> Any:
                return super().aggregate(*args, **kwargs) * 1.001

        return Ops()


def test_wrong_sums_of_layers_that_are_computed_together_are_named() -> None:
    graph = papers()
    built = gnnkit.build_model("sage", graph, hidden_channels=16, seed=1, relational="mean")
    found = compare(built, graph, ["reference", WrongSums()], device="cpu", epochs=0)
    assert found.backends[1].first_outside == "convs.0"


TRIPLES: Dict[str, Dict[str, Any]] = {
    "shared, softmax": {"head_dropout": 0.2},
    "drawn, margin": {"head": "rotate", "negatives": "uniform", "num_negatives": 8, "loss": "margin"},
    # A shared negative that is the answer has a score of minus infinity.
    "all nodes": {"head": "transe", "negatives": "all", "loss": "bce"},
}


@pytest.mark.parametrize(
    "options", [name if name != "drawn, margin" else pytest.param(name, marks=pytest.mark.long) for name in TRIPLES]
)
def test_backends_agree_on_knowledge_graphs(options: str) -> None:
    """The head's scores and the gradients of relations are compared, too."""
    graph = arranged("knowledge_graph", triples(), TRIPLES[options], 0)
    built = gnnkit.build_model("rgcn", graph, hidden_channels=16, out_channels=16, seed=1, dropout=0.0)
    settings = {"task": "knowledge_graph", "task_options": TRIPLES[options], "batch_size": 256}
    found = compare(built, graph, ["reference", *others("rgcn", False)], epochs=1, overflow_rate=0.0, **settings)
    assert found.is_within, found.problems
    for report in found.backends[1:]:
        assert [item.name for item in report.outputs] == ["convs.0", "convs.1", "task"]
        assert {item.name for item in report.gradients} == {*built.parameters_by_name(), "task.relation"}
    is_static = any(report.device.startswith("ipu") for report in found.backends)
    assert ("head_dropout is off" in " ".join(found.notices)) == (is_static and "head_dropout" in TRIPLES[options])


def test_a_head_in_float64_is_compared_in_float64() -> None:
    graph = arranged("knowledge_graph", triples(), {}, 0)
    built = gnnkit.build_model("rgcn", graph, hidden_channels=16, out_channels=16, seed=1)
    settings = {"task": "knowledge_graph", "precision": "float64", "epochs": 1}
    found = compare(built, graph, ["reference", *installed_backends("rgcn", "float64")], device="cpu", **settings)
    assert found.problems == []


def test_the_command_compares_a_knowledge_graph(tmp_path: Path) -> None:
    save_graph(triples(), tmp_path / "triples")
    words = ["compare", "--backends", "reference,reference", "--dataset", str(tmp_path / "triples"), "--device", "cpu"]
    words += ["--task", "knowledge_graph", "--model", "embedding", "--epochs", "0", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert [item["name"] for item in found["backends"][1]["outputs"]] == ["convs.0", "task"]
    assert "task.relation" in [item["name"] for item in found["backends"][1]["gradients"]]
