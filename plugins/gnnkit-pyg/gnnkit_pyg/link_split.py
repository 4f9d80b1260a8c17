"""From what PyTorch Geometric's ``RandomLinkSplit`` makes to one graph with links.

Rules: the edges of the training ``Data`` carry messages; those of the test ``Data`` are ``links.test_edges`` where they
are others. Undirected data that were split as directed ones, so that reverses leak, are told from directed ones.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Dict, Tuple

import torch
from torch import Tensor

from gnnkit.data import Graph, from_csc, from_edge_index, given_links, is_undirected
from gnnkit.errors import DataError
from gnnkit_pyg.convert import from_pyg

_ARRAYS = (
    "edge_label",
    "edge_label_index",
    *(f"{sign}_edge_label{end}" for sign in ("pos", "neg") for end in ("", "_index")),
)


def from_link_split(train: Any, valid: Any, test: Any) -> Graph:
    """Turn three ``Data``, as ``RandomLinkSplit`` gives them, into one graph with links.

    Args:
        train: A ``Data`` with ``edge_label_index`` [2, n] and ``edge_label`` [n], 1 for an edge and 0 for a negative;
            or with ``pos_edge_label_index`` and ``neg_edge_label_index``, as ``split_labels=True`` has them.
        valid: Likewise; its edges carry no messages here.
        test: Likewise; its edges carry messages when the test split is judged.

    Returns:
        The graph of ``train`` with the pairs and the negatives of all three. Pairs are undirected if all edges of
        ``train``, or all edges and pairs together, have their reverses.

    Raises:
        DataError: One has no pairs, or labels other than 0 and 1.
        LeakError: A pair, or the reverse of an undirected one, is in two splits. Split undirected data with
            ``RandomLinkSplit(is_undirected=True)``.

    Example:
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.transforms import RandomLinkSplit
        >>> ring = Data(edge_index=torch.stack([torch.arange(10), torch.arange(10).roll(1)]), num_nodes=10)
        >>> from_link_split(*RandomLinkSplit(num_val=0.2, num_test=0.2)(ring))
        Graph('graph', num_nodes=10, num_edges=6, num_features=0, train_pairs=6, valid_pairs=2, test_pairs=2)
    """
    parts = {"train": train, "valid": valid, "test": test}
    found = {name: _pairs(data, name) for name, data in parts.items()}
    graph, later = from_pyg(_bare(train)), from_pyg(_bare(test))
    is_same = torch.equal(graph.indptr, later.indptr) and torch.equal(graph.indices, later.indices)
    edges = from_csc(
        later.indptr, later.indices, edge_weight=later.edge_weight, edge_attr=later.edge_attr, edge_data=later.edge_data
    )
    everything = torch.cat([graph.edge_index, *(pairs.t() for pairs, _ in found.values())], dim=1)
    return given_links(
        replace(graph, splits={}),
        {name: pairs for name, (pairs, _) in found.items()},
        undirected=is_undirected(graph) or is_undirected(from_edge_index(everything, graph.num_nodes)),
        negatives={name: negatives for name, (_, negatives) in found.items() if len(negatives)},
        test_edges=None if is_same else edges,
    )


def _bare(data: Any) -> Any:
    """The ``Data`` without what is said of pairs."""
    bare = copy.copy(data)
    for name in _ARRAYS:
        if name in bare:
            del bare[name]
    return bare


def _pairs(data: Any, split: str) -> Tuple[Tensor, Tensor]:
    """Pairs and negatives, each [n, 2]."""
    held: Dict[str, Tensor] = data.to_dict()
    if "pos_edge_label_index" in held:
        pairs, negatives = held["pos_edge_label_index"], held.get("neg_edge_label_index")
        return pairs.t(), torch.empty(0, 2, dtype=torch.int64) if negatives is None else negatives.t()
    if "edge_label_index" not in held or "edge_label" not in held:
        problem = "it has no edge_label_index and edge_label."
        raise DataError(split, problem, fix="Make it with RandomLinkSplit, or use gnnkit.data.given_links.")
    labels, index = held["edge_label"], held["edge_label_index"]
    broken = ((labels != 0) & (labels != 1)).nonzero()
    if broken.numel():
        row = int(broken[0, 0])
        problem = f"edge_label has {labels[row].tolist()}, expected 1 for an edge and 0 for none."
        raise DataError(split, problem, row=row, fix="Give pairs with labels of their own to gnnkit.data.given_links.")
    return index[:, labels == 1].t(), index[:, labels == 0].t()
