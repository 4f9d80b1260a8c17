"""Between Graph and DGLGraph: nothing is lost on the way there and back."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.backends import Backend, load_backend
from gnnkit.data import Graph, from_edge_index, pick_split
from gnnkit.errors import DataError
from gnnkit_dgl import import_dgl
from gnnkit_dgl.convert import from_dgl

dgl: Any = import_dgl()


def assert_same(first: Graph, second: Graph) -> None:
    """Every field of two graphs is equal, dtypes included."""
    for name in ("indptr", "indices", "x", "y", "edge_weight", "edge_attr", "graph_ptr", "graph_y"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), name
    for name in ("splits", "node_data", "edge_data"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert sorted(ours) == sorted(theirs), name
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    for name in ("class_names", "name", "metric", "feature_names"):
        assert getattr(first, name) == getattr(second, name), name


@st.composite
def graphs(draw: Any) -> Graph:
    """Graphs with any of the fields present or not; many have isolated nodes, self-loops and repeated edges."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    starts = torch.tensor([0, *sizes]).cumsum(0)
    nodes = int(starts[-1])
    edges = []
    for start, size in zip(starts.tolist(), sizes):
        edges.append(start + torch.randint(0, size, (2, draw(st.integers(0, 8))), generator=generator))
    edge_index = torch.cat(edges, dim=1)
    num_edges = edge_index.shape[1]
    is_batch = len(sizes) > 1 or draw(st.booleans())
    maybe = st.booleans()
    labels = [
        None,
        torch.randint(0, 3, (nodes,), generator=generator),
        torch.randint(0, 2, (nodes, 2), generator=generator).float(),
    ]
    order = torch.randperm(nodes, generator=generator)
    splits = {"train": order[:1], "valid": order[1:3], "test": order[3:]}
    return from_edge_index(
        edge_index,
        nodes,
        x=torch.randn(nodes, 3, generator=generator).to(draw(st.sampled_from([torch.float32, torch.float16]))),
        y=draw(st.sampled_from(labels)),
        edge_weight=torch.rand(num_edges, generator=generator) if draw(maybe) else None,
        edge_attr=torch.rand(num_edges, 2, generator=generator) if draw(maybe) else None,
        splits={name: ids for name, ids in splits.items() if ids.numel()} if draw(maybe) else None,
        node_data={"year": torch.arange(nodes)} if draw(maybe) else None,
        edge_data={"kind": torch.arange(num_edges)} if draw(maybe) else None,
        graph_ptr=starts if is_batch else None,
        graph_y=torch.arange(len(sizes)) if draw(maybe) else None,
        class_names=("a", "b", "c") if draw(maybe) and labels[0] is not None else (),
        name="toy",
        feature_names=("age", "size", "rank") if draw(maybe) else (),
        metric=draw(st.sampled_from([None, "accuracy"])),
    )


@settings(max_examples=60)
@given(graphs())
def test_round_trip_loses_nothing(graph: Graph) -> None:
    backend = load_backend("dgl")
    native = backend.to_native(graph)
    assert native.num_nodes() == graph.num_nodes and native.num_edges() == graph.num_edges
    assert native.batch_size == graph.num_graphs
    assert_same(backend.from_native(native), graph)


def test_arrays_have_the_names_of_dgl(backend: Backend) -> None:
    graph = from_edge_index(
        [[2, 0, 1], [1, 1, 0]],
        4,
        x=torch.eye(4),
        y=[0, 1, 0, 1],
        edge_weight=torch.tensor([1.0, 2.0, 3.0]),
        splits={"train": [3, 0], "valid": [1], "test": [2]},
    )
    native = backend.to_native(graph)
    assert sorted(native.ndata) == ["feat", "label", "test_mask", "train_mask", "val_mask"]
    assert native.ndata["train_mask"].tolist() == [True, False, False, True]
    src, dst = native.edges()
    weights = {(int(u), int(v)): float(w) for u, v, w in zip(src, dst, native.edata["weight"])}
    assert weights == {(2, 1): 1.0, (0, 1): 2.0, (1, 0): 3.0}
    assert native.ndata["feat"].data_ptr() == graph.x.data_ptr(), "memory is shared"


