"""Generated parts of the documentation are up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_table_of_capabilities_is_what_backends_declare() -> None:
    spec = importlib.util.spec_from_file_location("capabilities", DOCS / "capabilities.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (DOCS / "plugins.md").read_text()
    assert page == module.updated(page), "run: python docs/capabilities.py"
