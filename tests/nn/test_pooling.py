"""Models of graphs: outputs and gradients are those of dense formulas, on every backend; padding changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gnnkit.backends import load_backend
from gnnkit.data import from_edge_index
from gnnkit.errors import ConfigError
from gnnkit.loading import BatchSizes, GraphLoader, PadSpec, batch_sizes, pad_batch
from gnnkit.nn import GNN, ModelSpec
from gnnkit.tasks import LossModule, NodeClassification
from gnnkit.testing import dense_conv
from gnnkit.testing.graphs import many_graphs

WIDTH = 8
PLAIN = {"hidden_channels": WIDTH, "num_layers": 3, "dropout": 0.0}
READOUTS = {
    "sum": {"pooling": "sum"},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "attention": {"pooling": "attention"},
    "all layers": {"pooling": "sum", "jumping_knowledge": "cat"},
    "largest of all layers": {"pooling": "attention", "jumping_knowledge": "max"},
    "deep head": {"pooling": "mean", "head_layers": 3},
    "encoder": {"pooling": "sum", "encoder_channels": 5},
    "virtual node": {"pooling": "sum", "virtual_node": True, "encoder_channels": WIDTH},
    "virtual node, all layers": {
        "pooling": "max",
        "virtual_node": True,
        "encoder_channels": WIDTH,
        "jumping_knowledge": "cat",
    },
    "residual": {"pooling": "mean", "residual": True},
}


def make_spec(name="sum", conv="gin", **options):
    return ModelSpec.from_dict(
        {"conv": conv, "in_channels": 8, "out_channels": 3, **PLAIN, **READOUTS[name], **options}
    )


def make_batch(graph=None, graphs=None, num_layers=3, **settings):
    graph = many_graphs(12) if graph is None else graph
    chosen = torch.arange(graph.num_graphs) if graphs is None else torch.as_tensor(graphs)
    loader = GraphLoader(graph, chosen, num_layers=num_layers, batch_size=99, shuffle=False, **settings)
    return next(loader.epoch(0))


def dense_norm(values, prefix, h, kind):
    if kind == "none" or not len(h):
        return h
    axis = 0 if kind == "batch" else 1
    mean, variance = h.mean(axis, keepdim=True), h.var(axis, keepdim=True, unbiased=False)
    return (h - mean) / (variance + 1e-5).sqrt() * values[f"{prefix}.weight"] + values[f"{prefix}.bias"]


def linear(values, name, h):
    return functional.linear(h, values[f"{name}.weight"], values.get(f"{name}.bias"))


def dense_outputs(spec, values, batch):
    """A model of graphs by its formula, in float64, each graph's nodes by themselves; no layer of any library."""
    sizes = batch.graphs.indptr.diff().tolist()
    each = lambda h: h.split(sizes)  # noqa: E731
    h = batch.x.double()
    if spec.has_encoder:
        h = linear(values, "encoder", h)
    state = values["virtual_node.start"].expand(len(sizes), -1) if spec.virtual_node else None
    layers = []
    for i, block in enumerate(batch.blocks):
        if state is not None:
            h = torch.cat([rows + own for rows, own in zip(each(h), state)])
            heard = state + torch.stack([rows.sum(0) for rows in each(h)])
            if i < spec.num_layers - 1:
                for part in ("first", "second"):
                    name = f"virtual_node.{part}"
                    heard = dense_norm(
                        values, f"{name}_norms.{i}", linear(values, f"{name}.{i}", heard), spec.norm
                    ).relu()
                state = heard
        own = {name.split(".", 2)[2]: value for name, value in values.items() if name.startswith(f"convs.{i}.")}
        out = dense_conv(spec.conv_spec(i), own, block, h)
        if spec.residual:
            out = out + (linear(values, f"residuals.{i}", h) if f"residuals.{i}.weight" in values else h)
        h = dense_norm(values, f"norms.{i}", out, spec.norm).relu()
        layers.append(h)
    if spec.jumping_knowledge == "cat":
        h = torch.cat(layers, 1)
    if spec.jumping_knowledge == "max":
        h = torch.stack(layers).amax(0)
    pooled = torch.stack([dense_pool(spec, values, rows) for rows in each(h)])
    for i in range(spec.head_layers - 1):
        pooled = dense_norm(values, f"head_norms.{i}", linear(values, f"head_hidden.{i}", pooled), spec.norm).relu()
    return linear(values, "head", pooled)


def dense_pool(spec, values, rows):
    if not len(rows):
        return rows.new_zeros(rows.shape[1])
    if spec.pooling == "attention":
        return (linear(values, "pooling.gate", rows).softmax(0) * rows).sum(0)
    return {"sum": rows.sum(0), "mean": rows.mean(0), "max": rows.amax(0)}[spec.pooling]


