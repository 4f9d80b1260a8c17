"""Plugins that cannot work cost their own line, nothing else. They are real packages on the path, not stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Dict

import pytest

from gnnkit.devices.products import has_onednn
from gnnkit.testing import conform
from tests.commands import answer, gnnkit_command, gnnkit_here
from tests.plugins import NARROW, environment_with, install, use

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
    "hangs": (HANG, "no answer within 12 s"),
    "old": (BACKEND.format(name="old") + "    api_version = 0", "version 0 of the plugin interface, this is version 1"),
}
REFUSED = ("raises", "exits", "old")

MARK = "\nimport os, pathlib\npathlib.Path(os.environ['LOADED']).touch()"


def install_double(site: Path) -> None:
    """Two distributions with a backend of one name; the first leaves a mark when it is imported, the second fails."""
    install(site, "double", BACKEND.format(name="double") + MARK, distribution="First_One")
    install(site, "double", "raise RuntimeError('the second')", distribution="second.one")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """An environment with every backend of ``BROKEN``, two with one name, and two that work.

    There are broken devices and data sets, too, and a device that works.
    """
    site = tmp_path_factory.mktemp("site")
    for name, (source, _) in BROKEN.items():
        install(site, name, source)
    install(site, "good", BACKEND.format(name="good"))
    install(site, "narrow", NARROW)
    install_double(site)
    for name in ("crashes", "exits"):
        install(site, name, BROKEN[name][0], group="devices", distribution=f"device_{name}")
    install(site, "better", DEVICE.format(name="better"), group="devices")
    install(site, "stops", CRASH, group="datasets")
    settings = {"PID_FILE": str(site / "pid"), "LOADED": str(site / "loaded"), "GNNKIT_CACHE": str(site / "cache")}
    return environment_with(site, GNNKIT_PROBE_SECONDS="12", **settings)


@pytest.fixture(scope="module")
def probed(environment: Dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Dict[str, dict]]:
    """What ``gnnkit doctor`` says in that environment; it probes each plugin in a process, which takes seconds."""
    return answer(gnnkit_command("doctor", "--json", cwd=tmp_path_factory.mktemp("cwd"), environment=environment))


@pytest.fixture(scope="module")
def listed(probed: Dict[str, Dict[str, dict]]) -> Dict[str, dict]:
    """What it says of backends."""
    return probed["backends"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose plugins are found by this process and by those that it starts; for plugins that do no harm."""
    site = tmp_path / "site"
    site.mkdir()
    use(site, monkeypatch)
    return site


def test_each_is_listed_with_its_cause(environment: Dict[str, str], listed: Dict[str, dict]) -> None:
    assert listed["reference"]["status"] == listed["good"]["status"] == "ready"
    for name, (_, cause) in BROKEN.items():
        assert listed[name]["status"] == "broken"
        assert cause in listed[name]["detail"]
    pid = Path(environment["PID_FILE"]).read_text()
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    assert state.strip() in ("", "Z"), "the process that a plugin had started still runs"


@pytest.mark.long
def test_backends_lists_the_same_and_what_they_declare(
    environment: Dict[str, str], listed: Dict[str, dict], tmp_path: Path
) -> None:
    done = gnnkit_command("backends", "--capabilities", "--json", cwd=tmp_path, environment=environment)
    told = answer(done)
    assert {name: each["status"] for name, each in told.items()} == {
        name: each["status"] for name, each in listed.items()
    }
    declared = {"convs": ["gcn"], "devices": ["cpu"], "dtypes": ["float32"], "exports": [], "note": "It is young."}
    declared.update(aggregations=["max", "mean"], edge_convs=[], excludes=[])
    assert told["narrow"]["capabilities"] == declared


def test_doctor_answers(probed: Dict[str, Dict[str, dict]]) -> None:
    for kind, name in (("backends", "reference"), ("devices", "cpu"), ("tasks", "node_classification")):
        assert probed[kind][name]["status"] == "ready"
    assert probed["devices"]["better"]["status"] == "ready" and "SIGSEGV" in probed["devices"]["crashes"]["detail"]


@pytest.mark.skipif(not has_onednn(), reason="this torch cannot multiply with oneDNN")
def test_doctor_tells_who_multiplies(environment: Dict[str, str], probed: Dict[str, Dict[str, dict]]) -> None:
    file, told = Path(environment["GNNKIT_CACHE"]) / "products.json", probed["products"]
    assert told["file"] == str(file) and told["is_measured"] is True
    kept = json.loads(file.read_text()).values()
    assert {name: told[name] for name in ("library", "bfloat16", "speedups", "measured")} in kept


def test_those_with_one_name_are_listed_and_not_loaded(environment: Dict[str, str], listed: Dict[str, dict]) -> None:
    for name in ("double@first-one", "double@second-one"):
        assert listed[name]["status"] == "ambiguous"
        assert "double@first-one or double@second-one" in listed[name]["fix"]
    assert not Path(environment["LOADED"]).exists()


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_one_is_refused(name: str, site: Path, tmp_path: Path) -> None:
    install(site, name, BROKEN[name][0])
    done = gnnkit_here("run", "--backend", name, "--dataset", "karate", cwd=tmp_path)
    assert done.returncode == 2
    assert f"'{name}' is installed but cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_beside_broken_backends_devices_and_data_sets_others_run(environment: Dict[str, str], tmp_path: Path) -> None:
    arguments = ("run", "--backend", "good", "--dataset", "karate", "--epochs", "1", "--json")
    values = answer(gnnkit_command(*arguments, cwd=tmp_path, environment=environment))
    assert values["backend"] == "good"
    assert values["device"] == "better"  # "auto" still sees what works.


