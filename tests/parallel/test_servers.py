"""Servers of a job: they run as long as the work, and one that dies ends it by a sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gnnkit.errors import ConfigError, GnnkitError, PeerError
from gnnkit.parallel.servers import Servers

SLEEP = [sys.executable, "-c", "import time; print('asleep', flush=True); time.sleep(600)"]


@pytest.fixture(autouse=True)
def _signals():
    """As the command line has it: SIGTERM is an exception."""

    def end(number: int, frame: Any) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def servers(tmp_path: Path, command: list[str] = SLEEP, **more: Any) -> Servers:
    settings = {"machine": 0, "machines": 1, "host": "127.0.0.1", "meeting": None, "limit": 5.0}
    return Servers(lambda _: (command, {"GNNKIT_TEST_SERVED": "1"}), log=tmp_path / "log", **{**settings, **more})


def children() -> list[int]:
    """Numbers of this process's children that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z" and b"asleep" in (stat.parent / "cmdline").read_bytes():
            found.append(int(stat.parent.name))
    return found


def work(*, kill: bool = False) -> None:
    """Work that does not end by itself; it may kill the server."""
    if kill:
        time.sleep(0.5)
        os.kill(children()[0], signal.SIGKILL)
    time.sleep(60)


def test_a_server_runs_as_long_as_the_work(tmp_path):
    with servers(tmp_path):
        assert os.environ["GNNKIT_TEST_SERVED"] == "1" and len(children()) == 1
    assert "GNNKIT_TEST_SERVED" not in os.environ and not children()
    with pytest.raises(ConfigError, match="the work's own"), servers(tmp_path):
        raise ConfigError("the work's own")
    assert not children()


def test_a_dead_server_ends_the_work(tmp_path):
    begin = time.monotonic()
    words = r"server of machine 0 \(127.0.0.1:\d+, process \d+\) was ended by SIGKILL"
    with pytest.raises(GnnkitError, match=words), servers(tmp_path):
        work(kill=True)
    assert time.monotonic() - begin < 10
    words, fails = "ended with exit code 3, .* It said: no such part", "import sys; print('no such part'); sys.exit(3)"
    with pytest.raises(GnnkitError, match=words), servers(tmp_path, [sys.executable, "-c", fails]):
        work()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_machine_that_does_not_come_is_named(tmp_path):
    meeting = ("127.0.0.1", free_port())
    lonely = servers(tmp_path, machines=2, meeting=meeting, limit=1.0)
    with pytest.raises(PeerError, match="Machine 1 of 2 did not come .* --node-rank 1"), lonely:
        work()


OTHER = """
import sys, time
from gnnkit.errors import GnnkitError
from gnnkit.parallel.servers import Servers
from pathlib import Path
command = [sys.executable, "-c", "import time; time.sleep(600)"]
where = {"machine": 1, "machines": 2, "host": "127.0.0.1", "meeting": ("127.0.0.1", PORT)}
with Servers(lambda found: (command, {}), **where, limit=20.0, log=Path("LOG")):
    time.sleep(1)
    if "WHAT" == "fail":
        raise GnnkitError("out of beans")
"""


@pytest.mark.parametrize("what", [pytest.param("end", marks=pytest.mark.long), "fail"])
def test_two_machines(tmp_path, what):
    port = free_port()
    text = OTHER.replace("PORT", str(port)).replace("LOG", str(tmp_path / "other")).replace("WHAT", what)
    other = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)
    ours = servers(tmp_path, machines=2, meeting=("127.0.0.1", port), limit=20.0)
    try:
        if what == "end":
            with ours:
                time.sleep(3)  # The other one has done its work, and waits with its server for us.
                assert other.poll() is None
            assert other.wait(10) == 0
        else:
            with pytest.raises(GnnkitError, match="Machine 1 has ended, .* It said: out of beans"), ours:
                work()
            assert other.wait(10) == 1
    finally:
        other.kill()
        other.communicate()
