"""Many graphs between a record and lists of DGLGraph, with labels beside them or not."""

from __future__ import annotations

import time
from typing import Any, Dict, List

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import Graph, fingerprint, from_edge_index, join_graphs, split_graphs
from gnnkit.errors import DataError
from gnnkit_dgl import import_dgl
from gnnkit_dgl.convert import from_dgl, to_dgl

dgl: Any = import_dgl()
FIELDS = ["y", "weight", "attr", "node", "edge", "graph_y", "data", "names", "splits", "graph_splits"]
NAMES = ("name", "metric", "class_names", "feature_names", "graph_names", "node_categories", "edge_categories")


def assert_same(first: Graph, second: Graph) -> None:
    assert fingerprint(first) == fingerprint(second)
    for name in NAMES:
        assert getattr(first, name) == getattr(second, name), name


@st.composite
def lists(draw: Any) -> List[Graph]:
    """Graphs that are alike, with any of the fields; many without nodes, without edges or with one node."""
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 4]), min_size=1, max_size=4))
    kept, codes = draw(st.sets(st.sampled_from(FIELDS))), draw(st.booleans())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    graphs = []
    for number, size in enumerate(sizes):
        count = int(torch.randint(0, 2 * size + 1, (), generator=generator))
        order = torch.randperm(size, generator=generator)
        x: Dict[str, Any] = {"x": torch.rand(size, 2)}
        attr: Dict[str, Any] = {"edge_attr": torch.rand(count, 2)}
        if codes:
            x = {"x": order[:, None] % 3, "node_categories": [3]}
            attr = {"edge_attr": torch.arange(count)[:, None] % 2, "edge_categories": [2]}
        fields: Dict[str, Dict[str, Any]] = {
            "y": {"y": order % 3},
            "weight": {"edge_weight": torch.rand(count)},
            "attr": attr,
            "node": {"node_data": {"year": order}},
            "edge": {"edge_data": {"kind": torch.arange(count)}},
            "graph_y": {"graph_y": torch.rand(1, 2) if codes else [number % 3]},
            "data": {"graph_data": {"fold": [number % 2]}},
            "names": {"graph_names": [f"graph {number}"]},
            "splits": {"splits": {name: ids for name, ids in (("train", order[:1]), ("test", order[1:])) if len(ids)}},
            "graph_splits": {"graph_splits": {["test", "valid", "train"][number % 3]: [0]} if number % 4 else {}},
        }
        chosen = {name: value for field in sorted(kept) for name, value in fields[field].items()}
        edges = torch.randint(0, max(size, 1), (2, count), generator=generator)
        graphs.append(from_edge_index(edges, size, class_names=["a", "b", "c"], name="toy", **x, **chosen))
    return graphs


@settings(max_examples=100)
@given(lists())
def test_a_list_comes_back_as_it_was(graphs: List[Graph]) -> None:
    record = join_graphs(graphs)
    batch = to_dgl(record)
    assert batch.batch_size == len(graphs)
    assert_same(from_dgl(batch), record)
    assert_same(from_dgl([batch]), record)
    parts = [to_dgl(each) for each in split_graphs(record)]
    assert [part.num_nodes() for part in parts] == [graph.num_nodes for graph in graphs]
    assert_same(from_dgl(parts), record)
    assert_same(from_dgl([batch, *parts]), join_graphs([record, record]))
    assert_same(from_dgl(to_dgl(graphs[0])), graphs[0])


def ring(nodes: int, width: int = 2) -> Any:
    native = dgl.graph((torch.arange(nodes), torch.arange(nodes).roll(1)), num_nodes=nodes)
    native.ndata["feat"] = torch.ones(nodes, width, dtype=torch.int64)
    return native


class Pairs:
    """What a data set of DGL offers."""

    def __init__(self, labels: List[Any]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> Any:
        return ring(number + 1), self.labels[number]


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ([torch.tensor(1), torch.tensor(0)], [1, 0]),
        ([torch.tensor([1]), torch.tensor([0])], [1, 0]),
        ([1, 0], [1, 0]),
        ([0.5, 1.5], [0.5, 1.5]),
        ([torch.tensor([0.5, 1]), torch.tensor([1.5, 2])], [[0.5, 1], [1.5, 2]]),
    ],
)
@pytest.mark.parametrize("kind", [list, tuple, Pairs])
def test_graphs_with_labels_each(kind: Any, labels: List[Any], read: List[Any]) -> None:
    data = Pairs(labels)
    graph = from_dgl(data if kind is Pairs else kind(data[number] for number in range(2)))
    assert graph.graph_y is not None and graph.graph_y.tolist() == read
    assert graph.graph_ptr is not None and graph.graph_ptr.tolist() == [0, 1, 3]


def test_a_data_set_of_dgl() -> None:
    data = dgl.data.MiniGCDataset(8, 10, 15)
    graph = from_dgl(data)
    assert graph.num_graphs == 8 and graph.graph_y is not None
    assert graph.graph_y.tolist() == [int(data[number][1]) for number in range(8)]
    assert graph.num_nodes == sum(data[number][0].num_nodes() for number in range(8))


def test_graphs_without_labels_and_a_list_of_one() -> None:
    graph = from_dgl([ring(3)])
    assert graph.graph_ptr is not None and graph.graph_ptr.tolist() == [0, 3] and graph.graph_y is None
    both = from_dgl((ring(3), ring(2)))
    assert both.num_graphs == 2 and both.x is not None and both.x.dtype == torch.float32
    assert from_dgl(([ring(3)], torch.tensor([[1.5]]))).graph_y.tolist() == [[1.5]]
    assert from_dgl([ring(3), ring(2)], node_categories=[2, 2]).x.dtype == torch.int64


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ([ring(2), ring(2), ring(2, width=3)], r"ndata\['feat'\]: graph 2 has int64 of shape \[rows, 3\], graph 0"),
        ([(ring(2), 1), ring(3)], "item 1 is DGLGraph, expected a pair"),
        ([(ring(2), 1), (ring(3), 0.5)], r"graph_y: graph 1 has float32 of shape \[\], graph 0 has int64"),
        ([(ring(2), "red"), (ring(3), "blue")], "the label of graph 0 is no number"),
        ([ring(2), "ring"], "received str"),
        (7, "received int"),
        ([to_dgl(from_edge_index([[0], [1]], graph_y=[y])) for y in (1, 0.5)], "in graph_y: graph 1 has float"),
    ],
)
def test_what_does_not_fit_is_named(obj: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_dgl(obj)


def test_many_graphs_take_moments() -> None:
    several = [(ring(5), number % 2) for number in range(3_000)]
    start = time.perf_counter()
    graph = from_dgl(several)
    assert graph.num_graphs == 3_000 and time.perf_counter() - start < 30
    print(f"{time.perf_counter() - start:.1f} s from a list of 3,000")
