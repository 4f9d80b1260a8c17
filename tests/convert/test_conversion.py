"""Weights of hand-written models of both libraries, to gnnkit, to each other, and back."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, Dict, Optional

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

import gnnkit
import gnnkit.backends
import gnnkit.data
from gnnkit.cli.main import app
from gnnkit.convert import convert_weights, read_state_dict
from gnnkit.data import add_self_loops, full_block, prepare_graph
from gnnkit.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from gnnkit.runs import save_weights
from tests.conftest import installed_backends
from tests.graphs import communities

KINDS = ["gcn", "sage", "sage max", "gat", "gat averaged", "gatv2", "gatv2 averaged", "gin"]
LIBRARIES = [name for name in ("pyg", "dgl") if name in installed_backends()]
both = pytest.mark.skipif(len(LIBRARIES) < 2, reason="needs both gnnkit-pyg and gnnkit-dgl")
HIDDEN, CLASSES = 6, 3


def mlp(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, out))


class PygModel(nn.Module):
    """As the tutorials of PyTorch Geometric write them."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        import torch_geometric.nn as pyg

        name, _, how = kind.partition(" ")
        if name in ("gat", "gatv2"):
            cls, heads = (pyg.GATConv if name == "gat" else pyg.GATv2Conv), 3 if how else 1
            self.conv1 = cls(width, HIDDEN, heads=4)
            self.conv2 = cls(4 * HIDDEN, CLASSES, heads=heads, concat=False)
        elif name == "gin":
            self.conv1, self.conv2 = pyg.GINConv(mlp(width, HIDDEN)), pyg.GINConv(mlp(HIDDEN, CLASSES))
        elif name == "gcn":
            self.conv1, self.conv2 = pyg.GCNConv(width, HIDDEN), pyg.GCNConv(HIDDEN, CLASSES)
        else:
            options = {"aggr": "max", "project": True} if how else {}
            self.conv1 = pyg.SAGEConv(width, HIDDEN, **options)
            self.conv2 = pyg.SAGEConv(HIDDEN, CLASSES, **options)

    def forward(self, graph: Any) -> Tensor:
        h = self.conv1(graph.x, graph.edge_index).relu()
        return self.conv2(functional.dropout(h, training=self.training), graph.edge_index)


