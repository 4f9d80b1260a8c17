"""Plugins that cannot work cost their own line, nothing else. They are real packages on the path, not stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest

from tests.plugins import environment_with, gnnkit_command, install

BACKEND = """
from gnnkit.backends.reference import ReferenceBackend
class Plugin(ReferenceBackend):
    name = {name!r}
"""
DEVICE = """
from gnnkit.devices.cpu import CpuDevice
class Plugin(CpuDevice):
    name = {name!r}
    priority = 99
"""
CRASH = "import ctypes\nctypes.string_at(0)"
# The one that hangs has a process of its own, which must not be left behind.
HANG = """
import os, pathlib, subprocess, time
child = subprocess.Popen(["sleep", "600"])
pathlib.Path(os.environ["PID_FILE"]).write_text(str(child.pid))
time.sleep(600)
"""
BROKEN = {
    "raises": ("raise RuntimeError('no licence server')", "no licence server"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "ends": ("import os\nos._exit(0)", "ended the interpreter with code 0"),
    "crashes": (CRASH, "SIGSEGV"),
    "hangs": (HANG, "no answer within 20 s"),
    "old": (BACKEND.format(name="old") + "    api_version = 0", "version 0 of the plugin interface, this is version 1"),
}
REFUSED = ("raises", "exits", "old")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """An environment with every backend of ``BROKEN``, and one that works."""
    site = tmp_path_factory.mktemp("site")
    for name, (source, _) in BROKEN.items():
        install(site, name, source)
    install(site, "good", BACKEND.format(name="good"))
    return environment_with(site, GNNKIT_PROBE_SECONDS="20", PID_FILE=str(site / "pid"))


def test_each_is_listed_with_its_cause(environment: Dict[str, str], tmp_path: Path) -> None:
    done = gnnkit_command(environment, "backends", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["reference"]["status"] == answers["good"]["status"] == "ready"
    for name, (_, cause) in BROKEN.items():
        assert answers[name]["status"] == "broken"
        assert cause in answers[name]["detail"]
    pid = Path(environment["PID_FILE"]).read_text()
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    assert state.strip() in ("", "Z"), "the process that a plugin had started still runs"


def test_a_broken_one_is_refused_and_others_run(environment: Dict[str, str], tmp_path: Path) -> None:
    for name in REFUSED:
        done = gnnkit_command(environment, "run", "--backend", name, "--dataset", "karate", cwd=tmp_path)
        assert done.returncode == 2, name
        assert f"'{name}' is installed but cannot be used" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
    for name in ("good", "reference"):
        arguments = ("run", "--backend", name, "--dataset", "karate", "--epochs", "1", "--json")
        done = gnnkit_command(environment, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["backend"] == name


def test_broken_devices_and_data_sets_do_not_keep_a_run_from_its_device(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("crashes", "exits"):
        install(site, name, BROKEN[name][0], group="devices")
    install(site, "better", DEVICE.format(name="better"), group="devices")
    install(site, "stops", CRASH, group="datasets")
    environment = environment_with(site)
    done = gnnkit_command(environment, "run", "--dataset", "karate", "--epochs", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["device"] == "better"  # "auto" still sees what works.
    done = gnnkit_command(environment, "datasets", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summaries = json.loads(done.stdout.splitlines()[-1])
    assert "SIGSEGV" in summaries["stops"] and "34 members" in summaries["karate"]


def test_of_two_with_one_name_the_user_picks(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    mark = "\nimport os, pathlib\npathlib.Path(os.environ['LOADED']).touch()"
    install(site, "double", BACKEND.format(name="double") + mark, distribution="First_One")
    install(site, "double", "raise RuntimeError('the second')", distribution="second.one")
    environment = environment_with(site, LOADED=str(tmp_path / "loaded"))
    answers = json.loads(gnnkit_command(environment, "backends", "--json", cwd=tmp_path).stdout.splitlines()[-1])
    for name in ("double@first-one", "double@second-one"):
        assert answers[name]["status"] == "ambiguous"
        assert "double@first-one or double@second-one" in answers[name]["fix"]
    run = ("run", "--dataset", "karate", "--epochs", "1", "--json", "--backend")
    done = gnnkit_command(environment, *run, "double", cwd=tmp_path)
    assert done.returncode == 2
    assert "2 distributions claim this name" in done.stderr and "double@first-one" in done.stderr
    assert not (tmp_path / "loaded").exists()
    done = gnnkit_command(environment, *run, "double@second-one", cwd=tmp_path)
    assert done.returncode == 2 and "the second" in done.stderr
    assert not (tmp_path / "loaded").exists()
    done = gnnkit_command(environment, *run, "double@first-one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "loaded").exists()
    config = next((tmp_path / "runs").glob("*/config.yaml"))
    assert "backend: double@first-one\n" in config.read_text()  # So the run can be repeated from it.
    done = gnnkit_command(environment, "run", str(config), "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1])["backend"] == "double", done.stderr


CONFORM = """
from gnnkit.testing import conform
for name in ("double@first-one", "pair@first-pair", "twins@first-twins"):
    report = conform(name, only=['declaration'])
    print(report.kind, len(report.passed), report.problems)
