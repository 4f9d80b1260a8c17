"""The example plugins install and work without a change to gnnkit, with its public names alone."""

from __future__ import annotations

import ast
import importlib
import io
import json
import shutil
import tokenize
from pathlib import Path
from typing import Set, Tuple

import pytest
import torch

from tests.commands import gnnkit_here
from tests.plugins import clean_environment, pip_install, run_python, site_of, use

EXAMPLES = Path(__file__).parent.parent / "examples" / "plugins"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the examples; the source folders are left clean."""
    folder = tmp_path_factory.mktemp("clean")
    python = clean_environment(folder)
    names = ("gnnkit-torchsparse", "gnnkit-inductor", "gnnkit-maskedfeatures")
    pip_install(python, *(Path(shutil.copytree(EXAMPLES / name, folder / name)) for name in names))
    return python


@pytest.fixture
def installed(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What that environment has, for the commands of this process and those that they start."""
    use(site_of(clean), monkeypatch)


def gnnkit_json(*arguments: str, cwd: Path) -> dict:
    done = gnnkit_here(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_torchsparse_is_conformant(installed: None, tmp_path: Path) -> None:
    assert gnnkit_json("conform", "torchsparse", cwd=tmp_path)["verdict"] == "conformant"


def test_torchsparse_trains_on_cora(installed: None, data_dir: Path, tmp_path: Path) -> None:
    arguments = ("--backend", "torchsparse", "--dataset", "cora", "--data-dir", str(data_dir), "--epochs", "60")
    assert gnnkit_json("run", *arguments, cwd=tmp_path)["test_accuracy"] > 0.78


def skip_where_torch_does_not_compile() -> None:
    try:
        torch.compile(torch.nn.Identity())
    except RuntimeError as error:
        pytest.skip(f"torch {torch.__version__}: {error}")


def test_inductor_trains(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_where_torch_does_not_compile()
    # In a process of its own, as compilers leave traces; without those that compile for it, of which each loads torch.
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    arguments = ("--device", "inductor", "--dataset", "karate", "--hidden", "4", "--epochs", "2")
    done = run_python(clean, "-m", "gnnkit.cli.main", "run", *arguments, "--json", cwd=tmp_path)
    values = json.loads(done.splitlines()[-1])
    assert values["device"] == "inductor" and 0 < values["compile_seconds"] < values["seconds"]


@pytest.mark.parametrize("place", [("reference", "cpu"), ("pyg", "cpu"), ("dgl", "cpu"), ("ipu", "ipu-emulator")])
def test_maskedfeatures_trains_everywhere(place: Tuple[str, str], installed: None, tmp_path: Path) -> None:
    pytest.importorskip(f"gnnkit_{place[0]}" if place[0] != "reference" else "gnnkit")
    where = ("--backend", place[0], "--device", place[1])
    task = ("--task", "masked-features", "--dataset", "karate", "--batch-size", "8", "--epochs", "2", "--dropout", "0")
    values = gnnkit_json("run", *task, *where, cwd=tmp_path)
    assert values["train_loss"] == pytest.approx(0.860, abs=0.01)


def test_maskedfeatures_is_small() -> None:
    source = (EXAMPLES / "gnnkit-maskedfeatures" / "gnnkit_maskedfeatures" / "task.py").read_text()
    assert len(source.splitlines()) <= 150


@pytest.mark.long
@pytest.mark.parametrize("name", ["gnnkit-torchsparse", "gnnkit-inductor", "gnnkit-maskedfeatures"])
def test_an_example_passes_all_of_its_own_tests(name: str, clean: Path, data_dir: Path, tmp_path: Path) -> None:
    if name == "gnnkit-inductor":
        skip_where_torch_does_not_compile()
    shutil.copytree(EXAMPLES / name / "tests", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long: takes minutes\n")
    assert " passed" in run_python(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)


def code_lines(source: str) -> int:
    """Lines with code: neither blank, nor comment, nor docstring."""
    docstrings: Set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            docstrings.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    marks = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for t in tokens if t.type not in marks for line in range(t.start[0], t.end[0] + 1)}
    return len(lines - docstrings)


def test_torchsparse_is_small() -> None:
    source = (EXAMPLES / "gnnkit-torchsparse" / "gnnkit_torchsparse" / "backend.py").read_text()
    assert 60 < code_lines(source) <= 120


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/gnnkit_*/*.py")), ids=lambda path: path.parent.name)
def test_examples_use_public_names_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "gnnkit":
            public = vars(importlib.import_module(node.module)).get("__all__")
            assert node.module.count(".") <= 1, f"{node.module} is inside a package"
            for alias in node.names:
                assert alias.name in public if public else not alias.name.startswith("_"), alias.name