class DglModel(nn.Module):
    """As the tutorials of DGL write them."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        from gnnkit_dgl.compat import import_dgl

        import_dgl()
        import dgl.nn

        self.kind, how = kind.split()[0], kind.partition(" ")[2]
        if self.kind in ("gat", "gatv2"):
            cls, heads = (dgl.nn.GATConv if self.kind == "gat" else dgl.nn.GATv2Conv), 3 if how else 1
            self.conv1, self.conv2 = cls(width, HIDDEN, 4), cls(4 * HIDDEN, CLASSES, heads)
        elif self.kind == "gin":
            self.conv1 = dgl.nn.GINConv(mlp(width, HIDDEN), "sum")
            self.conv2 = dgl.nn.GINConv(mlp(HIDDEN, CLASSES), "sum")
        elif self.kind == "gcn":
            self.conv1, self.conv2 = dgl.nn.GraphConv(width, HIDDEN), dgl.nn.GraphConv(HIDDEN, CLASSES)
        else:
            aggregator = "pool" if how else "mean"
            self.conv1 = dgl.nn.SAGEConv(width, HIDDEN, aggregator)
            self.conv2 = dgl.nn.SAGEConv(HIDDEN, CLASSES, aggregator)

    def forward(self, graph: Any) -> Tensor:
        native = gnnkit.backends.load_backend("dgl").to_native(
            graph if self.kind in ("sage", "gin") else add_self_loops(graph)
        )
        h = self.conv1(native, graph.x)
        if self.kind in ("gat", "gatv2"):
            return self.conv2(native, h.flatten(1).relu()).mean(1)
        return self.conv2(native, h.relu())


MODELS = {"pyg": PygModel, "dgl": DglModel}


def symmetric() -> Any:
    """GraphConv of DGL counts degrees at both ends, GCNConv of PyG at one: they agree on undirected graphs."""
    graph = communities()
    simple = gnnkit.from_edge_index(torch.unique(graph.edge_index, dim=1), graph.num_nodes, x=graph.x)
    return gnnkit.data.to_undirected(simple)


def written(library: str, kind: str, graph: Any) -> nn.Module:
    """A model by hand, with weights and biases none of which is 0."""
    torch.manual_seed(3)
    model = MODELS[library](kind, graph.num_features).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def options(kind: str) -> Dict[str, Optional[str]]:
    return {"conv": kind.split()[0], "aggregation": "max" if "max" in kind else None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_to_gnnkit_and_back(library: str, kind: str) -> None:
    graph = symmetric()
    model = written(library, kind, graph)
    with torch.no_grad():
        expected = model(graph)
    done = convert_weights(model.state_dict(), graph, source=library, target="gnnkit", **options(kind))
    assert done.layers == ["conv1", "conv2"] and done.is_within and done.difference <= 1e-5
    spec = done.model.spec
    ready = prepare_graph(graph, self_loops=spec.self_loops, gcn_norm=spec.gcn_norm)
    outputs = done.model([full_block(ready)] * 2, graph.x)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)

    back = convert_weights(done.state, graph, source="gnnkit", target=library, spec=spec)
    assert back.difference <= 1e-5
    assert {name: value.shape for name, value in back.state.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    again = MODELS[library](kind, graph.num_features).eval()
    again.load_state_dict(back.state)
    with torch.no_grad():
        torch.testing.assert_close(again(graph), expected, rtol=0, atol=1e-5)


@both
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_to_the_other_library(library: str, kind: str) -> None:
    graph = symmetric()
    model = written(library, kind, graph)
    other = "dgl" if library == "pyg" else "pyg"
    done = convert_weights(model.state_dict(), graph, source=library, target=other, **options(kind))
    converted = MODELS[other](kind, graph.num_features).eval()
    converted.load_state_dict(done.state)
    with torch.no_grad():
        expected, outputs = model(graph), converted(graph)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
    assert done.difference <= 1e-5


@pytest.mark.skipif("dgl" not in LIBRARIES, reason="needs gnnkit-dgl")
def test_the_certificate_tells_where_libraries_mean_different_things() -> None:
    """On a directed graph DGL's GCN divides by the out-degree of the source, the standard one by its in-degree."""
    graph = communities()
    state = written("dgl", "gcn", graph).state_dict()
    assert not convert_weights(state, graph, source="dgl", target="gnnkit", conv="gcn").is_within


@both
def test_what_is_no_convolution_is_kept_between_libraries_and_refused_by_gnnkit() -> None:
    graph = communities()
    model = written("pyg", "sage", graph)
    model.head = nn.Linear(CLASSES, 2)
    state = model.state_dict()
    done = convert_weights(state, graph, source="pyg", target="dgl", conv="sage")
    assert torch.equal(done.state["head.weight"], state["head.weight"])
    assert any("head.weight" in note for note in done.notes)
    with pytest.raises(CheckpointError, match=r"head\.weight, head\.bias: no part of the layers conv1, conv2"):
        convert_weights(state, graph, source="pyg", target="gnnkit", conv="sage")


def test_the_certificate_tells_of_a_mistake_in_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    library = LIBRARIES[0]
    backend, graph = gnnkit.backends.load_backend(library), communities()
    state = written(library, "sage", graph).state_dict()
    right = backend.read_layer

    def swapped(*args: Any, **kwargs: Any) -> Any:
        spec, values = right(*args, **kwargs)
        values["lin_self.weight"], values["lin_neigh.weight"] = values["lin_neigh.weight"], values["lin_self.weight"]
        return spec, values

    monkeypatch.setattr(backend, "read_layer", swapped)
    done = convert_weights(state, graph, source=backend, target="gnnkit", conv="sage")
    assert done.difference > 1e-2 and not done.is_within


@pytest.mark.skipif("pyg" not in LIBRARIES, reason="needs gnnkit-pyg")
def with_residual(pyg: Any) -> nn.Module:
    if "residual" not in inspect.signature(pyg.GATConv).parameters:
        pytest.skip("GATConv has no residual connection in this release of PyTorch Geometric")
    return pyg.GATConv(8, 3, residual=True)


