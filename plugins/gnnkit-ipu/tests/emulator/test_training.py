"""Training on the emulated device: equality with eager training, how gradients are joined, and optimisers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from gnnkit_ipu import emulator as poptorch

from .programs import Net, X, Y, eager, options


class GraphNet(nn.Module):
    """Two graph layers with normalisation between them, and the loss."""

    def __init__(self, name: str, **kwargs) -> None:
        super().__init__()
        from torch_geometric import nn as pyg

        torch.manual_seed(2)
        conv = getattr(pyg, name)
        self.first, self.second = conv(6, 8, **kwargs), conv(8, 4, **kwargs)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x, edge_index, y):
        out = self.second(self.norm(self.first(x, edge_index)).relu(), edge_index)
        return out, F.cross_entropy(out, y)


def graph_data():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(20, 6, generator=generator)
    y = torch.randint(0, 4, (20,), generator=generator)
    y[15:] = -100
    return x, torch.randint(0, 20, (2, 60), generator=generator), y


PAIRS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
]


@pytest.mark.parametrize("name, settings", PAIRS)
def test_equals_eager_training(name, settings):
    model, plain = Net(), Net()
    expected = eager(plain, getattr(torch.optim, name)(plain.parameters(), **settings), (X, Y), 20)
    optimizer = getattr(poptorch.optim, name)(model.parameters(), **settings)
    wrapped = poptorch.trainingModel(model, options(), optimizer)
    found = [wrapped(X, Y)[1].item() for _ in range(20)]
    wrapped.copyWeightsToHost()
    assert found == pytest.approx(expected, abs=1e-5)
    for ours, theirs in zip(model.parameters(), plain.parameters()):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "name, settings",
    [
        ("GCNConv", {"add_self_loops": False}),
        ("SAGEConv", {}),
        ("GATConv", {"add_self_loops": False}),
        ("GATv2Conv", {"add_self_loops": False}),
        ("GraphConv", {}),
    ],
)
def test_graph_layers_equal_eager_training(name, settings):
    model, plain, data = GraphNet(name, **settings), GraphNet(name, **settings), graph_data()
    expected = eager(plain, torch.optim.Adam(plain.parameters(), lr=0.01), data, 20)
    wrapped = poptorch.trainingModel(model, options(), torch.optim.Adam(model.parameters(), lr=0.01))
    found = [wrapped(*data)[1].item() for _ in range(20)]
    assert found == pytest.approx(expected, abs=1e-5)
    state = wrapped.state_dict()
    for key, value in plain.state_dict().items():
        assert torch.allclose(state[key].float(), value.float(), atol=1e-5), key


def test_lamb_equals_its_host_step():
    model, plain = Net(), Net()
    host = poptorch.optim.LAMB(plain.parameters(), lr=0.05, weight_decay=0.1)
    expected = eager(plain, host, (X, Y), 10)
    lamb = poptorch.optim.LAMB(model.parameters(), lr=0.05, weight_decay=0.1)
    wrapped = poptorch.trainingModel(model, options(), lamb)
    assert [wrapped(X, Y)[1].item() for _ in range(10)] == pytest.approx(expected, abs=1e-6)
    assert expected[-1] < expected[0]


@pytest.mark.parametrize("reduction, scale", [("Mean", 1.0), ("Sum", 4.0)])
def test_accumulation_and_replicas_join_gradients(reduction, scale):
    opts = options().replicationFactor(2)
    opts.Training.gradientAccumulation(2)
    opts.Training.accumulationAndReplicationReductionType(getattr(poptorch.ReductionType, reduction))
    model, plain = Net(), Net()
    wrapped = poptorch.trainingModel(model, opts, poptorch.optim.SGD(model.parameters(), lr=0.1))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1 * scale)
    for _ in range(5):
        wrapped(X, Y)
        eager(plain, optimizer, (X, Y), 1)  # equal parts: the mean over parts is the mean over all
    wrapped.copyWeightsToHost()
    for ours, theirs in zip(model.parameters(), plain.parameters()):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_device_iterations_are_steps():
    model, plain = Net(), Net()
    wrapped = poptorch.trainingModel(model, options().deviceIterations(4), torch.optim.SGD(model.parameters(), lr=0.1))
    wrapped(X, Y)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for part in range(4):
        eager(plain, optimizer, (X[2 * part : 2 * part + 2], Y[2 * part : 2 * part + 2]), 1)
    wrapped.copyWeightsToHost()
    for ours, theirs in zip(model.parameters(), plain.parameters()):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_optimiser_state_survives_destroy_and_set_optimizer():
    model, plain = Net(), Net()
    expected = eager(plain, torch.optim.Adam(plain.parameters(), lr=0.01), (X, Y), 6)
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.01)
    assert not optimizer.has_state()
    wrapped = poptorch.trainingModel(model, options(), optimizer)
    found = [wrapped(X, Y)[1].item() for _ in range(2)]
    wrapped.setOptimizer(poptorch.optim.Adam(model.parameters(), lr=0.01))
    found += [wrapped(X, Y)[1].item() for _ in range(2)]
    state = wrapped._optimizer.state_dict()
    assert {"ipu_state", "ipu_param", "param_groups"} <= set(state) and state["ipu_state"]
    wrapped.destroy()
    fresh = poptorch.optim.Adam(model.parameters(), lr=0.01)
    fresh.load_state_dict(state)
    again = poptorch.trainingModel(model, options(), fresh)
    found += [again(X, Y)[1].item() for _ in range(2)]
    assert found == pytest.approx(expected, abs=1e-6)
    with pytest.raises(poptorch.Error, match="ipu_state"):
        fresh.load_state_dict({"state": {}})


def test_constants_of_the_optimiser():
    model = Net()
    first = poptorch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    wrapped = poptorch.trainingModel(model, options(), first)
    wrapped(X, Y)
    assert first.variable_attrs.isConstant("momentum") and not first.variable_attrs.isConstant("weight_decay")
    wrapped.setOptimizer(poptorch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.2))
    with pytest.raises(poptorch.Error, match="'momentum' is compiled in"):
        wrapped.setOptimizer(poptorch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.2))


def test_max_grad_norm_clips():
    model = Net()
    wrapped = poptorch.trainingModel(
        model, options(), poptorch.optim.SGD(model.parameters(), lr=1.0, max_grad_norm=0.01)
    )
    before = [p.detach().clone() for p in model.parameters()]
    wrapped(X, Y)
    wrapped.copyWeightsToHost()
    moved = torch.stack([(a - b).norm() for a, b in zip(before, model.parameters())]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
