"""Typed graphs: building, checks, reverses, parts, lists, and what copies a graph."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import (
    Relation,
    Schema,
    add_nodes,
    add_reverses,
    add_self_loops,
    check_graph,
    check_leaks,
    describe_data,
    fingerprint,
    from_edge_index,
    from_typed,
    gcn_norm,
    given_links,
    join_graphs,
    normalize_features,
    part_fingerprints,
    random_split,
    relation_edges,
    remove_self_loops,
    split_graphs,
    summarize,
    to_typed,
    to_undirected,
    type_nodes,
)
from gnnkit.data.graph import map_arrays
from gnnkit.errors import DataError, GnnkitError, UnknownNameError
from tests.data.typed_graphs import same, typed_graphs

WRITES = {"author:writes:paper": [[0, 1], [1, 0]]}


@given(typed_graphs())
@settings(max_examples=60)
def test_a_graph_is_what_its_parts_say(graph):
    typed = graph.typed
    assert same(from_typed(**to_typed(graph)), graph)
    order = torch.stack([graph.dst, typed.edge_type.long(), graph.indices])
    keys = (order[0] * 100 + order[1]) * 100 + order[2]
    assert bool((keys.diff() >= 0).all())
    for number, relation in enumerate(typed.schema.relations):
        src, dst = relation_edges(graph, str(relation))
        kept = typed.edge_type == number
        assert torch.equal(typed.nodes(relation.src)[src], graph.indices[kept])
        assert torch.equal(typed.nodes(relation.dst)[dst], graph.dst[kept])


@given(typed_graphs(min_relations=1), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_edges_in_the_source_changes_nothing(graph, random):
    parts = to_typed(graph)
    label = random.choice(list(parts["edges"]))
    size = parts["edges"][label].shape[1]
    order = torch.tensor(random.sample(range(size), size), dtype=torch.int64)
    keys = {ends: [] for ends in zip(*parts["edges"][label].tolist())}
    for row, ends in enumerate(zip(*parts["edges"][label].tolist())):
        keys[ends].append(row)
    if any(len(rows) > 1 for rows in keys.values()):  # Edges that are repeated stay in the order that they had.
        parts["edge_attr"], parts["edge_data"], parts["edge_weight"] = {}, {}, {}
    expected = from_typed(**parts)
    for field in ("edge_attr", "edge_weight"):
        parts[field] = {key: rows[order] if key == label else rows for key, rows in parts[field].items()}
    parts["edge_data"] = {
        key: {name: rows[order] if key == label else rows for name, rows in held.items()}
        for key, held in parts["edge_data"].items()
    }
    parts["edges"] = {key: ends[:, order] if key == label else ends for key, ends in parts["edges"].items()}
    assert same(from_typed(**parts), expected)


@given(st.lists(typed_graphs(), min_size=1, max_size=1), st.integers(1, 3))
@settings(max_examples=40)
def test_lists_come_apart_as_they_were(graphs, times):
    graphs = graphs * times
    record = join_graphs(graphs, graph_y=list(range(times)))
    assert record.num_graphs == times
    for part, graph in zip(split_graphs(record), graphs):
        assert same(replace(part, graph_y=None, graph_ptr=None), graph)


@given(typed_graphs())
@settings(max_examples=30)
def test_reverses_hold_the_same_edges_and_arrays(graph):
    both = add_reverses(graph)
    check_graph(both)
    assert add_reverses(both) is both
    before, after = to_typed(graph), to_typed(both)
    for relation in both.typed.schema.relations:
        mine, theirs = str(relation), str(both.typed.schema.relations[relation.reverse])
        ends = [sorted(zip(*after["edges"][name].tolist())) for name in (mine, theirs)]
        assert ends[0] == sorted((dst, src) for src, dst in ends[1])
    for label, edges in before["edges"].items():
        assert torch.equal(after["edges"][label], edges)
        assert label not in before["edge_attr"] or torch.equal(after["edge_attr"][label], before["edge_attr"][label])


def test_arrays_of_a_reverse_are_those_of_its_edges():
    graph = from_typed({"a:r:b": [[0, 1, 2], [2, 1, 0]]}, edge_attr={"a:r:b": [[0.0], [1.0], [2.0]]})
    parts = to_typed(add_reverses(graph))
    assert parts["edges"]["b:rev_r:a"].tolist() == [[2, 1, 0], [0, 1, 2]]
    assert parts["edge_attr"]["b:rev_r:a"].flatten().tolist() == [0.0, 1.0, 2.0]


@given(typed_graphs(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_edges_that_are_left_out_take_their_arrays_along(graph, random):
    keep = torch.tensor([random.random() < 0.6 for _ in range(graph.num_edges)], dtype=torch.bool)
    kept = map_arrays(graph, edges=lambda rows: rows[keep])
    whole, part = to_typed(graph), kept.typed
    for number, relation in enumerate(graph.typed.schema.relations):
        mine = keep[graph.typed.edge_type == number]
        for field in ("edge_attr",):
            if str(relation) in whole[field]:
                assert torch.equal(getattr(part, field)[str(relation)], whole[field][str(relation)][mine])
        for name, rows in graph.typed.edge_data.get(str(relation), {}).items():
            assert torch.equal(part.edge_data[str(relation)][name], rows[mine])


def test_numbers_of_nodes_types_and_edges():
    graph = from_typed({**WRITES, ("paper", "cites", "paper"): [[], []]}, num_nodes={"venue": 2, "paper": 4})
    assert graph.typed.schema.node_types == ("venue", "paper", "author")
    assert graph.typed.num_nodes == {"venue": 2, "paper": 4, "author": 2}
    assert graph.typed.num_edges == {"author:writes:paper": 2, "paper:cites:paper": 0}
    assert graph.indices.tolist() == [7, 6] and graph.dst.tolist() == [2, 3]
    assert "types=['venue', 'paper', 'author'], num_relations=2" in repr(graph)


def test_schemas_are_equal_and_hashable_whatever_the_graph():
    first, second = from_typed(WRITES), from_typed(WRITES, num_nodes={"author": 9})
    assert hash(first.typed.schema) == hash(second.typed.schema) and first.typed.schema == second.typed.schema


def test_weights_of_some_relations_are_one_elsewhere():
    graph = from_typed({**WRITES, "paper:cites:paper": [[0], [1]]}, edge_weight={"author:writes:paper": [0.5, 2.0]})
    assert sorted(graph.edge_weight.tolist()) == [0.5, 1.0, 2.0]


REVERSED = {"a:r:b": [[0, 0], [0, 1]], "b:s:a": [[0, 0], [0, 1]]}


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"edges": {"author:writes": [[], []]}}, "in edges: the relation is 'author:writes', expected"),
        ({"edges": {("a", "b"): [[], []]}}, "expected (source type, name, destination type)"),
        ({"edges": {**WRITES, ("author", "writes", "paper"): [[], []]}}, "'author:writes:paper' is given twice"),
        ({"edges": {"a:r:b": [[0], [-1]]}}, "edges of 'a:r:b', row 0: destination -1 is out of range"),
        ({"edges": {"a:r:b": [[0], [3]]}, "num_nodes": {"b": 3}}, "destination 3 .* 0 to 2 of type 'b'. Ids of a type"),
        ({"edges": {"a:r:b": [[0], [0]]}, "num_nodes": {"b": 0}}, "but type 'b' has no nodes"),
        ({"edges": {"a:r:b": [[0, 1]]}}, r"edges of 'a:r:b': shape is \[1, 2\]"),
        ({"edges": {"a:r:b": [[0.5], [1]]}}, "edges of 'a:r:b': dtype is"),
        ({"edges": {"a:r:b": [[10**9], [0]]}}, "of 'a': the id 1000000000 asks for 1,000,000,001 nodes"),
        ({"edges": WRITES, "node_types": ["paper", "author", "paper"]}, "two node types are called 'paper'"),
        ({"edges": {"a: r:b": [[], []]}}, "a relation is called ' r', expected text without outer blanks"),
        ({"edges": {("a:b", "r", "c"): [[], []]}}, "node type 'a:b' has a colon"),
        ({"edges": WRITES, "edge_attr": {"author:wrote:paper": [[1]]}}, "Unknown relation 'author:wrote:paper'. Did"),
        ({"edges": WRITES, "edge_attr": {"author:writes:paper": [[1.0]]}}, "has 1 rows, but the relation has 2 edges"),
        ({"edges": WRITES, "edge_weight": {"author:writes:paper": [[1.0], [2.0]]}}, "expected one dimension"),
        ({"edges": WRITES, "x": {"paper": [[1.0], [float("nan")]]}}, "x of 'paper', row 1: column 0 is nan"),
        ({"edges": WRITES, "x": {"author": [[1.0]]}}, "'author:writes:paper', row 1: source 1"),
        ({"edges": WRITES, "x": {"paper": [[1.0]]}, "num_nodes": {"paper": 2}}, "x of 'paper': x has 1 rows but"),
        ({"edges": WRITES, "y": {"paper": [0, -7]}}, "y of 'paper', row 1: label -7"),
        ({"edges": WRITES, "splits": {"paper": {"train": [2]}}}, "of 'paper', row 0: node 2 is out of range"),
        ({"edges": WRITES, "splits": {"paper": {"training": [1]}}}, "unknown split 'training'"),
        ({"edges": WRITES, "node_data": {"paper": {"age": [1]}}}, "age'] has 1 rows but the graph has 2 nodes"),
        ({"edges": WRITES, "num_nodes": {"paper": -1}}, "num_nodes of 'paper': it is -1"),
        ({"edges": WRITES, "reverses": {"writes": "written"}}, "in reverses: Unknown relation 'written'"),
        ({"edges": {**WRITES, "a:cites:a": [[], []]}, "reverses": {"writes": "cites"}}, "whose ends are others"),
        ({"edges": REVERSED, "reverses": {"r": "s"}}, r"edge \(0, 1\)|edge 0 -> 1 does not occur as often"),
        ({"edges": {**REVERSED, "b:s:a": [[0], [0]]}, "reverses": {"r": "s"}}, "they have 1 and 2 edges"),
        ({"edges": {"a:r:a": [[0], [1]]}, "reverses": {"r": "r"}}, "'a:r:a' is declared the reverse of 'a:r:a'"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named(fields, words):
    with pytest.raises(DataError, match=words.replace("(source", r"\(source").replace("type)", r"type\)")) as caught:
        from_typed(**fields)
    assert "\n" not in str(caught.value)


def test_relations_of_one_name_need_their_types():
    graph = from_typed({"a:in:b": [[0], [0]], "b:in:b": [[0], [0]]})
    with pytest.raises(UnknownNameError, match="Known: a:in:b, b:in:b"):
        relation_edges(graph, "in")
    assert relation_edges(graph, "b:in:b").tolist() == [[0], [0]]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda typed: {"edge_type": typed.edge_type.roll(1)}, "its source, node 2, is of type .paper"),
        (lambda typed: {"edge_type": typed.edge_type.long()}, "expected int16"),
        (lambda typed: {"edge_type": typed.edge_type + 5}, "type 5 is out of range, expected 0 to 1"),
        (lambda typed: {"node_type": typed.node_type[1:]}, r"expected int16 of shape \[4\]"),
        (lambda typed: {"node_type": typed.node_type * 0}, "is of type 'author'"),
        (lambda typed: {"x": {"venue": torch.zeros(1, 1)}}, "in x: Unknown node type 'venue'"),
        (lambda typed: {"edge_attr": {"cites": torch.zeros(1, 1)}}, "in edge_attr: Unknown relation 'cites'"),
        (lambda typed: {"schema": Schema(("author",), ())}, "out of range"),
        (lambda typed: {"schema": Schema(("author", "paper"), (Relation("author", "writes", "book"),))}, "unknown end"),
    ],
)
def test_a_record_made_by_hand_is_checked(change, words):
    graph = from_typed({**WRITES, "paper:cites:paper": [[0], [0]]})
    with pytest.raises(DataError, match=words):
        check_graph(replace(graph, typed=replace(graph.typed, **change(graph.typed))))


def test_edges_in_another_order_are_refused():
    graph = from_typed({"a:r:a": [[0, 1], [0, 0]], "a:s:a": [[0], [0]]})
    order = torch.tensor([2, 0, 1])
    moved = replace(map_arrays(graph, edges=lambda rows: rows[order]), indices=graph.indices[order])
    with pytest.raises(DataError, match="relation 0, source 0 follows relation 1, source 0 at one destination"):
        check_graph(moved)


@pytest.mark.parametrize("function", [add_self_loops, to_undirected, gcn_norm])
def test_what_a_typed_graph_has_no_place_for_is_refused(function):
    with pytest.raises(DataError, match="cannot be done to a typed graph"):
        function(from_typed(WRITES))


def test_nodes_without_a_type_are_refused():
    with pytest.raises(DataError, match="have types, which are not told here"):
        add_nodes(from_typed(WRITES), edge_index=[[0], [1]])


def test_self_loops_are_removed_with_their_arrays():
    graph = from_typed({"a:r:a": [[0, 1, 1], [0, 0, 1]]}, edge_attr={"a:r:a": [[1.0], [2.0], [3.0]]})
    left = remove_self_loops(graph)
    check_graph(left)
    assert relation_edges(left, "r").tolist() == [[1], [0]] and left.typed.edge_attr["a:r:a"].tolist() == [[2.0]]


def test_features_of_every_type_are_normalized():
    graph = normalize_features(from_typed(WRITES, x={"paper": [[1.0, 3.0], [0.0, 0.0]], "author": [[2.0], [4.0]]}))
    assert graph.typed.x["paper"].tolist() == [[0.25, 0.75], [0.0, 0.0]]
    assert graph.typed.x["author"].tolist() == [[1.0], [1.0]]


def test_a_split_is_drawn_within_a_type():
    graph = from_typed({}, num_nodes={"a": 20, "b": 30}, y={"b": [0] * 10 + [1] * 10 + [-100] * 10})
    drawn = random_split(graph, seed=3).typed.splits
    assert set(drawn) == {"b"} and sum(map(len, drawn["b"].values())) == 20
    assert torch.equal(drawn["b"]["train"], random_split(type_nodes(graph, "b"), seed=3).splits["train"])
    assert len(random_split(graph, node_type="a").typed.splits["a"]["train"]) == 12
    with pytest.raises(DataError, match="no type has labels"):
        random_split(from_typed(WRITES))
    with pytest.raises(DataError, match="the graph has no types"):
        random_split(from_edge_index([[0], [1]]), node_type="a")


def test_the_fingerprint_sees_types_and_names_them():
    edges = [[0, 1], [1, 0]]
    first, second = from_typed({"a:r:a": edges, "a:s:a": [[], []]}), from_typed({"a:s:a": edges, "a:r:a": [[], []]})
    mine, theirs = part_fingerprints(first), part_fingerprints(second)
    assert mine["edges"] == theirs["edges"] and mine["types"] != theirs["types"]
    declared = from_typed({"a:r:a": edges, "a:s:a": [[], []]}, reverses={"r": "r"})
    assert fingerprint(declared) != fingerprint(first)
    assert "types" not in part_fingerprints(from_edge_index(edges))
    assert describe_data(first)["types"] == {"nodes": {"a": 2}, "edges": {"a:r:a": 2, "a:s:a": 0}}


def test_the_fingerprint_of_a_graph_without_types_is_what_it_was():
    graph = from_edge_index([[0, 1, 2], [1, 0, 1]], x=[[1.0], [2.0], [3.0]], y=[0, 1, 0], splits={"train": [0]})
    assert fingerprint(graph) == "0c3840f2c61c762321a8b0f7c59de6a96b36d48b552a1c181c85bbfcc53c241c"


def test_copies_in_other_processes_are_the_same():
    graph = add_reverses(from_typed(WRITES, y={"paper": [0, 1]}))
    assert graph.typed.rows.numel() == 4  # What is computed on demand goes along.
    assert same(pickle.loads(pickle.dumps(graph)), graph)


def test_what_a_graph_holds_is_told_by_type_and_relation():
    graph = from_typed(WRITES, x={"paper": [[1.0], [2.0]]}, y={"paper": [0, 1]}, splits={"paper": {"train": [0]}})
    lines = summarize(add_reverses(graph))
    assert lines["nodes"] == "4 of 2 types (author 2, paper 2)"
    assert lines["edges"] == "4 of 2 relations (writes 2, rev_writes 2), 2 with a declared reverse"
    assert lines["features"] == "author none, paper 1"
    assert lines["labels"] == "paper: 2 classes (0: 1, 1: 1)" and lines["splits"] == "paper: train 1"


def test_pairs_by_relation_count_within_their_types():
    graph = add_reverses(from_typed({"u:rates:i": [[0, 1], [0, 1]]}, num_nodes={"u": 3, "i": 3}))
    linked = given_links(graph, {"train": {"rates": [[0, 0], [1, 1]]}, "test": {"rates": [[2, 2]]}})
    assert linked.links.pairs["test"].tolist() == [[2, 5]] and linked.links.relations["test"].tolist() == [0]
    assert check_leaks(linked) == 1
    with pytest.raises(DataError, match="'u:rates:i', row 0: destination 9 is out of range"):
        given_links(graph, {"train": {"rates": [[0, 9]]}})
    with pytest.raises(GnnkitError, match="Unknown relation 'likes'"):
        given_links(graph, {"train": {"likes": [[0, 0]]}})
