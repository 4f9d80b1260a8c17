"""Training in float64 against a dense computation in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import gnnkit
from gnnkit.data import Graph, add_self_loops
from gnnkit.testing import communities


def dense_loss(state: dict, graph: Graph) -> float:
    """The loss of a GCN of two layers, with dense matrices."""
    looped = add_self_loops(graph)
    adjacency = np.zeros((graph.num_nodes, graph.num_nodes))
    np.add.at(adjacency, (looped.dst.numpy(), looped.indices.numpy()), 1)
    scale = adjacency.sum(axis=1) ** -0.5
    matrix = torch.from_numpy(scale[:, None] * adjacency * scale)
    weights = {name: value.double() for name, value in state.items()}
    h = (matrix @ graph.x.double() @ weights["convs.0.lin.weight"].T + weights["convs.0.bias"]).relu()
    h = matrix @ h @ weights["convs.1.lin.weight"].T + weights["convs.1.bias"]
    train = graph.splits["train"]
    return float(functional.cross_entropy(h[train], graph.y[train]))


@pytest.mark.parametrize("batch_size", [None, 1000])
def test_gcn_in_float64_has_no_rounding_of_float32(batch_size) -> None:
    graph = communities()
    model = gnnkit.build_model("gcn", graph, dropout=0.0, input_dropout=0.0)
    sampled = {} if batch_size is None else {"batch_size": batch_size, "fanouts": [1000, 1000]}
    trainer = gnnkit.Trainer(device="cpu", epochs=1, precision="float64", progress=False, weight_decay=0.0, **sampled)
    found = trainer.fit(model, graph).history[0].train_loss
    assert found == pytest.approx(dense_loss(model.canonical_state(), graph), rel=1e-12)
