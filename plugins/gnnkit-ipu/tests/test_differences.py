"""What docs/ipu.md says of the emulator beside PopTorch is held by tests, and what tests hold is said there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "ipu.md"
TESTS = Path(__file__).parent


def named_in(file):
    found = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def rows():
    for table in re.findall(r"<!-- differences -->\n(.*?)<!-- end", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        yield from [line for line in table.splitlines() if line.startswith("| ")][1:]


def test_every_line_names_a_test_that_there_is():
    known = set().union(*(named_in(file) for file in TESTS.rglob("test_*.py")))
    for row in rows():
        named = re.findall(r"`(test_\w+)`", row.split(" | ")[-1])
        assert named and set(named) <= known, row


def test_every_test_beside_the_real_layer_is_named():
    named = set(re.findall(r"`(test_\w+)`", "\n".join(rows())))
    assert named_in(TESTS / "emulator" / "test_like_the_real_layer.py") <= named