"""
DATASET = """
from dataclasses import dataclass
from gnnkit.datasets.karate import Karate
@dataclass(frozen=True)
class Plugin(Karate):
    name = "twins"
"""


def test_of_two_with_one_name_each_can_be_checked(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for distribution, suffix in (("First-One", ""), ("second.one", "\nraise RuntimeError('the second')")):
        first_or_second = distribution[:-4]
        install(site, "double", BACKEND.format(name="double") + suffix, distribution=distribution)
        install(
            site, "pair", DEVICE.format(name="pair") + suffix, group="devices", distribution=f"{first_or_second}-pair"
        )
        install(site, "twins", DATASET + suffix, group="datasets", distribution=f"{first_or_second}-twins")
    environment = environment_with(site)
    done = gnnkit_command(environment, "conform", "double", cwd=tmp_path)
    assert done.returncode == 2
    assert "2 distributions claim this name" in done.stderr and "double@first-one or double@second-one" in done.stderr
    done = gnnkit_command(environment, "conform", "double@second-one", cwd=tmp_path)
    assert done.returncode == 2 and "the second" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", CONFORM], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["backend 1 []", "device 1 []", "dataset 1 []"], done.stdout + done.stderr


OPTIONS = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Settings:
    '''Settings.

    Attributes:
        speed: How fast, in gears,
            from 1 to 5.
    '''

    speed: int = 3
"""


def test_options_of_plugins(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    use = "    options_class = Settings\n"
    install(site, "geared", OPTIONS + BACKEND.format(name="geared") + use)
    install(site, "wheeled", OPTIONS + DEVICE.format(name="wheeled") + use, group="devices")
    environment = environment_with(site)
    done = gnnkit_command(environment, "run", "--help-config", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sections = json.loads(done.stdout.splitlines()[-1])
    described = {"type": "int", "default": "3", "meaning": "How fast, in gears, from 1 to 5."}
    assert sections["Backend geared"] == {"backend_options.speed": described}
    assert sections["Device wheeled"] == {"device_options.speed": described}
    assert sections["Training"]["train.weighted"]["default"] == "false"
    assert sections["Data set synthetic"]
    run = ("run", "--dataset", "karate", "--epochs", "1", "--backend", "geared", "--device", "wheeled")
    done = gnnkit_command(environment, *run, "backend_options.speed=5", "device_options.speed=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = next((tmp_path / "runs").glob("*/config.yaml")).read_text()
    assert "speed: 5" in config and "speed: 2" in config
    for setting, words in (
        ("backend_options.sped=5", "Unknown option of backend 'geared': 'sped'. Did you mean 'speed'?"),
        ("device_options.speed=fast", "Option 'speed' of device 'wheeled' is 'fast', expected int."),
    ):
        done = gnnkit_command(environment, *run, setting, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr


NARROW = """
from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend
class Plugin(ReferenceBackend):
    name = "narrow"
    capabilities = BackendCapabilities(
        convs=frozenset({"gcn"}), devices=frozenset({"cpu"}), dtypes=frozenset({"float32"}), note="It is young."
    )
"""


def test_capabilities_are_checked_before_data_are_loaded(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "narrow", NARROW)
    environment = environment_with(site)
    nowhere = ("run", "--dataset", "synthetic", "dataset.options.num_nodes=-1", "--backend", "narrow")
    done = gnnkit_command(environment, *nowhere, "--model", "gat", cwd=tmp_path)
    assert done.returncode == 2
    assert "Backend 'narrow' has no model 'gat'; it has gcn. It is young." in done.stderr
    listed = done.stderr.split("Installed backends that can: ")[1].strip(" .\n").split(", ")
    assert "reference" in listed and "narrow" not in listed
    done = gnnkit_command(environment, "backends", "--capabilities", "--json", cwd=tmp_path)
    declared = json.loads(done.stdout.splitlines()[-1])["narrow"]["capabilities"]
    assert declared == {"convs": ["gcn"], "devices": ["cpu"], "dtypes": ["float32"], "note": "It is young."}


def test_doctor_and_datasets_answer(tmp_path: Path) -> None:
    environment = dict(os.environ)
    values = json.loads(gnnkit_command(environment, "doctor", "--json", cwd=tmp_path).stdout.splitlines()[-1])
    assert values["devices"]["cpu"]["status"] == values["backends"]["reference"]["status"] == "ready"
    values = json.loads(gnnkit_command(environment, "datasets", "--json", cwd=tmp_path).stdout.splitlines()[-1])
    assert {"digits", "karate", "cora", "facebook_large"} <= set(values)
