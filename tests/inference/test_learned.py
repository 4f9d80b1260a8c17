"""What a run has learned is its own: other data are matched to it by name, on every backend and for every kind."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.data import Graph, add_nodes
from gnnkit.errors import ConfigError
from gnnkit.inference import export_program, open_run, write_predictions
from tests.graphs import communities, multi_label

NAMES = ("cat", "dog", "eel")
FEATURES = tuple("abcdefgh")
KINDS = ["classes", "labels", "embeddings"]


def data(kind: str = "classes", features: bool = False) -> Graph:
    graph = replace(multi_label() if kind == "labels" else communities(), class_names=NAMES)
    return replace(graph, feature_names=FEATURES) if features else graph


def reordered(graph: Graph) -> Graph:
    """The same features in another order of columns."""
    order = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4])
    return replace(graph, x=graph.x[:, order], feature_names=tuple(FEATURES[i] for i in order))


def renamed(graph: Graph) -> Graph:
    """Every eel is called an ant, and classes are numbered by alphabet, as a reader of text does it."""
    return replace(graph, y=(graph.y + 1) % 3, class_names=("ant", "cat", "dog"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """Makes the run of a kind of outputs, with or without names of features, on the reference backend."""
    home, made = tmp_path_factory.mktemp("runs"), {}

    def make(kind: str = "classes", features: bool = False) -> Path:
        folder = home / f"{kind}-{features}"
        if folder not in made:
            graph = data(kind, features)
            settings = {"task": "unsupervised", "batch_size": 64} if kind == "embeddings" else {}
            width = {"out_channels": 3} if kind == "embeddings" else {}
            model = gnnkit.build_model("sage", graph, hidden_channels=8, **width)
            trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=folder, progress=False, **settings)
            trainer.fit(model, graph)
            made[folder] = folder
        return made[folder]

    return make


def opened(run: Path, graph: Graph, backend: str = "reference"):
    return open_run(run, backend=backend, device="ipu-emulator" if backend == "ipu" else "cpu", graph=graph)


def numbers(run) -> torch.Tensor:
    """What the run says about all nodes: predictions, or embeddings."""
    return run.embed()[2] if run.learned.outputs == "embeddings" else run.predict().outputs


def without_facts(run: Path, folder: Path, **manifest) -> Path:
    """A copy of a run as gnnkit 0.1.0 wrote it."""
    copy = Path(shutil.copytree(run, folder))
    facts = json.loads((copy / "manifest.json").read_text())
    facts.pop("learned", None)
    (copy / "manifest.json").write_text(json.dumps({**facts, **manifest}))
    return copy


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_predictions_have_the_names_of_the_run(kind, backend_name, trained, tmp_path):
    graph = data(kind)
    other = replace(graph, class_names=("ant", "cat", "dog"))
    expected = opened(trained(kind), graph, backend_name).predict()
    found = opened(trained(kind), other, backend_name).predict()
    assert found.class_names == NAMES and torch.equal(found.outputs, expected.outputs)
    for name, said in (("mine.csv", expected), ("other.csv", found)):
        write_predictions(said, tmp_path / name)
    assert (tmp_path / "mine.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()


@pytest.mark.in_turn
@pytest.mark.parametrize("missing", ["no labels", "all missing"])
@pytest.mark.parametrize("kind", KINDS)
def test_data_without_labels(kind, missing, backend_name, trained):
    graph = data(kind)
    y = None if missing == "no labels" else torch.full((graph.num_nodes,), -100)
    blank = replace(graph, y=y, class_names=(), splits={})
    run = opened(trained(kind), blank, backend_name)
    assert torch.equal(numbers(run), numbers(opened(trained(kind), graph, backend_name)))
    if kind != "embeddings":
        said = run.predict()
        assert said.is_multi_label == (kind == "labels") and said.class_names == NAMES
        total = said.probabilities.sum(dim=1)
        assert torch.allclose(total, torch.ones_like(total)) == (kind == "classes")


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", KINDS)
def test_features_are_put_into_the_order_of_the_run(kind, backend_name, trained):
    graph = data(kind, features=True)
    expected = opened(trained(kind, True), graph, backend_name)
    found = opened(trained(kind, True), reordered(graph), backend_name)
    assert torch.equal(numbers(found), numbers(expected))
    assert torch.equal(found.embed()[1], expected.embed()[1])
    assert (found.differences, found.notes, found.graph.feature_names) == ([], (), FEATURES)


def test_another_graph_is_matched_as_well(trained):
    graph = replace(data(features=True), edge_attr=None)
    run = opened(trained("classes", True), graph)
    assert torch.equal(run.on(reordered(graph)).predict().outputs, run.predict().outputs)
    new = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    order = [FEATURES.index(name) for name in reordered(graph).feature_names]
    edges = [[0, 240], [240, 241]]
    grown = run.on(add_nodes(graph, new, edges)).predict([240, 241]).outputs
    assert torch.equal(run.on(add_nodes(reordered(graph), new[:, order], edges)).predict([240, 241]).outputs, grown)


def test_features_that_are_missing_are_named(trained):
    graph = data(features=True)
    run = opened(trained("classes", True), graph)
    for call in (run.on, lambda other: opened(trained("classes", True), other)):
        with pytest.raises(ConfigError, match="lacks feature 'h', which the model reads.*feature 'z'"):
            call(replace(graph, feature_names=(*FEATURES[:-1], "z")))
        with pytest.raises(ConfigError, match="lacks features 'g', 'h'"):
            call(replace(graph, x=graph.x[:, :6], feature_names=FEATURES[:6]))


def test_features_that_the_model_does_not_read_are_dropped_with_a_warning(trained, caplog):
    graph = data(features=True)
    wide = replace(graph, x=torch.cat([graph.x[:, :1] * 9, graph.x], dim=1), feature_names=("age", *FEATURES))
    with caplog.at_level(logging.WARNING, "gnnkit"):
        run = opened(trained("classes", True), wide)
    assert "feature 'age' of the data dropped" in run.notes[0] and run.notes[0] in caplog.text
    assert torch.equal(run.predict().outputs, opened(trained("classes", True), graph).predict().outputs)


@pytest.mark.parametrize("model_has_names", [True, False])
def test_an_order_that_cannot_be_checked_is_said(model_has_names, trained):
    run = opened(trained("classes", model_has_names), data(features=not model_has_names))
    assert len(run.notes) == 1 and "no names of features" in run.notes[0]
    graph = data(features=not model_has_names)
    narrow = replace(graph, x=graph.x[:, 1:], feature_names=graph.feature_names[1:])
    with pytest.raises(ConfigError, match="takes 8 features"):
        opened(trained("classes", model_has_names), narrow)


def test_labels_get_the_numbers_of_the_run(trained):
    graph = data()
    swapped = replace(graph, y=2 - graph.y, class_names=NAMES[::-1])
    run = opened(trained(), swapped)
    assert torch.equal(run.graph.y, graph.y) and (run.notes, run.differences) == ((), [])
    found = opened(trained(), renamed(graph))
    assert torch.equal(found.graph.y, torch.where(graph.y == 2, -100, graph.y))
    assert len(found.notes) == 1 and "does not know class 'ant'" in found.notes[0]
    several = data("labels")
    found = opened(trained("labels"), replace(several, y=several.y[:, [2, 0]], class_names=("eel", "cat")))
    assert torch.equal(found.graph.y[:, [0, 2]], several.y[:, [0, 2]]) and bool((found.graph.y[:, 1] == -100).all())


def test_labels_of_another_kind_or_beyond_the_classes_are_no_labels(trained):
    one, several = data(), data("labels")
    assert opened(trained(), several).graph.y is None and opened(trained("labels"), one).graph.y is None
    more = replace(one, y=one.y + 1, class_names=())
    run = opened(trained(), more)
    assert int(run.graph.y.max()) == 2 and any("labels beyond" in note for note in run.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_run_and_weights_say_what_was_learned(kind, trained):
    run = trained(kind, True)
    expected = {
        "outputs": kind,
        "class_names": [] if kind == "embeddings" else list(NAMES),
        "feature_names": list(FEATURES),
    }
    assert json.loads((run / "manifest.json").read_text())["learned"] == expected
    for name in ("best", "last"):
        assert gnnkit.runs.read_learned(run / "checkpoints" / f"{name}.safetensors").to_dict() == expected


class TestRunsOf010:
    """Their manifests do not say what was learned."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_on_their_own_data_names_are_the_datas(self, kind, trained, tmp_path):
        graph = data(kind)
        run = opened(without_facts(trained(kind), tmp_path / "old"), graph)
        assert (run.learned.outputs, run.notes) == (kind, ())
        assert run.class_names == (() if kind == "embeddings" else NAMES)
        assert torch.equal(numbers(run), numbers(opened(trained(kind), graph)))

    @pytest.mark.parametrize("kind", ["classes", "labels"])
    def test_on_other_labels_classes_are_numbers(self, kind, trained, tmp_path):
        graph = data(kind)
        other = replace(graph, class_names=("ant", "cat", "dog"))
        said = opened(without_facts(trained(kind), tmp_path / "old"), other).predict([0])
        assert said.class_names == () and said.is_multi_label == (kind == "labels")

    def test_where_nobody_knows_the_kind_predictions_are_refused(self, trained, tmp_path):
        old = without_facts(trained(), tmp_path / "old", status="interrupted", result=None)
        run = opened(old, replace(data(), y=None))
        assert run.embed([0])[2].shape == (1, 3)
        with pytest.raises(ConfigError, match=r"one class or several labels.*0\.1\.0"):
            run.predict([0])
        assert opened(old, data()).predict([0]).class_names == NAMES


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_an_exported_program_says_what_the_run_learned(kind, trained, tmp_path):
    if not hasattr(getattr(torch, "compiler", None), "is_exporting"):
        pytest.skip(f"torch {torch.__version__} exports no such programs")
    graph = replace(data(kind), class_names=("ant", "cat", "dog"))
    run = opened(trained(kind), graph)
    for number, (more, expected) in enumerate([({"learned": run.learned}, [kind, list(NAMES)]), ({}, [None, []])]):
        export_program(run.model, graph, tmp_path / f"{number}.pt2", **more)
        about = {"gnnkit": ""}
        torch.export.load(tmp_path / f"{number}.pt2", extra_files=about)
        said = json.loads(about["gnnkit"])
        assert [said["outputs"], said["class_names"]] == expected


def test_names_that_are_repeated_cannot_be_matched(trained):
    twice = replace(data(features=True), x=torch.zeros(240, 9), feature_names=(*FEATURES, "a"))
    with pytest.raises(ConfigError, match="repeated"):
        opened(trained("classes", True), twice)


def test_confident_predictions_of_renamed_data_in_a_numpy_file(trained, tmp_path):
    said = opened(trained(), renamed(data())).predict()
    write_predictions(said, tmp_path / "p.npy")
    array = np.load(tmp_path / "p.npy")
    assert set(array["class_name"]) <= set(NAMES)
    assert array["class_name"].tolist() == [NAMES[number] for number in said.outputs.argmax(1)]
