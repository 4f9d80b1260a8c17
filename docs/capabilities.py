"""Writes the table of what our backends declare into plugins.md; run it when a declaration has changed.

Run as ``python docs/capabilities.py``. The table stands between ``<!-- capabilities -->`` and
``<!-- end of capabilities -->``. Rows of backends that are not installed here stay as they are; a test holds that the
others are up to date.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from gnnkit.availability import READY, Availability
from gnnkit.backends import backends, load_backend
from gnnkit.cli.backends import CAPABILITY_COLUMNS, capability_rows
from gnnkit.probing import PluginReport

PAGE = Path(__file__).with_name("plugins.md")
_PLACE = re.compile(r"<!-- capabilities -->(.*?)<!-- end of capabilities -->", re.DOTALL)


def updated(text: str) -> str:
    """The page with new rows."""
    found = _PLACE.search(text)
    assert found is not None, "the page has lost its place for the table"
    rows = {line.split("|")[1].strip(): line for line in found[1].strip().splitlines()[2:]}
    ours = [name for name in backends.names() if backends.is_ours(name)]
    for row in capability_rows({name: _declared(name) for name in ours}):
        rows[row[0]] = "| " + " | ".join([f"`{row[0]}`", *row[1:]]).rstrip() + " |"
    rows = {line.split("`")[1]: line for line in rows.values()}
    head = [f"| {' | '.join(CAPABILITY_COLUMNS)} |", "|" + "---|" * len(CAPABILITY_COLUMNS)]
    table = "\n".join([*head, *(rows[name] for name in sorted(rows))])
    return _PLACE.sub(lambda _: f"<!-- capabilities -->\n\n{table}\n\n<!-- end of capabilities -->", text)


def _declared(name: str) -> PluginReport:
    """What one of our own declares here; it can be loaded without a process of its own, which takes seconds."""
    values = asdict(load_backend(name).capabilities)
    lists = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in values.items()}
    return PluginReport(Availability(READY), lists)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