def test_beside_a_broken_data_set_others_are_listed(environment: Dict[str, str], tmp_path: Path) -> None:
    summaries = answer(gnnkit_command("datasets", "--json", cwd=tmp_path, environment=environment))
    assert {"digits", "karate", "cora", "facebook_large"} <= set(summaries)
    assert "SIGSEGV" in summaries["stops"] and "34 members" in summaries["karate"]


def test_of_two_with_one_name_the_user_picks(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_double(site)
    monkeypatch.setenv("LOADED", str(tmp_path / "loaded"))
    run = ("run", "--dataset", "karate", "--epochs", "1", "--json", "--backend")
    for command in (run, ("conform",)):
        done = gnnkit_here(*command, "double", cwd=tmp_path)
        assert done.returncode == 2
        assert "2 distributions claim this name" in done.stderr and "double@first-one" in done.stderr
        done = gnnkit_here(*command, "double@second-one", cwd=tmp_path)
        assert done.returncode == 2 and "the second" in done.stderr
    assert not (tmp_path / "loaded").exists()
    done = gnnkit_here(*run, "double@first-one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "loaded").exists()
    config = next((tmp_path / "runs").glob("*/config.yaml"))
    assert "backend: double@first-one\n" in config.read_text()  # So the run can be repeated from it.


DATASET = """
from dataclasses import dataclass
from gnnkit.datasets.karate import Karate
@dataclass(frozen=True)
class Plugin(Karate):
    name = "twins"
"""


def test_of_two_with_one_name_each_can_be_checked(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADED", os.devnull)
    install_double(site)
    for group, name, source in (("devices", "pair", DEVICE.format(name="pair")), ("datasets", "twins", DATASET)):
        for number, suffix in (("first", ""), ("second", "\nraise RuntimeError('the second')")):
            install(site, name, source + suffix, group=group, distribution=f"{number}-{name}")
    # The check without libraries finds the plugin by its name, in a process of its own.
    for name, checks in (
        ("double@first-one", ["declaration", "missing_library"]),
        ("pair@first-pair", ["declaration"]),
        ("twins@first-twins", ["declaration", "loads"]),
    ):
        report = conform(name, only=checks)
        assert len(report.passed) == len(checks), report.problems or report.skipped


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


def test_options_of_plugins(site: Path, tmp_path: Path) -> None:
    use = "    options_class = Settings\n"
    install(site, "geared", OPTIONS + BACKEND.format(name="geared") + use)
    install(site, "wheeled", OPTIONS + DEVICE.format(name="wheeled") + use, group="devices")
    done = gnnkit_here("run", "--help-config", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sections = json.loads(done.stdout.splitlines()[-1])
    described = {"type": "int", "default": "3", "meaning": "How fast, in gears, from 1 to 5."}
    assert sections["Backend geared"] == {"backend_options.speed": described}
    assert sections["Device wheeled"] == {"device_options.speed": described}
    assert sections["Training"]["train.weighted"]["default"] == "false"
    assert sections["Data set synthetic"]
    run = ("run", "--dataset", "karate", "--epochs", "1", "--backend", "geared", "--device", "wheeled")
    done = gnnkit_here(*run, "backend_options.speed=5", "device_options.speed=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = next((tmp_path / "runs").glob("*/config.yaml")).read_text()
    assert "speed: 5" in config and "speed: 2" in config
    for setting, words in (
        ("backend_options.sped=5", "Unknown option of backend 'geared': 'sped'. Did you mean 'speed'?"),
        ("device_options.speed=fast", "Option 'speed' of device 'wheeled' is 'fast', expected int."),
    ):
        done = gnnkit_here(*run, setting, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr


MEAN_ONLY = """
from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend
class Plugin(ReferenceBackend):
    name = "mean-only"
    capabilities = BackendCapabilities(
        aggregations=frozenset({"mean"}), excludes=({"conv": "gat", "precision": "bfloat16"},)
    )
"""
PARTICULAR = """
from gnnkit.devices import DeviceCapabilities
from gnnkit.devices.cpu import CpuDevice
class Plugin(CpuDevice):
    name = "particular"
    capabilities = DeviceCapabilities("cpu", backends=frozenset({"reference"}))
"""


# That each refusal is the right one is tested in tests/train/test_capabilities.py.
@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "particular"), "Device 'particular' does not take backend 'mean-only'; it takes reference."),
        (
            ("--device", "cpu", "--model", "gat", "train.precision=bfloat16"),
            "does not do conv 'gat' with precision 'bfloat16'",
        ),
        (
            ("--device", "cpu", "--model", "sage", "model.aggregation=max"),
            "has no 'sage' with aggregation 'max'; it has mean.",
        ),
        (
            ("--device", "cpu", "--model", "gat", "--backend", "narrow"),
            "Backend 'narrow' has no convolution 'gat'; it has gcn. It is young.",
        ),
    ],
)
def test_what_is_not_declared_is_refused_before_data_are_loaded(
    arguments: tuple, words: str, site: Path, tmp_path: Path
) -> None:
    install(site, "mean-only", MEAN_ONLY)
    install(site, "narrow", NARROW)
    install(site, "particular", PARTICULAR, group="devices")
    nowhere = ("run", "--dataset", "synthetic", "dataset.options.num_nodes=-1", "--backend", "mean-only")
    done = gnnkit_here(*nowhere, *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr
    can = done.stderr.split("Installed backends that can")[1].split(": ")[1].strip(" .\n").split(", ")
    assert "reference" in can and not {"mean-only", "narrow"} & set(can)
    assert not (tmp_path / "runs").exists()
