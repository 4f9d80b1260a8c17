"""The kit itself: reports, floors, skips, names, the command; devices and data sets with faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.cli.main import app
from gnnkit.data import Graph
from gnnkit.datasets.karate import Karate
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.testing import BackendSuite, DatasetSuite, DeviceSuite, Suite, Undeclared, check, conform


class Four(Suite):
    kind = "backend"
    name = "four"
    floor = 2

    def lacks(self, need: str, case: str) -> str:
        return "wings" if case == "fly" else ""

    @check(over=["walk", "fly"], needs=["legs or wings"])
    def test_moves(self, case: str) -> None:
        """It moves.

        Wherever to.
        """

    @check()
    def test_fails(self) -> None:
        """It holds."""
        raise AssertionError("it does not hold")

    @check()
    def test_raises(self) -> None:
        """It runs."""
        raise SystemExit("out")


def test_a_report_counts_and_lists_everything() -> None:
    report = Four().run()
    raised_at = 1 + next(i for i, line in enumerate(Path(__file__).read_text().splitlines()) if "SystemExit(" in line)
    assert [result.id for result in report.results] == ["moves[walk]", "moves[fly]", "fails", "raises"]
    assert [result.id for result in report.passed] == ["moves[walk]"]
    assert [(result.id, result.message) for result in report.skipped] == [("moves[fly]", "wings")]
    assert report.problems == [
        "fails: it does not hold",
        f"raises: it raised SystemExit: out (at {__file__}:{raised_at} in test_raises)",
        "1 checks passed, at least 2 must.",
    ]
    assert report.verdict == "not conformant"
    assert json.loads(json.dumps(report.to_dict()))["skipped"] == 1


def test_a_check_knows_what_it_proves() -> None:
    (moves, *_) = Four.checks()
    assert (moves.title, moves.proves, moves.over) == ("It moves", "Wherever to.", ("walk", "fly"))


def test_under_pytest_a_skip_is_a_skip() -> None:
    with pytest.raises(Undeclared, match="wings"):
        Four().test_moves(case="fly")


def test_who_takes_checks_away_falls_below_the_floor() -> None:
    taken = {f"test_{item.name}": None for item in BackendSuite.checks() if item.name not in ("probe", "declaration")}
    suite = type("Taken", (BackendSuite,), {"name": "reference", **taken})()
    assert suite.run().problems == [f"2 checks passed, at least {BackendSuite.floor} must."]


def test_a_single_convolution_reaches_the_floor_and_the_rest_is_listed() -> None:
    class OnlyGin(ReferenceBackend):
        capabilities = BackendCapabilities(convs=frozenset({"gin"}), dtypes=frozenset({"float32"}))

    class Narrow(BackendSuite):
        name = "reference"

        def make_backend(self) -> ReferenceBackend:
            return OnlyGin()

    report = Narrow().run()
    assert report.is_conformant, report.problems
    assert {"convolution gcn", "convolution gatv2"} <= {result.message for result in report.skipped}
    assert {"undeclared_convs", "undeclared_dtypes"} <= {result.check for result in report.passed}


def test_aggregations_and_combinations_that_are_not_declared_are_skipped_and_refusals_checked() -> None:
    class MeanOnly(ReferenceBackend):
        capabilities = BackendCapabilities(
            convs=frozenset({"sage", "gat"}),
            aggregations=frozenset({"mean"}),
            excludes=({"conv": "gat", "precision": "float64"},),
        )

        def conv(self, spec):
            assert spec.kind == "gat" or spec.options.aggregation == "mean", "asked for what is not declared"
            return super().conv(spec)

    class Narrow(BackendSuite):
        name = "reference"

        def make_backend(self) -> ReferenceBackend:
            return MeanOnly()

    report = Narrow().run(only=["outputs", "float64", "start", "undeclared_aggregations", "optimizer_step"])
    assert report.is_conformant, report.problems
    skipped = {result.id: result.message for result in report.skipped}
    assert skipped["outputs[sage max]"] == skipped["start[sage max]"] == "aggregation max of convolution sage"
    assert skipped["float64[gat]"] == "the combination gat, float64"
    passed = {result.id for result in report.passed}
    assert {"outputs[sage mean]", "outputs[gat]", "float64[sage mean]", "undeclared_aggregations"} <= passed


@pytest.mark.parametrize("suite", [BackendSuite, DeviceSuite, DatasetSuite])
def test_every_check_says_what_it_proves(suite: type) -> None:
    for item in suite.checks():
        assert item.title and item.proves.endswith("."), item.name


def test_conform_finds_the_kind() -> None:
    assert conform("karate", only=["loads"]).kind == "dataset"
    assert conform("cpu", only=["declaration"]).kind == "device"
    assert conform("reference", only=["start"]).kind == "backend"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "referense"}, UnknownNameError, "'reference'"),
        ({"name": "cpu", "kind": "backend"}, UnknownNameError, "backend 'cpu'"),
        ({"name": "cpu", "kind": "gadget"}, UnknownNameError, "kind of plugin"),
        ({"name": "cpu", "only": ["outputs"]}, UnknownNameError, "check of a device"),
        ({"name": "cpu", "device": "cuda"}, ConfigError, "is a device"),
    ],
)
def test_what_cannot_be_checked_is_said(arguments: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        conform(**arguments)


def test_the_command_ends_with_the_verdict() -> None:
    done = CliRunner().invoke(app, ["conform", "karate"])
    assert done.exit_code == 0
    assert done.stdout.strip().endswith(": conformant")
    assert "skipped 1: files" in done.stdout


def test_the_command_speaks_json_and_fails_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Karate, "summary", "two\nlines")
    done = CliRunner().invoke(app, ["conform", "karate", "--json"])
    values = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 1
    assert values["verdict"] == "not conformant"
    assert values["problems"] == ["declaration: summary is 'two\\nlines', expected a line."]


class TestCpu(DeviceSuite):
    name = "cpu"


class TestKarate(DatasetSuite):
    name = "karate"


class TestSynthetic(DatasetSuite):
    name = "synthetic"


def failed_of_dataset(change) -> set:
    class Planted(DatasetSuite):
        name = "karate"

        def load(self, seed: int = 0, **changed) -> Graph:
            return change(super().load(seed, **changed))

    return {result.check for result in Planted().run().failed}


def test_faulty_data_sets_are_caught() -> None:
    assert {"same", "seeds"} <= failed_of_dataset(lambda graph: replace(graph, x=graph.x + torch.rand(34, 34)))
    assert {"loads"} <= failed_of_dataset(lambda graph: replace(graph, indices=graph.indices + 1))
    assert {"loads"} <= failed_of_dataset(lambda graph: replace(graph, name="graph"))
    overlapping = {"train": torch.arange(5), "valid": torch.arange(4, 9), "test": torch.arange(9, 34)}
    assert {"splits"} <= failed_of_dataset(lambda graph: replace(graph, splits=overlapping))
    unlabelled = torch.full((34,), -100)
    assert {"splits"} <= failed_of_dataset(lambda graph: replace(graph, y=unlabelled))
