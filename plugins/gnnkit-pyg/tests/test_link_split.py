"""Splits that PyTorch Geometric made, as links of one graph."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit

from gnnkit.data import check_graph, check_leaks
from gnnkit.errors import DataError, LeakError
from gnnkit_pyg.link_split import from_link_split


def ring(both: bool) -> Data:
    edges = torch.stack([torch.arange(30), torch.arange(30).roll(1)])
    edges = torch.cat([edges, edges.flip(0)], dim=1) if both else edges
    return Data(edge_index=edges, x=torch.rand(30, 3), edge_attr=torch.rand(edges.shape[1], 2))


@pytest.mark.parametrize("split_labels", [False, True])
@pytest.mark.parametrize("both", [True, False])
def test_a_split_of_pyg_becomes_links(both: bool, split_labels: bool) -> None:
    how = {"num_val": 0.2, "num_test": 0.3, "is_undirected": both, "split_labels": split_labels}
    parts = RandomLinkSplit(**how)(ring(both))
    graph = from_link_split(*parts)
    check_graph(graph)
    assert graph.num_features == 3 and graph.links is not None and graph.links.undirected == both
    assert {name: len(pairs) for name, pairs in graph.links.pairs.items()} == {"train": 15, "valid": 6, "test": 9}
    assert len(graph.links.negatives["test"]) == 9
    assert graph.num_edges == parts[0].num_edges
    assert graph.links.test_edges is not None and graph.links.test_edges.num_edges == parts[2].num_edges
    assert check_leaks(graph) == 15


def test_undirected_data_that_were_split_as_directed_ones_are_refused() -> None:
    parts = RandomLinkSplit(num_val=0.2, num_test=0.3, is_undirected=False)(ring(both=True))
    with pytest.raises(LeakError, match="is in 'train' and in 'valid'"):
        from_link_split(*parts)


def test_what_is_no_split_is_refused() -> None:
    data = ring(both=False)
    with pytest.raises(DataError, match="train.*no edge_label_index"):
        from_link_split(data, data, data)
    data.edge_label_index, data.edge_label = data.edge_index, torch.full((30,), 2)
    with pytest.raises(DataError, match="row 0: edge_label has 2"):
        from_link_split(data, data, data)
