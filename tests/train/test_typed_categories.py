"""Categories as features of a node type: embeddings that are added up, on every backend and through every record."""

from __future__ import annotations

import pytest
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import TypedInputs, fingerprint, from_typed, normalize_features, to_typed
from gnnkit.datasets import load_graph, save_graph
from gnnkit.errors import ConfigError, DataError
from gnnkit.inference import export_program, open_run
from gnnkit.loading.inputs import whole_inputs
from tests.conftest import installed_backends
from tests.typed_graphs import papers

SIZES = (4, 3)


def graph_of(codes=None, sizes=SIZES):
    parts = to_typed(papers())
    rows = torch.arange(parts["num_nodes"]["author"])
    parts["x"]["author"] = torch.stack([rows % 4, rows % 3], dim=1) if codes is None else codes
    parts["node_categories"] = {"author": sizes} if sizes else {}
    return from_typed(**parts)


@pytest.mark.parametrize("how", [{}, {"fanouts": [4, 4], "batch_size": 8}], ids=["full", "sampled"])
def test_all_backends_train_with_them(how):
    graph = graph_of()
    losses = {}
    for backend in installed_backends("rgcn"):
        model = gnnkit.build_model("rgcn", graph, backend=backend, hidden_channels=8, dropout=0.0, seed=1)
        before = model.canonical_state()["input.author.weight"]
        settings = {"epochs": 2, "progress": False, "overflow_rate": 0.0, **how}
        result = gnnkit.Trainer(backend, task="node_classification", **settings).fit(model, graph)
        losses[backend] = [record.train_loss for record in result.history]
        assert before.shape == (sum(SIZES), 8)
        assert not torch.equal(result.model.canonical_state()["input.author.weight"], before)
    for values in losses.values():
        assert values == pytest.approx(losses["reference"], rel=1e-4)


def test_a_node_is_the_sum_of_the_embeddings_of_its_categories():
    graph = graph_of()
    model = gnnkit.build_model("rgcn", graph, backend="reference", hidden_channels=8)
    weight = model.canonical_state()["input.author.weight"]
    x = whole_inputs(graph.typed)
    rows = model.input(TypedInputs(x.tables, x.rows))[graph.typed.nodes("author")]
    codes = graph.typed.x["author"]
    torch.testing.assert_close(rows, weight[codes[:, 0]] + weight[4 + codes[:, 1]])


def test_they_survive_records_and_other_libraries(tmp_path):
    graph = graph_of()
    save_graph(graph, tmp_path / "g")
    again = [load_graph(tmp_path / "g"), from_typed(**to_typed(graph)), normalize_features(graph)]
    for name in installed_backends("rgcn"):
        backend = load_backend(name)
        if name in ("pyg", "dgl"):
            again.append(backend.from_native(backend.to_native(graph)))
    for other in again:
        assert other.typed.node_categories == {"author": SIZES}
        assert torch.equal(other.typed.x["author"], graph.typed.x["author"])
    assert fingerprint(again[0]) == fingerprint(graph) != fingerprint(graph_of(sizes=(4, 5)))


@pytest.mark.parametrize("name", ["pyg", "dgl"])
def test_those_of_other_libraries_are_declared(name):
    if name not in installed_backends("rgcn"):
        pytest.skip(f"{name} is not installed")
    native = load_backend(name).to_native(graph_of())
    vars(native).pop("gnnkit", None)
    if name == "pyg":
        from gnnkit_pyg.convert import from_pyg as convert

        native._global_store.pop("gnnkit", None)
    else:
        from gnnkit_dgl.convert import from_dgl as convert
    assert convert(native).typed.x["author"].dtype == torch.float32
    typed = convert(native, node_categories={"author": SIZES}).typed
    assert typed.node_categories == {"author": SIZES} and typed.x["author"].dtype == torch.int64
    with pytest.raises(DataError, match="expected a mapping from node types"):
        convert(native, node_categories=SIZES)


@pytest.mark.parametrize("column, code", [(0, 4), (1, -1)])
def test_a_code_that_does_not_exist_is_refused(column, code):
    codes = torch.zeros(25, 2, dtype=torch.int64)
    codes[7, column] = code
    with pytest.raises(DataError, match=rf"author.*row 7.*column {column} is {code}"):
        graph_of(codes)


def test_numbers_are_no_categories():
    with pytest.raises(DataError, match="expected integers"):
        graph_of(torch.rand(25, 2))


@pytest.mark.parametrize("sizes, words", [((4, 5), r"reads node_categories \[4, 3\].*\[4, 5\]"), ((), "no categories")])
def test_a_graph_with_others_is_refused(tmp_path, sizes, words):
    graph = graph_of()
    trainer = gnnkit.Trainer("reference", "cpu", epochs=1, progress=False, run_dir=tmp_path / "run")
    trainer.fit(gnnkit.build_model("rgcn", graph, backend="reference", hidden_channels=8), graph)
    assert open_run(tmp_path / "run", graph=graph).model.spec.typed.categories == ((), SIZES, (), ())
    with pytest.raises(ConfigError, match=words):
        open_run(tmp_path / "run", graph=graph_of(sizes=sizes)).predict()


@pytest.mark.long
def test_they_are_exported(tmp_path):
    graph = graph_of()
    model = gnnkit.build_model("rgcn", graph, backend="reference", hidden_channels=8).eval()
    assert export_program(model, graph, tmp_path / "m.pt2").difference < 1e-5
