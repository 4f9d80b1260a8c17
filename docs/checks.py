"""Writes the tables of the conformance kit's checks into plugins.md; run it when a check has changed.

Run as ``python docs/checks.py``. Each table stands between two comments, ``<!-- checks: KIND -->`` and
``<!-- end of checks -->``; a test holds that the page is up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from gnnkit.testing import SUITES

PAGE = Path(__file__).with_name("plugins.md")


def table(kind: str) -> str:
    """The checks of one kind of plugin as a Markdown table."""
    lines = ["| check | what must hold | what a pass proves | cases | needs |", "|---|---|---|---|---|"]
    for item in SUITES[kind].checks():
        needs = ", ".join(item.needs)
        lines.append(f"| `{item.name}` | {item.title} | {_markdown(item.proves)} | {len(item.over) or 1} | {needs} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """The page with new tables."""

    def replace(match: re.Match[str]) -> str:
        return f"<!-- checks: {match[1]} -->\n\n{table(match[1])}\n\n<!-- end of checks -->"

    return re.sub(r"<!-- checks: (\w+) -->.*?<!-- end of checks -->", replace, text, flags=re.DOTALL)


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
