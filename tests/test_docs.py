"""The documentation is complete, and its generated parts are up to date."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest

import gnnkit
from gnnkit.data.words import MISSING_LABELS, MISSING_TEXT

DOCS = Path(__file__).parent.parent / "docs"


def test_the_table_of_capabilities_is_what_backends_declare() -> None:
    spec = importlib.util.spec_from_file_location("capabilities", DOCS / "capabilities.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (DOCS / "plugins.md").read_text()
    assert page == module.updated(page), "run: python docs/capabilities.py"


def test_code_that_pages_take_from_the_examples_is_what_stands_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    snippets = importlib.import_module("snippets")
    taken = [block for page in DOCS.rglob("*.md") for block in snippets.blocks(page) if "source" in block.mark]
    for block in taken:
        snippets.check_source(block)
    assert len(taken) >= 5


def test_the_page_on_data_lists_the_marks_of_a_missing_value() -> None:
    page = (DOCS / "data.md").read_text()
    paragraph = page[page.index("**Missing values**") :].split("\n\n")[0]
    told = {mark.casefold() for mark in re.findall(r"`([^`]+)`", paragraph)} - {"missing"}
    assert told == {mark.casefold() for mark in MISSING_TEXT} - {""} and "empty cells" in paragraph
    assert all(str(mark) in paragraph for mark in MISSING_LABELS)


def test_pages_are_run_and_a_command_that_an_earlier_one_has_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(DOCS)
    snippets = importlib.import_module("snippets")
    command = f"```bash\necho it ran >> {tmp_path}/log\n```\n"
    pages = {"a": command, "b": command + "```python\nnumber = 1\n```\n", "c": "```python\nassert 1 == 2\n```\n"}
    for name, text in pages.items():
        (tmp_path / f"{name}.md").write_text(text)
    with pytest.raises(SystemExit):
        snippets.main([str(tmp_path / f"{name}.md") for name in pages])
    assert (tmp_path / "log").read_text() == "it ran\n"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2  # The third page failed.
    assert lines[0].startswith("a.md: 1 run") and lines[1].startswith("b.md: 1 run, 1 on an earlier page")


def public_packages() -> list[str]:
    """Packages of gnnkit that say what is public."""
    names = [f"gnnkit.{module.name}" for module in pkgutil.iter_modules(gnnkit.__path__)]
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


def test_the_api_page_has_every_public_package() -> None:
    described = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(), flags=re.MULTILINE)
    assert set(public_packages()) <= set(described)


@pytest.mark.parametrize("package", public_packages())
def test_every_public_name_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue  # A constant: its words stand below it in the source.
        assert inspect.getdoc(thing), f"{package}.{name} has no docstring"
        methods = inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else []
        for method, function in methods:
            if not method.startswith("_") and function.__module__.startswith("gnnkit"):
                assert inspect.getdoc(function), f"{package}.{name}.{method} has no docstring"


NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def code_cells(notebook: Path) -> list[dict]:
    """The cells of a notebook that have code."""
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(notebook: Path) -> None:
    cells = code_cells(notebook)
    assert len(cells) >= 2 and not any(cell["outputs"] or cell["execution_count"] for cell in cells)


@pytest.mark.long
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec("\n".join("".join(cell["source"]) for cell in code_cells(notebook)), {"__name__": "__main__"})
