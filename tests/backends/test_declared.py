"""What tests skip: what a backend does not declare, and nothing that one of gnnkit's own backends does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gnnkit.backends import backends
from tests.conftest import installed_backends, undeclared
from tests.plugins import NARROW, environment_with, install

LEFT_OUT = {"reference": set(), "pyg": set(), "dgl": set(), "ipu": {"bfloat16", "float64"}}
"""Models and precisions that our own backends do not have, on whatever hardware they are built for."""

TESTS = """
import pytest
import gnnkit
from gnnkit.errors import CapabilityError
from tests.graphs import communities

@pytest.mark.parametrize("model", ["gcn", "gat"])
def test_model(backend_name, model):
    gnnkit.build_model(model, communities(), backend=backend_name)

def test_precision(backend_name):
    model = gnnkit.build_model("gcn", communities())
    gnnkit.Trainer(backend_name, "cpu", epochs=1, precision="bfloat16", progress=False).fit(model, communities())

def test_refused_though_declared(backend_name):
    raise CapabilityError(f"Backend {backend_name!r} has no convolution 'gcn'.")

def test_of_no_backend():
    raise CapabilityError("Backend 'narrow' has no convolution 'gat'.")
"""


@pytest.mark.parametrize("name", [name for name in installed_backends() if backends.is_ours(name)])
def test_what_our_own_backends_leave_out(name: str) -> None:
    assert undeclared(name) - {"cpu", "cuda"} == LEFT_OUT[name]


def outcome(case: ElementTree.Element) -> str:
    """How one test of a report ended: passed, failed, or the reason for which it was skipped."""
    skipped = case.find("skipped")
    if skipped is not None:
        return skipped.attrib["message"]
    return "passed" if case.find("failure") is None else "failed"


def test_only_what_is_not_declared_is_skipped(tmp_path: Path) -> None:
    install(tmp_path, "narrow", NARROW)
    (tmp_path / "test_cases.py").write_text(TESTS)
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        + [str(tmp_path)],
        env=environment_with(tmp_path, GNNKIT_TEST_BACKENDS="reference,narrow"),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.is_file(), done.stdout + done.stderr
    cases = ElementTree.parse(report).getroot().iter("testcase")
    assert {case.attrib["name"]: outcome(case) for case in cases} == {
        "test_model[reference-gcn]": "passed",
        "test_model[reference-gat]": "passed",
        "test_model[narrow-gcn]": "passed",
        "test_model[narrow-gat]": "backend narrow does not declare gat",
        "test_precision[reference]": "passed",
        "test_precision[narrow]": "backend narrow does not declare bfloat16",
        "test_refused_though_declared[reference]": "failed",
        "test_refused_though_declared[narrow]": "failed",
        "test_of_no_backend": "failed",
    }, done.stdout
