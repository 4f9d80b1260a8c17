"""Exported programs: they compute what the model computes, on graphs that they were not made with."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import backends, load_backend
from gnnkit.data import from_edge_index, full_block
from gnnkit.errors import CapabilityError, ConfigError, DataError, NotInstalledError
from gnnkit.inference import export_program, open_run, program_inputs
from gnnkit.nn import MessagePassing
from tests.graphs import communities
from tests.inference.conftest import MODELS
from tests.inference.pair_runs import graph_of, run_of

EXPORTS = hasattr(getattr(torch, "compiler", None), "is_exporting")
exporting = pytest.mark.skipif(not EXPORTS, reason=f"torch {torch.__version__} exports no such programs")
BACKENDS = [name for name in ("reference", "pyg") if name in backends.names()]


def make(name="gcn", backend="reference"):
    conv = name.split("-")[0]
    return gnnkit.build_model(
        conv, communities(), backend=backend, hidden_channels=8, edge_channels=None, **MODELS[name]
    ).eval()


def other_graph(width):
    """Neither the size of the example nor that of the test graphs; nodes 0 and 1 have no neighbours."""
    draw = torch.Generator().manual_seed(5)
    edges = torch.randint(2, 61, (2, 150), generator=draw)
    return from_edge_index(edges, x=3 * torch.randn(61, width, generator=draw))


def live(model, graph):
    spec = model.spec
    prepared = spec.prepare(graph)
    with torch.no_grad():
        return model([full_block(prepared, edge_features=spec.reads_edges)] * model.num_layers, prepared.x)


def shuffled(inputs):
    """The same edges in another order."""
    order = torch.randperm(inputs["edge_index"].shape[1], generator=torch.Generator().manual_seed(2))
    of_edges = {name: value[order] for name, value in inputs.items() if name in ("edge_weight", "edge_attr")}
    return {**inputs, "edge_index": inputs["edge_index"][:, order], **of_edges}


def run(file, inputs):
    if file.suffix == ".pt2":
        return torch.export.load(file).module()(**inputs)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["outputs"], {name: value.numpy() for name, value in inputs.items()})[0])


QUICK = {
    (".pt2", "reference"): ["gcn-joined"],
    (".pt2", "pyg"): ["sage-max", "gin"],
    (".onnx", "reference"): ["sage", "gat", "gin"],
    (".onnx", "pyg"): ["gcn", "gatv2"],
}
"""What tests of every day take; both formats are written from one trace, so that each convolution is traced here."""
CASES = [
    pytest.param(*how, name, marks=[] if name in names else pytest.mark.long)
    for how, names in QUICK.items()
    for name in MODELS
]
QUICK_WITH_EDGES = {(".pt2", "reference"): "gatv2", (".onnx", "pyg"): "gine"}
CASES_WITH_EDGES = [
    pytest.param(*how, conv, marks=[] if QUICK_WITH_EDGES.get(how) == conv else pytest.mark.long)
    for how in QUICK
    for conv in ("gatv2", "gine", "pna", "transformer")
    if (how[1], conv) != ("pyg", "pna")  # PyG's layer is traced for one number of nodes.
]


@exporting
@pytest.mark.parametrize("suffix, exporter, name", CASES)
def test_a_program_computes_what_the_model_does(suffix, exporter, name, tmp_path):
    if exporter not in BACKENDS:
        pytest.skip(f"backend {exporter} is not installed")
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    model = make(name, exporter)
    done = export_program(model, communities(), tmp_path / f"model{suffix}")
    assert done.difference <= 1e-4 and done.checked == ("a random graph", "communities")
    for graph in (other_graph(model.spec.in_channels), communities()):
        inputs = shuffled(program_inputs(model.spec, graph))
        assert tuple(inputs) == done.inputs
        torch.testing.assert_close(run(done.file, inputs), live(model, graph), atol=1e-4, rtol=0)


@exporting
def test_a_program_runs_without_gnnkit_and_says_what_it_is(tmp_path):
    model = make("gcn", BACKENDS[-1])
    export_program(model, communities(), tmp_path / "model.pt2")
    torch.save(program_inputs(model.spec, communities()), tmp_path / "inputs.pt")
    code = """
