"""What ``gnnkit run`` shows before the first epoch and after the last one, on a terminal and elsewhere."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from gnnkit.stages import WORTH_A_LINE
from tests.commands import gnnkit_here

SILENT = 1.5
"""Seconds without a sign of life that are allowed; what is drawn is drawn four times a second."""
FIRST = 0.75
"""Seconds from when Python starts to read the command to the first line; it is drawn after a quarter of a second."""
SMALL = ["dataset.options.num_nodes=3000", "dataset.options.num_edges=20000", "--epochs", "2", "--device", "cpu"]


def on_terminal(
    arguments: List[str], environment: Dict[str, str], cwd: Path, columns: int = 100
) -> Tuple[List[Tuple[float, str]], int]:
    """What the command writes to a pseudo-terminal, with the seconds since its start, and its exit code."""
    start = time.monotonic()
    process, reading = pty.fork()
    if not process:
        os.chdir(cwd)
        os.environ.update(environment, COLUMNS=str(columns), TERM="xterm")
        os.execv(sys.executable, [sys.executable, "-m", "gnnkit", *arguments])
    found = []
    try:
        while True:
            try:
                piece = os.read(reading, 1 << 16)
            except OSError:  # Linux says so that the other end is closed.
                break
            if not piece:
                break
            found.append((time.monotonic() - start, piece.decode(errors="replace")))
    finally:
        os.close(reading)
        if not found:
            os.kill(process, signal.SIGKILL)
    return found, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kept_lines(pieces: List[Tuple[float, str]]) -> List[str]:
    """Lines of stages that have ended, as they stay on the terminal."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", "".join(piece for _, piece in pieces))
    return [line for line in re.split(r"[\r\n]+", text) if re.fullmatch(r"[a-z][\w ,]+: \d+\.\d s", line)]


def seconds_to_import(statement: str) -> float:
    """How long a new process takes to its first own line, after a statement."""
    start = time.monotonic()
    os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", statement])
    return time.monotonic() - start


def check_signs_of_life(pieces: List[Tuple[float, str]], code: int) -> None:
    assert code == 0, pieces
    started = seconds_to_import("import gnnkit.cli.main, rich.progress")
    begin = next(place for place, (_, piece) in enumerate(pieces) if "epoch 0/2" in piece)
    until_first_epoch = [moment for moment, _ in pieces[: begin + 1]]
    assert until_first_epoch[0] < 2 * started + FIRST, "nothing is shown while libraries are loaded"
    gaps = [later - earlier for earlier, later in zip(until_first_epoch, until_first_epoch[1:])]
    assert max(gaps) < SILENT
    assert "loading libraries" in pieces[0][1] + pieces[1][1]


def test_a_terminal_shows_the_stages_before_the_first_epoch(tmp_path: Path) -> None:
    pieces, code = on_terminal(["run", "--dataset", "synthetic", *SMALL], {}, tmp_path)
    check_signs_of_life(pieces, code)


@pytest.mark.long
def test_every_stage_that_takes_half_a_second_has_a_line_on_facebook_large(data_dir: Path, tmp_path: Path) -> None:
    arguments = ["run", "--dataset", "facebook_large", "--epochs", "2", "--device", "cpu", "--run-dir", "run"]
    arguments += ["--data-dir", str(data_dir)]
    pieces, code = on_terminal(arguments, {"GNNKIT_CACHE": str(tmp_path / "cache")}, tmp_path)
    check_signs_of_life(pieces, code)
    lines = kept_lines(pieces)
    log = (tmp_path / "run" / "log.txt").read_text()
    logged = re.findall(r"stage: (.*): (\d+\.\d) s", log)
    # A stage of about half a second may fall on either side.
    assert {what for what, seconds in logged if float(seconds) > WORTH_A_LINE + 0.1} <= {
        line.rpartition(":")[0] for line in lines
    }
    assert any(line.startswith("projecting 4,714 words on 512 features: ") for line in lines)
    assert any(line.startswith("reading facebook_large: ") for line in lines)


def run_karate(*more: str, cwd: Path):
    arguments = ["run", "--dataset", "karate", "--epochs", "3", "--device", "cpu", "--run-dir", "run", *more]
    done = gnnkit_here(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def test_quiet_shows_the_result_and_nothing_else(tmp_path: Path) -> None:
    done = run_karate("--quiet", cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.startswith("Result") and "test accuracy" in done.stdout


def test_verbose_shows_versions_settings_and_every_stage(tmp_path: Path) -> None:
    done = run_karate("--verbose", cwd=tmp_path)
    stages = [line.rpartition(":")[0] for line in done.stderr.splitlines() if line.endswith(" s")]
    assert {"reading karate", "building the model", "checking the data", "testing the best model"} <= set(stages)
    assert "Versions" in done.stdout and "torch" in done.stdout
    assert (tmp_path / "run" / "config.yaml").read_text() in done.stdout


def test_quiet_and_verbose_are_refused_together(tmp_path: Path) -> None:
    done = gnnkit_here("run", "--quiet", "--verbose", cwd=tmp_path)
    assert done.returncode == 2 and "--quiet" in done.stderr


@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["shown", "quiet"])
def test_the_log_has_what_was_shown_and_warnings(quiet: List[str], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "edges.csv").write_text("source,target\n" + "".join(f"{i},{(i + 1) % 12}\n" for i in range(12)) + "3,3\n")
    rows = (f"{i},{i * 0.5},{'ab'[i % 2]},{('train', 'valid', 'test')[i // 4]}\n" for i in range(12))
    (folder / "nodes.csv").write_text("id,size,label,split\n" + "".join(rows))
    arguments = ["run", "--dataset", str(folder), "--epochs", "2", "--device", "cpu", "--run-dir", "run", *quiet]
    done = gnnkit_here(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "run" / "log.txt").read_text()
    shown = [line for line in done.stderr.splitlines() if line.startswith("epoch ")]
    assert len(shown) == (0 if quiet else 2)
    for line in shown:
        assert line in log
    assert log.count("  epoch ") == 2 and "nodes: 12" in log and "complete: best epoch" in log


def test_a_log_says_how_a_run_ended(tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", "--lr", "1e30", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "ended: TrainingError: Training diverged" in (tmp_path / "run" / "log.txt").read_text().splitlines()[-1]
