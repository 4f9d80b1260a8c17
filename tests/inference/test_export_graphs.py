"""Exported programs of models of graphs, on graphs of other sizes and numbers than those they were made with."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from gnnkit.data import from_edge_index
from gnnkit.inference import export_program, open_run, program_inputs
from gnnkit.loading import take_graphs
from tests.inference.graph_runs import EDGE_SIZES, graph_of, rings_and_paths, run_of
from tests.inference.test_export import BACKENDS, exporting, run

CASES = [
    (".pt2", "reference", "classes", {"conv": "gcn", "pooling": "mean"}),
    (".pt2", "pyg", "categories", {"virtual_node": True}),
    (".onnx", "reference", "numbers", {"conv": "sage", "pooling": "max", "jumping_knowledge": "cat"}),
    (".onnx", "pyg", "classes", {"conv": "gat", "pooling": "attention"}),
    (".onnx", "reference", "categories", {"conv": "gine", "edge_channels": sum(EDGE_SIZES)}),
]


@exporting
@pytest.mark.parametrize("suffix, exporter, kind, settings", CASES)
def test_a_program_computes_what_the_model_does(suffix, exporter, kind, settings, tmp_path) -> None:
    if exporter not in BACKENDS:
        pytest.skip(f"backend {exporter} is not installed")
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    opened = open_run(run_of(kind, **settings), graph=graph_of(kind), backend=exporter, device="cpu")
    done = export_program(opened.model, opened.graph, tmp_path / f"model{suffix}", learned=opened.learned)
    assert done.inputs[:3] == ("x", "edge_index", "graph_sizes") and done.difference <= 1e-4
    assert ("edge_attr" in done.inputs) == ("edge_channels" in settings)
    assert done.checked == ("a random graph", "rings")
    other = rings_and_paths(23, 9, categories=kind == "categories")
    empty = replace(other, graph_ptr=torch.cat([other.graph_ptr[:3], other.graph_ptr[2:]]), graph_y=None)
    empty = replace(empty, graph_splits={}, graph_names=(), class_names=())
    for graph in (other, take_graphs(other, [3]), take_graphs(other, [8, 2]), empty):
        bare = replace(opened, learned=replace(opened.learned, units=None))  # A program knows of no units.
        expected = bare.predict(graph=graph).outputs
        found = run(done.file, program_inputs(opened.model.spec, graph))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@exporting
def test_a_program_says_that_it_is_about_graphs(tmp_path) -> None:
    opened = open_run(run_of("classes"), graph=graph_of("classes"), device="cpu")
    export_program(opened.model, opened.graph, tmp_path / "model.pt2", learned=opened.learned)
    about = {"gnnkit": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=about)
    told = json.loads(about["gnnkit"])
    assert (told["level"], told["class_names"]) == ("graphs", ["path", "ring"])
    assert told["inputs"] == ["x", "edge_index", "graph_sizes"]


def test_one_graph_is_a_record_of_one() -> None:
    spec = open_run(run_of("classes"), graph=graph_of("classes"), device="cpu").model.spec
    graph = from_edge_index([[0], [1]], x=torch.zeros(3, 5))
    assert program_inputs(spec, graph)["graph_sizes"].tolist() == [3]
