"""The typed data sets by name: aifb, wn18rr, and the built-in publications."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from gnnkit.data import check_graph, check_leaks, relation_edges, to_typed
from gnnkit.datasets import load_dataset, load_node_names
from gnnkit.errors import ConfigError, DatasetError

MEMBERS = "person\tid\tlabel_affiliation\n{}\t1.0\t{}\n"
TRIPLE = "<http://a.org/x/{}> <http://a.org/v#{}> <http://a.org/x/{}> .\n"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Four things in AIFB's layout."""
    folder = tmp_path / "aifb"
    folder.mkdir()
    content = TRIPLE.format("ann", "knows", "bob") + TRIPLE.format("cat", "type", "dog")
    (folder / "aifb_stripped.nt.gz").write_bytes(gzip.compress(content.encode()))
    for name, person, group in (("trainingSet.tsv", "bob", "two"), ("testSet.tsv", "ann", "one")):
        (folder / name).write_text(MEMBERS.format(f"http://a.org/x/{person}", f"http://a.org/g/{group}"))
    return folder


def test_aifb_as_published(data_dir):
    graph = load_dataset("aifb", data_dir=data_dir, download=False)
    schema = graph.typed.schema
    assert (graph.num_nodes, graph.num_edges, len(schema.relations)) == (8285, 2 * 29043, 90)
    assert all(relation.reverse is not None for relation in schema.relations)
    assert not {relation.name for relation in schema.relations} & {"employs", "affiliation"}
    y, splits = graph.typed.y["entity"], graph.typed.splits["entity"]
    assert y[y >= 0].bincount().tolist() == [73, 28, 60, 15]
    assert {name: len(ids) for name, ids in splits.items()} == {"train": 140, "test": 36}
    assert load_dataset("aifb", data_dir=data_dir, download=False, reverses=False).num_edges == 29043
    names = load_node_names("aifb", data_dir=data_dir, download=False).ids
    assert names[int(splits["test"][0])].startswith("http://www.aifb.uni-karlsruhe.de/Personen/")


def test_wn18rr_as_published(data_dir):
    graph = load_dataset("wn18rr", data_dir=data_dir, download=False)
    assert (graph.num_nodes, graph.num_edges, len(graph.typed.schema.relations)) == (40943, 2 * 86835, 22)
    assert {name: len(pairs) for name, pairs in graph.links.pairs.items()} == {
        "train": 86835,
        "valid": 3034,
        "test": 3134,
    }
    assert check_leaks(graph) == 6168
    assert graph.links.pairs["test"][0].tolist() == [1678, 9202] and int(graph.links.relations["test"][0]) == 7
    train = graph.links.pairs["train"][graph.links.relations["train"] == 3]
    assert sorted(train.tolist()) == sorted(relation_edges(graph, str(graph.typed.schema.relations[3])).T.tolist())
    assert load_node_names("wn18rr", data_dir=data_dir, download=False).ids[0] == "00260881"


def test_members_and_their_groups(small, tmp_path):
    graph = load_dataset("aifb", data_dir=tmp_path, download=False)
    assert graph.typed.y["entity"].tolist() == [0, 1, -100, -100]
    assert graph.typed.class_names["entity"] == ("one", "two")
    assert {name: ids.tolist() for name, ids in graph.typed.splits["entity"].items()} == {"train": [1], "test": [0]}


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("testSet.tsv", MEMBERS.format("http://a.org/x/eve", "one"), "'person', .*eve', no node has this name"),
        ("testSet.tsv", MEMBERS.format("http://a.org/x/bob", "one"), "the node has a label already"),
        ("testSet.tsv", "person\tid\nx\t1\n", "has no column 'label_affiliation'"),
        ("aifb_stripped.nt.gz", "no gzip", "aifb_stripped.nt.gz is cut short or damaged"),
    ],
)
def test_damaged_files_are_named(small, tmp_path, name, content, words):
    (small / name).write_text(content)
    with pytest.raises(DatasetError, match=words):
        load_dataset("aifb", data_dir=tmp_path, download=False)


def test_options_are_checked(small, tmp_path):
    with pytest.raises(ConfigError, match="'literals' of data set 'aifb' is 'keep', expected nodes or drop"):
        load_dataset("aifb", data_dir=tmp_path, literals="keep")


def test_the_built_in_typed_graph():
    graph = load_dataset("publications")
    check_graph(graph)
    assert graph.typed.num_nodes == {"paper": 400, "author": 160, "venue": 20}
    assert sorted(graph.typed.x) == ["paper", "venue"] and len(graph.typed.schema.relations) == 5
    assert {name: len(ids) for name, ids in graph.typed.splits["paper"].items()} == {
        "train": 240,
        "valid": 80,
        "test": 80,
    }
    again, other = load_dataset("publications"), load_dataset("publications", seed=1)
    assert torch.equal(again.indices, graph.indices) and not torch.equal(other.indices[:50], graph.indices[:50])
    y = graph.typed.y["paper"]
    src, dst = to_typed(graph)["edges"]["paper:disputes:paper"]
    assert float((y[dst] == (y[src] + 1) % 3).float().mean()) > 0.8
    with pytest.raises(ConfigError, match="'num_papers' of data set 'publications' is 3, expected at least 60"):
        load_dataset("publications", num_papers=3)
