"""The page about plugins lists the checks as they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_tables_of_checks_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("checks", DOCS / "checks.py")
    assert spec is not None and spec.loader is not None
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    page = checks.PAGE.read_text()
    assert page == checks.updated(page), "run: python docs/checks.py"
    assert page.count("| `") > 40
