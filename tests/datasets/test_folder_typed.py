"""Folders of typed graphs: tables by type and relation, triples, RDF."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Mapping

import numpy as np
import pytest
import torch

from gnnkit.data import check_leaks, to_typed
from gnnkit.datasets import load_dataset, load_node_names
from gnnkit.datasets.ntriples import read_ntriples
from gnnkit.errors import ConfigError, DatasetError, GnnkitError

TABLES = {
    "nodes/paper.csv": "id,label,split,year\np1,red,train,1990\np2,,,1991\np3,blue,test,1992\n",
    "nodes/author.csv": "id\nann\nbob\n",
    "edges/author__writes__paper.csv": "source,target,weight\nbob,p1,0.5\nann,p3,2\n",
    "edges/paper__cites__paper.csv": "source,target,kind\np3,p1,4\np1,p3,5\np1,p1,6\n",
    "edges/paper__in__venue.csv": "source,target\np2,1\n",
}
IDS = {
    "entity2id.txt": "3\n/m/a\t0\nthe b\t1\nc\t2\n",
    "relation2id.txt": "2\nlikes\t0\nknows\t1\n",
    "train2id.txt": "2\n0 1 0\n1 2 1\n",
    "valid2id.txt": "1\n0 2 1\n",
    "test2id.txt": "1\n1 2 0\n",
}
RDF = (
    "# a comment\n"
    "<http://a.org/x#ann> <http://a.org/v#knows> <http://a.org/x#b\\u00f6b> .\n\n"
    "<http://a.org/x#böb> <http://a.org/v#knows> _:n1 .\n"
    '_:n1 <http://a.org/v#name> "a \\"name\\""@en . # and another\n'
    '<http://a.org/x#ann>\t<http://b.org/w/knows>\t"3"^^<http://www.w3.org/2001/XMLSchema#int>.\n'
    "<http://a.org/x#ann> <http://a.org/v#knows> <http://a.org/x#böb> .\n"
)


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_a_table_for_each_type_and_relation(tmp_path):
    folder = written(tmp_path / "library", TABLES)
    graph = load_dataset(folder)
    parts = to_typed(graph)
    assert graph.name == "library" and parts["num_nodes"] == {"author": 2, "paper": 3, "venue": 2}
    assert parts["edges"]["author:writes:paper"].tolist() == [[1, 0], [0, 2]]
    assert parts["edges"]["paper:in:venue"].tolist() == [[1], [1]]
    assert parts["edge_data"]["paper:cites:paper"]["kind"].tolist() == [6, 4, 5]
    assert parts["edge_weight"]["author:writes:paper"].tolist() == [0.5, 2.0]
    assert parts["x"]["paper"].flatten().tolist() == [1990, 1991, 1992]
    assert parts["y"]["paper"].tolist() == [1, -100, 0] and parts["class_names"] == {"paper": ("blue", "red")}
    assert {name: ids.tolist() for name, ids in parts["splits"]["paper"].items()} == {"train": [0], "test": [2]}
    assert torch.equal(load_dataset(folder).indices, graph.indices)


def test_settings_of_a_typed_folder(tmp_path):
    files = {**TABLES, "edges/back.csv": "source,target\np1,bob\np3,ann\n"}
    settings = {
        "relations": {"back": ["paper", "written_by", "author"]},
        "reverses": {"writes": "written_by"},
        "num_nodes": {"venue": 5},
        "edge_features": ["kind"],
        "ignore": ["year"],
    }
    graph = load_dataset(written(tmp_path / "library", {**files, "meta.json": json.dumps(settings)}))
    parts = to_typed(graph)
    assert parts["num_nodes"]["venue"] == 5 and "paper" not in parts["x"]
    assert parts["reverses"]["author:writes:paper"] == "paper:written_by:author"
    assert parts["edge_attr"]["paper:cites:paper"].flatten().tolist() == [6.0, 4.0, 5.0]
    assert "column 'year' of 'paper'" in graph.notes.left_out


def test_names_of_nodes(tmp_path):
    files = {name: content for name, content in TABLES.items() if "venue" not in name}
    assert load_node_names(written(tmp_path / "library", files)).ids == ["ann", "bob", "p1", "p2", "p3"]


def test_arrays_of_types_and_relations(tmp_path):
    folder = written(tmp_path / "arrays", {"nodes/a.csv": "id\nx\ny\n"})
    for name, array in (
        ("edges/a__r__b.npy", np.array([[0, 1], [2, 0]])),
        ("features/b.npy", np.eye(3, dtype=np.float32)),
        ("labels/b.npy", np.array([0, 1, 1])),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / name, array)
    parts = to_typed(load_dataset(folder, add_reverses=True))
    assert parts["num_nodes"] == {"a": 2, "b": 3} and parts["edges"]["a:r:b"].tolist() == [[1, 0], [0, 2]]
    assert parts["x"]["b"].tolist() == np.eye(3).tolist() and parts["y"]["b"].tolist() == [0, 1, 1]
    assert parts["reverses"]["a:r:b"] == "b:rev_r:a"


def test_pairs_by_relation(tmp_path):
    pairs = {"pairs/author__writes__paper.csv": "source,target,split\nbob,p1,train\nann,p2,test\nbob,p3,\n"}
    graph = load_dataset(written(tmp_path / "library", {**TABLES, **pairs}))
    assert {name: rows.tolist() for name, rows in graph.links.pairs.items()} == {"train": [[1, 2]], "test": [[0, 3]]}
    assert graph.links.relations["test"].tolist() == [0] and check_leaks(graph) == 1


def test_triples_as_numbers(tmp_path):
    folder = written(tmp_path / "words", IDS)
    graph = load_dataset(folder)
    parts = to_typed(graph)
    assert parts["edges"]["entity:likes:entity"].tolist() == [[0], [1]]
    assert parts["edges"]["entity:rev_knows:entity"].tolist() == [[2], [1]]
    assert graph.links.pairs["valid"].tolist() == [[0, 2]] and graph.links.relations["valid"].tolist() == [1]
    assert load_node_names(folder).ids == ["/m/a", "the b", "c"]
    assert len(load_dataset(folder, add_reverses=False).typed.schema.relations) == 2


def test_triples_as_names(tmp_path):
    files = {"train.txt": "b\tlikes\ta\nc\tknows\tb\n", "test.txt": "b\tlikes\td\n"}
    graph = load_dataset(written(tmp_path / "words", files))
    assert graph.typed.num_nodes == {"entity": 4}
    assert [str(each) for each in graph.typed.schema.relations][:2] == ["entity:knows:entity", "entity:likes:entity"]
    assert graph.links.pairs["test"].tolist() == [[1, 3]]


def test_triples_that_are_known_are_refused_or_left_out(tmp_path):
    files = {"train.txt": "a\tr\tb\n", "test.txt": "a\tr\tb\nb\tr\ta\n"}
    folder = written(tmp_path / "words", files)
    with pytest.raises(DatasetError, match="is in 'train' and in 'test'.*drop_known=true"):
        load_dataset(folder)
    assert load_dataset(folder, drop_known=True).links.pairs["test"].tolist() == [[1, 0]]


@pytest.mark.parametrize("packed", [False, True])
def test_rdf(tmp_path, packed):
    folder = tmp_path / "facts"
    folder.mkdir()
    if packed:
        (folder / "facts.nt.gz").write_bytes(gzip.compress(RDF.encode()))
    else:
        (folder / "facts.nt").write_text(RDF, encoding="utf-8")
    graph = load_dataset(folder)
    assert [str(each) for each in graph.typed.schema.relations] == [
        "entity:v#knows:entity",
        "entity:rev_v#knows:entity",
    ]
    assert graph.num_nodes == 3 and graph.num_edges == 4
    assert graph.notes.left_out == ("2 triples with a literal",)
    whole = load_dataset(folder, literals="nodes", add_reverses=False)
    assert whole.num_nodes == 5 and whole.typed.num_edges["entity:name:entity"] == 1
    assert '"a "name""@en' in load_node_names(folder, literals="nodes").ids


def test_terms_of_rdf(tmp_path):
    file = tmp_path / "facts.nt"
    file.write_text(RDF, encoding="utf-8")
    triples = read_ntriples(file)
    assert triples[0] == triples[4] == ("http://a.org/x#ann", "http://a.org/v#knows", "http://a.org/x#böb")
    assert triples[3][2] == '"3"^^<http://www.w3.org/2001/XMLSchema#int>'


BAD = [
    ({**TABLES, "edges/author__writes.csv": "source,target\n"}, "author__writes.csv names no relation, expected"),
    ({**TABLES, "nodes/paper.parquet": ""}, "two types of one name"),
    ({**TABLES, "edges/paper__cites__paper.npy": ""}, "two relations of one name"),
    ({**TABLES, "edges/notes.docx": ""}, "notes.docx is none of the files that are read"),
    ({**TABLES, "edges/paper__cites__paper.csv": "source,target\np3,p9\n"}, "'target', line 2: there is no node 'p9'"),
    ({**TABLES, "edges/paper__in__venue.csv": "source,target\np2,-1\n"}, "there is no node '-1', expected a whole"),
    ({**TABLES, "edges/paper__cites__paper.csv": "from_paper,target\n"}, "has no column 'source'"),
    ({**TABLES, "meta.json": '{"num_nodes": {"venue": 1}}'}, "'target', line 2: there is no node '1'"),
    ({**TABLES, "meta.json": '{"num_nodes": {"paper": 7}}'}, "paper.csv has 3 rows, but num_nodes.paper is 7"),
    ({**TABLES, "meta.json": '{"num_nodes": {"venue": "x"}}'}, "num_nodes.venue is 'x', expected a whole number"),
    ({**TABLES, "meta.json": '{"reverses": {"writes": 1}}'}, "reverses.writes is 1, expected a relation"),
    ({**TABLES, "meta.json": '{"reverses": {"writes": "cites"}}'}, "cannot be the reverse of"),
    (
        {
            **TABLES,
            "edges/paper__cites__paper.csv": "source,target\np3,p1\n",
            "meta.json": '{"reverses": {"cites": "cites"}}',
        },
        "edge 0 -> 2 does not occur as often|edge 2 -> 0 does not occur as often",
    ),
    ({**TABLES, "meta.json": '{"reverses": {"writes": "wrote"}}'}, "Unknown relation 'wrote'"),
    ({**TABLES, "meta.json": '{"relations": {"cites": "cites"}}'}, "relations.cites is 'cites', expected"),
    ({**TABLES, "meta.json": '{"undirected": true}'}, "Option 'undirected' has no effect on a typed graph"),
    ({**TABLES, "meta.json": '{"columns": {"label": "colour"}}'}, "Unknown column of the tables: 'colour'"),
    ({**TABLES, "pairs/paper__cites__paper.csv": "source,target,split\np1,p2,learn\n"}, "'learn', expected train"),
    ({**IDS, "train2id.txt": "3\n0 1 0\n"}, "train2id.txt has 1 lines, but says that there are 3"),
    ({**IDS, "train2id.txt": "1\n0 3 0\n"}, "train2id.txt, line 2: tail 3 is out of range, expected 0 to 2"),
    ({**IDS, "train2id.txt": "1\n0 1 2\n"}, "line 2: relation 2 is out of range, expected 0 to 1"),
    ({**IDS, "train2id.txt": "1\n0 one 0\n"}, "train2id.txt cannot be read as lines of 'head tail relation'"),
    ({**IDS, "entity2id.txt": "2\na\t0\nb\t0\n"}, "entity2id.txt, line 3: .* expected a name and its number, 0 to 1"),
    ({**IDS, "entity2id.txt": "a\t0\n"}, "entity2id.txt begins with .* expected the number of its lines"),
    ({"train.txt": "a\tr\tb\nc r d\n"}, "train.txt, line 2: 'c r d', expected head, relation and tail"),
    ({"facts.nt": "<a> <b> <c> .\n<a> <b> c .\n"}, "facts.nt, line 2: '<a> <b> c .' is no triple"),
    ({"facts.nt": ""}, "facts.nt holds no triple"),
    ({"facts.nt": '<a> <b> "open .\n'}, "line 1"),
    ({"edges.csv": "source,target\n0,1\n", "meta.json": '{"add_reverses": true}'}, "has no effect on a graph without"),
]  # fmt: skip


@pytest.mark.parametrize("files, words", BAD)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, files, words):
    with pytest.raises(GnnkitError, match=words) as caught:
        load_dataset(written(tmp_path / "data", files))
    assert "\n" not in str(caught.value)


def test_options_of_rdf_are_checked(tmp_path):
    with pytest.raises(ConfigError, match="literals is 'keep', expected nodes or drop"):
        load_dataset(written(tmp_path / "facts", {"a.nt": "<a> <b> <c> .\n"}), literals="keep")
