"""The short form of fuzzing: some inputs for each reader, and those that once found something."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzzing import Fuzzer, Tally
from tests.fuzz.targets import TARGETS, Target

BY_NAME = {target.name: target for target in TARGETS}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, in which nothing but the files of a target may appear; and silence."""
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNNKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canary").write_text("untouched")
    logging.disable(logging.CRITICAL)
    yield tmp_path
    logging.disable(logging.NOTSET)
    assert (tmp_path / "canary").read_text() == "untouched"
    assert not list(tmp_path.rglob("HIT"))


def check(tally: Tally) -> None:
    assert not tally.escaped, "\n".join(f"{name}\n{text}" for name, text in tally.escaped.items())
    assert not tally.slow


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_is_damaged_is_read_or_refused(target: Target, tmp_path: Path) -> None:
    fuzzer = Fuzzer(target, tmp_path / "work")

    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    @given(number=st.integers(min_value=0, max_value=(1 << 32) - 1))
    def one(number: int) -> None:
        tally = Tally()
        fuzzer.run(number, tally)
        check(tally)

    one()


def kept() -> List[Tuple[str, int]]:
    lines = (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    return [(line.split()[0], int(line.split()[1])) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name, number", kept())
def test_what_once_found_something_is_kept(name: str, number: int, tmp_path: Path) -> None:
    tally = Tally()
    Fuzzer(BY_NAME[name], tmp_path / "work").run(number, tally)
    check(tally)
