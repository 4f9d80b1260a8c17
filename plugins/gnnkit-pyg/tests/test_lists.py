"""Many graphs between a record and lists of Data or a Batch."""

from __future__ import annotations

import time
from typing import Any, Dict, List

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from gnnkit.data import Graph, fingerprint, from_edge_index, join_graphs, split_graphs
from gnnkit.errors import DataError
from gnnkit_pyg.backend import PygBackend
from gnnkit_pyg.convert import from_pyg, to_pyg

backend = PygBackend()
FIELDS = ["x", "y", "weight", "attr", "node", "edge", "graph_y", "data", "names", "splits", "graph_splits"]
NAMES = ("name", "metric", "class_names", "feature_names", "graph_names", "node_categories", "edge_categories")


def assert_same(first: Graph, second: Graph) -> None:
    assert fingerprint(first) == fingerprint(second)
    for name in NAMES:
        assert getattr(first, name) == getattr(second, name), name


@st.composite
def lists(draw: Any) -> List[Graph]:
    """Graphs that are alike, with any of the fields; many without nodes, without edges or with one node."""
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 4]), min_size=1, max_size=5))
    kept = draw(st.sets(st.sampled_from(FIELDS)))
    codes, several = draw(st.booleans()), draw(st.booleans())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    graphs = []
    for number, size in enumerate(sizes):
        count = int(torch.randint(0, 2 * size + 1, (), generator=generator))
        order = torch.randperm(size, generator=generator)
        node_codes = {"x": order[:, None] % 3, "node_categories": [3], "feature_names": ["element"]}
        edge_codes = {"edge_attr": torch.arange(2 * count).reshape(-1, 2) % 2, "edge_categories": [2, 3]}
        fields: Dict[str, Dict[str, Any]] = {
            "x": node_codes if codes else {"x": torch.rand(size, 2)},
            "y": {"y": (torch.rand(size, 3) > 0.5).float() if several else order % 3},
            "weight": {"edge_weight": torch.rand(count)},
            "attr": edge_codes if codes else {"edge_attr": torch.rand(count, 2, dtype=torch.float64)},
            "node": {"node_data": {"year": order, "edge_count": torch.rand(size, 2)}},
            "edge": {"edge_data": {"kind": torch.arange(count, dtype=torch.int32)}},
            "graph_y": {"graph_y": torch.rand(1, 2) if several else [number % 3]},
            "data": {"graph_data": {"fold": [number % 2], "map": torch.rand(1, 2, 2)}},
            "names": {"graph_names": [f"graph {number}"]},
            "splits": {"splits": {name: ids for name, ids in (("train", order[:1]), ("test", order[1:])) if len(ids)}},
            "graph_splits": {"graph_splits": {["test", "valid", "train"][number % 3]: [0]} if number % 4 else {}},
        }
        chosen = {name: value for field in sorted(kept) for name, value in fields[field].items()}
        edges = torch.randint(0, max(size, 1), (2, count), generator=generator)
        graphs.append(from_edge_index(edges, size, class_names=["a", "b", "c"], name="toy", **chosen))
    return graphs


@settings(max_examples=150)
@given(lists())
def test_a_list_comes_back_as_it_was(graphs: List[Graph]) -> None:
    record = join_graphs(graphs)
    batch = to_pyg(record)
    assert isinstance(batch, Batch) and batch.num_graphs == len(graphs)
    assert_same(from_pyg(batch), record)
    parts = batch.to_data_list()
    assert [part.num_nodes for part in parts] == [graph.num_nodes for graph in graphs]
    assert_same(from_pyg(parts), record)
    assert_same(from_pyg([to_pyg(each) for each in split_graphs(record)]), record)
    assert_same(from_pyg(to_pyg(graphs[0])), graphs[0])


def molecule(nodes: int, label: Any, **more: Any) -> Data:
    ring = torch.stack([torch.arange(nodes), torch.arange(nodes).roll(1)]) if nodes > 1 else torch.zeros(2, 0).long()
    return Data(edge_index=torch.cat([ring, ring.flip(0)], 1), num_nodes=nodes, y=label, **more)


@pytest.mark.parametrize("sizes", [(3, 2, 4), (1, 1, 1), (0, 2, 1)])
@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ([torch.tensor([1]), torch.tensor([0]), torch.tensor([2])], [1, 0, 2]),
        ([torch.tensor(1), torch.tensor(0), torch.tensor(2)], [1, 0, 2]),
        ([1, 0, 2], [1, 0, 2]),
        ([torch.tensor([[1]]), torch.tensor([[0]]), torch.tensor([[2]])], [1, 0, 2]),
        (
            [torch.tensor([[0.5, 1]]), torch.tensor([[1.5, 2]]), torch.tensor([[2.5, 3]])],
            [[0.5, 1], [1.5, 2], [2.5, 3]],
        ),
        ([torch.tensor([[0, 1]]), torch.tensor([[1, 1]]), torch.tensor([[0, 0]])], [[0, 1], [1, 1], [0, 0]]),
    ],
)
def test_one_row_in_each_is_a_label_of_the_graph(sizes: Any, labels: List[Any], read: List[Any]) -> None:
    several = [molecule(size, label) for size, label in zip(sizes, labels)]
    for given_as in (several, Batch.from_data_list(several)):
        graph = backend.from_native(given_as)
        assert graph.y is None and graph.graph_y is not None and graph.graph_y.tolist() == read


