"""Adam on ``cpu`` updates in one pass, as its separate operations would, and only where its maker left that open."""

from __future__ import annotations

from typing import Any, Dict

import pytest
import torch

import gnnkit
from gnnkit.devices import StepOptions
from gnnkit.devices.cpu import CpuDevice, has_fused_adam
from gnnkit.loading import FullGraphLoader
from gnnkit.tasks import LossModule, NodeClassification
from tests.graphs import communities

pytestmark = pytest.mark.skipif(not has_fused_adam(), reason="this torch has no fused Adam for the processor")


def trained(**settings: Any) -> Dict[str, torch.Tensor]:
    graph = communities()
    model = gnnkit.build_model("gcn", graph, dropout=0.0, input_dropout=0.0, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1, **settings)
    step = CpuDevice().prepare(LossModule(model, NodeClassification()), optimizer, StepOptions())
    loader = FullGraphLoader(graph, graph.splits["train"], num_layers=model.num_layers)
    for epoch in range(20):
        step(next(loader.epoch(epoch)))
    assert optimizer.param_groups[0]["fused"] is settings.get("fused", None if settings else True)
    return model.canonical_state()


@pytest.mark.parametrize("settings", [{"foreach": False}, {"foreach": True}, {"fused": False}], ids=str)
def test_updates_are_those_of_separate_operations(settings: Dict[str, bool]) -> None:
    fused, separate = trained(), trained(**settings)
    for name, weight in fused.items():
        torch.testing.assert_close(weight, separate[name], rtol=1e-4, atol=1e-6)
