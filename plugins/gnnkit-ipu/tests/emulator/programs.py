"""For each of the 40 restrictions a program that violates it, and a neighbour of it that is allowed.

Rules: a program is a function without arguments; a violating one raises, its neighbour returns. They differ in as
little as possible.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from gnnkit_ipu import emulator as poptorch
from gnnkit_ipu.emulator.geometric import FixedSizeOptions

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 0]])
BATCH = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


def options() -> poptorch.Options:
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


def twice(first, second, **parts):
    """A program that is called with one input and then with another."""

    def program():
        wrapped = poptorch.inferenceModel(Fn(lambda m, out, y: out, **parts).eval(), options())
        wrapped(*first)
        wrapped(*second)

    return program


def _two_losses(joined):
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


def _counting(limit):
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


def _set_lr(tell):
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


def _late_option(clone):
    def program():
        opts = options()
        infer(lambda m, out, y: out, opts=opts)
        (opts.clone() if clone else opts).deviceIterations(2)

    return program


def _accumulating_inference(count):
    def program():
        opts = options()
        opts.Training.gradientAccumulation(count)
        infer(lambda m, out, y: out, opts=opts)

    return program


def _wrap_twice(destroy):
    def program():
        model = Fn(loss)
        first = poptorch.trainingModel(model, options())
        if destroy:
            first.destroy()
        poptorch.trainingModel(model, options())(X, Y)

    return program


def _weights(compiled):
    def program():
        wrapped = poptorch.trainingModel(Fn(loss), options())
        if compiled:
            wrapped.compile(X, Y)
        wrapped.copyWeightsToHost()

    return program


def _flip(after_wrapping):
    def program():
        model = Fn(lambda m, out, y: out)
        if not after_wrapping:
            model.eval()
        wrapped = poptorch.inferenceModel(model, options())
        model.eval()
        wrapped(X)

    return program


def _recurrent(bidirectional):
    def after(m, out, y):
        return m.rnn(out.unsqueeze(1))[0]

    return lambda: infer(after, rnn=nn.LSTM(3, 4, bidirectional=bidirectional))


def _pipeline(accumulation):
    def after(m, out, y):
        with poptorch.Block("last", ipu_id=1):
            return F.cross_entropy(m.second(out), y)

    def program():
        opts = options()
        opts.Training.gradientAccumulation(accumulation)
        train(after, x=X.repeat(3, 1), y=Y.repeat(3), opts=opts, second=nn.Linear(3, 3))

    return program


def _replicas(count, rows):
    return lambda: infer(lambda m, out, y: out, x=X[:rows], opts=options().replicationFactor(count))


def _replicated_norm(broadcast):
    def program():
        opts = options().replicationFactor(2).broadcastBuffers(broadcast)
        train(lambda m, out, y: F.cross_entropy(m.norm(out), y), opts=opts, norm=nn.BatchNorm1d(3))

    return program


def _loader(samples):
    def program():
        data = torch.utils.data.TensorDataset(torch.zeros(samples, 2))
        list(poptorch.DataLoader(options().deviceIterations(2), data, batch_size=2, drop_last=False))

    return program


def _cond(training):
    def after(m, out, y):
        out = poptorch.cond(out.sum() > 0, lambda t: t + 1, [out], lambda t: t - 1, [out])[0]
        return F.cross_entropy(out, y) if y is not None else out

    return (lambda: train(after)) if training else (lambda: infer(after))


def _replace(in_place):
    def after(m, out, y):
        if in_place:
            m.seen.add_(1)
        else:
            m.seen = m.seen + 1
        return out

    return lambda: infer(after, seen=torch.zeros(3))


def _captured(buffer):
    outside = torch.ones(3)
    return lambda: infer(lambda m, out, y: out + (m.outside if buffer else outside), outside=outside.clone())


def _edges(last):
    edges = EDGES.clone()
    edges[0, 0] = last
    return layer(lambda: pyg("SAGEConv")(3, 2), edges)


def _hand_backward(by_hand):
    def program():
        model = Fn(loss)
        wrapped = poptorch.trainingModel(model, options())
        value = wrapped(X, Y)
        if by_hand:
            value.backward()

    return program


class Pooled(nn.Module):
    """A global pool."""

    def __init__(self, size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x, batch):
        return pyg("global_add_pool")(x, batch, size=self.size)


def _pool(size):
    return lambda: poptorch.inferenceModel(Pooled(size).eval(), options())(X, BATCH)


#: number -> (violating, allowed)
PROGRAMS: Dict[int, Tuple[Callable[[], Any], Callable[[], Any]]] = {
    1: (_two_losses(False), _two_losses(True)),
    2: (
        lambda: train(lambda m, out, y: 2 * F.cross_entropy(out, y)),
        lambda: train(lambda m, out, y: poptorch.identity_loss(2 * F.cross_entropy(out, y), "sum")),
    ),
    3: (
        lambda: train(loss, x=X[:7], y=Y[:7], opts=options().deviceIterations(2)),
        lambda: train(loss, opts=options().deviceIterations(2)),
    ),
    4: (twice((X,), (X[:4],)), twice((X,), (X + 1,))),
    5: (twice((X, Y), (X, Y.float())), twice((X, Y), (X, Y + 1))),
    6: (twice((X, 1), (X, 2)), twice((X, 1), (X, 1))),
    7: (mapped(lambda out: out[out > 0]), mapped(lambda out: torch.where(out > 0, out, torch.zeros_like(out)))),
    8: (mapped(lambda out: out * out.sum().item()), mapped(lambda out: out * out.sum())),
    9: (_counting(3), _counting(9)),
    10: (_pool(None), _pool(2)),
    11: (layer(lambda: pyg("GCNConv")(3, 2)), layer(lambda: pyg("GCNConv")(3, 2, add_self_loops=False))),
    12: (mapped(torch.erfinv), mapped(torch.erf)),
    13: (twice((X, Y), (X, Y + 2**31)), twice((X, Y), (X, Y + 2**31 - 3))),
    14: (lambda: infer(lambda m, out, y: out, x=X.bfloat16()), lambda: infer(lambda m, out, y: out, x=X.double())),
    15: (lambda: infer(lambda m, out, y: out, x=X[:0]), lambda: infer(lambda m, out, y: out, x=X[:1])),
    16: (_captured(False), _captured(True)),
    17: (mapped(lambda out: out + torch.ones(3)), mapped(lambda out: out + torch.ones(3, device=out.device))),
    18: (
        lambda: infer(lambda m, out, y: out, x=X.clone().requires_grad_()),
        lambda: infer(lambda m, out, y: out, x=X.clone().requires_grad_().detach()),
    ),
    19: (_replace(False), _replace(True)),
    20: (mapped(lambda out: out.cpu()), mapped(lambda out: out.to(out.device))),
    21: (_hand_backward(True), _hand_backward(False)),
    22: (lambda: train(loss, optimizer=torch.optim.Adagrad), lambda: train(loss, optimizer=torch.optim.AdamW)),
    23: (_set_lr(False), _set_lr(True)),
    24: (_late_option(False), _late_option(True)),
    25: (_accumulating_inference(2), _accumulating_inference(1)),
    26: (_wrap_twice(False), _wrap_twice(True)),
    27: (_weights(False), _weights(True)),
    28: (_flip(True), _flip(False)),
    29: (
        lambda: train(lambda m, out, y: F.cross_entropy(out, y, weight=m.weight), weight=torch.ones(3)),
        lambda: train(lambda m, out, y: F.cross_entropy(out, y, reduction="sum")),
    ),
    30: (
        lambda: train(lambda m, out, y: F.mse_loss(out, F.one_hot(y).float())),
        lambda: train(lambda m, out, y: F.mse_loss(out, F.one_hot(y, 3).float())),
    ),
    31: (
        lambda: train(lambda m, out, y: F.cross_entropy(m.emb(y) + out, y), emb=nn.Embedding(3, 3, sparse=True)),
        lambda: train(lambda m, out, y: F.cross_entropy(m.emb(y) + out, y), emb=nn.Embedding(3, 3)),
    ),
    32: (_recurrent(True), _recurrent(False)),
    33: (mapped(lambda out: out[4:4]), mapped(lambda out: out[4:5])),
    34: (_pipeline(2), _pipeline(3)),
    35: (_replicas(3, 6), _replicas(4, 8)),
    36: (_replicated_norm(True), _replicated_norm(False)),
    37: (lambda: FixedSizeOptions(10, num_graphs=1), lambda: FixedSizeOptions(10, num_graphs=2)),
    38: (_edges(8), _edges(7)),
    39: (_loader(10), _loader(12)),
    40: (_cond(True), _cond(False)),
}

#: Further violations: number -> programs.
MORE = [
    (1, lambda: train(lambda m, out, y: out.sum())),
    (6, twice((X, Y), (X, None))),
    (6, twice((X, Y), (X,))),
    (6, twice((X, [Y]), (X, (Y,)))),
    (7, mapped(torch.nonzero)),
    (7, mapped(torch.unique)),
    (7, mapped(lambda out: torch.masked_select(out, out > 0))),
    (7, mapped(lambda out: out.repeat_interleave(out.argmax(1), dim=0))),
    (8, mapped(lambda out: out if out.sum() > 0 else -out)),
    (8, mapped(lambda out: out * float(out.sum()))),
    (8, mapped(lambda out: out.tolist())),
    (8, mapped(lambda out: out.numpy())),
    (10, layer(lambda: pyg("SumAggregation")(), BATCH)),
    (10, layer(lambda: pyg("GraphNorm")(3), BATCH)),
    (11, layer(lambda: pyg("GATConv")(3, 2))),
    (11, layer(lambda: pyg("GATv2Conv")(3, 2))),
    (11, layer(lambda: pyg("SGConv")(3, 2))),
    (12, layer(lambda: pyg("ChebConv")(3, 2, K=2))),
    (12, layer(lambda: pyg("TopKPooling")(3))),
    (12, mapped(lambda out: torch.linalg.svd(out)[1])),
    (14, lambda: infer(lambda m, out, y: out, x=X.to(torch.complex64))),
    (15, lambda: train(loss, empty=nn.Parameter(torch.zeros(0)))),
    (17, mapped(lambda out: out + torch.arange(3))),
    (20, mapped(lambda out: out.to("cpu"))),
    (20, mapped(lambda out: out.to(torch.device("cpu")))),
    (22, lambda: train(loss, optimizer=lambda p: torch.optim.Adam(p, amsgrad=True))),
    (22, lambda: train(loss, optimizer=lambda p: poptorch.optim.Adam(p, amsgrad=True))),
    (24, lambda: options().deviceIteration(2)),
    (24, lambda: options().deviceIterations("2")),
    (24, lambda: options().deviceIterations(0)),
    (24, lambda: options().deviceIterations(True)),
    (24, lambda: options().enableExecutableCaching(3)),
    (24, lambda: options().outputMode(poptorch.OutputMode.EveryN)),
    (24, lambda: setattr(options(), "device_iterations", 2)),
    (24, lambda: options().Training.gradientAccumulation(1.5)),
    (27, lambda: poptorch.trainingModel(Fn(loss), options()).detachFromDevice()),
    (27, lambda: poptorch.trainingModel(Fn(loss), options()).attachToDevice()),
    (30, lambda: infer(lambda m, out, y: torch.bincount(out.argmax(1)))),
    (33, mapped(lambda out: out[: out.argmax()])),
    (35, lambda: infer(lambda m, out, y: out, x=X.repeat(16, 1), opts=options().replicationFactor(128))),
]
#: Further programs that are allowed.
MORE_ALLOWED = [
    mapped(lambda out: out.masked_fill(out > 0, 1.0)),
    mapped(lambda out: out.index_put((out > 0,), torch.zeros((), device=out.device))),
    mapped(lambda out: torch.bincount(out.argmax(1), minlength=3)),
    mapped(lambda out: F.cosine_similarity(out, out)),
    mapped(lambda out: torch.einsum("ij,kj->ik", out, out)),
    mapped(lambda out: F.scaled_dot_product_attention(out[None], out[None], out[None])),
    mapped(lambda out: F.layer_norm(F.dropout(out, 0.5, True), (3,))),
    mapped(lambda out: out.topk(2).values),
    mapped(lambda out: out.repeat_interleave(2, dim=1) + torch.repeat_interleave(out, 2, 1)),
    mapped(lambda out: out.new_zeros(3) + torch.tensor([1.0, 2.0, 3.0], device=out.device)),
    layer(lambda: pyg("SumAggregation")(), BATCH, None, 2),
    layer(lambda: pyg("GraphNorm")(3), BATCH, 2),
    layer(lambda: pyg("GATConv")(3, 2, add_self_loops=False)),
    _replicas(8, 8),
]
