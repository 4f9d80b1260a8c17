"""``conform`` on plugins of others: where they fail, what they print, which checks are made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gnnkit.errors import UnknownNameError
from gnnkit.testing import conform
from gnnkit.testing.training import MODELS
from tests.commands import gnnkit_command
from tests.plugins import environment_with, install

FAILING = """
import os
from gnnkit.backends.reference import ReferenceBackend

os.write(1, b"imported\\n")
print("imported")

class Plugin(ReferenceBackend):
    name = "failing"

    def lower(self, block):
        os.write(1, b"lowered\\n")
        print("lowered")
        if block.num_dst > 3:
            raise ValueError("too many nodes")
        return block

    def parameter_map(self, spec):
        return helper(spec)

def helper(spec):
    return {}[spec.kind]
"""

DEVICE = """
import atexit
from gnnkit.devices.cpu import CpuDevice

atexit.register(print, "the end")

class Plugin(CpuDevice):
    name = "chatty"

    @classmethod
    def probe(cls):
        print("probed", end="")
        return super().probe()

    def put(self, batch):
        print("put")
        raise RuntimeError("no room")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    install(site, "failing", FAILING)
    install(site, "chatty", DEVICE, group="devices")
    return site


def line_of(source: str, text: str) -> int:
    return 1 + next(i for i, line in enumerate(source.splitlines()) if text in line)


def test_a_failure_shows_where_the_plugin_raised(site: Path, tmp_path: Path) -> None:
    arguments = ("conform", "failing", "--only", "direction", "--only", "outputs[gcn]", "--only", "parameters[gin]")
    done = gnnkit_command(*arguments, "--json", cwd=tmp_path, environment=environment_with(site))
    assert done.returncode == 1
    values = json.loads(done.stdout)  # One line: nothing that the plugin printed is in it.
    by_id = {f"{result['check']}[{result['case']}]": result for result in values["results"]}
    assert set(by_id) > {"direction[gcn, widening]", "direction[pna]", "outputs[gcn]", "parameters[gin]"}
    assert {check for check, _, _ in (name.partition("[") for name in by_id)} == {"direction", "outputs", "parameters"}
    place = f"plugin_failing.py:{line_of(FAILING, 'return {}[')} in helper"
    assert by_id["parameters[gin]"]["where"] == by_id["direction[gat]"]["where"] == place
    assert f"parameters[gin]: it raised KeyError: 'gin' (at {place})" in values["problems"]


def test_without_debug_nothing_of_the_plugin_is_printed_and_with_it_everything(site: Path, tmp_path: Path) -> None:
    arguments = (
        "conform",
        "failing",
        "--only",
        "inputs[gcn]",
        "--only",
        "node_order[gcn]",
        "--only",
        "parameters[gcn]",
    )
    done = gnnkit_command(*arguments, cwd=tmp_path, environment=environment_with(site))
    assert done.returncode == 1 and "imported" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr and "in helper" in done.stdout
    done = gnnkit_command(*arguments, "--debug", cwd=tmp_path, environment=environment_with(site))
    assert done.returncode == 1
    assert "imported" not in done.stdout and done.stderr.count("imported\n") == 2
    assert "Traceback (most recent call last)" in done.stderr and "return {}[spec.kind]" in done.stderr


def test_what_a_device_prints_is_not_in_the_json_line_and_its_probe_is_understood(site: Path, tmp_path: Path) -> None:
    arguments = ("conform", "chatty", "--only", "missing_library", "--only", "put", "--only", "many_s*", "--json")
    done = gnnkit_command(*arguments, cwd=tmp_path, environment=environment_with(site))
    values = json.loads(done.stdout.splitlines()[0])
    ended = {(result["check"], result["status"]) for result in values["results"]}
    assert ended == {("missing_library", "passed"), ("put", "failed"), ("many_steps", "failed")}
    assert all("plugin_chatty.py" in result["where"] for result in values["results"] if result["status"] == "failed")


@pytest.mark.parametrize(
    ("only", "ids"),
    [
        (["start[gcn]"], ["start[gcn]"]),
        (["st*"], [f"start[{case}]" for case in MODELS]),
        (["par*[gcn]", "decl*"], ["declaration", "parameters[gcn]"]),
    ],
)
def test_checks_are_chosen_by_name_case_and_pattern(only: list, ids: list) -> None:
    assert [result.id for result in conform("reference", only=only).results] == ids


@pytest.mark.parametrize("only", ["outputs[gnc]", "outptus", "x*", "[gcn]"])
def test_a_choice_that_means_no_check_is_refused(only: str) -> None:
    with pytest.raises(UnknownNameError, match="check of a backend"):
        conform("reference", only=[only])
