"""What a run has learned, as a user of the commands meets it: data that changed after the training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from gnnkit.data import random_split
from gnnkit.datasets import save_graph
from gnnkit.testing import communities
from tests.commands import gnnkit_here

NAMES = ["cat", "dog", "eel"]
FEATURES = tuple("abcdefgh")
ORDER = [3, 0, 7, 1, 2, 6, 5, 4]


def read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file)


def succeeded(*arguments: str, cwd: Path) -> dict:
    done = gnnkit_here(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def train(home: Path, data: str) -> Path:
    """A run on a folder of data, and its predictions."""
    arguments = ["--dataset", f"./{data}", "--model", "sage", "--epochs", "3", "--run-dir", "run", "--deterministic"]
    succeeded("run", *arguments, cwd=home)
    succeeded("predict", "run", "--output", "before.csv", cwd=home)
    return home


@pytest.fixture(scope="module")
def pets_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pets in tables, with a run on them."""
    home = tmp_path_factory.mktemp("pets")
    (home / "pets").mkdir()
    graph = communities()
    columns = {name: graph.x[:, i].numpy() for i, name in enumerate(FEATURES)}
    split = pd.Series("", index=range(240))
    for name, nodes in graph.splits.items():
        split[nodes.tolist()] = name
    labels = [NAMES[label] for label in graph.y]
    nodes = pd.DataFrame({"id": [f"n{i}" for i in range(240)], "label": labels, "split": split, **columns})
    edges = pd.DataFrame({"source": [f"n{i}" for i in graph.indices], "target": [f"n{i}" for i in graph.dst]})
    nodes.to_csv(home / "pets" / "nodes.csv", index=False)
    edges.to_csv(home / "pets" / "edges.csv", index=False)
    return train(home, "pets")


