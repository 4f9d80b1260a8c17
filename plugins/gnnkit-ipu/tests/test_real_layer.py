"""The plugin on PopTorch's own Python layer, over our stand-in for its compiled core: ``make test-poptorch``.

Rules: skipped where GNNKIT_POPTORCH names no such layer. What only a chip can show is not tested: memory, lowering of
operators, float16, random streams, executables in files, several IPUs.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.backends import build_model
from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import StepOptions, load_device
from gnnkit.testing import BackendSuite, DeviceSuite
from tests.graphs import communities

sys.path.insert(0, str(Path(__file__).parent))
from real_layer import core, loading

sys.path.pop(0)

HERE = loading.install()
pytestmark = pytest.mark.skipif(not HERE, reason=f"{loading.VARIABLE} names no folder with PopTorch's Python layer")
SAMPLED = {"fanouts": [5, 5], "batch_size": 32, "progress": False}
PLAIN = {"hidden_channels": 8, "dropout": 0.0, "input_dropout": 0.0}


class TestDeviceOnTheRealLayer(DeviceSuite):
    """gnnkit's checks of a device."""

    name = "ipu"

    @pytest.mark.skip(reason="it asks a process of its own, in which nobody has put the layer in its place")
    def test_missing_library(self):
        """See the suite."""


class TestBackendOnTheRealLayer(BackendSuite):
    """gnnkit's checks of a backend; its layers run by themselves there, without PopTorch."""

    name = "ipu"


@pytest.mark.parametrize("seed", range(20))
def test_sampled_trainings_in_a_row(seed):
    graph = gnnkit.load_dataset("digits")
    model = build_model("sage", graph, seed=seed)
    settings = {**SAMPLED, "num_threads": 3, "epochs": 2}
    core.CALLS.clear()
    result = gnnkit.Trainer("ipu", "ipu", seed=seed, **settings).fit(model, graph)
    assert len(result.history) == 2 and result.test["accuracy"] > 0.5
    assert core.CALLS["compile"] == 2


@pytest.mark.parametrize("options", [{}, {"max_ipus": 1}])
def test_losses_equal_the_emulators(options):
    results = []
    for device in ("ipu", "ipu-emulator"):
        graph = communities()
        trainer = gnnkit.Trainer("ipu", device, epochs=5, device_options=options, **SAMPLED)
        history = trainer.fit(build_model("gcn", graph, **PLAIN), graph).history
        results.append([value for record in history for value in (record.train_loss, record.valid_loss)])
    assert results[0] == pytest.approx(results[1], abs=1e-5)


@pytest.mark.parametrize("options, to_device", [({}, 1), ({"max_ipus": 1}, 2)])
def test_weights_travel_only_when_asked_for(options, to_device):
    counts = []
    for epochs in (2, 7):
        core.CALLS.clear()
        trainer = gnnkit.Trainer("ipu", "ipu", epochs=epochs, device_options=options, **SAMPLED)
        trainer.fit(build_model("sage", communities()), communities())
        counts.append(dict(core.CALLS))
    assert counts[1]["to_host"] - counts[0]["to_host"] == 5
    assert counts[1]["to_device"] - counts[0]["to_device"] == 5 * to_device
    assert counts[1]["compile"] == 2 and counts[1]["execute"] > 30


def test_a_failed_compilation_leaves_weights_plain():
    class Broken(torch.nn.Module):
        bad = True

        def __init__(self):
            super().__init__()
            self.lin, self.norm = torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(2)

        def forward(self, batch):
            outputs = self.lin(self.norm(batch.x))
            if self.bad:
                raise RuntimeError("forward fails")
            return outputs.square().mean(), outputs

    block = Block(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), 2)
    targets = Targets(torch.tensor([[1.0], [-1.0]]), num=2)
    batch = Batch((block, block), torch.tensor([[1.0, 1.0], [0.5, 1.0]]), targets, torch.tensor([0, 1]))
    module, device = Broken(), load_device("ipu")
    for _ in range(2):
        step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1), StepOptions())
        with pytest.raises(RuntimeError, match="forward fails"):
            step(batch)
        assert type(module.norm.running_mean) is torch.Tensor and type(module.lin.weight) is torch.nn.Parameter
    module.bad = False
    step(batch)
    device.close()


def test_betas_may_be_a_list():
    graph = communities()
    settings = {**SAMPLED, "epochs": 1, "optimizer_options": {"betas": [0.8, 0.9]}}
    gnnkit.Trainer("ipu", "ipu", **settings).fit(build_model("gcn", graph, **PLAIN), graph)


def test_a_run_is_resumed_with_its_optimisers_state(tmp_path):
    def fit(epochs, place, resume=None):
        graph = communities()
        trainer = gnnkit.Trainer("ipu", "ipu", epochs=epochs, run_dir=tmp_path / place, save_every=1, **SAMPLED)
        return [r.train_loss for r in trainer.fit(build_model("gcn", graph, **PLAIN), graph, resume=resume).history]

    whole = fit(6, "whole")
    fit(3, "first")
    assert fit(6, "second", resume=tmp_path / "first") == pytest.approx(whole, abs=1e-6)


def test_the_worked_example(data_dir, tmp_path):
    example = Path(__file__).parents[3] / "examples" / "ipu_cora.py"
    spec = importlib.util.spec_from_file_location("ipu_cora", example)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.run(str(data_dir), tmp_path, "ipu")
    assert found["device"] == "ipu" and len(found["losses"]) == 100
    assert found["losses"][0] == pytest.approx(1.946, abs=0.01) and found["losses"][-1] < 1.83
    assert found["accuracy"]["test"] > 0.6
