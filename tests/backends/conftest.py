"""Which checks of the conformance kit are made in turn."""

from __future__ import annotations

import pytest

IN_TURN = {
    *("graph_losses", "learns", "losses", "optimizer_step", "repeated", "resumed", "saved"),
    *("many_edges", "many_passes", "wide_features"),
}
"""Checks that train a model, or run a layer on much or often. The others hold every layer of every backend to its
formula."""


def pytest_itemcollected(item: pytest.Item) -> None:
    facts = getattr(getattr(item, "function", None), "facts", None)
    if facts is not None and facts.name in IN_TURN:
        item.add_marker("in_turn")
