"""Training on a graph whose edges and features lie elsewhere: the numbers of one that is here, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch

import gnnkit
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.tasks import arranged
from tests.remote import as_remote

ALL = {"epochs": 3, "batch_size": 300, "fanouts": [-1, -1], "evaluation": "sampled", "fuse_first_layer": "never"}


def fitted(graph, model, task="node_classification", **settings):
    more = {"out_channels": 8} if task == "link_prediction" else {}
    more.update({"input_dropout": 0.0} if model == "gcn" else {})
    net = gnnkit.build_model(model, graph, hidden_channels=8, dropout=0.0, **more)
    return gnnkit.Trainer(device="cpu", task=task, **{**ALL, **settings}).fit(net, graph)


@pytest.mark.parametrize(
    "model, task", [("sage", "node_classification"), ("gcn", "node_classification"), ("sage", "link_prediction")]
)
def test_with_all_neighbours_the_numbers_are_the_same(model, task, tmp_path):
    graph = arranged(task, gnnkit.load_dataset("digits"), {}, 0)
    settings = {"fanouts": [-1, -1], "batch_size": 2000 if task == "link_prediction" else 300}
    here = fitted(graph, model, task, run_dir=tmp_path / "here", **settings)
    there = fitted(as_remote(graph), model, task, run_dir=tmp_path / "there", **settings)
    losses = [[record.train_loss for record in each.history] for each in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert there.test == pytest.approx(here.test, abs=0.02)
    for name, value in here.model.canonical_state().items():
        assert torch.allclose(there.model.canonical_state()[name], value, atol=1e-2), name
    manifests = [json.loads((tmp_path / each / "manifest.json").read_text()) for each in ("here", "there")]
    assert manifests[0]["data"] == manifests[1]["data"]
    assert manifests[0]["data_summary"] == manifests[1]["data_summary"]
    assert "sampling" not in manifests[0] and manifests[1]["sampling"] == "by a generator of the tests"


@pytest.mark.parametrize(
    "settings, words",
    [
        (
            {"batch_size": None, "fanouts": None, "evaluation": "auto", "fuse_first_layer": "auto"},
            "--batch-size or --fanouts",
        ),
        ({"evaluation": "layerwise"}, "evaluation=sampled"),
        ({"precision": "float64"}, "Take float32"),
        ({"weighted": True, "fanouts": [2, 2]}, "Leave weighted out"),
        ({"fuse_first_layer": "always"}, "Leave fuse_first_layer out"),
        ({"deterministic": True}, "Leave deterministic out"),
        ({"task": "unsupervised"}, "reads whole graphs"),
    ],
)
def test_what_needs_the_graph_here_is_refused(settings, words):
    graph = as_remote(gnnkit.load_dataset("digits"))
    with pytest.raises(ConfigError, match=words):
        fitted(graph, "sage", **settings)


def test_a_device_that_plans_shapes_is_refused():
    pytest.importorskip("gnnkit_ipu")
    graph = as_remote(gnnkit.load_dataset("digits"))
    with pytest.raises(CapabilityError, match="fixed shapes"):
        gnnkit.Trainer("ipu", "ipu-emulator", **ALL).fit(gnnkit.build_model("sage", graph), graph)
