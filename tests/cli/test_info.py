"""``gnnkit info``: what is said of a data set is what its graph holds."""

from __future__ import annotations

from pathlib import Path

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gnnkit
from gnnkit.data.statistics import num_bytes, num_components
from tests.commands import answer, gnnkit_here


def test_the_command(tmp_path: Path) -> None:
    values = answer(gnnkit_here("info", "karate", "--json", cwd=tmp_path))
    graph = gnnkit.load_dataset("karate")
    assert (values["nodes"], values["edges"], values["components"]) == (34, 156, 1)
    assert values["degrees"]["largest"] == int(graph.in_degrees.max())
    assert values["homophily"]["edge"] == pytest.approx(0.75641, abs=1e-5)
    shown = gnnkit_here("info", "karate", cwd=tmp_path).stdout
    assert "homophily" in shown and "MiB" in shown and "splits" in shown
    links = gnnkit_here("info", "karate", "--task", "link_prediction", cwd=tmp_path)
    assert links.returncode == 0 and "links" in links.stdout


def test_an_unknown_data_set(tmp_path: Path) -> None:
    done = gnnkit_here("info", "carate", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'karate'" in done.stderr


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_components_are_those_of_networkx(num_nodes: int, pairs: list[tuple[int, int]]) -> None:
    kept = [(a, b) for a, b in pairs if max(a, b) < num_nodes]
    edges = np.array(kept, dtype=np.int64).reshape(-1, 2).T
    theirs = networkx.Graph()
    theirs.add_nodes_from(range(num_nodes))
    theirs.add_edges_from(kept)
    parts = [len(part) for part in networkx.connected_components(theirs)]
    assert num_components(gnnkit.from_edge_index(edges, num_nodes)) == (len(parts), max(parts))


def test_bytes_are_those_of_the_arrays() -> None:
    graph = gnnkit.load_dataset("karate")
    arrays = [graph.indptr, graph.indices, graph.x, graph.y, *graph.node_data.values()]
    assert num_bytes(graph) == sum(array.nbytes for array in arrays)
