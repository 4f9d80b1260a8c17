"""Every way from memory to a graph, under one signature."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import networkx as nx
import numpy as np
import pandas as pd
import scipy.sparse
import torch

from gnnkit.backends import load_backend
from gnnkit.data import Graph, from_csc, from_edge_index, from_networkx, from_pandas, from_scipy
from tests.conftest import installed_backends

EDGES = ([0, 1, 2, 3], [1, 2, 3, 0])


def _lists(y: Any, dtype: Any) -> Graph:
    return from_edge_index(EDGES, y=np.asarray(y, dtype=dtype))


def _csc(y: Any, dtype: Any) -> Graph:
    return from_csc([0, 1, 2, 3, 4], [3, 0, 1, 2], y=torch.from_numpy(np.asarray(y, dtype=dtype)))


def _scipy(y: Any, dtype: Any) -> Graph:
    return from_scipy(
        scipy.sparse.coo_matrix((np.ones(4), EDGES), shape=(len(y), len(y))), y=np.asarray(y, dtype=dtype)
    )


def _pandas(y: Any, dtype: Any) -> Graph:
    nodes = pd.DataFrame({"id": range(len(y)), "label": np.asarray(y, dtype=dtype)})
    return from_pandas(pd.DataFrame({"dst": EDGES[1], "src": EDGES[0]}), nodes)


def _networkx(y: Any, dtype: Any) -> Graph:
    graph = nx.DiGraph()
    for node, label in enumerate(np.asarray(y, dtype=dtype)):
        graph.add_node(node, y=label)
    graph.add_edges_from(zip(*EDGES))
    return from_networkx(graph)


def _pyg(y: Any, dtype: Any) -> Graph:
    backend = load_backend("pyg")
    from torch_geometric.data import Data

    labels = torch.from_numpy(np.asarray(y, dtype=dtype))
    return backend.from_native(Data(edge_index=torch.tensor(EDGES), y=labels, num_nodes=len(y)))


def _dgl(y: Any, dtype: Any) -> Graph:
    backend = load_backend("dgl")
    import dgl

    native = dgl.graph(EDGES, num_nodes=len(y))
    native.ndata["label"] = torch.from_numpy(np.asarray(y, dtype=dtype))
    return backend.from_native(native)


_ALL: Dict[str, Callable[[Any, Any], Graph]] = {
    "lists": _lists,
    "csc": _csc,
    "scipy": _scipy,
    "pandas": _pandas,
    "networkx": _networkx,
    "pyg": _pyg,
    "dgl": _dgl,
}


def readers() -> List[str]:
    """Names of the readers whose libraries are installed."""
    return [name for name in _ALL if name not in ("pyg", "dgl") or name in installed_backends()]


def read_labels(reader: str, y: Any, dtype: Any = None) -> Graph:
    """A ring of four nodes, or with more without edges, with labels of a dtype."""
    return _ALL[reader](y, dtype)
