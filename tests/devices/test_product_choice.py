"""Who multiplies is measured once a machine, kept, recorded by runs, and taken from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import torch

import gnnkit
from gnnkit.devices import load_device
from gnnkit.devices.product_choice import (
    ProductChoice,
    best_in_bfloat16,
    best_library,
    is_alone,
    measure_products,
    product_choice,
)
from gnnkit.devices.products import has_onednn, has_packing
from gnnkit.io.yaml_files import read_yaml
from gnnkit.runs import read_run
from gnnkit.stages import Listener, heard_by
from tests.commands import gnnkit_here

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this torch cannot multiply with oneDNN")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    """The file that a first measurement leaves."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNKIT_CACHE", str(cache))
        choice = product_choice()
    values: Dict[str, Any] = json.loads((cache / "products.json").read_text())
    (kept,) = values.values()
    assert choice.is_measured and choice.speedups == kept["speedups"]
    assert (choice.library, choice.bfloat16) == (kept["library"], kept["bfloat16"])
    return values


def write_choice(cache: Path, measured: Dict[str, Any], library: str, bfloat16: str = "torch") -> Path:
    """A cache in which somebody has chosen what the measurement does not speak for."""
    speedup = {"torch": 2.0, "onednn": 0.5, "mixed": 0.5}[library]
    (machine,) = measured
    speedups = dict.fromkeys(measured[machine]["speedups"], speedup)
    speedups[IN_BFLOAT16] = {"torch": 2.0, "widened": 0.5}[bfloat16]
    cache.mkdir()
    file = cache / "products.json"
    choice = {"library": library, "bfloat16": bfloat16, "speedups": speedups, "measured": "2020-01-01"}
    file.write_text(json.dumps({machine: choice}))
    return file


IN_BFLOAT16 = "2048 x 128 x 128, bfloat16"
LIBRARIES = ["torch", "onednn", pytest.param("mixed", marks=pytest.mark.skipif(not has_packing(), reason="no packing"))]


@pytest.mark.parametrize("bfloat16", ["torch", "widened"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_the_file_says_counts_and_is_told(
    library: str, bfloat16: str, measured: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_choice(tmp_path / "cache", measured, library, bfloat16)
    monkeypatch.setenv("GNNKIT_CACHE", str(file.parent))
    choice = product_choice()
    assert (choice.library, choice.is_measured, choice.measured) == (library, False, "2020-01-01")
    assert str(choice).startswith(f"{library}, because the file says so, although oneDNN was")
    assert choice.in_bfloat16().startswith(f"{bfloat16}, because the file says so, although products widened")
    assert load_device("cpu").settle({}) == {"products": library, "bfloat16_products": bfloat16}


def train(cache: Path, run: Path, monkeypatch: pytest.MonkeyPatch, precision: str, **more: Any) -> Any:
    monkeypatch.setenv("GNNKIT_CACHE", str(cache))
    graph = gnnkit.load_dataset("synthetic", num_nodes=1500, num_edges=4000, num_features=300)
    model = gnnkit.build_model("sage", graph, hidden_channels=256)
    settings = {"precision": precision, "epochs": more.pop("epochs", 4)}
    trainer = gnnkit.Trainer(device="cpu", run_dir=run, progress=False, **settings)
    return trainer.fit(model, graph, **more)


@pytest.mark.parametrize(
    ("precision", "choice", "other"),
    [
        ("float32", ("torch", "torch"), ("onednn", "torch")),
        ("float32", ("onednn", "torch"), ("torch", "torch")),
        ("bfloat16", ("torch", "widened"), ("torch", "torch")),
        ("bfloat16", ("torch", "torch"), ("torch", "widened")),
    ],
)
def test_runs_record_the_choice_and_go_on_with_it(
    precision: str,
    choice: Tuple[str, str],
    other: Tuple[str, str],
    measured: Dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    for cache, each in ((mine, choice), (elsewhere, other)):
        write_choice(cache, measured, *each)
    expected = dict(zip(("products", "bfloat16_products"), choice))
    whole = train(mine, tmp_path / "whole", monkeypatch, precision)
    assert read_yaml(tmp_path / "whole" / "config.yaml")["device_options"] == expected
    assert expected.items() <= read_run(tmp_path / "whole").manifest["device"].items()
    train(mine, tmp_path / "half", monkeypatch, precision, epochs=2)
    resumed = train(elsewhere, tmp_path / "resumed", monkeypatch, precision, resume=tmp_path / "half")
    assert expected.items() <= read_run(tmp_path / "resumed").manifest["device"].items()
    losses = [[record.train_loss for record in result.history] for result in (whole, resumed)]
    assert losses[0] == losses[1]
    differs = train(elsewhere, tmp_path / "differs", monkeypatch, precision)
    assert [record.train_loss for record in differs.history] != losses[0]


def test_reproducing_takes_the_recorded_choice(
    measured: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cache in ("torch", "onednn"):
        write_choice(tmp_path / cache, measured, cache)
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "onednn"))
    words = "run --dataset synthetic --model sage --device cpu --epochs 2 --run-dir made dataset.options.num_nodes=1500"
    words += " dataset.options.num_edges=4000 dataset.options.num_features=300 model.hidden_channels=256"
    assert gnnkit_here(*words.split(), cwd=tmp_path).returncode == 0
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "torch"))
    done = gnnkit_here("reproduce", "made", cwd=tmp_path)
    assert done.returncode == 0 and "identical" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "content",
    ["", "[1, 2]", "{", '{"MACHINE": 1}', '{"MACHINE": {"library": "fastest", "speedups": {"1": 2}, "measured": ""}}'],
)
def test_a_file_that_cannot_be_used_is_measured_anew(
    content: str,
    measured: Dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (machine,) = measured
    file = tmp_path / "products.json"
    file.write_text(content.replace("MACHINE", machine))
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path))
    assert product_choice().is_measured
    assert "measured again" in caplog.text
    assert set(json.loads(file.read_text())) == {machine}


