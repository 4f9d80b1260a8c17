"""What is taken for a graph, and how other libraries' graphs become one.

Rules: a kind of object is recognised by the module that defines its class, so that no library is imported for it.
"""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from gnnkit.data.graph import Graph
from gnnkit.errors import DataError

_WAYS: Mapping[str, str] = {
    "torch_geometric": 'gnnkit.backends.load_backend("pyg").from_native(data)',
    "dgl": 'gnnkit.backends.load_backend("dgl").from_native(graph)',
    "networkx": "gnnkit.from_networkx(graph)",
    "scipy": "gnnkit.from_scipy(matrix, x=..., y=...)",
    "pandas": "gnnkit.from_pandas(edges, nodes)",
}


def expect_graph(obj: Any) -> Graph:
    """Return a graph, and refuse what is none.

    Args:
        obj: Anything.

    Raises:
        DataError: It is no graph; the message says how it becomes one.

    Example:
        >>> expect_graph("cora")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        gnnkit.errors.DataError: ... received 'cora', expected a gnnkit.Graph. Convert it: gnnkit.load_dataset('cora').
    """
    if isinstance(obj, Graph):
        return obj
    kind = type(obj)
    library = kind.__module__.partition(".")[0]
    received = repr(obj) if isinstance(obj, str) else f"a {kind.__module__}.{kind.__qualname__}"
    way = f"gnnkit.load_dataset({obj!r})" if isinstance(obj, str) else _WAYS.get(library)
    fix = f"Convert it: {way}." if way else "Build one with gnnkit.from_edge_index(edge_index, x=..., y=...)."
    raise DataError("graph", f"received {received}, expected a gnnkit.Graph.", fix=fix)


_MISSING: Mapping[str, Tuple[str, str]] = {
    "x": (
        "node features",
        ", load the data with dataset.options.make_features=degree, =one_hot_degree or =constant, or let the model "
        "learn embeddings of the nodes: model.embedding_channels=64, build_model(..., embedding_channels=64).",
    ),
    "y": ("labels", " or name the column: dataset.options.columns.label=NAME."),
}


def missing_array(field: str, needed_by: str) -> DataError:
    """The error for a graph without features or without labels.

    Args:
        field: "x" or "y".
        needed_by: What needs them.

    Example:
        >>> print(missing_array("y", "training"))  # doctest: +ELLIPSIS
        Bad data in y: the graph has no labels, training needs them. Pass y when building it or name the column: ...
    """
    what, way = _MISSING[field]
    problem = f"the graph has no {what}, {needed_by} needs them."
    return DataError(field, problem, fix=f"Pass {field} when building it{way}")
