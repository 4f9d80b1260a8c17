"""Typed graphs from files of edges by relation, sorted on disk."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from gnnkit.data import add_reverses, from_typed, part_fingerprints, to_typed
from gnnkit.datasets import import_folder, import_typed_graph, load_dataset
from gnnkit.errors import GnnkitError
from tests.data.typed_graphs import typed_graphs


@given(graph=typed_graphs(min_relations=1))
@settings(max_examples=25)
def test_files_give_what_from_typed_makes(graph, tmp_path_factory):
    home = tmp_path_factory.mktemp("edges")
    parts, files = to_typed(graph), {}
    for number, (label, edges) in enumerate(parts["edges"].items()):
        order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(number))
        np.save(home / f"{number}.npy", edges[:, order].numpy())
        files[label] = home / f"{number}.npy"
    sizes, reverses = parts["num_nodes"], parts["reverses"]
    expected = from_typed(parts["edges"], num_nodes=sizes, reverses=reverses)
    imported = import_typed_graph(files, home / "graph", num_nodes=sizes, reverses=reverses, memory=1 << 16)
    assert part_fingerprints(imported) == part_fingerprints(expected)
    both = import_typed_graph(
        files, home / "graph", num_nodes=sizes, reverses=reverses, memory=1 << 16, add_reverses=True, force=True
    )
    assert part_fingerprints(both) == part_fingerprints(add_reverses(expected))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Papers with everything, authors and a venue without."""
    home = tmp_path / "library"
    for room in ("edges", "features", "labels", "train"):
        (home / room).mkdir(parents=True)
    (home / "edges" / "author__writes__paper.csv").write_text("source,target\n1,0\n0,2\n1,0\n")
    (home / "edges" / "cites.txt.gz").write_bytes(gzip.compress(b"2 0\n0 2\n"))
    np.save(home / "edges" / "paper__in__venue.npy", np.array([[0, 1], [0, 0]]))
    np.save(home / "features" / "paper.npy", np.eye(3, dtype=np.float32))
    (home / "labels" / "paper.csv").write_text("id,label\n0,red\n2,blue\n")
    np.save(home / "train" / "paper.npy", np.array([0]))
    settings = {"relations": {"cites": ["paper", "cites", "paper"]}, "num_nodes": {"venue": 4}}
    (home / "meta.json").write_text(json.dumps({**settings, "reverses": {"cites": "cites"}}))
    return home


def test_a_folder(library, tmp_path):
    graph = import_folder(library, tmp_path / "graph", dedup=True)
    parts = to_typed(graph)
    assert parts["num_nodes"] == {"venue": 4, "author": 2, "paper": 3}
    assert parts["edges"]["author:writes:paper"].tolist() == [[1, 0], [0, 2]]
    assert parts["reverses"] == {"paper:cites:paper": "paper:cites:paper"}
    assert parts["x"]["paper"].tolist() == np.eye(3).tolist()
    assert parts["y"]["paper"].tolist() == [1, -100, 0] and parts["class_names"]["paper"] == ("blue", "red")
    assert parts["splits"]["paper"]["train"].tolist() == [0]
    again = load_dataset(tmp_path / "graph")
    assert again.name == "graph" and part_fingerprints(again) == part_fingerprints(graph)


@pytest.mark.parametrize(
    "file, content, words",
    [
        (
            "edges/author__writes__paper.csv",
            "source,target\n1,7\n",
            "edge 0: target 7 is out of range, expected 0 to 2",
        ),
        ("edges/author__writes.csv", "1,2\n", "names no relation, expected SOURCE__NAME__DESTINATION"),
        ("edges/paper__in__venue.txt", "1 2\n", "have one name"),
        ("labels/paper.csv", "label\n0\n1\n", "paper|rows"),
        ("meta.json", '{"reverses": {"writes": "in"}}', "names no relation|cannot be the reverse"),
        ("meta.json", '{"literals": "x"}', "literals is 'x'"),
        ("meta.json", '{"colour": "x"}', "Unknown option .*'colour'"),
    ],
)
def test_what_breaks_a_rule_leaves_no_folder(library, tmp_path, file, content, words):
    (library / file).write_text(content)
    with pytest.raises(GnnkitError, match=words):
        import_folder(library, tmp_path / "graph")
    assert not (tmp_path / "graph").exists()


def test_a_reverse_that_is_none_leaves_no_folder(library, tmp_path):
    (library / "edges" / "cites.txt.gz").write_bytes(gzip.compress(b"2 0\n"))
    with pytest.raises(GnnkitError, match="edge .* does not occur as often") as caught:
        import_folder(library, tmp_path / "graph")
    assert "Write it again" not in str(caught.value) and not (tmp_path / "graph").exists()
