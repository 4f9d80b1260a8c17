"""An opened run: one answer by three methods on every backend, and what is refused."""

from __future__ import annotations

import gc
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.data import add_nodes, full_block
from gnnkit.errors import CheckpointError, ConfigError, DataError
from gnnkit.inference import open_run
from gnnkit.runs import read_weights
from tests.graphs import communities, multi_label
from tests.inference.conftest import MODELS

METHODS = {
    "layerwise": {"batch_size": 50},
    "full": {},
    "sampled": {"fanouts": [-1, -1], "batch_size": 50},
}
MAPS = Path("/proc/self/maps")
NODES = [200, 3, 17, 3]


def opened(run, backend="reference", **more):
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    return open_run(run, backend=backend, device=device, **{"graph": communities(), **more})


def by_hand(run):
    """Outputs and layers over the whole graph, by the model itself."""
    spec = run.model.spec
    graph = spec.prepare(run.graph)
    block, layers = full_block(graph, edge_features=spec.reads_edges), []
    with torch.no_grad():
        h = graph.x
        for i in range(run.model.num_layers):
            h = run.model.layer(i, block, h)
            layers.append(h)
        return run.model.output(layers), layers


@pytest.mark.in_turn
@pytest.mark.parametrize("name", MODELS)
def test_three_methods_give_one_answer_on_every_backend(name, backend_name, trained):
    expected, layers = by_hand(opened(trained(name)))
    run = opened(trained(name), backend_name)
    assert run.model.backend.name == backend_name
    for method, settings in METHODS.items():
        said = run.predict(NODES, method=method, **settings)
        assert said.nodes.tolist() == NODES
        torch.testing.assert_close(said.outputs, expected[NODES], atol=1e-5, rtol=0)
        found = run.embed(NODES, method=method, **settings)
        assert list(found) == [1, 2]
        for number, layer in found.items():
            torch.testing.assert_close(layer, layers[number - 1][NODES], atol=1e-5, rtol=0)
    run.close()


@pytest.mark.parametrize("name", ["gcn", "sage"])
def test_new_nodes_are_predicted_as_by_a_pass_by_hand_over_the_larger_graph(name, trained):
    old, draw = replace(communities(), edge_attr=None), torch.Generator().manual_seed(1)
    x = torch.randn(5, old.num_features, generator=draw)
    edges = torch.tensor([[0, 7, 240, 241, 30, 242], [240, 240, 7, 242, 241, 12]])  # 243 and 244 know nobody.
    run = opened(trained(name)).on(add_nodes(old, x, edges))
    found = run.predict(torch.arange(240, 245)).outputs
    assert run.differences

    every = torch.cat([old.edge_index, edges], dim=1)
    adjacency = torch.zeros(245, 245, dtype=torch.float64)
    adjacency.index_put_((every[1], every[0]), torch.ones(every.shape[1], dtype=torch.float64), accumulate=True)
    weights = {
        key: value.double() for key, value in read_weights(run.path / "checkpoints" / "best.safetensors")[1].items()
    }
    h = torch.cat([old.x, x]).double()
    for layer in ("convs.0", "convs.1"):
        if name == "gcn":
            looped = adjacency + torch.diag((adjacency.diagonal() == 0).double())
            scale = looped.sum(1).rsqrt()
            h = (scale[:, None] * looped * scale) @ h @ weights[f"{layer}.lin.weight"].T
        else:
            mean = adjacency / adjacency.sum(1).clamp(min=1)[:, None]
            h = h @ weights[f"{layer}.lin_self.weight"].T + mean @ h @ weights[f"{layer}.lin_neigh.weight"].T
        h = h + weights[f"{layer}.bias"]
        h = h.relu() if layer == "convs.0" else h
    torch.testing.assert_close(found.double(), h[240:], atol=1e-5, rtol=0)


