"""What a dry run says of a training is what the training then has."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.devices import resident
from gnnkit.errors import ConfigError
from gnnkit.measure import DryRun, dry_run, short_training
from gnnkit.nn import GNN
from gnnkit.tasks import arranged
from gnnkit.testing.graphs import many_graphs
from gnnkit.train import load_config
from gnnkit.train.assembling import assemble
from tests.commands import gnnkit_command
from tests.graphs import communities

SAMPLED = {"fanouts": [3, 2], "batch_size": 32}


def look(graph=None, backend="reference", model="sage", spec=None, **settings) -> tuple[DryRun, GNN, gnnkit.Trainer]:
    graph = communities() if graph is None else graph
    net = gnnkit.build_model(model, graph, backend=backend, hidden_channels=16, **(spec or {}))
    trainer = gnnkit.Trainer(device="cpu", epochs=1, progress=False, **settings)
    return dry_run(trainer, net, graph, num_batches=3), net, trainer


class Counted(gnnkit.train.Callback):
    """Counts the batches of an epoch."""

    batches = 0

    def on_batch(self, index: int) -> None:
        self.batches = index + 1


@pytest.mark.parametrize("settings", [{}, SAMPLED, {"clusters": 4}], ids=["full", "sampled", "clusters"])
def test_sizes_are_those_of_the_training(backend_name: str, settings: dict) -> None:
    if backend_name == "ipu":
        pytest.skip("device cpu does not take it")
    found, net, trainer = look(backend=backend_name, **settings)
    trainer.callbacks = [counted := Counted()]
    result = trainer.fit(net, communities())
    assert found.backend == backend_name and found.batches_per_epoch == counted.batches
    assert found.num_parameters == sum(parameter.numel() for parameter in result.model.parameters())
    assert [layer.name for layer in found.layers] == ["convs.0", "convs.1"]
    assert [layer.shape for layer in found.layers] == list(zip(found.largest.num_nodes[1:], (16, 3)))
    assert found.memory.parameters == found.memory.gradients == 4 * found.num_parameters
    assert 0 <= found.memory.optimizer - 2 * found.memory.parameters < 100, "Adam keeps two values and a count"
    assert found.memory.activations and found.memory.activations > 0


def test_outputs_of_layers_have_the_shapes_that_are_told() -> None:
    graph = communities()
    spec = {"jumping_knowledge": "cat", "norm": "batch", "residual": True}
    found, net, _ = look(graph, spec=spec)
    seen = {}
    for name in ("convs.0", "convs.1", "head"):
        net.get_submodule(name).register_forward_hook(
            lambda module, given, out, name=name: seen.update({name: tuple(out.shape)})
        )
    net([gnnkit.data.full_block(graph)] * 2, graph.x)
    assert {layer.name: layer.shape for layer in found.layers} == seen
    assert found.num_parameters == sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    "task, settings, loading, targets",
    [
        ("link_prediction", {"batch_size": 32}, "sampled", "pairs"),
        ("link_prediction", {}, "full graph", "pairs"),
        ("unsupervised", {"batch_size": 32}, "sampled", "nodes"),
    ],
)
def test_other_tasks_are_looked_at_as_well(task: str, settings: dict, loading: str, targets: str) -> None:
    overrides = [f"task={task}", "dataset.name=karate", "device=cpu"]
    overrides += [f"train.{name}={value}" for name, value in settings.items()]
    found = dry_run(*assemble(load_config(overrides=overrides)), num_batches=2)
    assert (found.task, found.loading, found.targets) == (task, loading, targets)
    assert found.evaluation_seconds and found.memory.batches > 0


def test_of_whole_graphs_the_largest_batch_counts() -> None:
    graph = many_graphs()
    found, _, _ = look(
        graph, model="gin", spec={"pooling": "sum"}, task="graph_classification", batch_size=8, shuffle=False
    )
    train = arranged("graph_classification", graph, {}, 0).graph_splits["train"]
    batches = [gnnkit.loading.graph_sizes(graph)[part].sum(axis=0) for part in train.split(8)]
    nodes, edges = max(batches, key=lambda size: size[0] + 2 * size[1])
    assert found.loading == found.targets == "graphs" and found.batches_per_epoch == len(batches)
    assert (found.largest.num_nodes, found.largest.num_edges) == ((nodes,) * 3, (edges,) * 2)
    assert (found.layers[-1].name, found.layers[-1].shape) == ("head", (8, 3))


def test_a_device_that_compiles_its_step_has_no_activations_to_count() -> None:
    pytest.importorskip("gnnkit_ipu")
    settings = ["backend=ipu", "device=ipu-emulator", "dataset.name=karate", "train.fanouts=[3,3]"]
    found = dry_run(*assemble(load_config(overrides=[*settings, "train.batch_size=4"])), num_batches=2)
    assert found.num_parameters == 628 and found.step_seconds > 0 and found.memory.activations is None
    assert found.layers[0].shape == (found.largest.num_nodes[1], 16)


def test_the_model_is_left_as_it_is() -> None:
    graph, net = communities(), gnnkit.build_model("gcn", communities())
    before = {name: value.clone() for name, value in net.canonical_state().items()}
    dry_run(gnnkit.Trainer(device="cpu"), net, graph, num_batches=1)
    assert all(torch.equal(value, before[name]) for name, value in net.canonical_state().items())


def test_activations_grow_with_the_hidden_width() -> None:
    graph = communities()

    def kept(width: int) -> int:
        net = gnnkit.build_model("gcn", graph, hidden_channels=width, dropout=0.0)
        return dry_run(gnnkit.Trainer(device="cpu"), net, graph, num_batches=1, evaluates=False).memory.activations

    narrow, middle, wide = (kept(width) for width in (16, 32, 64))
    assert wide - middle == 2 * (middle - narrow) >= 4 * graph.num_nodes * 32


def test_parts_add_up_and_an_evaluation_that_takes_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_training, "_EVALUATION_SECONDS", 0.0)
    found, _, _ = look(**SAMPLED, eval_batch_size=16)
    assert not found.is_complete and found.evaluation_seconds > 0
    sizes = found.to_dict()["memory"]
    parts = {name: size for name, size in sizes.items() if name not in ("total", "device")}
    assert sum(parts.values()) == sizes["total"]
    assert found.epoch_seconds == pytest.approx(
        found.batches_per_epoch * found.batch_seconds + found.evaluation_seconds
    )


def test_no_batches_is_refused() -> None:
    with pytest.raises(ConfigError, match="number of batches is 0"):
        dry_run(gnnkit.Trainer(device="cpu"), gnnkit.build_model("gcn", communities()), communities(), num_batches=0)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say")
def test_the_peak_of_a_process_is_its_own_and_not_that_of_its_parent() -> None:
    spec = importlib.util.find_spec(resident.__name__)
    child = f"import runpy; print(runpy.run_path({spec.origin!r})['peak_resident']())"
    parent = (
        f"import subprocess, sys; x = bytearray(b'1') * (300 << 20); subprocess.run([sys.executable, '-c', {child!r}])"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < 100 << 20


ARXIV = [
    *("--dataset", "synthetic", "--layers", "3", "--hidden", "256", "--fanouts", "15,10,5"),
    *("dataset.options.num_nodes=169343", "dataset.options.num_edges=1166243", "dataset.options.num_features=128"),
    *("dataset.options.num_classes=40", "dataset.options.feature_noise=4.0", "train.epochs=1"),
]


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["--dataset", "cora", "--backend", "pyg"],
        ["--dataset", "facebook_large", "--backend", "pyg"],
        ["--dataset", "facebook_large", "--backend", "reference", "--epochs", "2"],
        ["--dataset", "facebook_large", "--backend", "pyg", "--batch-size", "256", "--epochs", "2"],
        [*ARXIV, "--backend", "pyg"],
    ],
    ids=["cora", "facebook_large", "facebook_large-reference", "facebook_large-sampled", "arxiv-sized"],
)
def test_memory_is_within_a_fifth_of_the_runs_peak(arguments: list[str], tmp_path: Path, data_dir: Path) -> None:
    if "pyg" in arguments:
        pytest.importorskip("torch_geometric")
    options = ["run", *arguments, "--model", "sage", "--device", "cpu", "--data-dir", str(data_dir), "--json"]
    told = []
    for more in (["--dry-run"], []):
        done = gnnkit_command(*options, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout.splitlines()[-1])["memory"])
    estimate, measured = told[0]["total"], told[1]["peak_resident"]
    print(f"estimate {estimate / 2**20:.0f} MiB, measured {measured / 2**20:.0f} MiB, {estimate / measured:.3f}")
    assert 0.8 <= estimate / measured <= 1.2
