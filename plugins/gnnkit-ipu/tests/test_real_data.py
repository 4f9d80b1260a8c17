"""Real data: the worked example, Cora, and sampled training on the Facebook pages."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit_ipu.device import IpuEmulatorDevice

EXAMPLE = Path(__file__).parents[3] / "examples" / "ipu_cora.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("ipu_cora", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_worked_example(example, data_dir, tmp_path, capsys):
    found = example.run(str(data_dir), tmp_path, "ipu-emulator")
    losses, accuracy = found["losses"], found["accuracy"]
    assert len(losses) == 100
    assert losses[0] == pytest.approx(1.946, abs=0.01) and losses[-1] == pytest.approx(1.79, abs=0.03)
    # Releases of torch draw other dropout masks: 70.4 % and 70.6 % on 2.13, 70.4 % and 69.0 % on 2.0.1.
    room = 0.02 if torch.__version__.startswith("2.13.") else 0.03
    assert accuracy["valid"] == pytest.approx(0.712, abs=room) and accuracy["test"] == pytest.approx(0.712, abs=room)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().err.count("compiled in") == 2
    example.run(str(data_dir), tmp_path, "ipu-emulator", epochs=1)
    assert capsys.readouterr().err.count("found in the cache") == 2


@pytest.mark.parametrize("packing", ["always", "never"])
def test_molecules_in_one_shape(data_dir, capsys, packing):
    graph = gnnkit.load_dataset("TU-MUTAG", data_dir=str(data_dir / "MUTAG"))
    seen: Counter = Counter()
    shapes = set()

    class Counting(IpuEmulatorDevice):
        def put(self, batch):
            if batch.num_targets:
                seen.update(batch.nodes[batch.nodes >= 0].tolist())
                shapes.add(tuple(tuple(tensor.shape) for tensor in batch.flatten()))
            return super().put(batch)

    model = gnnkit.build_model(
        "gin", graph, seed=0, out_channels=2, hidden_channels=32, num_layers=3, pooling="sum", norm="batch", dropout=0.0
    )
    settings = {"task": "graph_classification", "packing": packing, "epochs": 5, "lr": 0.001}
    result = gnnkit.Trainer("ipu", Counting(), progress=False, **settings).fit(model, graph)
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert len(seen) == 150 and set(seen.values()) == {5}, "each training graph once in every epoch"
    assert len(shapes) == 1
    assert capsys.readouterr().err.count("Graph compilation (emulated)") == 2


@pytest.mark.long
def test_cora_reaches_the_accuracy_of_other_backends(data_dir):
    graph = gnnkit.load_dataset("cora", data_dir=str(data_dir))
    accuracies = []
    for seed in range(5):
        model = gnnkit.build_model("gcn", graph, seed=seed)
        result = gnnkit.Trainer("ipu", "ipu-emulator", seed=seed, progress=False).fit(model, graph)
        accuracies.append(result.test["accuracy"])
    assert sum(accuracies) / len(accuracies) >= 0.805, accuracies


@pytest.mark.long
def test_sampled_sage_on_the_facebook_pages(data_dir, capsys):
    graph = gnnkit.load_dataset("facebook_large", data_dir=str(data_dir))
    seen: Counter = Counter()

    class Counting(IpuEmulatorDevice):
        def put(self, batch):
            if batch.num_targets:
                seen.update(batch.nodes[batch.nodes >= 0].tolist())
            return super().put(batch)

    model = gnnkit.build_model("sage", graph, seed=0)
    settings = {"fanouts": [10, 10], "batch_size": 1024, "epochs": 20}
    result = gnnkit.Trainer("ipu", Counting(), progress=False, **settings).fit(model, graph)
    assert result.test["accuracy"] == pytest.approx(0.942, abs=0.01)
    assert seen == Counter(dict.fromkeys(graph.splits["train"].tolist(), 20)), "each seed once in every epoch"
    assert capsys.readouterr().err.count("Graph compilation (emulated)") == 2