@pytest.mark.parametrize(
    "make, options, message",
    [
        (lambda pyg: pyg.GATConv(8, 3, edge_dim=2), {"conv": "gat"}, "conv1 cannot be converted.*edge features"),
        (lambda pyg: with_residual(pyg), {"conv": "gat"}, "a residual connection of its own"),
        (lambda pyg: pyg.GATConv((8, 8), 3), {"conv": "gat"}, "one matrix for sources and another for destinations"),
        (lambda pyg: pyg.SAGEConv(8, 3, project=True), {"conv": "sage"}, "for aggregation 'max' alone"),
        (lambda pyg: pyg.SAGEConv(8, 3), {"conv": "sage", "aggregation": "max"}, "without the projection"),
        (lambda pyg: pyg.GINConv(nn.Linear(8, 3)), {"conv": "gin", "layers": ["conv1"]}, "has no 'nn.0.weight'"),
        (lambda pyg: pyg.SAGEConv(-1, 3), {"conv": "sage"}, "lazy layer has not seen a batch"),
        (lambda pyg: pyg.SAGEConv(8, 3), {"conv": "gcn"}, "No layer of kind 'gcn' was found.*conv1.lin_l.weight"),
    ],
)
def test_layers_that_cannot_be_converted_are_named_with_the_reason(make: Any, options: dict, message: str) -> None:
    import torch_geometric.nn as pyg

    state = nn.ModuleDict({"conv1": make(pyg)}).state_dict()
    with pytest.raises(CheckpointError, match=message):
        convert_weights(state, communities(), source="pyg", target="gnnkit", **options)


@pytest.mark.skipif("dgl" not in LIBRARIES, reason="needs gnnkit-dgl")
@pytest.mark.parametrize(
    "make, options, message",
    [
        (lambda nn_: nn_.SAGEConv(8, 3, "gcn"), {"conv": "sage"}, "takes a node for one of its own neighbours"),
        (lambda nn_: nn_.SAGEConv(8, 3, "lstm"), {"conv": "sage"}, "aggregates with an LSTM"),
        (lambda nn_: nn_.SAGEConv(8, 3, "pool"), {"conv": "sage", "aggregation": "mean"}, "its aggregator is 'pool'"),
        (lambda nn_: nn_.GATConv(8, 3, 2, residual=True), {"conv": "gat"}, "a residual connection of its own"),
        (lambda nn_: nn_.GATConv((8, 8), 3, 2), {"conv": "gat"}, "one matrix for sources and another"),
    ],
)
def test_layers_of_dgl_that_cannot_be_converted(make: Any, options: dict, message: str) -> None:
    from gnnkit_dgl.compat import import_dgl

    import_dgl()
    import dgl.nn

    state = nn.ModuleDict({"conv1": make(dgl.nn)}).state_dict()
    with pytest.raises(CheckpointError, match=message):
        convert_weights(state, communities(), source="dgl", target="gnnkit", **options)


@pytest.mark.skipif("pyg" not in LIBRARIES, reason="needs gnnkit-pyg")
def test_what_a_layer_lacks_is_zero_where_that_is_exact() -> None:
    import torch_geometric.nn as pyg

    graph = communities()
    for kind, conv in (
        ("sage", pyg.SAGEConv(8, 3, root_weight=False, bias=False)),
        ("gcn", pyg.GCNConv(8, 3, bias=False)),
        ("gatv2", pyg.GATv2Conv(8, 3, heads=2, concat=False, share_weights=True, bias=False)),
    ):
        done = convert_weights(conv.state_dict(), graph, source="pyg", target="gnnkit", conv=kind)
        assert done.difference <= 1e-5 and done.layers == [""]


@pytest.mark.skipif("pyg" not in LIBRARIES, reason="needs gnnkit-pyg")
def test_what_gnnkit_cannot_hold_goes_to_the_other_library_only() -> None:
    import torch_geometric.nn as pyg

    graph = communities()
    state = nn.ModuleDict({"a": pyg.GINConv(mlp(8, 4), eps=0.5), "b": pyg.GINConv(mlp(4, 3))}).state_dict()
    layers = ["a", "b"]
    with pytest.raises(CheckpointError, match=r"a cannot be converted to gnnkit.*eps is 0\.5, not 0\.0"):
        convert_weights(state, graph, source="pyg", target="gnnkit", conv="gin", layers=layers)
    done = convert_weights(state, graph, source="pyg", target="pyg", conv="gin", layers=layers)
    assert done.difference <= 1e-5 and float(done.state["a.eps"]) == 0.5


