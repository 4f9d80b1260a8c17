"""``compare`` finds what is wrong, names it, and lets rounding pass."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.cli.main import app
from gnnkit.errors import ConfigError
from gnnkit.nn.convs.sage import SAGEConv
from gnnkit.parity import compare
from gnnkit.parity.equivalence import equivalence_test
from gnnkit.parity.memory import PeakMemory
from gnnkit.parity.tolerances import TOLERANCES
from tests.graphs import communities

HIDDEN = 16


class SumInSecondLayer(ReferenceBackend):
    """A backend with a mistake: the second layer takes the sum for the mean."""

    name = "wrong"

    def conv(self, spec: Any) -> Any:
        conv = super().conv(spec)
        if spec.in_channels == HIDDEN and isinstance(conv, SAGEConv):
            conv.ops = _SumForMean()
        return conv


class _SumForMean(type(ReferenceBackend().ops())):
    def aggregate(self, lowered: Any, h_src: Any, reduce: str, edge_weight: Any = None) -> Any:
        return super().aggregate(lowered, h_src, "sum" if reduce == "mean" else reduce, edge_weight)


class HalfAGradient(ReferenceBackend):
    """Its outputs are right and its gradients of the first layer are not."""

    name = "halved"

    def conv(self, spec: Any) -> Any:
        conv = super().conv(spec)
        if spec.in_channels != HIDDEN:
            conv.lin_neigh.weight.register_hook(lambda gradient: gradient / 2)
        return conv


class NotANumber(ReferenceBackend):
    """Gives NaN everywhere."""

    name = "nan"

    def conv(self, spec: Any) -> Any:
        conv = super().conv(spec)
        conv.register_forward_hook(lambda module, args, out: out * float("nan"))
        return conv


def sage(**settings: Any) -> Any:
    graph = communities()
    return gnnkit.build_model("sage", graph, hidden_channels=HIDDEN, seed=1, **settings), graph


@pytest.mark.parametrize("how", [{}, {"batch_size": 50}], ids=["full", "sampled"])
@pytest.mark.parametrize("num_layers", [2, 3])
def test_the_wrong_layer_is_named(how: dict, num_layers: int) -> None:
    model, graph = sage(num_layers=num_layers)
    found = compare(model, graph, ["reference", SumInSecondLayer()], device="cpu", epochs=0, **how)
    assert not found.is_within
    assert found.backends[1].first_outside == "convs.1"
    assert found.backends[1].outputs[0].is_within
    assert found.problems == ["wrong against reference: the first to leave the tolerance is convs.1."]


def test_a_wrong_gradient_is_named() -> None:
    model, graph = sage()
    found = compare(model, graph, ["reference", HalfAGradient()], device="cpu", epochs=0)
    assert all(item.is_within for item in found.backends[1].outputs)
    assert found.backends[1].first_outside == "gradient of convs.0.lin_neigh.weight"
    wrong = next(item for item in found.backends[1].gradients if item.name == "convs.0.lin_neigh.weight")
    assert wrong.relative == pytest.approx(0.5, rel=1e-3)


def test_what_is_not_a_number_is_outside() -> None:
    model, graph = sage()
    found = compare(model, graph, ["reference", NotANumber()], device="cpu", epochs=1)
    assert found.backends[1].first_outside == "convs.0"
    assert len(found.problems) == 2


def test_wrong_trainings_are_told_by_their_curves() -> None:
    model, graph = sage()
    found = compare(model, graph, ["reference", "reference", SumInSecondLayer()], device="cpu", epochs=3)
    first, same, wrong = found.backends
    assert same.losses == first.losses and same.loss_difference == 0.0
    assert wrong.loss_difference > found.tolerance.losses
    assert any("losses differ by" in problem for problem in found.problems)
    assert first.seconds_per_epoch > 0


@pytest.mark.in_turn
@pytest.mark.parametrize("jumping", ["none", "cat"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_backends_agree_with_all_that_stands_between_layers(backend_name: str, norm: str, jumping: str) -> None:
    graph = communities()
    model = gnnkit.build_model("gat", graph, heads=2, norm=norm, residual=True, jumping_knowledge=jumping)
    found = compare(model, graph, ["reference", backend_name], epochs=0, fanouts=[4, 4], batch_size=50)
    assert found.is_within, found.problems
    assert [item.name for item in found.backends[1].outputs] == ["convs.0", "convs.1"] + ["head"] * (jumping == "cat")
    names = {item.name for item in found.backends[1].gradients}
    assert names == set(model.parameters_by_name())


def test_what_is_switched_off_is_said() -> None:
    graph = communities()
    found = compare(gnnkit.build_model("gat", graph), graph, ["reference", "reference"], device="cpu", epochs=1)
    assert found.notices == ["attention_dropout is off: libraries draw its random numbers in their own way"]


def test_bfloat16_has_tolerances_of_its_own() -> None:
    model, graph = sage()
    found = compare(model, graph, ["reference", "reference"], device="cpu", epochs=0, precision="bfloat16")
    assert found.is_within and found.tolerance == TOLERANCES["sage", "bfloat16"]
    assert found.tolerance.outputs > TOLERANCES["sage", "float32"].outputs


class SlightlyWrong(ReferenceBackend):
    """A mistake that hides in the rounding of float32."""

    name = "slight"

    def conv(self, spec: Any) -> Any:
        conv = super().conv(spec)
        conv.register_forward_hook(lambda module, args, out: out * (1 + 1e-7))
        return conv


def test_float64_shows_what_hides_in_rounding() -> None:
    model, graph = sage()
    pair = ["reference", SlightlyWrong()]
    assert compare(model, graph, pair, device="cpu", epochs=2).is_within
    found = compare(model, graph, pair, device="cpu", epochs=2, precision="float64")
    assert found.backends[1].first_outside == "convs.0"


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [{}, {"batch_size": 50}], ids=["full", "sampled"])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gatv2", "gin"])
def test_backends_agree_in_float64(backend_name: str, model: str, how: dict) -> None:
    graph = communities()
    built = gnnkit.build_model(model, graph, hidden_channels=HIDDEN)
    found = compare(built, graph, ["reference", backend_name], device="cpu", epochs=3, precision="float64", **how)
    assert found.problems == [] and found.tolerance.losses == 1e-9


@pytest.mark.parametrize("evaluation", ["full", "layerwise", "sampled"])
def test_trained_in_float64(tmp_path: Path, evaluation: str) -> None:
    model, graph = sage()
    settings = {"evaluation": evaluation, "fanouts": [4, 4], "progress": False}
    runs = {
        name: gnnkit.Trainer(device="cpu", epochs=4, precision=name, run_dir=tmp_path / name, **settings)
        for name in ("float32", "float64")
    }
    losses = {name: [r.train_loss for r in runs[name].fit(model, graph).history] for name in runs}
    assert losses["float64"] != losses["float32"]
    assert losses["float64"] == pytest.approx(losses["float32"], rel=1e-4)
    longer = gnnkit.Trainer(device="cpu", epochs=6, precision="float64", **settings)
    resumed, whole = longer.fit(model, graph, resume=tmp_path / "float64"), longer.fit(model, graph)
    assert [r.train_loss for r in resumed.history] == [r.train_loss for r in whole.history]
    assert {p.dtype for p in resumed.model.parameters()} == {torch.float32}


def test_layers_of_one_s_own_are_compared_too() -> None:
    from examples.custom_layers import WeightedSAGEConv

    graph = communities()
    found = compare(gnnkit.build_model(WeightedSAGEConv, graph), graph, ["reference"] * 2, device="cpu", epochs=0)
    assert found.is_within and found.conv == "custom layers"


def test_several_seeds_are_tested_for_equivalence() -> None:
    model, graph = sage()
    found = compare(model, graph, ["reference", "reference"], device="cpu", epochs=2, seeds=2)
    assert found.backends[1].equivalence.is_shown and len(found.backends[1].metrics) == 2
    assert found.backends[1].metrics == found.backends[0].metrics


@given(st.lists(st.floats(0, 1), min_size=3, max_size=8), st.floats(-0.2, 0.2))
@settings(max_examples=40)
def test_equivalence_is_shown_within_the_margin_only(first: list, shift: float) -> None:
    result = equivalence_test(first, [value + shift for value in first], margin=0.1)
    assert result.difference == pytest.approx(shift, abs=1e-9)
    if abs(abs(shift) - 0.1) > 1e-6:
        assert result.is_shown == (abs(shift) < 0.1)


def test_equivalence_needs_evidence() -> None:
    assert not equivalence_test([0.5, 0.9], [0.9, 0.5], margin=0.1).is_shown
    noisy = [0.8, 0.81, 0.79, 0.8, 0.82, 0.78]
    assert equivalence_test(noisy, [0.801, 0.809, 0.791, 0.799, 0.822, 0.779], margin=0.01).is_shown
    with pytest.raises(ConfigError, match="at least 2 seeds"):
        equivalence_test([0.5], [0.5], margin=0.1)


def test_peak_memory_sees_what_a_block_takes() -> None:
    with PeakMemory() as memory:
        if memory.growth is None:
            pytest.skip("the system does not tell the resident memory")
        held = torch.ones(64 * 2**20, dtype=torch.uint8)
        time.sleep(0.1)
        del held
    assert 60 * 2**20 < memory.growth < 256 * 2**20


def test_too_little_to_compare() -> None:
    model, graph = sage()
    with pytest.raises(ConfigError, match="at least two"):
        compare(model, graph, ["reference"])
    with pytest.raises(ConfigError, match="epochs for several seeds"):
        compare(model, graph, ["reference", "reference"], epochs=0, seeds=3)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "curves.png"
    common = ["--dataset", "karate", "--model", "sage", "--hidden", str(HIDDEN), "--device", "cpu"]
    arguments = ["compare", "--backends", "reference,wrong", *common, "--epochs", "2", "--picture", str(picture)]
    monkeypatch.setattr("gnnkit.backends.load_backend", lambda name: ReferenceBackend())
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "all within tolerance" in done.output and "1e-05" in done.output
    assert picture.stat().st_size > 5000

    wrong = {"reference": load_backend("reference"), "wrong": SumInSecondLayer()}
    monkeypatch.setattr("gnnkit.backends.load_backend", wrong.__getitem__)
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 1, done.output
    values = json.loads(done.output.splitlines()[-1])
    assert values["is_within"] is False
    assert values["backends"][1]["first_outside"] == "convs.1"
    assert "convs.1" in CliRunner().invoke(app, [*arguments, "--seeds", "2"]).output
