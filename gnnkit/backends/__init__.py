"""Backends: graph libraries behind one interface, and the reference backend in plain torch."""

from gnnkit.backends.base import Backend, BackendCapabilities
from gnnkit.backends.layer_state import LayerState, attention_spec, read_gin
from gnnkit.backends.native import LibraryLayer, NativeConv, NativeGIN, NativeSAGE, aggregates
from gnnkit.backends.registry import as_backend, backends, build_model, load_backend, move_model
from gnnkit.backends.store import GraphStore, PartSize, Served
from gnnkit.backends.sums import BlockSums, composing, product_dtype, sum_dtype
from gnnkit.backends.transposed import EdgesBySource, edges_by_source

__all__ = [
    "Backend",
    "BackendCapabilities",
    "BlockSums",
    "EdgesBySource",
    "GraphStore",
    "LayerState",
    "LibraryLayer",
    "NativeConv",
    "NativeGIN",
    "NativeSAGE",
    "PartSize",
    "Served",
    "aggregates",
    "as_backend",
    "attention_spec",
    "backends",
    "build_model",
    "composing",
    "edges_by_source",
    "load_backend",
    "move_model",
    "product_dtype",
    "read_gin",
    "sum_dtype",
]
