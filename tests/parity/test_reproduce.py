"""The verdict on a curve that was made again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.errors import ConfigError
from gnnkit.nn import ModelSpec
from gnnkit.parity import compare_curves
from gnnkit.parity.reproduce import environment_differences
from gnnkit.runs import EpochRecord, read_run

CURVE = [EpochRecord(i, 1.0 / i, 0.1, 100.0, 0.01, 1.2 / i, 0.5 + i / 50) for i in range(1, 8)]


def changed(epoch, **values):
    return [replace(r, **values) if r.epoch == epoch else r for r in CURVE]


def test_the_same_numbers_are_identical_whatever_they_took():
    slower = [replace(record, seconds=9.0, nodes_per_second=1.0) for record in CURVE]
    assert compare_curves(CURVE, slower).verdict == "identical"


@pytest.mark.parametrize("name", ["train_loss", "valid_loss", "valid_metric"])
def test_the_first_epoch_that_leaves_the_tolerance_is_named(name):
    value = getattr(CURVE[3], name)
    verdict = compare_curves(CURVE, changed(4, **{name: value * 1.1}))
    assert (verdict.verdict, verdict.epoch, verdict.quantity) == ("different", 4, name)
    assert (verdict.recorded, verdict.found) == (value, value * 1.1)
    assert compare_curves(CURVE, changed(4, **{name: value * (1 + 1e-6)})).verdict == "within tolerance"


@settings(max_examples=30)
@given(st.floats(1e-7, 1e-1), st.floats(1e-6, 1e-2))
def test_the_tolerance_decides(change, tolerance):
    verdict = compare_curves(CURVE, changed(2, train_loss=0.5 * (1 + change)), loss_tolerance=tolerance)
    assert verdict.loss_difference == pytest.approx(change, rel=1e-3)
    if abs(change / tolerance - 1) > 1e-3:
        assert (verdict.verdict == "different") == (change > tolerance)


def test_lengths():
    verdict = compare_curves(CURVE, CURVE[:5])
    assert (verdict.verdict, verdict.epoch, verdict.quantity) == ("different", 6, "epochs")
    assert compare_curves(CURVE[:5], CURVE).epoch == 6
    assert compare_curves(CURVE[:5], CURVE, is_complete=False).verdict == "identical"
    assert compare_curves(CURVE, CURVE[:5], is_complete=False).verdict == "different"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_values_that_are_no_numbers(value):
    broken = changed(3, valid_loss=value)
    assert compare_curves(broken, broken).verdict == "identical"
    assert compare_curves(CURVE, broken).epoch == 3
    assert compare_curves(broken, CURVE).epoch == 3


def test_what_has_changed_around_it():
    before = {"torch": "2.0.1", "backend": {"name": "pyg", "torch_geometric": "2.3"}}
    assert environment_differences(before, {"torch": "2.0.1", "backend": {"name": "pyg"}}) == []
    phrases = environment_differences(before, {"torch": "2.13.0", "backend": {"name": "dgl"}})
    assert phrases == ["torch: 2.0.1, now 2.13.0", "backend name: pyg, now dgl"]


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(ConfigError, match="is no run folder"):
        read_run(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match=r"manifest\.json is damaged"):
        read_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"status": "complete", "data": {"parts": {}}}')
    with pytest.raises(ConfigError, match="it lacks backend, device, model"):
        read_run(tmp_path)
    spec = ModelSpec("gcn", 2, 2).to_dict()
    manifest = {"status": "complete", "data": {"parts": {}}, "backend": {}, "device": {}, "model": spec}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"has no metrics\.jsonl"):
        read_run(tmp_path)
    wrong = "line 1, is no record of an epoch"
    for line, message in (("[1", "line 1, is damaged"), ("[1]", wrong), ('{"epoch": 1}', wrong)):
        (tmp_path / "metrics.jsonl").write_text(line + "\n")
        with pytest.raises(ConfigError, match=message):
            read_run(tmp_path)
