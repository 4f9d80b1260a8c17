"""Which device is taken, what is said about it, and what ``gnnkit doctor`` finds on all kinds of machines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from gnnkit.backends import load_backend
from gnnkit.devices import choose_device
from gnnkit.errors import CapabilityError
from gnnkit_ipu.device import IpuDevice
from tests.commands import gnnkit_command, gnnkit_here

RUN = ["run", "--backend", "ipu", "--dataset", "karate", "--epochs", "2", "--json"]
HERE = torch.__version__.split("+")[0]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """A run on a machine without the SDK, and its folder."""
    folder = tmp_path_factory.mktemp("emulated")
    return gnnkit_command(*RUN, cwd=folder), folder


def test_without_the_sdk_auto_takes_the_emulator_and_says_so(emulated):
    done, tmp_path = emulated
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    assert values["device"] == "ipu-emulator" and values["compile_seconds"] > 0
    assert done.stderr.count("Using its stand-in 'ipu-emulator'") == 1
    assert "PopTorch is not installed" in done.stderr
    assert "consistent with the documented restrictions" in done.stderr
    manifest = json.loads(next(tmp_path.glob("runs/*/manifest.json")).read_text())
    assert manifest["device"]["name"] == "ipu-emulator" and manifest["status"] == "complete"


def test_without_hardware_device_ipu_says_what_is_missing(tmp_path):
    done = gnnkit_here(*RUN, "--device", "ipu", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for words in ("PopTorch is not installed", "POPLAR_SDK_ENABLED", "Poplar SDK 3.4", "torch 2.0.1"):
        assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()


def test_other_backends_never_meet_the_devices(caplog):
    assert choose_device("auto", load_backend("reference")).name in ("cpu", "cuda") and not caplog.records
    with pytest.raises(CapabilityError, match="does not run on device 'ipu-emulator'"):
        choose_device("ipu-emulator", load_backend("pyg"))
    assert choose_device("cpu", load_backend("ipu")).name == "cpu"


def test_with_hardware_auto_takes_it_and_the_code_is_the_same(poptorch_here, emulated, tmp_path, caplog):
    poptorch_here()
    done = gnnkit_here(*RUN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    assert values["device"] == "ipu" and "stand-in" not in caplog.text
    assert values["train_loss"] == json.loads(emulated[0].stdout.splitlines()[-1])["train_loss"]


def test_the_software_model_needs_no_hardware(poptorch_here, tmp_path):
    poptorch_here(hardware=False)
    done = gnnkit_here(*RUN, "--device", "ipu", "device_options.ipu_model=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["device"] == "ipu"


def test_an_error_of_poptorch_itself_is_a_clear_one(poptorch_here, tmp_path):
    code = "def trainingModel(*a, **k):\n    raise Error('In poptorch/foo.cpp:12: no lowering for aten::magic')\n"
    poptorch_here(add=code)
    done = gnnkit_here(*RUN, "--device", "ipu", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "PopTorch refuses the program" in done.stderr and "aten::magic" in done.stderr
    assert json.loads(next(tmp_path.glob("runs/*/manifest.json")).read_text())["status"] == "failed"


def test_probe_ready(poptorch_here):
    poptorch_here()
    found = IpuDevice.probe()
    assert found.status == "ready" and "PopTorch 3.4.0" in found.detail and not found.fix


def test_probe_no_hardware(poptorch_here, monkeypatch):
    poptorch_here(hardware=False)
    found = IpuDevice.probe()
    assert found.status == "no hardware" and "no IPU was found" in found.detail and "ipu_model" in found.fix
    monkeypatch.setenv("POPTORCH_IPU_MODEL", "1")
    assert IpuDevice.probe().status == "ready"


@pytest.mark.parametrize(
    "code, how, detail, fix",
    [
        ("raise AssertionError('wrong torch')", {}, "PopTorch was built for torch 2.0.1", "pip install torch==2.0.1"),
        ("", {"requires": "torch ==0.4.0"}, f"built for torch 0.4.0, this is torch {HERE}", "torch==0.4.0"),
        (
            "raise ImportError('libpoplar.so: not found')",
            {"sdk": False},
            "is not enabled in this shell",
            "source <sdk>",
        ),
        ("raise ImportError('undefined symbol')", {}, "undefined symbol", "a wheel fits one Python version"),
        ("raise RuntimeError('odd')", {}, "RuntimeError: odd", "Poplar SDK 3.4"),
    ],
    ids=["asserts", "metadata", "no SDK", "another SDK", "anything"],
)
def test_probe_broken(poptorch_here, code, how, detail, fix):
    poptorch_here(code, **how)
    found = IpuDevice.probe()
    assert found.status == "broken" and detail in found.detail and fix in found.fix


def test_importing_the_plugin_is_light():
    code = (
        "import sys, gnnkit_ipu.device, gnnkit_ipu.backend; "
        "print([m for m in ('poptorch', 'torch_geometric', 'gnnkit_ipu.emulator') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
