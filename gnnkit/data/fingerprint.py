"""Fingerprints of a graph's content: whether two runs saw the same data, and if not, what differs.

Rules: they depend on the arrays and class names alone, not on the graph's name, on memory layout, on how the arrays are
stored or on the process; arrays are read in chunks. Of an array of more than ``MOST_VALUES`` values, so many are
read, in evenly spread pieces with its begin and end among them: the time is bounded, a change elsewhere is not seen.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.check import row_chunks
from gnnkit.data.graph import Graph
from gnnkit.data.links import describe_links
from gnnkit.data.typed import Typed
from gnnkit.errors import OtherDataError

MOST_VALUES = 1 << 27
"""Values of an array that count for a fingerprint; sizes and types always do."""

_CHUNK_EDGES = 1 << 22


def fingerprint(graph: Graph) -> str:
    """Compute the SHA-256 of a graph's arrays: edges, weights, features, labels, splits and all others.

    Of an array of more than ``MOST_VALUES`` (2^27) values, evenly spread pieces with so many values count.

    Args:
        graph: The graph.

    Returns:
        64 hexadecimal digits; equal for graphs of equal content.
    """
    return _joined(part_fingerprints(graph))


def part_fingerprints(graph: Graph) -> Dict[str, str]:
    """Compute a SHA-256 for each part of a graph.

    Args:
        graph: The graph.

    Returns:
        64 hexadecimal digits by part: "edges", "edge weights", "features", "labels" (with class names), "splits",
        "other arrays", "types" (the schema, and the type of each node and edge) of a typed graph, and "links" where
        there are links.
    """
    other: Dict[str, Optional[Tensor]] = {
        "edge_attr": graph.edge_attr,
        "graph_ptr": graph.graph_ptr,
        "graph_y": graph.graph_y,
        **{f"node_data.{name}": tensor for name, tensor in graph.node_data.items()},
        **{f"edge_data.{name}": tensor for name, tensor in graph.edge_data.items()},
        **{f"graph_data.{name}": tensor for name, tensor in graph.graph_data.items()},
        **{f"graph_splits.{name}": ids for name, ids in graph.graph_splits.items()},
    }
    words: Tuple[Any, ...] = (graph.graph_names, graph.node_categories, graph.edge_categories)
    if graph.typed is not None and graph.typed.node_categories:
        words = (*words, sorted(graph.typed.node_categories.items()))
    typed = _typed_arrays(graph.typed)
    names = "" if graph.typed is None else repr(sorted(graph.typed.class_names.items()))
    parts = {
        "edges": _digest({"indptr": graph.indptr, "indices": graph.indices}),
        "edge weights": _digest({"edge_weight": graph.edge_weight}),
        "features": _digest({"x": graph.x, **typed["x"]}),
        "labels": _digest({"y": graph.y, **typed["y"]}, repr(graph.class_names) + names),
        "splits": _digest({**graph.splits, **typed["splits"]}),
        "other arrays": _digest({**other, **typed["other"]}, repr(words) if any(words) else ""),
    }
    if graph.typed is not None:
        types = {"node_type": graph.typed.node_type, "edge_type": graph.typed.edge_type}
        schema = graph.typed.schema
        relations = [(str(relation), relation.reverse) for relation in schema.relations]
        parts["types"] = _digest(types, repr((schema.node_types, relations)))
    if graph.links is not None:
        parts["links"] = _digest(graph.links.tensors, repr((graph.links.undirected, graph.links.class_names)))
    return parts


def _typed_arrays(typed: Optional[Typed]) -> Dict[str, Dict[str, Tensor]]:
    """The arrays by type and relation of a typed graph, by the part that they are of."""
    parts: Dict[str, Dict[str, Tensor]] = {"x": {}, "y": {}, "splits": {}, "other": {}}
    if typed is None:
        return parts
    parts["x"] = {f"x of {name}": rows for name, rows in typed.x.items()}
    parts["y"] = {f"y of {name}": rows for name, rows in typed.y.items()}
    parts["splits"] = {f"{key} of {name}": ids for name, held in typed.splits.items() for key, ids in held.items()}
    parts["other"] = {f"edge_attr of {name}": rows for name, rows in typed.edge_attr.items()}
    for field, groups in (("node_data", typed.node_data), ("edge_data", typed.edge_data)):
        held = ((f"{field}.{key} of {name}", rows) for name, group in groups.items() for key, rows in group.items())
        parts["other"].update(held)
    return parts


def describe_data(graph: Graph) -> Dict[str, Any]:
    """The identity of a graph for the manifest of a run: name, sizes, self-loops, direction, pairs and fingerprints.

    Self-loops and direction are None for a graph of more than ``MOST_VALUES`` edges, all of which would be looked at.

    Args:
        graph: The graph as a model sees it, prepared.

    Returns:
        Plain values; :func:`data_differences` compares them.
    """
    if graph.remote is not None:
        return dict(graph.remote.descriptions[graph.remote.preparation])
    parts = part_fingerprints(graph)
    is_large = graph.num_edges > MOST_VALUES
    described = {
        "name": graph.name,
        "num_nodes": graph.num_nodes,
        "num_edges": graph.num_edges,
        "num_self_loops": None if is_large else _num_self_loops(graph),
        "undirected": None if is_large else is_undirected(graph),
        "num_features": graph.num_features,
        "num_classes": graph.num_classes,
        "fingerprint": _joined(parts),
        "parts": parts,
    }
    if graph.typed is not None:
        described["types"] = {"nodes": dict(graph.typed.num_nodes), "edges": dict(graph.typed.num_edges)}
    if graph.links is not None:
        described["links"] = describe_links(graph.links)
    return described


def data_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> List[str]:
    """Say in what two graphs differ.

    Args:
        first: What :func:`describe_data` gave for one.
        second: And for the other.

    Returns:
        A phrase for each part that differs, such as ``"features"``; edges with the sizes of both. Empty for graphs of
        equal content, whatever their names.
    """
    mine, theirs = first["parts"], second["parts"]
    different = [part for part in {**theirs, **mine} if mine.get(part) != theirs.get(part)]
    return [f"edges ({_edges(first)}; {_edges(second)})" if part == "edges" else part for part in different]


def check_same_data(recorded: Mapping[str, Any], found: Mapping[str, Any], fix: str) -> None:
    """Refuse to go on with other data.

    Args:
        recorded: What :func:`describe_data` gave for the data of a run.
        found: And for the data at hand.
        fix: What to do if they differ.

    Raises:
        OtherDataError: They differ; the message says in what.
    """
    differences = data_differences(recorded, found)
    if differences:
        raise OtherDataError(differences, fix)


def is_undirected(graph: Graph) -> bool:
    """Whether every edge has its reverse; how often an edge is repeated does not matter.

    Compares the sums of a 64-bit hash over all edges and over all reversed edges, so nothing is sorted; a directed
    graph is taken for an undirected one with a chance of about 2^-64.
    """
    forth = back = 0
    for start in range(0, graph.num_edges, _CHUNK_EDGES):
        # With the edge before, so that one that repeats it is seen: edges are sorted.
        src, dst = _edge_range(graph, max(start - 1, 0), start + _CHUNK_EDGES)
        is_new = np.ones(len(src), dtype=bool)
        is_new[1:] = (src[1:] != src[:-1]) | (dst[1:] != dst[:-1])
        is_new[0] = start == 0
        src, dst = src[is_new], dst[is_new]
        forth += int(hash_pairs(src, dst).sum(dtype=np.uint64))
        back += int(hash_pairs(dst, src).sum(dtype=np.uint64))
    return (forth - back) % (1 << 64) == 0


def _num_self_loops(graph: Graph) -> int:
    total = 0
    for start in range(0, graph.num_edges, _CHUNK_EDGES):
        src, dst = _edge_range(graph, start, start + _CHUNK_EDGES)
        total += int((src == dst).sum())
    return total


def _edge_range(graph: Graph, start: int, stop: int) -> Any:
    """Sources and destinations of a range of edges, as unsigned integers."""
    stop = min(stop, graph.num_edges)
    indptr = graph.indptr.numpy()
    first, last = np.searchsorted(indptr, [start, stop - 1], side="right") - 1
    inside = np.clip(indptr[first : last + 2], start, stop)
    dst = np.repeat(np.arange(first, last + 1), np.diff(inside))
    return graph.indices[start:stop].numpy().astype(np.uint64), dst.astype(np.uint64)


def hash_pairs(first: Any, second: Any) -> Any:
    """Mix pairs of uint64 numbers below 2^32 into 64 bits, with the finaliser of SplitMix64 (Steele et al., 2014)."""
    value = (first << np.uint64(32)) ^ second
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _edges(data: Mapping[str, Any]) -> str:
    if data["undirected"] is None:
        return f"{data['num_edges']:,}"
    direction = "undirected" if data["undirected"] else "directed"
    return f"{data['num_edges']:,} with {data['num_self_loops']:,} self-loops, {direction}"


def _joined(parts: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in parts.items()).encode()).hexdigest()


def _digest(arrays: Mapping[str, Optional[Tensor]], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        tensor = arrays[name]
        if tensor is None:
            continue
        digest.update(f"{name!r} {tensor.dtype} {list(tensor.shape)}".encode())
        for _, chunk in row_chunks(tensor, MOST_VALUES):
            # NumPy does not know bfloat16; its bits are what counts.
            bits = chunk.view(torch.int16) if chunk.dtype == torch.bfloat16 else chunk
            digest.update(bits.numpy().tobytes())
    return digest.hexdigest()