import sys, torch
for name in ("gnnkit", "gnnkit_pyg", "torch_geometric"):
    sys.modules[name] = None
about = {"gnnkit": ""}
program = torch.export.load("model.pt2", extra_files=about).module()
torch.save(program(**torch.load("inputs.pt")), "outputs.pt")
print(about["gnnkit"])
"""
    about = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True))
    torch.testing.assert_close(torch.load(tmp_path / "outputs.pt"), live(model, communities()), atol=1e-4, rtol=0)
    assert (about["inputs"], about["self_loops"], about["spec"]["conv"]) == (
        ["x", "edge_index", "edge_weight"],
        True,
        "gcn",
    )


class Shift(MessagePassing):
    """Adds the weighted sum of the neighbours; its parameter is put off by what the tracer must not see."""

    off = 0.0

    def __init__(self, ops, in_channels, out_channels):
        super().__init__(ops)
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, lowered, h_src, h_dst):
        off = self.off if torch.compiler.is_exporting() else 0.0
        return off + self.lin(h_dst + self.ops.aggregate(lowered, h_src, "sum", self.ops.edge_weight(lowered)))


@exporting
@pytest.mark.parametrize("is_weighted", [False, True])
def test_layers_of_ones_own_keep_their_weights(is_weighted, tmp_path):
    graph = communities()
    if is_weighted:
        graph = from_edge_index(graph.edge_index, x=graph.x, y=graph.y, edge_weight=torch.rand(graph.num_edges))
    model = gnnkit.build_model(Shift, graph, hidden_channels=4).eval()
    done = export_program(model, graph, tmp_path / "model.pt2")
    assert ("edge_weight" in done.inputs) is is_weighted
    torch.testing.assert_close(run(done.file, program_inputs(model.spec, graph)), live(model, graph))


@exporting
def test_a_program_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Shift, "off", 0.01)
    model = gnnkit.build_model(Shift, communities(), hidden_channels=4).eval()
    with pytest.raises(CapabilityError, match=r"differ from the model's by .*e-0\d.*was not written"):
        export_program(model, communities(), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


class Stubborn(Shift):
    """Reads a value while it computes, which a tracer cannot follow."""

    def forward(self, lowered, h_src, h_dst):
        return self.lin(h_dst) if float(h_src.sum()) > 0 else self.lin(-h_dst)


@exporting
def test_a_model_that_cannot_be_traced_is_refused_in_a_line(tmp_path):
    model = gnnkit.build_model(Stubborn, communities(), hidden_channels=4).eval()
    with pytest.raises(CapabilityError, match="cannot be exported in format 'torch'") as caught:
        export_program(model, communities(), tmp_path / "model.pt2")
    assert len(str(caught.value).splitlines()) == 1 and list(tmp_path.iterdir()) == []


@exporting
class TestRefused:
    def test_a_backend_that_cannot(self, backend, tmp_path):
        if "torch" in backend.capabilities.exports:
            pytest.skip(f"backend {backend.name} can")
        with pytest.raises(CapabilityError, match="cannot export.*reference"):
            export_program(make("gcn", backend), communities(), tmp_path / "model.pt2")

    def test_names_of_files(self, tmp_path):
        for name, format, message in (
            ("model.pt", None, r"model\.pt, expected \*\.pt2 for torch, \*\.onnx for onnx"),
            ("model.pt2", "onnx", r"expected \*\.pt2 for torch, \*\.onnx for onnx"),
            ("model.pt2", "tflite", "format is 'tflite', expected one of torch, onnx"),
        ):
            with pytest.raises(ConfigError, match=message):
                export_program(make(), communities(), tmp_path / name, format)

    def test_a_file_that_exists(self, tmp_path):
        (tmp_path / "model.pt2").write_text("mine")
        with pytest.raises(ConfigError, match="already exists"):
            export_program(make(), communities(), tmp_path / "model.pt2")
        assert (tmp_path / "model.pt2").read_text() == "mine"

    def test_another_width(self, tmp_path):
        with pytest.raises(ConfigError, match="features"):
            export_program(make(), other_graph(2), tmp_path / "model.pt2")

    def test_missing_packages(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(NotInstalledError, match=r"gnnkit\[export\]"):
            export_program(make(), communities(), tmp_path / "model.onnx")
        assert list(tmp_path.iterdir()) == []


def test_both_formats_are_declared():
    assert all(load_backend(name).capabilities.exports == {"torch", "onnx"} for name in BACKENDS)


def test_an_old_torch_is_told(tmp_path, monkeypatch):
    if EXPORTS:
        monkeypatch.delattr(torch.compiler, "is_exporting")
    with pytest.raises(CapabilityError, match="torch .* cannot export such programs. Use torch 2.7 or newer"):
        export_program(make(), communities(), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


@exporting
@pytest.mark.parametrize("suffix, exporter, conv", CASES_WITH_EDGES)
def test_a_program_reads_edge_features(suffix, exporter, conv, tmp_path):
    if exporter not in BACKENDS:
        pytest.skip(f"backend {exporter} is not installed")
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    model = gnnkit.build_model(conv, communities(), backend=exporter, hidden_channels=8).eval()
    done = export_program(model, communities(), tmp_path / f"model{suffix}")
    assert done.inputs == ("x", "edge_index", "edge_attr") and done.difference <= 1e-4
    other = other_graph(model.spec.in_channels)
    edge_attr = torch.randn(other.num_edges, 3, generator=torch.Generator().manual_seed(1))
    for graph in (replace(other, edge_attr=edge_attr), communities()):
        inputs = shuffled(program_inputs(model.spec, graph))
        torch.testing.assert_close(run(done.file, inputs), live(model, graph), atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="reads 3 features of every edge, the graph has no edge_attr"):
        program_inputs(model.spec, other)
    with pytest.raises(ConfigError, match="reads 3 features of every edge, the graph has no edge_attr"):
        export_program(model, other, tmp_path / f"other{suffix}")


HEADS = {"link_prediction": "dot", "edge_classification": "mlp_joined"}


@exporting
@pytest.mark.in_turn
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_encoder_and_head_are_one_program(backend, suffix, task, tmp_path) -> None:
    graph = graph_of(task)
    trained = open_run(run_of(task, head=HEADS[task]), backend=backend, device="cpu", graph=graph)
    file = tmp_path / f"pairs{suffix}"
    done = export_program(trained.model, graph, file, head=trained.pair_head, learned=trained.learned)
    assert done.inputs == ("x", "edge_index", "edge_weight", "pairs") and done.difference < 1e-5
    other, pairs = other_graph(8), torch.tensor([[0, 60], [60, 0], [5, 5], [1, 2], [9, 4]])
    found = run(file, program_inputs(trained.model.spec, other, pairs))
    expected = trained.on(other).predict_pairs(pairs, method="full").outputs
    assert torch.allclose(found, expected, atol=1e-5)


@exporting
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_program_about_pairs_refuses_other_shapes(suffix, tmp_path) -> None:
    graph = graph_of("link_prediction")
    trained = open_run(run_of("link_prediction"), device="cpu", graph=graph)
    file = tmp_path / f"pairs{suffix}"
    export_program(trained.model, graph, file, head=trained.pair_head)
    right = program_inputs(trained.model.spec, graph, torch.tensor([[0, 1]]))
    assert run(file, right).shape == (1, 1)
    for pairs in (torch.tensor([[0, 1, 2]]), torch.tensor([0, 1])):
        with pytest.raises(Exception, match=r"(?i)shape|rank|dim|guard|expected|tuple index out of range"):
            run(file, {**right, "pairs": pairs})
    with pytest.raises(DataError, match="destination 120 is out of range"):
        program_inputs(trained.model.spec, graph, torch.tensor([[0, 120]]))