def test_all_nodes_by_default_and_some_layers(trained):
    run, told = opened(trained("sage")), []
    assert run.predict(batch_size=100, report=lambda *progress: told.append(progress)).outputs.shape == (240, 3)
    assert told == [(done, 6) for done in range(1, 7)]
    found = run.embed(layers=[1])
    assert {number: tuple(layer.shape) for number, layer in found.items()} == {1: (240, 8)}
    torch.testing.assert_close(found[1], run.embed(method="full", layers=[1])[1])


def test_fan_outs_of_the_caller_and_of_the_run(trained, tmp_path):
    graph = communities()
    gnnkit.Trainer(device="cpu", epochs=1, fanouts=[4, 3], run_dir=tmp_path / "run", progress=False).fit(
        gnnkit.build_model("sage", graph), graph
    )
    run = open_run(tmp_path / "run", graph=graph, device="cpu")
    default = run.predict(method="sampled").outputs
    assert torch.equal(default, run.predict(method="sampled", fanouts=[4, 3]).outputs)
    assert not torch.equal(default, run.predict(method="sampled", fanouts=[20, 20]).outputs)
    with pytest.raises(ConfigError, match="3 fan-outs for a model of 2 layers"):
        run.predict(method="sampled", fanouts=[20, 20, 20])
    with pytest.raises(ConfigError, match="no fan-outs"):
        opened(trained("sage")).predict(method="sampled")
    with pytest.raises(ConfigError, match="not for 'full'"):
        run.predict(method="full", fanouts=[4, 3])


def test_what_the_run_said_is_said_again(trained):
    run = opened(trained("gcn"))
    test = run.graph.splits["test"]
    said = run.predict(test)
    assert float((said.classes == run.graph.y[test]).double().mean()) == run.record.manifest["result"]["test_accuracy"]
    torch.testing.assert_close(said.probabilities.sum(1), torch.ones(len(test)))


def test_a_layer_that_looks_further_than_a_block_is_used_as_it_was_evaluated(tmp_path):
    pytest.importorskip("torch_geometric")
    graph = communities()
    model = gnnkit.build_model("torch_geometric.nn:TAGConv", graph, backend="pyg")
    gnnkit.Trainer(device="cpu", epochs=2, run_dir=tmp_path, progress=False).fit(model, graph)
    run = open_run(tmp_path, graph=graph, device="cpu")
    torch.testing.assert_close(run.predict(NODES).outputs, by_hand(run)[0][NODES], atol=1e-5, rtol=0)
    assert run.default_method == "full"


def test_several_labels_a_node(tmp_path):
    graph = multi_label()
    gnnkit.Trainer(device="cpu", epochs=2, run_dir=tmp_path, progress=False).fit(
        gnnkit.build_model("gcn", graph), graph
    )
    said = open_run(tmp_path, graph=graph, device="cpu").predict([4, 5])
    assert said.is_multi_label
    assert torch.equal(said.classes, said.outputs >= 0) and torch.equal(said.probabilities, said.outputs.sigmoid())


def test_a_run_in_float64_is_opened_so_or_otherwise(tmp_path):
    graph = communities()
    trainer = gnnkit.Trainer(device="cpu", epochs=1, precision="float64", run_dir=tmp_path, progress=False)
    trainer.fit(gnnkit.build_model("gcn", graph), graph)
    double = open_run(tmp_path, graph=graph, device="cpu").predict(NODES).outputs
    single = open_run(tmp_path, graph=graph, device="cpu", precision="float32").predict(NODES).outputs
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(double.float(), single)
    assert not torch.equal(double.float().double(), double)


def test_whether_data_are_those_of_the_run(trained):
    graph = communities()
    assert opened(trained("gcn")).differences == []
    assert opened(trained("gcn"), graph=replace(graph, x=graph.x + 1)).differences == ["features"]