@pytest.fixture(scope="module")
def saved_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved graph with names of features, with a run on it."""
    home = tmp_path_factory.mktemp("saved")
    save_graph(replace(communities(), class_names=tuple(NAMES), feature_names=FEATURES), home / "saved")
    return train(home, "saved")


@pytest.fixture
def pets(pets_home: Path, tmp_path: Path) -> Path:
    """A copy of the tables and the run."""
    return Path(shutil.copytree(pets_home, tmp_path / "home"))


@pytest.fixture
def workplace(saved_home: Path, tmp_path: Path) -> Path:
    """A copy of the saved graph and the run."""
    return Path(shutil.copytree(saved_home, tmp_path / "home"))


def permuted(home: Path, **changes) -> None:
    """Save the graph with its columns in another order."""
    graph = communities()
    names = tuple(FEATURES[i] for i in ORDER)
    changed = {"x": graph.x[:, ORDER], "feature_names": names, "class_names": tuple(NAMES), **changes}
    save_graph(replace(graph, **changed), home / "saved")


def rename(nodes: pd.DataFrame) -> pd.DataFrame:
    return nodes.replace({"label": {"eel": "ant"}})


def empty(nodes: pd.DataFrame) -> pd.DataFrame:
    return nodes.assign(label="", split="")


def remove(nodes: pd.DataFrame) -> pd.DataFrame:
    return nodes.drop(columns=["label", "split"])


@pytest.mark.in_turn
@pytest.mark.parametrize("change", [rename, empty, remove])
def test_predictions_say_the_classes_of_the_run(change, pets: Path, backend_name: str) -> None:
    file = pets / "pets" / "nodes.csv"
    change(read(file)).to_csv(file, index=False)
    told = succeeded("predict", "run", "--output", "after.csv", "--backend", backend_name, cwd=pets)
    assert "labels" in told["differences"]
    before, after = read(pets / "before.csv"), read(pets / "after.csv")
    assert after["class_name"].tolist() == before["class_name"].tolist() and "eel" in set(after["class_name"])
    succeeded("embed", "run", "--output", "after.npy", cwd=pets)


def test_columns_of_a_table_in_another_order_change_nothing(pets: Path, backend_name: str) -> None:
    file = pets / "pets" / "nodes.csv"
    nodes = read(file)
    nodes[nodes.columns[::-1]].to_csv(file, index=False)
    told = succeeded("predict", "run", "--output", "after.csv", "--backend", backend_name, cwd=pets)
    assert (told["differences"], told["notes"]) == ([], [])
    before, after = read(pets / "before.csv"), read(pets / "after.csv")
    pd.testing.assert_frame_equal(after, before, atol=1e-5)
    if backend_name == "reference":
        assert (pets / "after.csv").read_bytes() == (pets / "before.csv").read_bytes()


def test_predictions_with_columns_in_another_order_are_the_same(workplace: Path) -> None:
    permuted(workplace)
    told = succeeded("predict", "run", "--output", "after.csv", cwd=workplace)
    assert (told["differences"], told["notes"]) == ([], [])
    assert (workplace / "after.csv").read_bytes() == (workplace / "before.csv").read_bytes()


def test_a_feature_that_is_gone_is_named_and_nothing_written(workplace: Path) -> None:
    permuted(workplace, feature_names=tuple("zabcdefg"))
    for command, output in (("predict", "p.csv"), ("embed", "e.npy"), ("export", "m.pt2")):
        done = gnnkit_here(command, "run", "--output", output, cwd=workplace)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
        assert "lacks feature 'h', which the model reads" in done.stderr
        assert not (workplace / output).exists()


def test_a_column_too_many_is_dropped_with_a_warning(workplace: Path) -> None:
    x = torch.cat([communities().x, torch.ones(240, 1)], dim=1)
    permuted(workplace, x=x, feature_names=(*FEATURES, "age"))
    told = succeeded("predict", "run", "--output", "after.csv", cwd=workplace)
    assert len(told["notes"]) == 1 and "feature 'age'" in told["notes"][0]
    assert (workplace / "after.csv").read_bytes() == (workplace / "before.csv").read_bytes()


def test_new_nodes_have_their_columns_by_name_and_word(workplace: Path) -> None:
    permuted(workplace)
    x = communities().x[:1].numpy() + 0.5
    for number, order in enumerate([range(8), ORDER]):
        table = {FEATURES[i]: x[:, i] for i in order}
        pd.DataFrame({**table, "node": ["240"], "y": ["dog"]}).to_csv(workplace / f"new{number}.csv", index=False)
    (workplace / "joins.csv").write_text("dst,src\n240,5\n")
    (workplace / "same.csv").write_text("source,target\n5,240\n")
    pairs = [("new0.csv", "joins.csv"), ("new1.csv", "same.csv")]
    for number, (nodes, edges) in enumerate(pairs):
        new = ["--new-nodes", nodes, "--new-edges", edges, "--output", f"{number}.csv"]
        assert succeeded("predict", "run", *new, cwd=workplace)["nodes"] == 1
    assert (workplace / "0.csv").read_bytes() == (workplace / "1.csv").read_bytes()
    assert read(workplace / "0.csv").loc[0, "class_name"] in NAMES


def losses(run: Path) -> list:
    return [json.loads(line)["train_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


class TestGoingOn:
    """Training goes on with the weights of a run on data in another order."""

    def test_resumed(self, workplace: Path) -> None:
        whole = ["--dataset", "./saved", "--model", "sage", "--epochs", "5", "--run-dir", "whole", "--deterministic"]
        succeeded("run", *whole, cwd=workplace)
        permuted(workplace)
        succeeded("run", "--resume", "run", "--epochs", "5", "--run-dir", "next", cwd=workplace)
        assert losses(workplace / "next") == losses(workplace / "whole")

    def test_reproduced(self, workplace: Path) -> None:
        permuted(workplace)
        assert succeeded("reproduce", "run", cwd=workplace)["verdict"] == "identical"

    def test_from_its_weights(self, workplace: Path) -> None:
        start = ["--init-from", "run", "--epochs", "2"]
        succeeded("run", *start, "--run-dir", "expected", cwd=workplace)
        graph = communities()
        # Eels are called ants, and by alphabet come first.
        permuted(workplace, y=(graph.y + 1) % 3, class_names=("ant", "cat", "dog"))
        succeeded("run", *start, "--run-dir", "found", cwd=workplace)
        assert losses(workplace / "found") == losses(workplace / "expected")
        learned = json.loads((workplace / "found" / "manifest.json").read_text())["learned"]
        assert learned["class_names"] == ["cat", "dog", "ant"] and learned["feature_names"] == list(FEATURES)
        # The run that began so can be used, reproduced and resumed on these data.
        succeeded("predict", "found", "--output", "p.csv", cwd=workplace)
        assert set(read(workplace / "p.csv")["class_name"]) <= {"cat", "dog", "ant"}
        assert succeeded("reproduce", "found", cwd=workplace)["verdict"] == "identical"
        succeeded("run", "--resume", "found", "--epochs", "3", "--run-dir", "more", cwd=workplace)

    def test_other_names_of_classes_are_other_data(self, workplace: Path) -> None:
        permuted(workplace, class_names=("ant", "cat", "dog"))
        for arguments in (["reproduce", "run"], ["run", "--resume", "run", "--epochs", "5"]):
            done = gnnkit_here(*arguments, cwd=workplace)
            assert done.returncode == 2 and "what differs: labels." in done.stderr


def test_labels_that_are_all_missing_cannot_be_trained_on(pets: Path) -> None:
    file = pets / "pets" / "nodes.csv"
    empty(read(file)).to_csv(file, index=False)
    done = gnnkit_here("run", "--dataset", "./pets", cwd=pets)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert not (pets / "runs").exists()


def test_a_split_made_by_the_seed_does_not_hide_the_run(workplace: Path) -> None:
    graph = replace(random_split(communities(), seed=9), class_names=tuple(NAMES), feature_names=FEATURES)
    save_graph(graph, workplace / "saved")
    told = succeeded("predict", "run", "--output", "after.csv", cwd=workplace)
    assert told["differences"] == ["splits"]
    assert (workplace / "after.csv").read_bytes() == (workplace / "before.csv").read_bytes()
