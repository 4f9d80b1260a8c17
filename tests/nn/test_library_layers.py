"""Layers of a library by name: trained, saved, and refused where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.cli.main import app
from gnnkit.data import full_block
from gnnkit.errors import ConfigError, LayerError, UnknownNameError
from tests.conftest import installed_backends
from tests.graphs import communities

GRAPH = communities()
DEGREES = torch.bincount(GRAPH.indptr.diff()).tolist()
PNA = {"aggregators": ["mean", "max"], "scalers": ["identity", "amplification"]}
LAYERS = {
    "torch_geometric.nn:PNAConv": ("pyg", {**PNA, "deg": DEGREES}),
    "torch_geometric.nn:ChebConv": ("pyg", {"K": 2}),
    "torch_geometric.nn:GraphConv": ("pyg", {}),
    "dgl.nn:PNAConv": ("dgl", {**PNA, "delta": 2.0}),
    "dgl.nn:TAGConv": ("dgl", {"k": 2}),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Tuple[str, str, Dict[str, Any]]:
    backend, options = LAYERS[request.param]
    return request.param, need(backend), options


def need(backend: str) -> str:
    if backend not in installed_backends():
        pytest.skip(f"{backend} is not installed")
    return backend


def test_trains_sampled_and_comes_back_from_its_checkpoint(layer: Any, tmp_path: Path) -> None:
    path, backend, options = layer
    model = gnnkit.build_model(path, GRAPH, backend=backend, seed=3, hidden_channels=16, conv_options=options)
    assert not model.spec.is_portable
    settings = {"fanouts": [5, 5], "batch_size": 64, "lr": 0.01, "progress": False}
    result = gnnkit.Trainer(device="cpu", epochs=6, run_dir=tmp_path / "run", **settings).fit(model, GRAPH)
    assert result.history[-1].train_loss < 0.9 * result.history[0].train_loss
    assert json.loads((tmp_path / "run/manifest.json").read_text())["portable"] is False

    loaded = gnnkit.load_model(tmp_path / "run/checkpoints/best.safetensors", load_backend(backend))
    blocks = [full_block(GRAPH)] * 2
    assert torch.equal(loaded.eval()(blocks, GRAPH.x), result.model(blocks, GRAPH.x))
    resumed = gnnkit.Trainer(device="cpu", epochs=8, **settings).fit(model, GRAPH, resume=tmp_path / "run")
    assert len(resumed.history) == 8


def test_the_seed_decides_how_it_starts(layer: Any) -> None:
    path, backend, options = layer

    def state(seed: int) -> Dict[str, torch.Tensor]:
        torch.rand(seed + 1)
        return gnnkit.build_model(path, GRAPH, backend=backend, seed=seed, conv_options=options).canonical_state()

    first, again, other = state(1), state(1), state(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_an_edge_weight_reaches_a_layer_that_takes_one() -> None:
    backend = need("pyg")
    model = gnnkit.build_model("torch_geometric.nn:GraphConv", GRAPH, backend=backend, num_layers=1).eval()
    layer = model.convs[0].layer
    block = full_block(GRAPH)
    weight = torch.rand(GRAPH.num_edges)
    weighted = gnnkit.data.Block(block.indptr, block.indices, block.num_src, edge_weight=weight)
    edge_index = torch.stack([block.indices, block.dst])
    for given, out in ((None, model([block], GRAPH.x)), (weight, model([weighted], GRAPH.x))):
        torch.testing.assert_close(out, layer(GRAPH.x, edge_index, given))


def test_other_backends_refuse_it(backend_name: str) -> None:
    own = load_backend(backend_name).layer_module
    for path in LAYERS:
        if path.partition(":")[0] != own:
            with pytest.raises(ConfigError, match=f"Backend '{backend_name}' has no layer '{path.partition(':')[2]}'"):
                gnnkit.build_model(path, GRAPH, backend=backend_name)


def test_a_model_with_one_cannot_move(layer: Any) -> None:
    path, backend, options = layer
    model = gnnkit.build_model(path, GRAPH, backend=backend, conv_options=options)
    with pytest.raises(ConfigError, match="Backend 'reference' has no layer"):
        gnnkit.Trainer("reference", "cpu", epochs=1).fit(model, GRAPH)


@pytest.mark.parametrize(
    "path, options, error, words",
    [
        ("torch_geometric.nn:PNAConf", {}, UnknownNameError, "Did you mean 'PNAConv'"),
        ("torch_geometric.nn:Linear", {}, UnknownNameError, "Unknown layer of torch_geometric.nn"),
        ("torch_geometric.nn:PNAConv", {}, ConfigError, "'aggregators', 'scalers', and 'deg'.*conv_options"),
        (
            "dgl.nn:GATConv",
            {"num_heads": 2, "allow_zero_in_degree": True},
            ConfigError,
            r"gives \[\d+, 2, 64\], expected \[\d+, 64\]",
        ),
        ("dgl.nn:GATConv", {"num_heads": 1}, LayerError, "DGLError: There are 0-in-degree nodes"),
        ("torch_geometric.nn:CGConv", {}, LayerError, "which is all that it is given: RuntimeError"),
        ("torch_geometric.nn:HypergraphConv", {"heads": "a"}, ConfigError, "cannot be made as HypergraphConv"),
        ("os:system", {}, ConfigError, "imports nothing because a file names it"),
        ("gcn", {"k": 1}, ConfigError, "conv_options has 'k', but model 'gcn' has no options"),
    ],
)
def test_mistakes_are_told(path: str, options: Dict[str, Any], error: type, words: str) -> None:
    backend = need("dgl" if path.startswith("dgl") else "pyg")

    def compute() -> None:
        model = gnnkit.build_model(path, GRAPH, backend=backend, conv_options=options)
        model([full_block(GRAPH)] * 2, GRAPH.x)

    with pytest.raises(error, match=words):
        compute()


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("pyg")
    command = ["run", "--dataset", "karate", "--epochs", "2", "--model", "torch_geometric.nn:ChebConv"]
    command += ["model.conv_options.K=2", "--run-dir", str(tmp_path / "run")]
    app([*command, "--backend", "pyg", "--device", "cpu"], standalone_mode=False)
    assert "portable" in capsys.readouterr().out
    app(["reproduce", str(tmp_path / "run")], standalone_mode=False)
    assert "identical" in capsys.readouterr().out


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("where", ["a library's layer", "a custom layer"])
def test_no_memory_is_no_mistake_of_the_user(where: str, error: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing layer is never a wrong configuration; callers look for the error by its type."""
    backend = need("pyg")

    def forward(*arguments: Any, **others: Any) -> None:
        raise error("CUDA out of memory")

    path = "torch_geometric.nn:GraphConv" if where == "a library's layer" else Custom
    model = gnnkit.build_model(path, GRAPH, backend=backend)
    layer = model.convs[0].layer if where == "a library's layer" else model.convs[0]
    monkeypatch.setattr(type(layer), "forward", forward)
    with pytest.raises(error, match="CUDA out of memory"):
        gnnkit.Trainer(device="cpu", progress=False, epochs=1).fit(model, GRAPH)


class Custom(gnnkit.nn.MessagePassing):
    """A layer that fails when it is told to."""

    def __init__(self, ops: Any, in_channels: int, out_channels: int) -> None:
        super().__init__(ops)
        self.lin = torch.nn.Linear(in_channels, out_channels)

    def forward(self, lowered: Any, h_src: torch.Tensor, h_dst: torch.Tensor) -> torch.Tensor:
        return self.lin(self.ops.aggregate(lowered, h_src, "sum"))
