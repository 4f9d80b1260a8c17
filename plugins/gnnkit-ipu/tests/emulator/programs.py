"""Building blocks of the programs in :mod:`.catalogue`, and of other tests of the emulator.

Rules: a program is a function without arguments.
"""

from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from .layer import poptorch

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 0]])
BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


def options() -> Any:
    return poptorch.Options().showCompilationProgressBar(False)


class Fn(nn.Module):
    """A linear layer, then a function of the module, its output and the labels."""

    def __init__(self, after: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.after = after
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x, y=None):
        return self.after(self, self.lin(x), y)


class Net(nn.Module):
    """A small network with its loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x, y=None):
        out = self.layers(x)
        return out if y is None else (out, F.cross_entropy(out, y))


def eager(model, optimizer, data, steps):
    """Losses of so many steps of plain torch."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        _, value = model(*data)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def train(after, x=X, y=Y, opts=None, optimizer=None, **parts):
    """Wrap for training and make a call."""
    model = Fn(after, **parts)
    optimizer = optimizer(model.parameters()) if optimizer else None
    wrapped = poptorch.trainingModel(model, opts or options(), optimizer)
    wrapped(x, y)
    return wrapped


def infer(after, x=X, opts=None, **parts):
    """Wrap for inference and make a call."""
    wrapped = poptorch.inferenceModel(Fn(after, **parts).eval(), opts or options())
    wrapped(x)
    return wrapped


def loss(m, out, y):
    return F.cross_entropy(out, y)


def mapped(function):
    """Inference that returns a function of the linear layer's output."""
    return lambda: infer(lambda m, out, y: function(out))


def twice(first, second, after=lambda m, out, y: out, **parts):
    """A program that is called with one input and then with another."""

    def program():
        wrapped = poptorch.inferenceModel(Fn(after, **parts).eval(), options())
        wrapped(*first)
        wrapped(*second)

    return program


def two_losses(joined):
    def after(m, out, y):
        total = F.cross_entropy(out, y), F.mse_loss(out, out.detach() * 0)
        return poptorch.identity_loss(total[0] + total[1], "sum") if joined else total

    return lambda: train(after)


