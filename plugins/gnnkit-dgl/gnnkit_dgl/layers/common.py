"""What the wrappers of DGL's layers share."""

from __future__ import annotations

from typing import Any

from gnnkit_dgl.compat import import_dgl


def native(name: str) -> Any:
    """A layer of ``dgl.nn`` by its name."""
    import_dgl()
    import dgl.nn

    return getattr(dgl.nn, name)
