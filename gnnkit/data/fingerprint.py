"""A fingerprint of a graph's content, for the manifest of a run.

Rules: it depends on the arrays and class names alone, not on the graph's name, on memory layout, on how the arrays are
stored or on the process; large arrays are read in chunks.
"""

from __future__ import annotations

import hashlib
from typing import Dict, Optional

import torch
from torch import Tensor

from gnnkit.data.check import row_chunks
from gnnkit.data.graph import Graph


def fingerprint(graph: Graph) -> str:
    """Compute the SHA-256 of a graph's arrays: edges, weights, features, labels, splits and all others.

    Args:
        graph: The graph.

    Returns:
        64 hexadecimal digits; equal for graphs of equal content.
    """
    arrays: Dict[str, Optional[Tensor]] = {
        "indptr": graph.indptr,
        "indices": graph.indices,
        "x": graph.x,
        "y": graph.y,
        "edge_weight": graph.edge_weight,
        "edge_attr": graph.edge_attr,
        "graph_ptr": graph.graph_ptr,
        "graph_y": graph.graph_y,
    }
    for group, members in (("splits", graph.splits), ("node_data", graph.node_data), ("edge_data", graph.edge_data)):
        arrays.update({f"{group}.{name}": members[name] for name in sorted(members)})
    digest = hashlib.sha256(repr(graph.class_names).encode())
    for name, tensor in arrays.items():
        if tensor is not None:
            digest.update(f"{name!r} {tensor.dtype} {list(tensor.shape)}".encode())
            for _, chunk in row_chunks(tensor):
                # NumPy does not know bfloat16; its bits are what counts.
                bits = chunk.view(torch.int16) if chunk.dtype == torch.bfloat16 else chunk
                digest.update(bits.numpy().tobytes())
    return digest.hexdigest()
