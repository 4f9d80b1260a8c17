"""Random walks, pairs and negatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gnnkit
from gnnkit.data import Graph
from gnnkit.errors import ConfigError, DataError
from gnnkit.sampling import PairSampler, random_walks


def neighbours(graph: Graph, node: int) -> list:
    return graph.indices[graph.indptr[node] : graph.indptr[node + 1]].tolist()


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Small graphs with nodes without neighbours, repeated edges and self-loops; at least one edge."""
    num = draw(st.integers(1, 12))
    node = st.integers(0, num - 1)
    edges = draw(st.lists(st.tuples(node, node), min_size=1, max_size=40))
    return gnnkit.data.from_edge_index(torch.tensor(edges).T, num)


keys = st.fixed_dictionaries({"seed": st.integers(0, 9), "epoch": st.integers(0, 3), "batch": st.integers(0, 3)})


@given(graphs(), st.integers(1, 6), keys)
def test_every_step_goes_to_an_in_neighbour(graph: Graph, length: int, key: dict) -> None:
    walks = random_walks(graph, torch.arange(graph.num_nodes), length, **key)
    assert walks.shape == (graph.num_nodes, length + 1)
    assert walks[:, 0].tolist() == list(range(graph.num_nodes))
    for before, after in zip(walks[:, :-1].ravel(), walks[:, 1:].ravel()):
        assert after in (neighbours(graph, before) or [before])


@given(graphs(), keys, st.data())
def test_a_walk_and_its_pair_do_not_depend_on_their_companions(graph: Graph, key: dict, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.integers(0, graph.num_nodes - 1), min_size=1, unique=True))
    everyone = torch.arange(graph.num_nodes)
    assert (random_walks(graph, some, 4, **key) == random_walks(graph, everyone, 4, **key)[some]).all()
    sampler = PairSampler(graph, walk_length=4, seed=key["seed"])
    whole, part = (
        sampler.sample(nodes, epoch=key["epoch"], batch=key["batch"]) for nodes in (everyone, torch.tensor(some))
    )
    partners = dict(zip(whole.sources, whole.partners))
    assert dict(zip(part.sources, part.partners)) == {node: partners[node] for node in some if node in partners}
    assert (part.negatives == whole.negatives).all()


@given(graphs(), keys)
def test_a_partner_is_another_node_of_the_walk(graph: Graph, key: dict) -> None:
    walks = random_walks(graph, torch.arange(graph.num_nodes), 3, **key)
    sampler = PairSampler(graph, walk_length=3, seed=key["seed"])
    pairs = sampler.sample(torch.arange(graph.num_nodes), epoch=key["epoch"], batch=key["batch"])
    assert pairs.sources.tolist() == [walk[0] for walk in walks if (walk != walk[0]).any()]
    for source, partner in zip(pairs.sources, pairs.partners):
        assert partner != source and partner in walks[source]


@pytest.mark.parametrize("word", ["seed", "epoch", "batch"])
def test_every_word_of_the_key_counts(word: str) -> None:
    graph, key = gnnkit.load_dataset("karate"), {"seed": 0, "epoch": 0, "batch": 0}
    first, other = (random_walks(graph, torch.arange(34), 5, **each) for each in (key, {**key, word: 1}))
    assert (first != other).any()


def test_steps_and_partners_are_uniform() -> None:
    # From the middle of a star every leaf is equally likely, and a walk of one step has the leaf as its pair.
    star = Graph(torch.tensor([0, 4, 4, 4, 4, 4]), torch.arange(1, 5))
    found = [random_walks(star, [0], 1, seed=0, epoch=0, batch=batch)[0, 1] for batch in range(4000)]
    assert np.abs(np.bincount(found, minlength=5)[1:] / 4000 - 0.25).max() < 0.03
    # On a directed ring the walk meets nodes 4, 3, 2 for sure, and each of them is equally likely.
    ring = PairSampler(Graph(torch.arange(6), torch.tensor([4, 0, 1, 2, 3])), walk_length=3)
    found = [ring.sample([0], epoch=0, batch=batch).partners[0] for batch in range(3000)]
    assert np.abs(np.bincount(found, minlength=5)[2:] / 3000 - 1 / 3).max() < 0.04


def test_negatives_are_drawn_in_proportion_to_degree_to_the_three_quarters() -> None:
    graph = gnnkit.load_dataset("karate")
    drawn = PairSampler(graph, num_negatives=200_000).sample([0], epoch=0, batch=0).negatives
    expected = np.diff(graph.indptr.numpy()) ** 0.75
    shares = np.bincount(drawn, minlength=34) / len(drawn)
    assert shares == pytest.approx(expected / expected.sum(), abs=0.003)


def test_nodes_without_neighbours_are_neither_sources_nor_negatives() -> None:
    graph = Graph(torch.tensor([0, 0, 1, 2, 2]), torch.tensor([2, 1]))
    pairs = PairSampler(graph, num_negatives=1000).sample([0, 1, 2, 3], epoch=0, batch=0)
    assert pairs.sources.tolist() == [1, 2] and pairs.partners.tolist() == [2, 1]
    assert set(pairs.negatives.tolist()) == {1, 2}


def test_bad_input_is_refused() -> None:
    graph = gnnkit.load_dataset("karate")
    for settings in ({"walk_length": 0}, {"num_negatives": 0}):
        with pytest.raises(ConfigError, match=f"{next(iter(settings))} is 0, expected at least 1"):
            PairSampler(graph, **settings)
    with pytest.raises(ConfigError, match="length of walks is 0"):
        random_walks(graph, [0], 0, seed=0, epoch=0, batch=0)
    with pytest.raises(DataError, match="node id 34"):
        random_walks(graph, [34], 1, seed=0, epoch=0, batch=0)
    with pytest.raises(DataError, match="no edges"):
        PairSampler(Graph(torch.zeros(3, dtype=torch.int64), torch.empty(0, dtype=torch.int64)))
