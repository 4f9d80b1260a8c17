"""What the wrappers of DGL's layers share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnnkit_dgl.compat import import_dgl


def native(name: str) -> Any:
    """A layer of ``dgl.nn`` by its name."""
    import_dgl()
    import dgl.nn

    return getattr(dgl.nn, name)


def product_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype that torch gives to ``h @ weight`` here and now, autocast included."""
    return (h[:0] @ weight).dtype