def perturbed(model, seed=0):
    """The model with weights that are nowhere 0, so that no bias is without effect."""
    generator = torch.Generator().manual_seed(seed)
    state = model.canonical_state()
    moved = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in state.items()
        if "running" not in name
    }
    model.load_canonical({**state, **moved})
    return model


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("name", READOUTS)
def test_outputs_and_gradients_are_those_of_the_formula(backend, name, norm) -> None:
    spec, batch = make_spec(name, norm=norm), make_batch()
    model = perturbed(GNN(spec, backend, seed=1)).train()
    values = {
        key: value.double().requires_grad_() for key, value in model.canonical_state().items() if "num_" not in key
    }
    out, expected = model(batch.blocks, batch.x, batch.graphs), dense_outputs(spec, values, batch)
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(out.double() / scale, expected / scale, rtol=0, atol=1e-5)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(5))
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    largest = max(float(value.grad.abs().max()) for value in values.values() if value.grad is not None)
    for key, parameter in model.parameters_by_name().items():
        gradient = values[key].grad
        gradient = torch.zeros_like(values[key]) if gradient is None else gradient
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if found.shape != gradient.shape:
            found = found.t()
        torch.testing.assert_close(found.double() / largest, gradient / largest, rtol=0, atol=1e-4, msg=key)


@pytest.mark.parametrize("conv", ["gcn", "sage", "gat", "gatv2", "gin", "gine", "graphconv", "transformer", "appnp"])
def test_every_convolution_can_be_pooled(backend, conv) -> None:
    kind = {"edge_channels": 3} if conv == "gine" else {}
    kind.update({"num_layers": 2, "norm": "none"} if conv == "appnp" else {})
    spec = make_spec(conv=conv, **kind)
    graph = spec.prepare(many_graphs(12))
    batch = make_batch(graph, num_layers=spec.num_layers, edge_features=spec.reads_edges)
    out = GNN(spec, backend, seed=1).eval()(batch.blocks, batch.x, batch.graphs)
    expected = GNN(spec, load_backend("reference"), seed=1).eval()(batch.blocks, batch.x, batch.graphs)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", READOUTS)
def test_order_of_graphs_and_of_nodes_changes_rounding_only(backend, name) -> None:
    graph = many_graphs(12)
    model = perturbed(GNN(make_spec(name, norm="layer"), backend, seed=1)).eval()
    plain = model(*inputs(make_batch(graph)))

    @settings(max_examples=5, derandomize=True)
    @given(st.permutations(range(12)), st.integers(0, 99))
    def check(order, seed):
        moved = model(*inputs(make_batch(shuffled_within(graph, seed), graphs=order)))
        torch.testing.assert_close(moved, plain[order], rtol=1e-4, atol=1e-4)

    check()


def inputs(batch):
    return batch.blocks, batch.x, batch.graphs


def shuffled_within(graph, seed):
    """The same graphs with their nodes in another order, each within its graph."""
    home = torch.repeat_interleave(torch.arange(graph.num_graphs), graph.graph_ptr.diff())
    key = torch.rand(graph.num_nodes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    order = (home + key).argsort()
    place = torch.empty_like(order)
    place[order] = torch.arange(graph.num_nodes)
    return from_edge_index(
        place[graph.edge_index], graph.num_nodes, x=graph.x[order], graph_ptr=graph.graph_ptr, graph_y=graph.graph_y
    )


@pytest.mark.parametrize("name", READOUTS)
def test_graphs_without_nodes_or_edges_can_be_learnt_from(backend, name) -> None:
    graph = many_graphs(12)
    batch = make_batch(graph, graphs=[0, 1, 2])
    assert batch.graphs.indptr.diff().tolist() == [0, 1, 4] and batch.blocks[0].num_edges == 0
    model = GNN(make_spec(name, norm="batch"), backend, seed=1).train()
    loss, outputs = LossModule(model, NodeClassification())(batch)
    loss.backward()
    assert outputs.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    # What is pooled from nothing is 0, so that only biases of the head are left.
    model.eval()
    if name != "deep head":
        torch.testing.assert_close(model(*inputs(batch))[0], model.head.bias)


@pytest.mark.parametrize("name", READOUTS)
def test_a_batch_of_empty_graphs(backend, name) -> None:
    graph = from_edge_index([[], []], 0, x=torch.zeros(0, 8), graph_ptr=[0, 0, 0], graph_y=[0, 1])
    model = GNN(make_spec(name, norm="layer"), backend, seed=1).train()
    loss, outputs = LossModule(model, NodeClassification())(make_batch(graph))
    loss.backward()
    assert outputs.shape == (2, 3) and loss.isfinite()


def learn(module, batch):
    """Loss, real outputs, gradients and running statistics of one training step."""
    loss, outputs = module(batch)
    loss.backward()
    values = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in module.named_parameters()}
    values.update(module.named_buffers())
    return {"loss": loss, "outputs": outputs[batch.nodes >= 0], **{name: v.clone() for name, v in values.items()}}


