"""Small tables for notebooks.

Rules: everything from data is text, never markup.
"""

from __future__ import annotations

from html import escape
from typing import Mapping


def html_table(title: str, rows: Mapping[str, object]) -> str:
    """A table of names and values.

    Args:
        title: What stands above.
        rows: Values by name, shown as ``str`` gives them.

    Example:
        >>> html_table("Graph <a>", {"nodes": 3})
        '<table><caption>Graph &lt;a&gt;</caption><tr><th>nodes</th><td>3</td></tr></table>'
    """
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"
