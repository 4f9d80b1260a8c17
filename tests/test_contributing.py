"""What contributors are told to type and where to look is there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGES = ("CONTRIBUTING.md", "README.md", ".github/pull_request_template.md", "docs/ipu.md", "docs/index.md")


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def recipe(*arguments: str) -> str:
    """What make would run, with everything installed."""
    command = ["make", "--dry-run", "--no-print-directory", *arguments, "VENV=/there", "PROJECTS="]
    ready = [f"--old-file=/there/ready-{what}" for what in ("run", "test", "check", "docs")]
    # A make around the tests would hand down what it was told itself.
    told = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "T", "WORKERS")
    outside = {name: value for name, value in os.environ.items() if name not in told}
    return subprocess.run([*command, *ready], cwd=ROOT, env=outside, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_make_exist(page: str) -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / page).read_text(), flags=re.MULTILINE))
    assert named
    assert named <= targets()


def test_every_command_of_make_says_what_it_does() -> None:
    declared = re.search(r"^\.PHONY: (.*?[^\\])$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert declared is not None
    assert set(declared[1].replace("\\\n", " ").split()) == targets()


def test_contributors_are_sent_to_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"\b(?:docs|examples|gnnkit|plugins|tests)/[\w./-]*|\.(?:ci|github)/\w+", text))
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path.rstrip(".")).exists()] == []


def test_one_test_can_be_run() -> None:
    assert recipe("test", "T=tests/nn -k gcn").rstrip().endswith("-n 0 --dist worksteal tests/nn -k gcn")
    assert "-n 2" in recipe("test")
    assert "-n 3" in recipe("test", "T=tests/nn", "WORKERS=3")


def test_checks_before_a_commit_are_those_of_make() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    called = {hook["id"]: hook["entry"].split()[-1] for hook in hooks if hook["entry"].startswith("make ")}
    assert called == {"mypy": "check-types", "import-linter": "check-layers", "vermin": "check-syntax"}
    everything = recipe("check")
    assert all(recipe(check) in everything for check in called.values())
