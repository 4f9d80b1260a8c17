"""Which checks of the conformance kit are made in turn."""

from __future__ import annotations

import pytest

IN_TURN = {
    *("graph_losses", "learns", "losses", "many_passes", "optimizer_step", "repeated", "resumed", "saved"),
}
"""Checks that train a model, or run a layer 150 times. What a layer computes is checked on every backend elsewhere."""


def pytest_itemcollected(item: pytest.Item) -> None:
    facts = getattr(getattr(item, "function", None), "facts", None)
    if facts is not None and facts.name in IN_TURN:
        item.add_marker("in_turn")