def test_mistakes_of_the_user() -> None:
    graph, library = communities(), LIBRARIES[0]
    state = written(library, "sage", graph).state_dict()
    with pytest.raises(UnknownNameError, match="'sage'"):
        convert_weights(state, graph, source=library, target="gnnkit", conv="sagee")
    with pytest.raises(
        CheckpointError, match=r"conv1 takes 8 features, but conv2 before it gives 3.*in(put)? to output"
    ):
        convert_weights(state, graph, source=library, target="gnnkit", conv="sage", layers=["conv2", "conv1"])
    with pytest.raises(DataError, match="8 features, the first layer 'conv2' takes 6"):
        convert_weights(state, graph, source=library, target=library, conv="sage", layers=["conv2"])
    with pytest.raises(ConfigError, match="has no layers of its own"):
        convert_weights(state, graph, source="reference", target="gnnkit", conv="sage")
    model = gnnkit.build_model("sage", graph, norm="batch")
    with pytest.raises(CheckpointError, match="A model with norm is not one of standard layers"):
        convert_weights(model.canonical_state(), graph, source="gnnkit", target=library, spec=model.spec)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_files_that_are_no_state_dicts(tmp_path: Path) -> None:
    missing, broken, evil, other = (tmp_path / name for name in ("no.pt", "a.safetensors", "evil.pt", "other.pt"))
    broken.write_bytes(b"\x00" * 40)
    torch.save({"weight": Evil()}, evil)
    torch.save({"epoch": 3}, other)
    for file, message in (
        (missing, "Cannot read"),
        (broken, "Cannot read"),
        (evil, "could run code"),
        (other, "no state dict"),
    ):
        with pytest.raises(CheckpointError, match=message):
            read_state_dict(file)
    torch.save({"w": torch.ones(64)}, other)
    whole = other.read_bytes()
    for content in (b"", b"junk", whole[:200], whole.replace(b"_rebuild_tensor", b"_rebuild\xfftensor", 1)):
        other.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            read_state_dict(other)
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3}, other)
    assert list(read_state_dict(other)) == ["w"]


@both
def test_the_command(tmp_path: Path) -> None:
    karate = gnnkit.load_dataset("karate")
    source, middle, end = tmp_path / "pyg.pt", tmp_path / "gnnkit.safetensors", tmp_path / "dgl.safetensors"
    torch.save(written("pyg", "gat averaged", karate).state_dict(), source)
    common = ["--dataset", "karate", "--json"]
    first = ["convert-weights", str(source), "--from", "pyg", "--conv", "gat", "--output", str(middle), *common]
    done = CliRunner().invoke(app, first)
    assert done.exit_code == 0, done.output
    values = json.loads(done.output)
    assert values["difference"] <= 1e-5
    assert [(layer["name"], layer["heads"], layer["concat"]) for layer in values["layers"]] == [
        ("conv1", 4, True),
        ("conv2", 3, False),
    ]
    assert gnnkit.load_model(middle, gnnkit.backends.load_backend("dgl")).spec.conv_options["out_heads"] == 3
    second = ["convert-weights", str(middle), "--from", "gnnkit", "--to", "dgl", "--output", str(end)]
    done = CliRunner().invoke(app, [*second, "--dataset", "karate"])
    assert done.exit_code == 0 and "outputs differ by at most" in done.output
    converted = MODELS["dgl"]("gat averaged", karate.num_features).eval()
    converted.load_state_dict(read_state_dict(end))
    original = MODELS["pyg"]("gat averaged", karate.num_features).eval()
    original.load_state_dict(read_state_dict(source))
    with torch.no_grad():
        torch.testing.assert_close(converted(karate), original(karate), rtol=0, atol=1e-5)
    save_weights(gnnkit.build_model("sage", karate, residual=True), middle)
    refused = CliRunner().invoke(app, [*second, "--dataset", "karate"])
    assert refused.exit_code == 2