def test_the_data_that_the_configuration_names(tmp_path):
    from gnnkit.cli.configuring import run_config
    from gnnkit.cli.run import train

    run_dir = str(tmp_path / "run")
    train(
        run_config(["train.epochs=1"], {"dataset": {"name": "karate"}, "run_dir": run_dir, "device": "cpu", "seed": 3})
    )
    run = open_run(run_dir)
    assert (run.graph.name, run.differences, run.config.seed) == ("karate", [], 3)
    assert run.predict().outputs.shape == (34, 4)


@pytest.mark.skipif(not MAPS.exists(), reason="the system does not say what is mapped")
@pytest.mark.parametrize("method", ["layerwise", "sampled"])
def test_large_results_lie_in_files(method, trained, tmp_path, monkeypatch):
    def num_mapped():
        return MAPS.read_text().count(str(tmp_path))

    run = opened(trained("sage"))
    settings = METHODS[method]
    inside = run.predict(method=method, **settings).outputs, run.embed(method=method, **settings)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run.config.train.eval_memory = 0
    outputs = run.predict(method=method, **settings).outputs
    assert torch.equal(outputs, inside[0]) and num_mapped() == 1
    layers = run.embed(method=method, **settings)
    assert all(torch.equal(layer, inside[1][number]) for number, layer in layers.items())
    assert num_mapped() == 1 + (2 if method == "layerwise" else 1)
    some = run.predict([5, 3], method=method, **settings).outputs
    torch.testing.assert_close(some, outputs[[5, 3]])  # Two rows may be multiplied by other instructions than all.
    assert list(tmp_path.iterdir()) == []
    del outputs, layers, some
    gc.collect()
    assert num_mapped() == 0


class TestMistakes:
    def test_no_run_folder(self, tmp_path):
        with pytest.raises(CheckpointError, match="no run folder"):
            open_run(tmp_path)

    def test_no_checkpoint(self, trained, tmp_path):
        shutil.copytree(trained("gcn"), tmp_path / "run")
        (tmp_path / "run" / "checkpoints" / "best.safetensors").unlink()
        with pytest.raises(CheckpointError, match="has no checkpoints/best.safetensors"):
            open_run(tmp_path / "run", graph=communities())

    def test_a_graph_from_memory_that_is_not_given(self, trained):
        with pytest.raises(ConfigError, match="graph in memory"):
            open_run(trained("gcn"))

    def test_another_width_of_features(self, trained):
        graph = communities()
        narrow = replace(graph, x=graph.x[:, 1:])
        with pytest.raises(ConfigError, match=r"takes (\d+) features.* has \d+"):
            opened(trained("gcn"), graph=narrow)
        with pytest.raises(ConfigError, match=r"takes (\d+) features.* has \d+"):
            opened(trained("gcn")).on(narrow)

    @pytest.mark.parametrize(
        "nodes, error, message",
        [([3, 240], DataError, "row 1: node id 240"), ([-1], DataError, "-1"), ([], ConfigError, "No nodes")],
    )
    def test_nodes_that_are_not_there(self, nodes, error, message, trained):
        run = opened(trained("gcn"))
        for call in (run.predict, run.embed):
            with pytest.raises(error, match=message):
                call(nodes)

    def test_method_layer_batch_size_and_precision(self, trained):
        run = opened(trained("gcn"))
        with pytest.raises(ConfigError, match="batch size is 0"):
            run.predict(batch_size=0)
        with pytest.raises(ConfigError, match="from 0, or -1"):
            run.predict(method="sampled", fanouts=[5, -2])
        with pytest.raises(ConfigError, match="layerwise, full, sampled"):
            run.predict(method="whole")
        with pytest.raises(ConfigError, match="layers 1 to 2"):
            run.embed(layers=[0, 1])
        with pytest.raises(gnnkit.GnnkitError, match="half"):
            opened(trained("gcn"), precision="half")

    def test_a_damaged_manifest(self, trained, tmp_path):
        run = Path(shutil.copytree(trained("gcn"), tmp_path / "run"))
        manifest = json.loads((run / "manifest.json").read_text())
        del manifest["data"]
        (run / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ConfigError, match=r"data\.parts"):
            open_run(run, graph=communities())