class Graph(nn.Module):
    """A layer of PyTorch Geometric over a fixed graph."""

    def __init__(self, layer: nn.Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.layer = layer
        self.args = args
        self.kwargs = kwargs

    def forward(self, x, index):
        return self.layer(x, index, *self.args, **self.kwargs)


def layer(make, index=EDGES, *args, **kwargs):
    def program():
        poptorch.inferenceModel(Graph(make(), *args, **kwargs).eval(), options())(X, index)

    return program


def pyg(name):
    import torch_geometric.nn

    return getattr(torch_geometric.nn, name)


def counting(limit):
    """A model whose Python branch goes the other way after some calls."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * 2 if self.calls < limit else x + 1

    def program():
        wrapped = poptorch.inferenceModel(Counting().eval(), options())
        for _ in range(3):
            wrapped(X)

    return program


def set_lr(tell):
    def program():
        model = Fn(loss)
        optimizer = poptorch.optim.SGD(model.parameters(), lr=0.1)
        wrapped = poptorch.trainingModel(model, options(), optimizer)
        wrapped(X, Y)
        optimizer.param_groups[0]["lr"] = 0.01
        if tell:
            wrapped.setOptimizer(optimizer)
        wrapped(X, Y)

    return program


def late_option(clone):
    def program():
        opts = options()
        infer(lambda m, out, y: out, opts=opts)
        (opts.clone() if clone else opts).deviceIterations(2)

    return program


def accumulating_inference(count):
    def program():
        opts = options()
        opts.Training.gradientAccumulation(count)
        infer(lambda m, out, y: out, opts=opts)

    return program


def wrap_twice(destroy):
    def program():
        model = Fn(loss)
        first = poptorch.trainingModel(model, options())
        if destroy:
            first.compile(X, Y)
        if destroy is not False:
            first.destroy()  # Before a compilation it leaves the module wrapped.
        poptorch.trainingModel(model, options())(X, Y)

    return program


def weights(compiled):
    def program():
        wrapped = poptorch.trainingModel(Fn(loss), options())
        if compiled:
            wrapped.compile(X, Y)
        wrapped.copyWeightsToHost()

    return program


def flip(after_wrapping):
    def program():
        model = Fn(lambda m, out, y: out)
        if not after_wrapping:
            model.eval()
        wrapped = poptorch.inferenceModel(model, options())
        model.eval()
        wrapped(X)

    return program


def recurrent(bidirectional):
    def after(m, out, y):
        return m.rnn(out.unsqueeze(1))[0]

    return lambda: infer(after, rnn=nn.LSTM(3, 4, bidirectional=bidirectional))


class Stages(nn.Module):
    """Two stages, the first of which may do without a block."""

    def __init__(self, blocks=2) -> None:
        super().__init__()
        self.first, self.second, self.blocks = nn.Linear(3, 3), nn.Linear(3, 3), blocks

    def forward(self, x, y=None):
        if self.blocks == 2:
            poptorch.Block.start("first", ipu_id=0)
        out = self.first(x)
        with poptorch.Block("last", ipu_id=1):
            out = self.second(out)
            return out if y is None else F.cross_entropy(out, y)


def pipeline(accumulation, blocks=2):
    def program():
        opts = options()
        opts.Training.gradientAccumulation(accumulation)
        poptorch.trainingModel(Stages(blocks), opts)(X.repeat(3, 1), Y.repeat(3))

    return program


def pipelined_inference(iterations):
    def program():
        poptorch.inferenceModel(Stages().eval(), options().deviceIterations(iterations))(X)

    return program


def replicas(count, rows):
    return lambda: infer(lambda m, out, y: out, x=X[:rows], opts=options().replicationFactor(count))


def replicated_norm(broadcast):
    def program():
        opts = options().replicationFactor(2).broadcastBuffers(broadcast)
        train(lambda m, out, y: F.cross_entropy(m.norm(out), y), opts=opts, norm=nn.BatchNorm1d(3))

    return program


def loader(samples):
    def program():
        from gnnkit_ipu.emulator.geometric.dataloader import DataLoader

        graphs = [pyg_data(X, EDGES) for _ in range(samples)]
        list(DataLoader(graphs, batch_size=2, options=options().deviceIterations(2), drop_last=False))

    return program


def pyg_data(x, edge_index, **more):
    from torch_geometric.data import Data

    return Data(x=x, edge_index=edge_index, **more)


def cond(training):
    def after(m, out, y):
        out = poptorch.cond(out.sum() > 0, lambda t: t + 1, [out], lambda t: t - 1, [out])[0]
        return F.cross_entropy(out, y) if y is not None else out

    return (lambda: train(after)) if training else (lambda: infer(after))


def replace(in_place):
    def after(m, out, y):
        if in_place:
            m.seen.add_(1)
        else:
            m.seen = m.seen + 1
        return out

    return lambda: infer(after, seen=torch.zeros(3))


def captured(buffer):
    outside = torch.ones(3)
    return lambda: infer(lambda m, out, y: out + (m.outside if buffer else outside), outside=outside.clone())


def edges(last, row=0):
    index = EDGES.clone()
    index[row, 0] = last
    return layer(lambda: pyg("SAGEConv")(3, 2), index)


def index_of(function, last):
    """A program whose index is within bounds at first and has another largest value then."""

    def forward(m, out, index):
        return function(out, index)

    return twice((X, Y), (X, Y.clone().index_fill_(0, torch.tensor([3]), last)), forward)


def hand_backward(derive):
    """A program that differentiates what ``derive`` makes of a training model's output."""

    def program():
        value = derive(poptorch.trainingModel(Fn(loss), options())(X, Y))
        if value is not None:
            value.backward()

    return program


class Record(nn.Module):
    """Takes its inputs in a dictionary."""

    def forward(self, data):
        return data["x"] * data["ptr"].sum()


def records(*lengths):
    """Calls with so many entries of ``ptr``."""

    def program():
        wrapped = poptorch.inferenceModel(Record().eval(), options())
        for length in lengths:
            wrapped({"x": X, "ptr": torch.arange(length)})

    return program


class Pooled(nn.Module):
    """A global pool."""

    def __init__(self, size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x, batch):
        return pyg("global_add_pool")(x, batch, size=self.size)


def pool(size):
    return lambda: poptorch.inferenceModel(Pooled(size).eval(), options())(X, BATCH)
