"""Building graphs: what is read, how edges are sorted, what does not change with the order of edges or nodes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import check_graph, fingerprint, from_csc, from_edge_index


@st.composite
def edge_lists(draw):
    num_nodes = draw(st.integers(1, 12))
    ids = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(ids, ids), max_size=30))
    return num_nodes, np.array(edges, dtype=np.int64).reshape(-1, 2).T


def build(num_nodes, edges, order, numbers):
    """A graph with every edge array, from edges in some order, with nodes renumbered."""
    rng = np.random.default_rng(0)
    # Edge arrays are functions of the edge's ends, so that repeated edges are interchangeable.
    weight = 1.0 + edges[0] + 100.0 * edges[1]
    back = np.argsort(numbers)
    return from_edge_index(
        numbers[edges[:, order]],
        num_nodes,
        x=rng.normal(size=(num_nodes, 3))[back],
        y=(np.arange(num_nodes) % 3)[back],
        edge_weight=weight[order],
        edge_attr=np.stack([weight, -weight], axis=1)[order],
        edge_data={"twice": (2 * weight)[order]},
        splits={"train": numbers[:1]},
    )


@given(edge_lists(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_of_edges_changes_nothing(case, random):
    num_nodes, edges = case
    same = np.arange(num_nodes)
    order = list(range(edges.shape[1]))
    reference = build(num_nodes, edges, list(order), same)
    random.shuffle(order)
    assert fingerprint(build(num_nodes, edges, order, same)) == fingerprint(reference)


@given(edge_lists(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_renumbered_nodes_carry_everything_with_them(case, random):
    num_nodes, edges = case
    numbers = list(range(num_nodes))
    random.shuffle(numbers)
    numbers = np.array(numbers)
    order = list(range(edges.shape[1]))
    before = build(num_nodes, edges, order, np.arange(num_nodes))
    after = build(num_nodes, edges, order, numbers)
    assert torch.equal(after.x[torch.from_numpy(numbers)], before.x)
    assert torch.equal(after.y[torch.from_numpy(numbers)], before.y)
    assert torch.equal(after.in_degrees[torch.from_numpy(numbers)], before.in_degrees)
    assert after.splits["train"].tolist() == [numbers[0]]

    def edge_set(graph, rename):
        rows = zip(*rename[graph.edge_index.numpy()].tolist(), graph.edge_weight.tolist(), graph.edge_attr.tolist())
        return sorted(rows)

    assert edge_set(after, np.arange(num_nodes)) == edge_set(before, numbers)


@given(edge_lists())
@settings(max_examples=40)
def test_sorting_is_stable_and_equals_a_plain_sort(case):
    num_nodes, edges = case
    count = edges.shape[1]
    graph = from_edge_index(edges, num_nodes, edge_data={"place": np.arange(count)})
    expected = sorted(range(count), key=lambda edge: (edges[1, edge], edges[0, edge], edge))
    assert graph.edge_data["place"].tolist() == expected
    assert graph.edge_index.tolist() == edges[:, expected].tolist()
    assert graph.indptr.diff().tolist() == [int((edges[1] == node).sum()) for node in range(num_nodes)]


def test_sorting_of_many_edges_equals_lexsort():
    rng = np.random.default_rng(1)
    edges = rng.integers(0, 5_000, size=(2, 300_000))
    graph = from_edge_index(edges, edge_data={"place": np.arange(edges.shape[1])})
    expected = np.lexsort((edges[0], edges[1]))
    assert np.array_equal(graph.edge_data["place"].numpy(), expected)
    assert np.array_equal(graph.edge_index.numpy(), edges[:, expected])


@given(edge_lists())
@settings(max_examples=40)
def test_from_csc_sorts_within_destinations(case):
    num_nodes, edges = case
    order = np.argsort(edges[1], kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(edges[1], minlength=num_nodes))])
    weight = np.arange(edges.shape[1], dtype=np.float32)
    grouped = from_csc(indptr, edges[0][order], edge_weight=weight[order])
    assert fingerprint(grouped) == fingerprint(from_edge_index(edges, num_nodes, edge_weight=weight))


@pytest.mark.parametrize("kind", [list, np.asarray, torch.tensor])
def test_lists_arrays_and_tensors_give_the_same_graph(kind):
    graph = from_edge_index(
        kind([[2, 0], [1, 1]]),
        x=kind([[1, 0], [0, 1], [1, 1]]),
        y=kind([0, 1, -100]),
        edge_weight=kind([2, 1]),
        splits={"val": kind([True, False, False]), "train": kind([1])},
    )
    assert graph.indices.tolist() == [0, 2]
    assert graph.x.dtype == torch.float32
    assert graph.y.dtype == torch.int64
    assert graph.edge_weight.tolist() == [1, 2]
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"valid": [0], "train": [1]}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_point_features_keep_their_dtype(dtype):
    graph = from_edge_index([[0], [1]], x=torch.ones(2, 3, dtype=dtype), edge_weight=torch.ones(1, dtype=dtype))
    assert graph.x.dtype == graph.edge_weight.dtype == dtype
    check_graph(graph)


def test_missing_labels_become_minus_100():
    assert from_edge_index([[], []], y=[[1.0], [float("nan")]]).y.tolist() == [1, -100]
    multi = from_edge_index([[], []], y=[[1, 0], [float("nan"), 1]]).y
    assert multi.dtype == torch.float32
    assert multi.tolist() == [[1, 0], [-100, 1]]


def test_number_of_nodes_comes_from_what_is_known():
    assert from_edge_index([[0], [1]]).num_nodes == 2
    assert from_edge_index([[0], [1]], x=[[1.0]] * 5).num_nodes == 5
    assert from_edge_index([[0], [1]], y=[0] * 4).num_nodes == 4
    assert from_edge_index([[0], [1]], graph_ptr=[0, 2, 3]).num_nodes == 3
    assert from_edge_index([[], []], 7).num_nodes == 7
    assert from_edge_index([[], []]).num_nodes == 0


def test_read_only_and_foreign_endian_arrays_are_read_without_a_warning(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6, dtype=">f4").reshape(3, 2))
    np.save(tmp_path / "y.npy", np.array([0, 1, 2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = np.load(tmp_path / "x.npy", mmap_mode="r")
        graph = from_edge_index([[0], [1]], x=features, y=np.load(tmp_path / "y.npy", mmap_mode="r"))
    assert graph.x.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_features_are_shared_not_copied():
    features = np.zeros((3, 2), dtype=np.float32)
    assert from_edge_index([[0], [1]], x=features).x.data_ptr() == features.ctypes.data


def test_fingerprint_sees_every_array():
    def fields():
        return {
            "x": torch.zeros(3, 2),
            "y": torch.tensor([0, 1, 0]),
            "edge_weight": torch.ones(2),
            "edge_attr": torch.ones(2, 1),
            "splits": {"train": torch.tensor([0]), "test": torch.tensor([1])},
            "node_data": {"age": torch.zeros(3)},
            "edge_data": {"time": torch.zeros(2)},
            "graph_y": torch.tensor([1]),
            "class_names": ("a", "b"),
        }

    edges = [[0, 1], [1, 2]]
    reference = fingerprint(from_edge_index(edges, **fields()))
    assert fingerprint(from_edge_index(edges, **fields(), name="other", metric="accuracy")) == reference
    seen = {reference, fingerprint(from_edge_index([[0, 0], [1, 2]], **fields()))}
    for name in fields():
        fewer = fields()
        del fewer[name]
        seen.add(fingerprint(from_edge_index(edges, **fewer)))
    half = {**fields(), "x": torch.zeros(3, 2, dtype=torch.bfloat16)}
    seen.add(fingerprint(from_edge_index(edges, **half)))
    assert len(seen) == len(fields()) + 3


def test_fingerprint_is_stable():
    graph = from_edge_index([[0, 1], [1, 0]], x=[[1.0], [2.0]], y=[0, 1])
    assert fingerprint(graph) == "4502b38e4090ebea72c34fca979a5f20355cb78df2bb126089819dca8fb11a2d"
