"""What the record of pairs must keep to, leaks that are planted, and where links go with a graph."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import (
    Graph,
    Links,
    add_nodes,
    check_graph,
    check_leaks,
    data_differences,
    describe_data,
    from_edge_index,
    link_keys,
    part_fingerprints,
    split_edges,
    summarize,
    to_networkx,
    to_pandas,
    to_undirected,
)
from gnnkit.data.link_keys import MOST_NODES
from gnnkit.datasets import load_graph, save_graph
from gnnkit.errors import DataError, LeakError
from gnnkit.loading import take_graphs
from tests.data.linked import linked_graph, multigraphs


def changed(**fields) -> Graph:
    graph = linked_graph()
    return replace(graph, links=replace(graph.links, **fields))


def pairs(*rows):
    return torch.tensor(rows)


def test_links_that_keep_to_the_rules_pass():
    check_graph(linked_graph())
    check_graph(linked_graph(undirected=False))
    known = replace(linked_graph().links, negatives={"valid": pairs([0, 1])})  # published negatives have such
    check_graph(replace(linked_graph(), links=known))


TWO = {"train": pairs([0, 1], [1, 2]), "valid": pairs([3, 4])}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pairs": {}}, "expected pairs for at least one split"),
        ({"pairs": {"val": pairs([0, 1])}}, "unknown split 'val'"),
        ({"pairs": {**TWO, "test": pairs([0, 1]).int()}}, "received torch.int32"),
        ({"pairs": {**TWO, "test": pairs([0, 1, 2])}}, r"shape is \[1, 3\]"),
        ({"pairs": {**TWO, "test": torch.empty(0, 2, dtype=torch.int64)}}, "the split is empty"),
        ({"pairs": {**TWO, "test": pairs([0, 5], [6, 0])}}, "row 1: source 6 is out of range, expected 0 to 5"),
        ({"pairs": {**TWO, "test": pairs([5, 0], [4, 3])}}, r"row 1: \(4, 3\) is in 'valid' and in 'test'; 1 of 2"),
        ({"y": {"train": torch.tensor([0, 1])}}, "there are none for 'valid'"),
        ({"y": {"train": torch.tensor([0, 1]), "rest": torch.tensor([0])}}, "some for 'rest'"),
        ({"y": {"train": torch.ones(1), "valid": torch.ones(1), "test": torch.ones(1)}}, "1 rows, but there are 2"),
        ({"y": {name: torch.full((n,), 7) for name, n in (("train", 2), ("valid", 1), ("test", 1))}}, "label 7"),
        ({"y": {"train": torch.ones(2), "valid": torch.ones(1), "test": torch.tensor([1])}}, "one dtype and width"),
        ({"y": {"train": torch.tensor([1, 2], dtype=torch.int32)}}, "none for 'valid'"),
        ({"negatives": {"test": torch.ones(1, 2)}}, "received torch.float32"),
        ({"negatives": {"test": torch.zeros(3, 4, dtype=torch.int64)}}, r"\[3, 4\], expected \[m, 2\]"),
        ({"negative_destinations": {"test": torch.zeros(3, 4, dtype=torch.int64)}}, r"\[3, 4\], expected \[1, K\]"),
        ({"negative_destinations": {"test": pairs([0, 1, 6])}}, "row 0: destination 6 is out of range"),
        ({"test_edges": from_edge_index([[0], [1]])}, "received 2 nodes, expected a graph of 6 nodes"),
        ({"test_edges": from_edge_index([[0], [1]], 6)}, "both need it, or neither"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named(fields, message):
    with pytest.raises(DataError, match=message):
        check_graph(changed(**fields))


@given(multigraphs(), st.integers(0, 3), st.data())
@settings(max_examples=100)
def test_a_planted_leak_is_found_in_either_direction(graph, seed, data):
    split = split_edges(graph, valid=0.2, test=0.3, seed=seed, negatives=False)
    name = data.draw(st.sampled_from(["valid", "test"]))
    number = data.draw(st.integers(0, len(split.links.pairs[name]) - 1))
    pair = split.links.pairs[name][number]
    is_back = split.links.undirected and data.draw(st.booleans())
    leaked = add_nodes(split, edge_index=(pair.flip(0) if is_back else pair)[:, None])
    with pytest.raises(LeakError, match=f"1 of {len(split.links.pairs[name])} pairs of '{name}' is among") as caught:
        check_leaks(leaked)
    assert f"pair {number} ({pair[0]}, {pair[1]}), edge row" in str(caught.value)


def test_one_leak_in_ten_thousand_is_named_with_its_row():
    edges = np.random.default_rng(1).integers(0, 3000, (2, 12_000))
    split = split_edges(from_edge_index(edges, 3000), valid=0.05, test=0.1, undirected=True)
    source, target = split.links.pairs["test"][700].tolist()
    leaked = add_nodes(split, edge_index=[[target], [source]])
    row = int(((leaked.indices == target) & (leaked.dst == source)).nonzero())
    message = rf"pair 700 \({source}, {target}\), edge row {row}, as {target} -> {source}"
    with pytest.raises(LeakError, match=message):
        check_leaks(leaked)


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_edges_are_found_in_pieces_of_any_size(piece, monkeypatch):
    monkeypatch.setattr(link_keys, "_CHUNK_EDGES", piece)
    rng = np.random.default_rng(piece)
    graph = from_edge_index(rng.integers(0, 9, (2, 40)), 9)  # repeats lie across the borders of pieces
    edges = list(map(tuple, graph.edge_index.t().tolist()))
    keys = np.arange(81)
    expected = [edges.index((key % 9, key // 9)) if (key % 9, key // 9) in edges else -1 for key in keys]
    assert link_keys.edge_rows(graph, keys).tolist() == expected


def test_many_leaks_are_counted_and_the_first_named():
    ring = from_edge_index([list(range(20)), [*range(1, 20), 0]])
    split = split_edges(ring, valid=0.2, test=0.3)
    with pytest.raises(
        LeakError, match="4 of 4 pairs of 'valid' are among.*6 of 6 pairs of 'test' are among"
    ) as caught:
        check_leaks(replace(ring, links=split.links))
    assert str(caught.value).count("edge row") == 6 and "..." in str(caught.value)


def test_test_pairs_among_the_edges_for_testing_leak_and_validation_pairs_do_not():
    graph = linked_graph()
    assert check_leaks(graph) == 2
    more = from_edge_index([[5], [4]], 6, edge_weight=[1.0])
    with pytest.raises(LeakError, match="1 of 1 pairs of 'test' is among links.test_edges"):
        check_leaks(replace(graph, links=replace(graph.links, test_edges=more)))
    assert check_leaks(from_edge_index([[0], [1]])) == 0


def test_keys_that_would_overflow_are_refused():
    links = Links({"train": pairs([0, 1])}, undirected=True)
    huge = Graph(
        torch.zeros(1, dtype=torch.int64).expand(MOST_NODES + 2), torch.empty(0, dtype=torch.int64), links=links
    )
    with pytest.raises(DataError, match="can be told apart up to 3,037,000,499"):
        check_leaks(huge)


def test_links_are_part_of_what_data_are():
    graph = linked_graph()
    bare = replace(graph, links=None)
    assert "links" not in part_fingerprints(bare) and "links" not in describe_data(bare)
    described = describe_data(graph)
    assert described["links"]["pairs"] == {"train": 2, "valid": 1, "test": 1}
    assert (
        data_differences(described, describe_data(bare))
        == data_differences(describe_data(bare), described)
        == ["links"]
    )
    for fields in ({"undirected": False}, {"class_names": ("a", "b")}, {"test_edges": None}, {"negatives": {}}):
        assert data_differences(described, describe_data(changed(**fields))) == ["links"]
    words = summarize(graph)["links"]
    assert words == (
        "train 2, valid 1, test 1, undirected, 2 classes, valid negatives 2, test negatives 3 a pair, "
        "6 message edges for testing"
    )
    assert "links" not in summarize(bare)


def assert_same_links(one: Graph, other: Graph) -> None:
    assert part_fingerprints(one)["links"] == part_fingerprints(other)["links"]


def test_saved_links_come_back(tmp_path):
    graph = linked_graph()
    save_graph(graph, tmp_path / "linked")
    back = load_graph(tmp_path / "linked")
    assert part_fingerprints(back) == part_fingerprints(graph)
    assert list(back.links.pairs) == list(graph.links.pairs) and back.links.class_names == ("no", "yes")
    assert list(back.links.test_edges.edge_data) == ["year of"]


def test_new_nodes_keep_the_pairs_and_carry_messages_for_all_splits():
    grown = add_nodes(linked_graph(), torch.ones(1, 6), [[6, 0], [0, 6]])
    check_graph(grown)
    assert grown.links.test_edges.num_nodes == 7 and grown.links.test_edges.num_edges == 8
    assert torch.equal(grown.links.pairs["train"], linked_graph().links.pairs["train"])


def test_reverses_are_added_for_testing_as_well():
    one_way = from_edge_index([[0, 1], [1, 2]], 4)
    more = from_edge_index([[0, 1, 2], [1, 2, 3]], 4)
    linked = replace(one_way, links=Links({"test": pairs([0, 3])}, undirected=True, test_edges=more))
    assert to_undirected(linked).links.test_edges.num_edges == 6


def test_parts_of_a_record_have_no_links():
    graph = from_edge_index([[0, 2], [1, 3]], 4, graph_ptr=[0, 2, 4])
    linked = replace(graph, links=Links({"test": pairs([2, 3])}, undirected=False))
    assert take_graphs(linked, [1]).links is None


def test_links_go_to_a_library_and_back(backend):
    graph = linked_graph()
    if backend.name == "reference":
        pytest.skip("the reference backend has no graph object of its own")
    assert_same_links(backend.from_native(backend.to_native(graph)), graph)


def test_a_table_says_that_links_stay_behind(caplog):
    for convert in (to_networkx, to_pandas):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "gnnkit.data"):
            convert(linked_graph())
        assert "links, which stay behind" in caplog.text
        caplog.clear()
        convert(replace(linked_graph(), links=None))
        assert not caplog.records
