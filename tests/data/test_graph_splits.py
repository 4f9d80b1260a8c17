"""Splits and folds of whole graphs: disjoint, complete, every class in its share, the same for one seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import check_graph, fold_split, from_edge_index, graph_items, make_folds, num_folds, random_graph_split
from gnnkit.errors import ConfigError, DataError


def record(labels, **fields):
    num = len(labels)
    return from_edge_index([[], []], num, x=torch.ones(num, 1), graph_ptr=range(num + 1), graph_y=labels, **fields)


LABELS = st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, -100]), min_size=40, max_size=120).filter(
    lambda labels: {0, 1, 2} <= set(labels)
)


def check_parts(graph, labels):
    """Parts are disjoint and complete, ascending, and without graphs that have no label."""
    parts = {name: ids.tolist() for name, ids in graph.graph_splits.items()}
    assert list(parts) == ["train", "valid", "test"] and all(parts.values())
    assert sorted(i for ids in parts.values() for i in ids) == [i for i, label in enumerate(labels) if label != -100]
    assert all(ids == sorted(ids) for ids in parts.values())
    check_graph(graph)
    return parts


def share_of(ids, labels, cls):
    return sum(labels[i] == cls for i in ids)


@settings(max_examples=40)
@given(LABELS, st.integers(0, 99), st.floats(0.1, 0.3), st.floats(0.1, 0.3))
def test_a_random_split(labels, seed, valid, test) -> None:
    graph = random_graph_split(record(labels), valid, test, seed=seed)
    parts = check_parts(graph, labels)
    known = [label for label in labels if label != -100]
    for name, share in (("valid", valid), ("test", test)):
        assert abs(len(parts[name]) - share * len(known)) <= 1.5
        for cls in set(known):
            assert abs(share_of(parts[name], labels, cls) - share * known.count(cls)) <= 2
    again = random_graph_split(record(labels), valid, test, seed=seed)
    assert all(torch.equal(again.graph_splits[name], graph.graph_splits[name]) for name in parts)


def test_one_column_of_answers_is_two_classes() -> None:
    answers = record(torch.tensor([[0.0], [1.0], [-100.0]] * 20), class_names=("toxic",))
    items = graph_items(answers)
    assert items.y.dtype == torch.int64 and items.y[:3].tolist() == [0, 1, -100] and items.class_names == ()
    assert sorted(torch.cat(list(random_graph_split(answers).graph_splits.values())).tolist()) == [
        i for i in range(60) if i % 3 < 2
    ]


def test_others_can_be_the_labelled_ones() -> None:
    graph, labelled = record([0, 1, -100] * 20), torch.arange(60) % 5 > 0
    for parts in (
        random_graph_split(graph, labelled=labelled),
        fold_split(make_folds(graph, 3, labelled=labelled), 1, labelled=labelled),
    ):
        assert torch.equal(torch.cat(list(parts.graph_splits.values())).sort().values, labelled.nonzero()[:, 0])


@settings(max_examples=40)
@given(LABELS, st.integers(0, 99), st.integers(2, 10))
def test_folds(labels, seed, count) -> None:
    graph = make_folds(record(labels), count, seed=seed)
    fold = graph.graph_data["fold"]
    known = torch.tensor(labels) != -100
    assert torch.equal(fold >= 0, known) and num_folds(graph) == count
    sizes = torch.bincount(fold[known], minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for cls in (0, 1, 2):
        inside = torch.bincount(fold[torch.tensor(labels) == cls], minlength=count)
        assert inside.max() - inside.min() <= 1
    tested = []
    for number in range(count):
        parts = check_parts(fold_split(graph, number, 0.2, seed=seed), labels)
        assert parts["test"] == (fold == number).nonzero()[:, 0].tolist()
        rest = known.sum() - len(parts["test"])
        assert abs(len(parts["valid"]) - 0.2 * rest) <= 1
        tested += parts["test"]
    assert sorted(tested) == known.nonzero()[:, 0].tolist()


def test_seeds_deal_otherwise() -> None:
    graph = record([0, 1] * 30)
    folds = {tuple(make_folds(graph, 5, seed=seed).graph_data["fold"].tolist()) for seed in range(5)}
    splits = {tuple(random_graph_split(graph, seed=seed).graph_splits["test"].tolist()) for seed in range(5)}
    assert len(folds) == len(splits) == 5


@pytest.mark.parametrize("labels", [torch.rand(30), torch.rand(30, 2), (torch.rand(30, 3) > 0.5).float()])
def test_numbers_and_several_labels_are_dealt_without_classes(labels) -> None:
    graph = random_graph_split(record(labels), 0.2, 0.2)
    assert [len(ids) for ids in graph.graph_splits.values()] == [18, 6, 6]
    assert num_folds(make_folds(record(labels), 3)) == 3


def test_graphs_of_which_no_number_is_known_are_left_out() -> None:
    labels = torch.rand(30, 2)
    labels[:10] = float("nan")
    labels[12, 0] = float("nan")
    graph = random_graph_split(record(labels))
    assert min(int(ids.min()) for ids in graph.graph_splits.values()) >= 10
    assert sum(map(len, graph.graph_splits.values())) == 20


def test_folds_of_the_data_are_taken() -> None:
    given_folds = torch.tensor([0, 1, 2, -1] * 10)
    graph = record([0, 1] * 20, graph_data={"fold": given_folds})
    assert num_folds(graph) == 3
    parts = fold_split(graph, 2).graph_splits
    assert parts["test"].tolist() == (given_folds == 2).nonzero()[:, 0].tolist()
    assert not set(torch.cat(list(parts.values())).tolist()) & set((given_folds == -1).nonzero()[:, 0].tolist())


def test_graphs_are_items() -> None:
    items = graph_items(record([1, 0, 1], class_names=["left", "right"], graph_splits={"train": [0], "valid": [1]}))
    assert (items.num_nodes, items.num_edges, items.class_names) == (3, 0, ("left", "right"))
    assert items.y.tolist() == [1, 0, 1] and items.splits["valid"].tolist() == [1]
    assert graph_items(record(torch.ones(3, 1))).y.shape == (3,)


BAD = {
    "shares": (lambda: random_graph_split(record([0, 1] * 9), 0.6, 0.5), ConfigError, "valid 0.6"),
    "no share": (lambda: random_graph_split(record([0, 1] * 9), 0.0, 0.5), ConfigError, "valid 0.0"),
    "a negative seed": (lambda: random_graph_split(record([0, 1] * 9), seed=-1), ConfigError, "seed -1"),
    "one graph": (lambda: random_graph_split(record([0])), DataError, "too few labelled graphs"),
    "no label": (lambda: random_graph_split(record([-100] * 9)), DataError, "no graph has a label"),
    "one fold": (lambda: make_folds(record([0, 1] * 9), 1), ConfigError, "1 folds"),
    "more folds than graphs": (lambda: make_folds(record([0, 1]), 3), DataError, "2 labelled graphs"),
    "fold out of range": (lambda: fold_split(make_folds(record([0, 1] * 9), 3), 3), ConfigError, "fold is 3"),
    "a negative fold": (lambda: fold_split(make_folds(record([0, 1] * 9), 3), -1), ConfigError, "fold is -1"),
    "a gap": (
        lambda: num_folds(record([0, 1] * 2, graph_data={"fold": torch.tensor([0, 2, 0, 2])})),
        DataError,
        r"folds \[0, 2\]",
    ),
    "one fold only": (
        lambda: num_folds(record([0, 1] * 2, graph_data={"fold": torch.zeros(4, dtype=torch.int64)})),
        DataError,
        r"folds \[0\]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_split(name) -> None:
    action, error, words = BAD[name]
    with pytest.raises(error, match=words):
        action()
