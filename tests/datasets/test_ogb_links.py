"""OGB's link data: in each of its layouts, made small, and ogbl-ddi itself."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnkit.data import check_graph, check_leaks, fingerprint, summarize
from gnnkit.datasets import load_dataset
from gnnkit.errors import ConfigError, DatasetError, LeakError

pytest.importorskip("ogb")

NODES = 30
# Training edges, each listed once, from lower to higher or not, one of them twice.
EDGES = np.array([[0, 1], [1, 2], [5, 2], [3, 4], [1, 2], [7, 9]])
VALID, TEST = np.array([[2, 3], [8, 1]]), np.array([[4, 5], [10, 11], [12, 13]])


def write(folder: Path, parts: dict, *, kind: str, tables: dict | None = None, old: bool = False) -> Path:
    """A folder as OGB publishes it."""
    raw = {"edge": EDGES, "num-node-list": [[NODES]], "num-edge-list": [[len(EDGES)]], **(tables or {})}
    (folder / "raw").mkdir(parents=True)
    for name, rows in raw.items():
        text = "".join(",".join(str(cell) for cell in row) + "\n" for row in rows)
        (folder / "raw" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "split" / kind).mkdir(parents=True)
    for name, part in parts.items():
        file = folder / "split" / kind / f"{name}.pt"
        torch.save(part, file, pickle_protocol=2, _use_new_zipfile_serialization=not old)
    return folder


def edge_list(pairs, *others):
    return {"edge": pairs, **dict(zip(("edge_neg",), others))}


def ddi(folder: Path, **options) -> Path:
    negatives = np.array([[0, 20], [0, 21], [0, 1]])
    parts = {"valid": edge_list(VALID, negatives), "test": edge_list(TEST, negatives[:2])}
    return write(folder / "ogbl_ddi", parts, kind="target", **options)


def collab(folder: Path, valid=VALID, test=TEST) -> Path:
    years = {"weight": np.arange(len(EDGES)) + 1, "year": np.arange(len(EDGES)) + 2000}
    parts = {"train": {"edge": EDGES, **years}}
    for number, (name, pairs) in enumerate((("valid", valid), ("test", test))):
        more = {"weight": np.full(len(pairs), 1), "year": np.full(len(pairs), 2018 + number)}
        parts[name] = {"edge": pairs, **more, "edge_neg": np.array([[20, 21], [22, 23]])}
    tables = {
        "edge_weight": years["weight"][:, None],
        "edge_year": years["year"][:, None],
        "node-feat": np.random.default_rng(0).standard_normal((NODES, 3)),
    }
    return write(folder / "ogbl_collab", parts, kind="time", tables=tables)


def citation(folder: Path, width: int = 5) -> Path:
    parts = {
        name: {"source_node": pairs[:, 0], "target_node": pairs[:, 1]}
        for name, pairs in (("train", EDGES), ("valid", VALID), ("test", TEST))
    }
    for name in ("valid", "test"):
        shape = (len(parts[name]["source_node"]), width)
        parts[name]["target_node_neg"] = np.random.default_rng(0).integers(0, NODES, shape)
    tables = {"node_year": np.arange(NODES)[:, None], "node-feat": np.ones((NODES, 2))}
    return write(folder / "ogbl_citation2", parts, kind="time", tables=tables)


@pytest.mark.parametrize("old", [False, True])
def test_pairs_and_negatives_of_ddi(tmp_path, cache, old):
    ddi(tmp_path, old=old)
    graph = load_dataset("ogbl-ddi", data_dir=tmp_path)
    check_graph(graph)
    assert (graph.name, graph.evaluator, graph.metric, graph.x) == ("ogbl-ddi", "ogbl-ddi", "hits@20", None)
    both = np.concatenate([EDGES, EDGES[:, ::-1]])
    assert sorted(graph.edge_index.t().tolist()) == sorted(both.tolist())
    assert graph.links.undirected and graph.links.pairs["train"].tolist() == EDGES.tolist()
    assert graph.links.pairs["test"].tolist() == TEST.tolist()
    assert {name: len(pairs) for name, pairs in graph.links.negatives.items()} == {"valid": 3, "test": 2}
    assert check_leaks(graph) == 5
    again = load_dataset("ogbl-ddi", data_dir=tmp_path)  # from the cache
    assert fingerprint(again) == fingerprint(graph) and again.metric == "hits@20"
    assert "undirected, valid negatives 3, test negatives 2, as published: target" in summarize(again)["links"]


def test_collab_has_years_and_may_use_validation_edges_for_testing(tmp_path):
    collab(tmp_path)
    graph = load_dataset("ogbl-collab", data_dir=tmp_path)
    assert (graph.metric, graph.num_features, graph.links.test_edges) == ("hits@50", 3, None)
    found = dict(zip(map(tuple, graph.edge_index.t().tolist()), graph.edge_data["year"].tolist()))
    assert found[5, 2] == found[2, 5] == 2002
    assert sorted(graph.edge_data["weight"].tolist()) == sorted([1, 2, 3, 4, 5, 6] * 2)
    more = load_dataset("ogbl-collab", data_dir=tmp_path, valid_edges=True).links.test_edges
    assert more.num_edges == graph.num_edges + 4
    years = dict(zip(map(tuple, more.edge_index.t().tolist()), more.edge_data["year"].tolist()))
    assert years[8, 1] == years[1, 8] == 2018 and years[5, 2] == 2002


def test_known_pairs_are_refused_or_left_out(tmp_path):
    collab(tmp_path, valid=np.array([[2, 1], [8, 1]]), test=np.array([[1, 8], [3, 4], [12, 13]]))
    with pytest.raises(DatasetError, match=r"\(2, 1\) is in 'train' and in 'valid'; 1 of 2.*drop_known=true"):
        load_dataset("ogbl-collab", data_dir=tmp_path)
    graph = load_dataset("ogbl-collab", data_dir=tmp_path, drop_known=True, valid_edges=True)
    assert {name: pairs.tolist() for name, pairs in graph.links.pairs.items() if name != "train"} == {
        "valid": [[8, 1]],
        "test": [[12, 13]],
    }
    assert len(graph.links.negatives["test"]) == 2 and check_leaks(graph) == 2
    assert "1 known pairs of valid left out, 2 known pairs of test left out" in summarize(graph)["links"]


def test_citation_is_directed_and_has_negatives_for_each_pair(tmp_path):
    citation(tmp_path)
    graph = load_dataset("ogbl-citation2", data_dir=tmp_path)
    assert graph.metric == "mrr" and not graph.links.undirected
    assert sorted(graph.edge_index.t().tolist()) == sorted(EDGES.tolist())
    assert graph.links.negative_destinations["test"].shape == (3, 5) and graph.node_data["year"].tolist() == list(
        range(NODES)
    )
    assert "test negatives 5 a pair" in summarize(graph)["links"]
    assert load_dataset("ogbl-citation2", data_dir=tmp_path, undirected=True).num_edges == 2 * len(EDGES)


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(DatasetError, match="heterogeneous graphs are not supported.*such as ogbl-ddi"):
        load_dataset("ogbl-biokg", data_dir=tmp_path)
    citation(tmp_path)
    with pytest.raises(ConfigError, match="no option|valid_edge|Did you mean|Unknown"):
        load_dataset("ogbl-citation2", data_dir=tmp_path, valid_edges="yes")
    folder = ddi(tmp_path)
    (folder / "split/target/test.pt").unlink()
    with pytest.raises(DatasetError, match="split/target lacks test.pt"):
        load_dataset("ogbl-ddi", data_dir=tmp_path)
    torch.save({"edges": TEST}, folder / "split/target/test.pt", pickle_protocol=2)
    with pytest.raises(DatasetError, match="test.pt has edges, expected edge, or source_node"):
        load_dataset("ogbl-ddi", data_dir=tmp_path)
    torch.save({"edge": TEST + 100}, folder / "split/target/test.pt", pickle_protocol=2)
    with pytest.raises(DatasetError, match=r"pairs\['test'\], row 0: source 104 is out of range, expected 0 to 29"):
        load_dataset("ogbl-ddi", data_dir=tmp_path)
    wiki = write(tmp_path / "ogbl_wikikg2", {"valid": edge_list(VALID), "test": edge_list(TEST)}, kind="time",
                 tables={"edge_reltype": [[0]] * len(EDGES)})  # fmt: skip
    assert wiki.is_dir()
    with pytest.raises(DatasetError, match="asks for KG completion judged by mrr; supported is link prediction"):
        load_dataset("ogbl-wikikg2", data_dir=tmp_path)


class Harm:
    def __reduce__(self):
        return eval, ("open('HARM', 'w')",)


@pytest.mark.parametrize("old", [False, True])
def test_a_hostile_split_runs_nothing_and_one_cut_short_is_told(tmp_path, monkeypatch, old):
    monkeypatch.chdir(tmp_path)
    folder = ddi(tmp_path)
    file = folder / "split/target/valid.pt"
    torch.save({"edge": Harm()}, file, pickle_module=pickle, _use_new_zipfile_serialization=not old)
    with pytest.raises(DatasetError, match=r"is refused: it asks for \w+.eval"):
        load_dataset("ogbl-ddi", data_dir=tmp_path)
    assert not (tmp_path / "HARM").exists()
    torch.save(edge_list(VALID), file, pickle_protocol=2, _use_new_zipfile_serialization=not old)
    file.write_bytes(file.read_bytes()[:-150])
    with pytest.raises(DatasetError, match="valid.pt is cut short"):
        load_dataset("ogbl-ddi", data_dir=tmp_path)


def test_data_that_leak_are_read_and_refused_by_the_check(tmp_path):
    folder = citation(tmp_path)
    edges = np.concatenate([EDGES, TEST[1:2]])
    text = "".join(f"{source},{target}\n" for source, target in edges)
    (folder / "raw/edge.csv.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "raw/num-edge-list.csv.gz").write_bytes(gzip.compress(f"{len(edges)}\n".encode()))
    graph = load_dataset("ogbl-citation2", data_dir=tmp_path)
    with pytest.raises(LeakError, match=r"1 of 3 pairs of 'test' is among.*pair 1 \(10, 11\), edge row"):
        check_leaks(graph)


def test_ddi_as_published(data_dir, cache):
    if not (data_dir / "ogbl_ddi").is_dir():
        pytest.skip(f"there is no ogbl_ddi in {data_dir}")
    graph = load_dataset("ogbl-ddi", data_dir=data_dir)
    assert (graph.num_nodes, graph.num_edges, graph.metric) == (4267, 2_135_822, "hits@20")
    counts = {name: len(pairs) for name, pairs in graph.links.pairs.items()}
    assert counts == {"train": 1_067_911, "valid": 133_489, "test": 133_489}
    assert {name: len(pairs) for name, pairs in graph.links.negatives.items()} == {"valid": 101_882, "test": 95_599}
    assert check_leaks(graph) == 266_978
