"""Graphs that break a rule, and numbers that are not finite, are refused wherever they come in."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
import torch

import gnnkit
from gnnkit.convert import convert_weights
from gnnkit.data import Graph
from gnnkit.errors import CheckpointError, ConfigError, DataError
from gnnkit.inference import export_program, open_run, program_inputs
from gnnkit.parity import compare
from gnnkit.report import write_report
from gnnkit.runs import read_weights
from gnnkit.runs.checkpoint import write_weights
from tests.graphs import communities


def damaged() -> Graph:
    graph = communities()
    indices = graph.indices.clone()
    indices[-1] = 10**6
    return replace(graph, indices=indices)


def export(run: Path, graph: Graph, home: Path) -> None:
    export_program(open_run(run, graph=communities(), device="cpu").model, graph, home / "model.pt2")


def convert(run: Path, graph: Graph, home: Path) -> None:
    spec, state, _ = read_weights(run / "checkpoints" / "best.safetensors")
    convert_weights(state, graph, source="gnnkit", target="gnnkit", spec=spec)


BORDERS = {
    "open_run": lambda run, graph, home: open_run(run, graph=graph, device="cpu"),
    "on": lambda run, graph, home: open_run(run, graph=communities(), device="cpu").on(graph),
    "export_program": export,
    "program_inputs": lambda run, graph, home: program_inputs(gnnkit.build_model("gcn", communities()).spec, graph),
    "write_report": lambda run, graph, home: write_report(run, home / "page.html", graph=graph, batches=0),
    "compare": lambda run, graph, home: compare(
        gnnkit.build_model("gcn", communities()), graph, ["reference", "reference"], device="cpu"
    ),
    "convert_weights": convert,
}


@pytest.mark.parametrize("border", BORDERS)
def test_a_damaged_graph_is_refused(border, trained, tmp_path):
    if border == "export_program" and not hasattr(getattr(torch, "compiler", None), "is_exporting"):
        pytest.skip(f"torch {torch.__version__} exports no such programs")
    with pytest.raises(DataError, match="source 1000000 is out of range"):
        BORDERS[border](trained("gcn"), damaged(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def with_weights(trained, tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of a run with the weights of the first layer multiplied."""

    def make(name: str, factor: float) -> Path:
        run = Path(shutil.copytree(trained(name), tmp_path / "copy"))
        file = run / "checkpoints" / "best.safetensors"
        spec, weights, seed = read_weights(file)
        changed = {key: value * factor if key.startswith("convs.0") else value for key, value in weights.items()}
        write_weights(file, spec, changed, seed)
        return run

    return make


def test_weights_that_are_not_finite_are_refused(with_weights, backend_name):
    device = "ipu-emulator" if backend_name == "ipu" else "cpu"
    with pytest.raises(CheckpointError, match=r"best\.safetensors holds numbers that are not finite.*diverged"):
        open_run(with_weights("gcn", float("nan")), backend=backend_name, device=device, graph=communities())


@pytest.mark.parametrize("method", ["layerwise", "full", "sampled"])
def test_outputs_that_are_not_finite_are_refused(method, backend_name, with_weights):
    graph = communities()
    x = graph.x.clone()
    x[7] = 1e20
    device = "ipu-emulator" if backend_name == "ipu" else "cpu"
    run = open_run(with_weights("sage", 1e20), backend=backend_name, device=device, graph=replace(graph, x=x))
    fanouts = {"fanouts": [-1, -1]} if method == "sampled" else {}
    for call in (run.predict, run.embed):
        with pytest.raises(ConfigError, match="not finite, first for node 7"):
            call([7], method=method, **fanouts)
    run.close()
