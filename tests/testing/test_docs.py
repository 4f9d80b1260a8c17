"""The page about plugins lists the checks and the interfaces as they are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from gnnkit.backends import Backend
from gnnkit.datasets import Dataset
from gnnkit.devices import Device, Step

DOCS = Path(__file__).parents[2] / "docs"
INTERFACES = {"Backend": Backend, "Device": Device, "Step": Step, "Dataset": Dataset}


def test_tables_of_checks_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("checks", DOCS / "checks.py")
    assert spec is not None and spec.loader is not None
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    page = checks.PAGE.read_text()
    assert page == checks.updated(page), "run: python docs/checks.py"
    assert page.count("| `") > 40


def names_of(interface: type) -> set[str]:
    """All public names of a class, declared or defined."""
    found = {*vars(interface), *vars(interface).get("__annotations__", {})}
    return {name for name in found if not name.startswith("_")} | ({"__call__"} & set(vars(interface)))


def required_names(interface: type) -> set[str]:
    """What a plugin must give: abstract methods, attributes without a value, all of a protocol."""
    declared = set(vars(interface).get("__annotations__", {})) - set(vars(interface))
    if getattr(interface, "_is_protocol", False):
        return names_of(interface)
    return {*declared, *getattr(interface, "__abstractmethods__", ())}


@pytest.mark.parametrize("name", INTERFACES)
def test_tables_of_interfaces_have_every_name(name: str) -> None:
    page = (DOCS / "plugins.md").read_text()
    table = re.search(rf"<!-- interface: {name} -->(.*?)<!-- end of interface -->", page, re.DOTALL)
    assert table is not None
    cells = [line.split("|")[1] for line in table[1].splitlines() if line.startswith("| ")]
    assert {word for cell in cells for word in re.findall(r"`(\w+)`", cell)} == names_of(INTERFACES[name])
    bold = {word for cell in cells for word in re.findall(r"\*\*`(\w+)`\*\*", cell)}
    assert bold == required_names(INTERFACES[name])


def test_the_page_says_who_switches_modes_and_where_blocks_are_lowered() -> None:
    page = (DOCS / "plugins.md").read_text()
    assert "The step switches the module between training and evaluating" in page
    assert "Called in the threads of loaders" in page
