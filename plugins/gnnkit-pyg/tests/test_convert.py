"""Between Graph and Data: nothing is lost on the way there and back."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.utils import add_remaining_self_loops

from gnnkit.data import Graph, add_self_loops, from_edge_index, pick_split
from gnnkit.errors import DataError
from gnnkit_pyg.backend import PygBackend
from gnnkit_pyg.convert import from_pyg

backend = PygBackend()
ARRAYS = ("indptr", "indices", "x", "y", "edge_weight", "edge_attr", "graph_ptr", "graph_y")


def assert_same(first: Graph, second: Graph) -> None:
    for name in ARRAYS:
        ours, theirs = getattr(first, name), getattr(second, name)
        assert (ours is None) == (theirs is None), name
        assert ours is None or (ours.dtype == theirs.dtype and torch.equal(ours, theirs)), name
    for name in ("splits", "node_data", "edge_data"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert sorted(ours) == sorted(theirs), name
        assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours), name
    for name in ("class_names", "name", "metric", "feature_names"):
        assert getattr(first, name) == getattr(second, name), name


def maybe(draw: Any, value: Any) -> Any:
    return value if draw(st.booleans()) else None


@st.composite
def graphs(draw: Any) -> Graph:
    """Graphs with any of the fields, isolated nodes, repeated edges, empty graphs, as many nodes as edges."""
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    starts = torch.tensor([0, *sizes]).cumsum(0)
    num_nodes = int(starts[-1])
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    parts = [torch.zeros(2, 0, dtype=torch.int64)]
    for start, size in zip(starts.tolist(), sizes):
        count = draw(st.sampled_from([0, size, 2 * size])) if size else 0
        parts.append(start + torch.randint(0, max(size, 1), (2, count), generator=generator))
    edges = torch.cat(parts, dim=1)
    num_edges = edges.shape[1]
    labels = [None, torch.arange(num_nodes) % 3, (torch.rand(num_nodes, 2, generator=generator) > 0.5).float()]
    order = torch.randperm(num_nodes, generator=generator)
    splits = {"train": order[:1], "valid": order[1:3], "test": order[3:]}
    y = draw(st.sampled_from(labels))
    x = maybe(draw, torch.rand(num_nodes, 2, generator=generator, dtype=torch.float64))
    return from_edge_index(
        edges,
        num_nodes,
        x=x,
        feature_names=("age", "size") if x is not None and draw(st.booleans()) else (),
        y=y,
        edge_weight=maybe(draw, torch.rand(num_edges, generator=generator)),
        edge_attr=maybe(draw, torch.rand(num_edges, 3, generator=generator)),
        splits={name: ids for name, ids in splits.items() if ids.numel() and draw(st.booleans())},
        node_data=maybe(draw, {"year": torch.arange(num_nodes), "edge_count": torch.rand(num_nodes, 2)}),
        edge_data=maybe(draw, {"kind": torch.arange(num_edges, dtype=torch.int32)}),
        graph_ptr=starts if len(sizes) > 1 else maybe(draw, starts),
        graph_y=maybe(draw, torch.rand(len(sizes), 2)),
        class_names=["a", "b", "c"] if y is None or y.ndim == 1 else ["a", "b"],
        name=draw(st.sampled_from(["graph", "toy"])),
        metric=draw(st.sampled_from([None, "macro_f1"])),
    )


@settings(max_examples=150)
@given(graphs())
def test_round_trip_loses_nothing(graph: Graph) -> None:
    data = backend.to_native(graph)
    assert isinstance(data, Data) and data.num_nodes == graph.num_nodes and data.num_edges == graph.num_edges
    assert_same(backend.from_native(data), graph)
    assert_same(backend.from_native(copy.deepcopy(data)), graph)


def test_arrays_have_the_names_of_pyg() -> None:
    splits = {"train": [3, 0], "valid": [1], "test": [2]}
    graph = from_edge_index([[2, 0, 1], [1, 1, 0]], 4, x=torch.eye(4), y=[0, 1, 0, 1], splits=splits)
    data = backend.to_native(graph)
    assert data.train_mask.tolist() == [True, False, False, True] and data.val_mask.tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert data.edge_index.tolist() == [[1, 0, 2], [0, 1, 1]] and data.num_node_features == 4
    assert data.x.data_ptr() == graph.x.data_ptr(), "memory is shared"


def test_a_plain_data() -> None:
    mask = torch.tensor([True, False, False, False, False])
    data = Data(
        x=torch.eye(5),
        edge_index=torch.tensor([[2, 0, 1, 0, 3], [1, 1, 0, 3, 0]]),
        y=torch.tensor([[1], [0], [2], [1], [0]]),
        edge_attr=torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]),
        train_mask=mask,
        val_mask=~mask,
        test_mask=torch.zeros(5, dtype=torch.bool),
        pos=torch.rand(5, 2),
        edge_time=torch.arange(5),  # As many edges as nodes: only the name tells.
    )
    graph = backend.from_native(data)
    assert graph.num_nodes == 5 and graph.indices.tolist() == [1, 3, 0, 2, 0] and graph.in_degrees[4] == 0
    assert graph.y is not None and graph.y.tolist() == [1, 0, 2, 1, 0]
    assert graph.edge_attr is not None
    torch.testing.assert_close(graph.edge_attr, torch.tensor([[0.3], [0.5], [0.2], [0.1], [0.4]]))
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [0], "valid": [1, 2, 3, 4]}
    assert list(graph.node_data) == ["pos"] and graph.edge_data["edge_time"].tolist() == [2, 4, 1, 0, 3]


def test_the_number_of_nodes_that_is_stated_or_shown() -> None:
    edge_index = torch.tensor([[0], [1]])
    assert backend.from_native(Data(edge_index=edge_index, num_nodes=9)).num_nodes == 9
    shown = Data(edge_index=edge_index, train_mask=torch.ones(4, dtype=torch.bool), y=torch.zeros(4))
    assert backend.from_native(shown).num_nodes == 4


def test_masks_of_several_columns_stay_arrays() -> None:
    data = Data(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]), train_mask=torch.eye(3, dtype=torch.bool))
    graph = backend.from_native(data)
    assert not graph.splits and graph.node_data["train_mask"].shape == (3, 3)
    assert_same(backend.from_native(backend.to_native(graph)), graph)


def small(nodes: int, label: int) -> Data:
    edge_index = torch.stack([torch.zeros(nodes - 1, dtype=torch.int64), torch.arange(1, nodes)])
    return Data(x=torch.full((nodes, 2), float(label)), edge_index=edge_index, y=torch.tensor([label]))


@pytest.mark.parametrize("as_batch", [True, False])
def test_many_graphs(as_batch: bool) -> None:
    several = [small(3, 1), small(2, 0), small(4, 1)]
    graph = backend.from_native(Batch.from_data_list(several) if as_batch else several)
    assert graph.graph_ptr is not None and graph.graph_ptr.tolist() == [0, 3, 5, 9]
    assert graph.graph_y is not None and graph.graph_y.tolist() == [1, 0, 1] and graph.y is None
    assert graph.edge_index.tolist() == [[0, 0, 3, 5, 5, 5], [1, 2, 4, 6, 7, 8]]
    assert_same(backend.from_native(backend.to_native(graph)), graph)


def test_a_list_of_what_we_made() -> None:
    one = from_edge_index([[0], [1]], 3, node_data={"edge_count": [1, 2, 3]}, graph_y=[1], name="toy")
    both = backend.from_native([backend.to_native(one), backend.to_native(one)])
    assert both.num_graphs == 2 and both.graph_y is not None and both.graph_y.tolist() == [1, 1]
    assert both.name == "toy" and both.node_data["edge_count"].tolist() == [1, 2, 3, 1, 2, 3]


def test_a_batch_vector_alone_says_where_graphs_begin() -> None:
    data = Data(x=torch.eye(4), edge_index=torch.tensor([[0], [1]]), batch=torch.tensor([0, 0, 2, 2]))
    graph = backend.from_native(data)
    assert graph.graph_ptr is not None and graph.graph_ptr.tolist() == [0, 2, 2, 4]
    data.batch = torch.tensor([0, 1, 0, 1])
    with pytest.raises(DataError, match="side by side"):
        backend.from_native(data)


def test_what_has_no_place_is_named_in_a_warning() -> None:
    data = Data(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]), scale=torch.rand(7), source="web")
    with pytest.warns(UserWarning, match="scale, source"):
        graph = backend.from_native(data)
    assert not graph.node_data and not graph.edge_data


@pytest.mark.parametrize(
    "obj, words",
    [
        ("data.pt", "received str"),
        ([], "empty list"),
        (HeteroData(), "the HeteroData has no types"),
        (Data(x=torch.eye(2)), "edge_index.*none"),
        (Data(x=torch.eye(2), edge_index=torch.tensor([[0], [2]])), "destination 2 is out of range"),
        (Data(x=torch.eye(2), edge_index=torch.zeros(2, 0, dtype=torch.long), y=torch.zeros(5)), "y has 5 rows"),
        (
            [small(2, 0), Data(edge_index=torch.zeros(2, 1, dtype=torch.long), num_nodes=1)],
            "graph 1 has none, graph 0 has float32",
        ),
    ],
)
def test_what_cannot_be_read_is_named(obj: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        backend.from_native(obj)


@pytest.mark.parametrize("name", ["x", "batch", "train_mask", "num_edges", "keys"])
def test_names_with_another_meaning_are_refused(name: str) -> None:
    values: Tensor = torch.tensor([True, False])
    with pytest.raises(DataError, match="another name"):
        backend.to_native(from_edge_index([[0], [1]], 2, node_data={name: values}))


def test_one_name_for_nodes_and_edges_is_refused() -> None:
    graph = from_edge_index([[0], [1]], 2, node_data={"kind": [0, 1]}, edge_data={"kind": [5]})
    with pytest.raises(DataError, match="also in node_data"):
        backend.to_native(graph)


def test_homogeneous_data_of_several_kinds_load() -> None:
    hetero = HeteroData()
    hetero["paper"].x, hetero["author"].x = torch.rand(3, 2), torch.rand(2, 2)
    hetero["paper"].y = torch.tensor([0, 2, 1])
    hetero["paper"].train_mask = torch.tensor([True, False, True])
    hetero["author", "writes", "paper"].edge_index = torch.tensor([[0, 1], [0, 2]])
    graph = backend.from_native(hetero.to_homogeneous())
    assert graph.y is not None and graph.y.tolist() == [0, 2, 1, -100, -100] and graph.num_classes == 3
    assert graph.splits["train"].tolist() == [0, 2] and graph.node_data["node_type"].tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("turned", [False, True])
def test_one_of_several_splits(turned: bool, caplog: pytest.LogCaptureFixture) -> None:
    train, valid = torch.eye(5, 3).bool(), torch.eye(5)[:, [4, 3, 0]].bool()
    data = Data(x=torch.eye(5), edge_index=torch.tensor([[0], [1]]), test_mask=torch.eye(5).bool()[3])
    data.train_mask, data.val_mask = (train.T, valid.T) if turned else (train, valid)
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = backend.from_native(data)
    assert "masks of 3 splits" in caplog.text and list(graph.splits) == ["test"]
    for picked in (from_pyg(data, split=2), pick_split(graph, 2)):
        splits = {name: ids.tolist() for name, ids in picked.splits.items()}
        assert splits == {"train": [2], "valid": [0], "test": [3]} and not picked.node_data
    with pytest.raises(DataError, match="from 0 to 2"):
        from_pyg(data, split=3)


@pytest.mark.parametrize("values", ["edge_weight", "edge_attr", None])
def test_an_adjacency_has_the_edges_that_it_was_made_of(values: Any) -> None:
    data = Data(x=torch.eye(4), edge_index=torch.tensor([[3, 0, 0], [1, 1, 2]]), y=torch.tensor([0, 1, 0, 1]))
    if values is not None:
        data[values] = torch.tensor([1.0, 2.0, 3.0])
    graph = backend.from_native(ToSparseTensor(attr=values)(data.clone()))
    plain = backend.from_native(data)
    assert torch.equal(graph.edge_index, plain.edge_index) and graph.num_nodes == 4
    if values is not None:
        assert graph.edge_weight is not None and graph.edge_weight.tolist() == [2, 1, 3]
    else:
        assert graph.edge_weight is None and graph.edge_attr is None


def test_arrays_that_could_be_of_nodes_or_edges(caplog: pytest.LogCaptureFixture) -> None:
    data = Data(x=torch.eye(3), edge_index=torch.tensor([[2, 0, 1], [0, 1, 2]]))
    data.time, data.pos, data.my_edge_kind = torch.arange(3), torch.zeros(3, 2), torch.tensor([7, 8, 9])
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = backend.from_native(data)
    assert "went to the nodes: time." in caplog.text
    assert sorted(graph.node_data) == ["pos", "time"] and graph.edge_data["my_edge_kind"].tolist() == [7, 8, 9]
    caplog.clear()
    data.edge_index = data.edge_index[:, :2]
    data.my_edge_kind = data.my_edge_kind[:2]
    backend.from_native(data)
    assert "went to" not in caplog.text


def test_graphs_that_do_not_lie_side_by_side_in_a_small_type() -> None:
    batch = torch.tensor([0, 1, 0, 1], dtype=torch.uint8)
    with pytest.raises(DataError, match="side by side"):
        backend.from_native(Data(x=torch.eye(4), edge_index=torch.tensor([[0], [2]]), batch=batch))


def test_more_labels_than_nodes_in_edges_say_what_to_set() -> None:
    data = Data(edge_index=torch.tensor([[0], [1]]), y=torch.arange(5))
    with pytest.raises(DataError, match="data.num_nodes = 5"):
        backend.from_native(data)
    data.num_nodes = 5
    assert backend.from_native(data).num_nodes == 5
    with pytest.raises(DataError, match=r"numpy\.unique"):
        backend.from_native(Data(edge_index=torch.tensor([[0], [2**40]])))


def test_values_win_over_what_was_written_down() -> None:
    graph = from_edge_index([[0], [1]], 3, x=torch.eye(3), graph_y=[1], feature_names=["a", "b", "c"])
    data = backend.to_native(graph)
    data.x, data.y = data.x[:, :2], torch.tensor([0, 1, 0])
    changed = backend.from_native(data)
    assert changed.feature_names == () and changed.x is not None and changed.x.shape == (3, 2)
    assert changed.y is not None and changed.y.tolist() == [0, 1, 0] and changed.graph_y is None


def test_edge_features_of_self_loops_are_those_of_pyg() -> None:
    torch.manual_seed(0)
    ends = torch.tensor([[0, 1, 2, 2, 3, 3], [1, 2, 1, 1, 0, 3]])
    graph = from_edge_index(ends, 5, edge_attr=torch.randn(6, 2))
    looped = add_self_loops(graph, edge_fill="mean")
    theirs, attr = add_remaining_self_loops(graph.edge_index, graph.edge_attr, fill_value="mean", num_nodes=5)
    expected = from_edge_index(theirs, 5, edge_attr=attr)
    assert torch.equal(looped.edge_index, expected.edge_index)
    torch.testing.assert_close(looped.edge_attr, expected.edge_attr)
