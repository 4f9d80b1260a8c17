"""Layers: which of PyTorch Geometric's are supported, and what their arguments must be.

Rules: a layer is looked up by the name of the first class in its ancestry that PyG defines. Layers that are not in the
table are judged by their operators alone.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple

from torch import nn

from .restrictions import refuse


class LayerSupport(NamedTuple):
    """A row of PopTorch Geometric's table of supported operations.

    Attributes:
        section: Heading it stands under.
        name: Class or function of PyG.
        status: "Supported", "Not supported" or "TBD".
        note: Condition, as documented.
    """

    section: str
    name: str
    status: str
    note: str


@lru_cache(maxsize=None)
def support_table() -> Dict[str, LayerSupport]:
    """All rows by name."""
    text = Path(__file__).with_name("pyg_support.json").read_text(encoding="utf-8")
    return {row[1]: LayerSupport(*row) for row in json.loads(text)}


#: PopTorch Geometric swaps this layer for one that adds its self-loops in a fixed shape.
_STATIC_SELF_LOOPS = frozenset({"ClusterGCNConv"})


def _pyg_name(layer: nn.Module) -> str:
    for kind in type(layer).__mro__:
        if kind.__module__.startswith("torch_geometric."):
            return kind.__name__
    return ""


def check_layer(path: str, layer: nn.Module, training: bool) -> None:
    """Refuse a layer that is not supported with its arguments.

    Args:
        path: Name of the layer in the model.
        layer: The layer.
        training: Whether the program trains.

    Raises:
        RestrictionError: It is not supported.
    """
    if isinstance(layer, nn.RNNBase) and layer.bidirectional:
        refuse(32, f"{path} ({type(layer).__name__}) is bidirectional")
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) and layer.sparse:
        refuse(31, f"{path} ({type(layer).__name__}) has sparse=True")
    name = _pyg_name(layer)
    if not name:
        return
    row = support_table().get(name)
    if row is not None and row.status != "Supported":
        refuse(12, f"{path} ({name}) is documented as {row.status.lower() if row.status != 'TBD' else 'to be done'}")
    if getattr(layer, "add_self_loops", False) is True and name not in _STATIC_SELF_LOOPS:
        refuse(11, f"{path} ({name}) has add_self_loops=True")
    problem = {
        "SplineConv": training and "is supported in inference only",
        "RGATConv": getattr(layer, "attention_mechanism", "") == "within-relation"
        and "has attention_mechanism='within-relation'",
        "FiLMConv": getattr(layer, "num_relations", 1) > 1 and "has more than one relation",
    }.get(name)
    if problem:
        refuse(12, f"{path} ({name}) {problem}")


@contextmanager
def static_layers() -> Iterator[None]:
    """Switch PyG to fixed shapes, as PopTorch Geometric does while it captures a model."""
    try:
        from torch_geometric.experimental import experimental_mode
        from torch_geometric.nn.aggr import Aggregation
    except ImportError:
        yield
        return
    from .static_layers import replaced_layers

    check = Aggregation.assert_sorted_index

    def no_check(self: Any, index: Any) -> None:
        """Reading whether an index is sorted needs its values."""

    Aggregation.assert_sorted_index = no_check
    try:
        with experimental_mode("disable_dynamic_shapes"), replaced_layers():
            yield
    finally:
        Aggregation.assert_sorted_index = check