def test_what_the_file_holds_of_others_stays(
    measured: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_choice(tmp_path / "cache", measured, "onednn")
    others = {"another machine": {"library": "of a newer gnnkit"}, "one more": 1}
    mine = json.loads(file.read_text())
    file.write_text(json.dumps({**others, **mine}))
    monkeypatch.setenv("GNNKIT_CACHE", str(file.parent))
    assert product_choice().library == "onednn" and not caplog.records
    file.write_text(json.dumps(others))
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache" / ".." / "cache"))
    assert product_choice().is_measured
    assert set(json.loads(file.read_text())) == {*others, *mine}


def test_the_choice_of_a_process_that_was_faster_stays(
    measured: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_choice(tmp_path / "written", measured, "onednn", "widened").read_text()
    file = tmp_path / "cache" / "products.json"

    class Meanwhile(Listener):
        def on_stage(self, what: str) -> None:
            file.parent.mkdir()
            file.write_text(written)

    monkeypatch.setenv("GNNKIT_CACHE", str(file.parent))
    with heard_by(Meanwhile()):
        assert product_choice().chosen == {"products": "onednn", "bfloat16_products": "widened"}
    assert file.read_text() == written


def test_a_choice_that_cannot_be_kept_is_told(
    measured: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "file"))
    assert product_choice().file is None
    assert "cannot be kept" in caplog.text and "GNNKIT_CACHE" in caplog.text


def test_a_choice_from_other_sizes_is_measured_anew(
    measured: Dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_choice(tmp_path / "cache", measured, "onednn")
    values = json.loads(file.read_text())
    (kept,) = values.values()
    kept["speedups"].popitem()
    file.write_text(json.dumps(values))
    monkeypatch.setenv("GNNKIT_CACHE", str(file.parent))
    choice = product_choice()
    assert choice.is_measured and set(choice.speedups) == set(next(iter(measured.values()))["speedups"])
    assert json.loads(file.read_text()) != values


def test_other_programs_change_little(measured: Dict[str, Any]) -> None:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        found = measure_products()
    finally:
        for other in others:
            other.kill()
            other.wait()
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(torch.get_num_threads).result() == torch.get_num_threads()
    (quiet,) = (kept["speedups"] for kept in measured.values())
    assert set(found) == set(quiet)
    # torch's own products in bfloat16 may be so slow that it matters little how slow.
    within = {name: 4 if name == IN_BFLOAT16 else 2 for name in quiet}
    assert all(1 / within[name] < found[name] / quiet[name] < within[name] for name in quiet), (found, quiet)


def test_whether_a_process_had_the_cores_for_itself() -> None:
    threads = torch.get_num_threads()
    assert is_alone(2.0, own=1.95 * threads)
    assert not is_alone(2.0, own=1.0 * threads)


@pytest.mark.parametrize(
    ("whole", "wide", "library"),
    [(2.0, 2.0, "onednn"), (1.0, 1.2, "mixed"), (1.09, 1.0, "torch"), (0.8, 1.04, "torch"), (2.0, 1.0, "onednn")],
)
def test_what_a_measurement_speaks_for(whole: float, wide: float, library: str) -> None:
    speedups = {"8000 x 256 x 256": whole, "10000 x 512 x 128, wide": wide, IN_BFLOAT16: 50.0}
    assert best_library(speedups) == library


@pytest.mark.parametrize(("widened", "way"), [(50.0, "widened"), (1.09, "torch"), (0.5, "torch")])
def test_what_it_speaks_for_in_bfloat16(widened: float, way: str) -> None:
    assert best_in_bfloat16({"8000 x 256 x 256": 2.0, IN_BFLOAT16: widened}) == way


@pytest.mark.parametrize(
    ("wide", "words"),
    [({}, "1.00 times as fast as torch on"), ({"10000 x 512 x 128, wide": 1.2}, "and 1.20 times for wide layers, on")],
)
def test_a_choice_in_words(wide: Dict[str, float], words: str) -> None:
    choice = ProductChoice("torch", "widened", {"8000 x 256 x 256": 1.0, IN_BFLOAT16: 30.0, **wide}, "2020-01-01")
    assert words in str(choice)
    assert choice.in_bfloat16().endswith("widened to float32 were 30.00 times as fast as torch's on 2020-01-01")


def test_a_torch_without_onednn_still_chooses_in_bfloat16() -> None:
    choice = ProductChoice("torch", "widened", {IN_BFLOAT16: 30.0}, "2020-01-01")
    assert choice.is_measured and str(choice) == "torch, as this torch has no other way"


def test_a_cache_that_takes_nothing_is_no_reason_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    choice = product_choice()
    assert choice.is_measured and choice.file is None