def test_a_graph_that_dgl_made(backend: Backend) -> None:
    native = dgl.graph(([2, 0, 1, 0], [1, 1, 0, 3]), num_nodes=5, idtype=torch.int32)
    native.ndata["feat"] = torch.randn(5, 2)
    native.ndata["label"] = torch.tensor([[1], [0], [2], [1], [0]], dtype=torch.int32)
    native.ndata["train_mask"] = torch.tensor([1, 0, 0, 1, 0], dtype=torch.uint8)
    native.ndata["val_mask"] = torch.zeros(5, dtype=torch.bool)
    native.ndata["test_mask"] = torch.eye(5, dtype=torch.bool)
    native.edata["weight"] = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
    graph = backend.from_native(native)
    assert graph.indptr.tolist() == [0, 1, 3, 3, 4, 4] and graph.indices.tolist() == [1, 0, 2, 0]
    torch.testing.assert_close(graph.edge_weight, torch.tensor([0.3, 0.2, 0.1, 0.4]))
    assert torch.equal(graph.x, native.ndata["feat"]) and graph.y.tolist() == [1, 0, 2, 1, 0]
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [0, 3]}
    assert list(graph.node_data) == ["test_mask"], "a mask of several columns stays as it is"
    assert_same(backend.from_native(backend.to_native(graph)), graph)


def test_masks_changed_afterwards_count(backend: Backend) -> None:
    native = backend.to_native(from_edge_index([[0], [1]], 3, splits={"train": [2, 0]}))
    native.ndata["train_mask"] = torch.tensor([False, True, False])
    assert backend.from_native(native).splits["train"].tolist() == [1]


def test_graphs_with_labels_as_dgl_loads_them(backend: Backend, tmp_path: Any) -> None:
    several = [dgl.rand_graph(4, 6), dgl.rand_graph(3, 0), dgl.rand_graph(2, 3)]
    path = str(tmp_path / "graphs.bin")
    dgl.save_graphs(path, several, {"labels": torch.tensor([1, 0, 1])})
    graph = backend.from_native(dgl.load_graphs(path))
    assert graph.num_graphs == 3 and graph.graph_ptr.tolist() == [0, 4, 7, 9]
    assert graph.graph_y.tolist() == [1, 0, 1] and graph.num_edges == 9
    parts = dgl.unbatch(backend.to_native(graph))
    assert [part.num_edges() for part in parts] == [6, 0, 3]
    single = backend.from_native((several[0], torch.tensor([2])))
    assert single.graph_y.tolist() == [2] and single.num_nodes == 4


@pytest.mark.parametrize(
    "obj, words",
    [
        ("graph.bin", "received str"),
        ([], "empty list"),
        (dgl.create_block(([0], [0])), "received a block"),
        ((dgl.rand_graph(2, 1), {"one": torch.zeros(1), "two": torch.zeros(1)}), "several labels"),
        ((dgl.rand_graph(2, 1), torch.zeros(5)), "graph_y has 5 rows"),
    ],
)
def test_what_cannot_be_read_is_named(obj: Any, words: str, backend: Backend) -> None:
    with pytest.raises(DataError, match=words):
        backend.from_native(obj)


def test_graphs_that_do_not_fit_together(backend: Backend) -> None:
    first, second = dgl.rand_graph(2, 1), dgl.rand_graph(2, 1)
    first.ndata["feat"] = torch.zeros(2, 3)
    with pytest.raises(DataError, match="graph 1 has none, graph 0 has float32"):
        backend.from_native([first, second])


def test_taken_names(backend: Backend) -> None:
    graph = from_edge_index([[0], [1]], 2, node_data={"feat": torch.zeros(2)})
    with pytest.raises(DataError, match=r"'feat' means 'x'.*another name"):
        backend.to_native(graph)


def test_one_of_several_splits(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    native = dgl.graph(([0, 1], [1, 0]), num_nodes=4)
    native.ndata["train_mask"] = torch.eye(4, dtype=torch.uint8)[:, :2]
    native.ndata["test_mask"] = torch.eye(4).bool()[3]
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = backend.from_native(native)
    assert "masks of 2 splits" in caplog.text and list(graph.splits) == ["test"]
    for picked in (from_dgl(native, split=1), pick_split(graph, 1)):
        assert {name: ids.tolist() for name, ids in picked.splits.items()} == {"train": [1], "test": [3]}


def test_values_win_over_what_was_written_down(backend: Backend) -> None:
    graph = from_edge_index([[0], [1]], 3, x=torch.eye(3), y=[0, 1, 0], feature_names=["a", "b", "c"])
    native = backend.to_native(graph)
    native.ndata["feat"] = torch.ones(3, 2)
    native.ndata["label"] = torch.tensor([1, -1, 0])
    changed = backend.from_native(native)
    assert changed.feature_names == () and changed.y is not None and changed.y.tolist() == [1, -100, 0]


def test_arrays_are_of_what_they_were_stored_for(backend: Backend) -> None:
    """As many nodes as edges are no doubt here, because DGL keeps both apart."""
    native = dgl.graph(([2, 0, 1], [0, 1, 2]))
    native.ndata["time"], native.edata["kind"] = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])
    graph = backend.from_native(native)
    assert graph.node_data["time"].tolist() == [1, 2, 3] and graph.edge_data["kind"].tolist() == [4, 5, 6]
