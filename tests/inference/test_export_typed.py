"""Exported programs of typed graphs: they compute what the model computes, whatever types and relations a graph has."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import gnnkit
from gnnkit.backends import backends
from gnnkit.data import from_typed, full_block
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.inference import export_program, open_run, program_inputs
from gnnkit.loading.inputs import whole_inputs
from tests.typed_graphs import papers

EXPORTS = hasattr(getattr(torch, "compiler", None), "is_exporting")
pytestmark = pytest.mark.skipif(not EXPORTS, reason=f"torch {torch.__version__} exports no such programs")
BACKENDS = [name for name in ("reference", "pyg") if name in backends.names()]
MODELS = {
    "rgcn": {},
    "rgcn, bases": {"num_bases": 2},
    "sage, sum": {"relational": "sum"},
    "sage, mean": {"relational": "mean", "norm": "batch", "residual": True},
    "hgt": {"heads": 2, "jumping_knowledge": "cat"},
    "rgat": {"heads": 2},
}
SHORT = {("hgt", "reference"), ("sage, mean", "pyg")}
CELLS = [(name, backend) for name in MODELS for backend in BACKENDS]


def make(name, backend="reference", graph=None):
    graph = papers() if graph is None else graph
    return gnnkit.build_model(name.split(",")[0], graph, backend=backend, hidden_channels=8, **MODELS[name]).eval()


def live(model, graph):
    """What the model gives for the nodes of each type."""
    typed = graph.typed
    with torch.no_grad():
        out = model([full_block(graph)] * model.num_layers, whole_inputs(typed))
    return {name: out[typed.nodes(name)] for name in typed.schema.node_types}


def other_graph(papers_too=True):
    """Other papers and venues, ghosts at last, and relations without edges that had some."""
    draw = torch.Generator().manual_seed(5)
    counts = {"paper": 31 if papers_too else 1, "author": 25, "venue": 1, "ghost": 0}

    def edges(src, dst, num):
        return torch.stack([torch.randint(0, counts[name] or 1, (num,), generator=draw) for name in (src, dst)])

    relations = {str(each): each for each in papers().typed.schema.relations}
    sizes = {"paper:cites:paper": 40, "venue:prints:paper": 9, "paper:at:venue": 1}
    return from_typed(
        {name: edges(each.src, each.dst, sizes.get(name, 0)) for name, each in relations.items()},
        num_nodes=counts,
        x={"paper": 3 * torch.randn(counts["paper"], 5, generator=draw), "venue": torch.randn(1, 4, generator=draw)},
        reverses={"author:writes:paper": "paper:written_by:author"},
    )


def close(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize(
    "name, backend", [c if c in SHORT else pytest.param(*c, marks=pytest.mark.long) for c in CELLS]
)
def test_a_program_equals_the_model(tmp_path, name, backend):
    model = make(name, backend)
    done = export_program(model, papers(), tmp_path / "m.pt2")
    assert done.inputs == ("x", "edge_index") and done.difference <= 1e-5
    assert done.checked == ("a random graph", "papers")
    program = torch.export.load(done.file).module()
    for graph in (papers(), other_graph(), other_graph(papers_too=False)):
        close(program(**program_inputs(model.spec, graph)), live(model, graph))


def test_a_trained_run_is_exported_and_loads_without_gnnkit(tmp_path):
    graph = papers()
    trainer = gnnkit.Trainer("reference", "cpu", epochs=2, progress=False, run_dir=tmp_path / "run")
    trainer.fit(make("rgcn", graph=graph), graph)
    opened = open_run(tmp_path / "run", graph=graph)
    done = export_program(opened.model, opened.graph, tmp_path / "m.pt2", learned=opened.learned)
    inputs = program_inputs(opened.model.spec, graph)
    # Edges may come in any order.
    inputs["edge_index"] = {name: ends[:, torch.randperm(ends.shape[1])] for name, ends in inputs["edge_index"].items()}
    torch.save(inputs, tmp_path / "inputs.pt")
    code = (
        "import sys, torch\n"
        f"inputs = torch.load({str(tmp_path / 'inputs.pt')!r})\n"
        f"out = torch.export.load({str(done.file)!r}).module()(**inputs)\n"
        f"torch.save(out, {str(tmp_path / 'out.pt')!r})\n"
        "assert not any(name.startswith('gnnkit') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    close(torch.load(tmp_path / "out.pt"), live(opened.model, graph))


@pytest.mark.parametrize(
    "model, settings, file, words",
    [
        ("gat", {"relational": "sum"}, "m.pt2", "of a 'gat' for each relation, combined by 'sum'"),
        ("sage", {"relational": "attention"}, "m.pt2", "combined by 'attention'"),
        ("rgcn", {}, "m.onnx", "to format 'onnx': programs of typed graphs"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, model, settings, file, words):
    built = gnnkit.build_model(model, papers(), backend="reference", hidden_channels=8, **settings)
    with pytest.raises(CapabilityError, match=words):
        export_program(built, papers(), tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_a_graph_of_other_types_is_refused(tmp_path):
    other = from_typed({"a:to:b": [[0], [0]]}, x={"a": [[1.0]], "b": [[1.0]]})
    with pytest.raises(ConfigError, match="other types"):
        program_inputs(make("rgcn").spec, other)