def roomy(batch, extra):
    sizes = batch_sizes(batch.blocks, batch.targets, batch.graphs)
    nodes, edges, graphs = sizes.num_nodes[0] + 1 + extra[0], sizes.num_edges[0] + 1 + extra[1], sizes.num_graphs + 1
    return PadSpec((max(nodes, 2),) * 2, (edges,), graphs + extra[2]).repeated(len(batch.blocks))


@pytest.mark.in_turn
@pytest.mark.parametrize("name", READOUTS)
def test_padding_changes_nothing(backend, name) -> None:
    precision = torch.float64 if "float64" in backend.capabilities.dtypes else torch.float32
    tolerance = 1e-6 if precision == torch.float64 else 1e-4

    @settings(max_examples=8, derandomize=True)
    @given(data=st.data())
    def check(data):
        graphs = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True))
        norm = data.draw(st.sampled_from(["none", "batch", "layer"]))
        batch = make_batch(graphs=graphs).map(lambda t: t.to(precision) if t.is_floating_point() else t)
        padded = pad_batch(batch, roomy(batch, data.draw(st.tuples(*[st.integers(0, 9)] * 3))))
        found = []
        for each in (batch, padded):
            model = perturbed(GNN(make_spec(name, norm=norm), backend, seed=1)).to(precision).train()
            found.append(learn(LossModule(model, NodeClassification()), each))
        plain, other = found
        assert plain.keys() == other.keys()
        for key, value in plain.items():
            torch.testing.assert_close(
                other[key], value, rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}"
            )
        model.eval()
        here = model(*inputs(padded))[: len(batch.nodes)]
        torch.testing.assert_close(here, model(*inputs(batch)), rtol=tolerance, atol=tolerance)

    check()


def test_a_flattened_batch_comes_back() -> None:
    for batch in (
        make_batch(),
        make_batch(edge_features=True),
        pad_batch(make_batch(), roomy(make_batch(), (3, 4, 2))),
    ):
        again = batch.layout.unflatten(batch.flatten())
        assert again.layout == batch.layout and again.blocks[0] is again.blocks[2]
        for first, second in zip(again.flatten(), batch.flatten()):
            assert first is second
        assert torch.equal(again.graphs.indptr, batch.graphs.indptr) and again.graphs.num_src == batch.graphs.num_src
        spec = make_spec("virtual node", norm="layer")
        model = GNN(spec, load_backend("reference"), seed=1).eval()
        assert torch.equal(model(*inputs(again)), model(*inputs(batch)))
        moved = batch.map(torch.clone)
        assert moved.layout == batch.layout and torch.equal(moved.graphs.dst, batch.graphs.dst)


def test_sizes_of_graphs_are_refused_by_name() -> None:
    batch = make_batch()
    sizes = batch_sizes(batch.blocks, batch.targets, batch.graphs)
    assert isinstance(sizes, BatchSizes) and sizes.num_graphs == 12
    exact = roomy(batch, (0, 0, 0))
    assert exact.fits(sizes) and exact.names[-1] == "graphs"
    assert replace(exact, num_graphs=12).excess(sizes) == {"graphs": 1}
    with pytest.raises(ConfigError, match="targets of the batch are graphs"):
        replace(exact, num_graphs=None).excess(sizes)


def test_a_model_of_nodes_refuses_graphs_and_the_reverse() -> None:
    batch = make_batch()
    model = GNN(make_spec(), load_backend("reference"))
    with pytest.raises(ConfigError, match="the batch has none"):
        model(batch.blocks, batch.x)
    nodes = GNN(replace(model.spec, pooling="none"), load_backend("reference"))
    with pytest.raises(ConfigError, match="outputs of nodes"):
        nodes(*inputs(batch))


BAD = {
    "unknown": ({"pooling": "median"}, "pooling is 'median'.*sum"),
    "virtual node without pooling": ({"pooling": "none", "virtual_node": True}, "virtual_node asks for whole graphs"),
    "virtual node without encoder": ({"virtual_node": True}, "theirs are 8, 6, 6.*encoder_channels"),
    "head without pooling": ({"pooling": "none", "head_layers": 2}, "no head"),
    "no layers in the head": ({"head_layers": 0}, "head_layers is 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_model_can_be(name) -> None:
    options, words = BAD[name]
    with pytest.raises(ConfigError, match=words):
        make_spec(**{"hidden_channels": 6, "num_layers": 2, **options})