def test_a_row_for_each_node_is_of_nodes() -> None:
    several = [molecule(size, torch.arange(size)) for size in (3, 0, 1)]
    graph = from_pyg(several)
    assert graph.graph_y is None and graph.y is not None and graph.y.tolist() == [0, 1, 2, 0]
    both = from_pyg([molecule(2, torch.zeros(2).long(), graph_y=torch.tensor([each])) for each in range(3)])
    assert both.y is not None and both.graph_y is not None and both.graph_y.tolist() == [0, 1, 2]
    assert from_pyg(molecule(1, torch.tensor([2]))).y is not None, "a single Data is about its nodes"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([torch.zeros(1), torch.zeros(3)], r"graph 1 has 3 rows and 4 nodes.*shape \[1, T\]"),
        ([torch.zeros(2), torch.zeros(1)], "some graphs have one row"),
        ([torch.zeros(1), torch.zeros(1).long()], r"in y: graph 1 has int64 of shape \[n\], graph 0 has float32"),
    ],
)
def test_labels_that_do_not_fit_are_named(labels: List[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_pyg([molecule(2, labels[0]), molecule(4, labels[1])])


def test_what_is_said_of_graphs() -> None:
    texts: List[Dict[str, Any]] = [
        {"smiles": "CC", "split": "train", "fold": torch.tensor([3])},
        {"smiles": "CO", "split": "val", "fold": torch.tensor([4])},
        {"smiles": "C", "fold": torch.tensor([3])},
    ]
    several = [
        molecule(2, each, z=torch.ones(2, 1), bond=torch.ones(4), mass=0.5 + each, **texts[each]) for each in range(3)
    ]
    graph = from_pyg(several)
    assert graph.graph_names == ("CC", "CO", "C") and graph.graph_y is not None
    assert {name: ids.tolist() for name, ids in graph.graph_splits.items()} == {"train": [0], "valid": [1]}
    assert graph.graph_data["fold"].tolist() == [3, 4, 3] and graph.graph_data["mass"].tolist() == [0.5, 1.5, 2.5]
    assert list(graph.node_data) == ["z"] and list(graph.edge_data) == ["bond"] and "split" not in several[2]
    data = to_pyg(graph).to_data_list()
    assert [(each.name, each.split, each.fold.tolist()) for each in data[1:]] == [("CO", "valid", [4]), ("C", "", [3])]
    for each in several:
        each.name = "molecule"
    with pytest.warns(UserWarning, match="smiles"):
        assert from_pyg(several).graph_names == ("molecule",) * 3
    with pytest.warns(UserWarning, match="name"):
        assert from_pyg(several, names="smiles").graph_names[1] == "CO"
    with pytest.raises(DataError, match="no text"):
        from_pyg(several, names="inchi")


def test_whole_numbers_are_codes_where_one_says_so() -> None:
    several = [molecule(2, 0, x=torch.tensor([[5, 1], [0, 2]]), edge_attr=torch.tensor([1, 0, 1, 0])) for _ in range(2)]
    plain = from_pyg(several)
    assert plain.x is not None and plain.x.dtype == torch.float32 and plain.node_categories == ()
    codes = from_pyg(several, node_categories=[6, 3], edge_categories=[2])
    assert codes.x is not None and codes.x.dtype == torch.int64 and codes.node_categories == (6, 3)
    assert codes.edge_attr is not None and codes.edge_attr.shape == (8, 1) and codes.edge_categories == (2,)
    with pytest.raises(DataError, match="column 0 is 5, expected a category from 0 to 4"):
        from_pyg(several, node_categories=[5, 3])
    data = to_pyg(codes)
    data.x = data.x.float()
    assert from_pyg(data).node_categories == (), "values win over what was written down"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, r"in x: graph 2 has none, graph 0 has float32 of shape \[n, 3\]"),
        ({"x": torch.ones(2, 4)}, r"in x: graph 2 has float32 of shape \[n, 4\]"),
        ({"x": torch.ones(2, 3).double()}, "in x: graph 2 has float64"),
        ({"x": torch.ones(2, 3), "pos": torch.ones(2, 3)}, "in pos: graph 2 has float32"),
    ],
)
def test_the_first_graph_that_differs_is_named(other: Dict[str, Any], message: str) -> None:
    usual = molecule(2, 0, x=torch.ones(2, 3))
    with pytest.raises(DataError, match=message):
        from_pyg([usual, usual, molecule(2, 0, **other), molecule(2, 0)])


def test_classes_of_another_name_are_refused() -> None:
    first, second = (from_edge_index([[0], [1]], 2, graph_y=[0], class_names=names) for names in (["a"], ["b"]))
    with pytest.raises(DataError, match=r"class_names: graph 1 has \('b',\)"):
        from_pyg([to_pyg(first), to_pyg(second)])
    with pytest.raises(DataError, match="item 1 of the list is a Batch"):
        from_pyg([to_pyg(first), Batch.from_data_list([to_pyg(first)])])


def test_many_graphs_take_moments() -> None:
    several = [molecule(5, torch.tensor([each % 2]), x=torch.ones(5, 3), smiles="C") for each in range(10_000)]
    start = time.perf_counter()
    graph = from_pyg(several)
    assert graph.num_graphs == 10_000 and time.perf_counter() - start < 20
    print(f"{time.perf_counter() - start:.1f} s from a list of 10,000")
    assert len(to_pyg(graph).to_data_list()) == 10_000 and time.perf_counter() - start < 60
    print(f"{time.perf_counter() - start:.1f} s there and back")
