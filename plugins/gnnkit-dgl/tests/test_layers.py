"""DGL's layers against dense-matrix formulas and against the reference backend."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.backends import Backend, build_model, load_backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.data import Block, from_edge_index, full_block
from gnnkit.nn import ConvSpec

SPECS = {
    "gcn narrowing": ConvSpec("gcn", 5, 3),
    "gcn widening": ConvSpec("gcn", 3, 6),
    "sage mean narrowing": ConvSpec("sage", 5, 3),
    "sage mean widening": ConvSpec("sage", 3, 6),
    "sage max": ConvSpec("sage", 4, 3, {"aggregation": "max"}),
    "gin": ConvSpec("gin", 4, 3, {"eps": 0.3, "mlp_channels": 5}),
    "gat concatenated": ConvSpec("gat", 4, 3, {"heads": 2}),
    "gat averaged": ConvSpec("gat", 4, 3, {"out_heads": 3, "negative_slope": 0.1}, is_output=True),
    "gatv2 concatenated": ConvSpec("gatv2", 4, 3, {"heads": 2}),
    "gatv2 averaged": ConvSpec("gatv2", 4, 3, {"out_heads": 3}, is_output=True),
}


def values(spec: ConvSpec) -> Dict[str, Tensor]:
    """Weights, none of them zero, by canonical name."""
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(p.shape, generator=generator) for name, p in spec.parameters.items()}


def loaded(backend: Backend, spec: ConvSpec) -> nn.Module:
    """A convolution of the backend with these weights, through its parameter map."""
    conv = backend.conv(spec)
    parameters = dict(conv.named_parameters())
    natives = backend.parameter_map(spec)
    assert sorted(native.name for native in natives.values()) == sorted(parameters), "every parameter is mapped"
    for name, value in values(spec).items():
        with torch.no_grad():
            parameters[natives[name].name].copy_(natives[name].to_native(value))
    return conv.eval()


def features(spec: ConvSpec, block: Block) -> Tuple[Tensor, Tensor]:
    h_src = torch.randn(block.num_src, spec.in_channels, generator=torch.Generator().manual_seed(3))
    return h_src, h_src[: block.num_dst]


def dense(spec: ConvSpec, w: Dict[str, Tensor], block: Block, h_src: Tensor, h_dst: Tensor) -> Tensor:
    """The convolution's formula over a dense matrix of edge counts, or edge weights for GCN."""
    weight = torch.ones(block.num_edges) if block.edge_weight is None else block.edge_weight
    empty = torch.zeros(block.num_dst, block.num_src)
    counts = empty.index_put((block.dst, block.indices), torch.ones(block.num_edges), accumulate=True)
    if spec.kind == "gcn":
        adjacency = empty.index_put((block.dst, block.indices), weight, accumulate=True)
        return adjacency @ h_src @ w["lin.weight"].t() + w["bias"]
    if spec.kind == "gin":
        h = (1 + spec.options.eps) * h_dst + counts @ h_src
        return torch.relu(h @ w["mlp.0.weight"].t() + w["mlp.0.bias"]) @ w["mlp.2.weight"].t() + w["mlp.2.bias"]
    if spec.kind == "sage":
        if spec.options.aggregation == "mean":
            neighbours = counts @ h_src / counts.sum(1, keepdim=True).clamp(min=1)
        else:
            pooled = torch.relu(h_src @ w["lin_pool.weight"].t() + w["lin_pool.bias"])
            masked = torch.where(counts[:, :, None] > 0, pooled[None], torch.tensor(-1.0))
            neighbours = masked.amax(1).clamp(min=0)
        return h_dst @ w["lin_self.weight"].t() + neighbours @ w["lin_neigh.weight"].t() + w["bias"]

    def heads(h: Tensor, name: str) -> Tensor:
        wide = functional.linear(h, w[f"{name}.weight"], w.get(f"{name}.bias"))
        return wide.reshape(-1, spec.heads, spec.out_channels)

    if spec.kind == "gat":
        source, target = heads(h_src, "lin"), heads(h_dst, "lin")
        scores = (source * w["att_src"]).sum(-1)[None] + (target * w["att_dst"]).sum(-1)[:, None]
        scores = functional.leaky_relu(scores, spec.options.negative_slope)
    else:
        source, target = heads(h_src, "lin_src"), heads(h_dst, "lin_dst")
        both = functional.leaky_relu(source[None] + target[:, None], spec.options.negative_slope)
        scores = (both * w["att"]).sum(-1)
    powers = counts[:, :, None] * scores.exp()
    attention = powers / powers.sum(1, keepdim=True).clamp(min=1e-30)
    out = torch.einsum("vuh,uhf->vhf", attention, source)
    return (out.flatten(1) if spec.concat else out.mean(1)) + w["bias"]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_layers_follow_their_formulas(name: str, backend: Backend, block: Block) -> None:
    spec = SPECS[name]
    h_src, h_dst = features(spec, block)
    out = loaded(backend, spec)(backend.lower(block), h_src, h_dst)
    assert out.shape == (block.num_dst, spec.out_width)
    torch.testing.assert_close(out, dense(spec, values(spec), block, h_src, h_dst), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_outputs_and_gradients_are_those_of_the_reference(name: str, backend: Backend, block: Block) -> None:
    spec = SPECS[name]
    results = []
    for each in (ReferenceBackend(), backend):
        conv = loaded(each, spec)
        h_src = features(spec, block)[0].requires_grad_()
        out = conv(each.lower(block), h_src, h_src[: block.num_dst])
        (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
        parameters = dict(conv.named_parameters())
        gradients = {"h_src": h_src.grad}
        for canonical, native in each.parameter_map(spec).items():
            gradient = parameters[native.name].grad
            shape = spec.parameters[canonical].shape
            gradients[canonical] = None if gradient is None else native.to_canonical(gradient, shape)
        results.append((out, gradients))
    (expected, expected_gradients), (out, gradients) = results
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    for canonical, gradient in expected_gradients.items():
        # A parameter that took no part may have no gradient or one of zeros.
        mine = gradients[canonical]
        zeros = torch.zeros(1)
        first = zeros if gradient is None else gradient
        second = zeros.expand_as(first) if mine is None else mine
        assert torch.allclose(second, first.expand_as(second), rtol=1e-4, atol=1e-4), canonical


@pytest.mark.parametrize("name", sorted(SPECS))
def test_destinations_may_have_features_of_their_own(name: str, backend: Backend, blocks: Dict[str, Block]) -> None:
    spec, block = SPECS[name], blocks["bipartite"]
    h_src, _ = features(spec, block)
    h_dst = torch.linspace(-1, 1, block.num_dst * spec.in_channels).reshape(block.num_dst, -1)
    out = loaded(backend, spec)(backend.lower(block), h_src, h_dst)
    torch.testing.assert_close(out, dense(spec, values(spec), block, h_src, h_dst), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(SPECS))
def test_bfloat16_under_autocast(name: str, dtype: torch.dtype, weighted: bool, backend: Backend) -> None:
    spec = SPECS[name]
    indptr, indices = torch.tensor([0, 2, 4, 6]), torch.tensor([0, 4, 5, 6, 1, 5])
    block = Block(indptr, indices, 7, torch.linspace(0.5, 2, 6) if weighted else None)
    h_src, h_dst = features(spec, block)
    conv = loaded(backend, spec)
    expected = conv(backend.lower(block), h_src, h_dst)
    h = h_src.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(backend.lower(block), h, h[: block.num_dst])
    out.float().sum().backward()
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.2)
    assert h.grad is not None and all(p.grad is not None and p.grad.dtype == p.dtype for p in conv.parameters())


@pytest.mark.parametrize("name", sorted(SPECS))
def test_float64(name: str, backend: Backend, block: Block) -> None:
    spec = SPECS[name]
    h_src = features(spec, block)[0].double()
    conv = loaded(backend, spec).double()
    out = conv(backend.lower(block), h_src, h_src[: block.num_dst])
    expected = dense(spec, values(spec), block, h_src.float(), h_src[: block.num_dst].float())
    assert out.dtype == torch.float64
    torch.testing.assert_close(out.float(), expected, rtol=1e-5, atol=1e-5)


def test_attention_dropout_drops_while_training_only(backend: Backend, blocks: Dict[str, Block]) -> None:
    spec = ConvSpec("gat", 4, 3, {"attention_dropout": 0.5})
    block = blocks["hub"]
    h_src, h_dst = features(spec, block)
    conv, lowered = loaded(backend, spec), backend.lower(block)
    still = conv(lowered, h_src, h_dst)
    torch.testing.assert_close(conv(lowered, h_src, h_dst), still)
    torch.manual_seed(0)
    assert not torch.allclose(conv.train()(lowered, h_src, h_dst), still)


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gatv2", "gin"])
def test_a_whole_model_is_the_reference_model(model: str) -> None:
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(0, 30, (2, 120), generator=generator)
    x, y = torch.randn(30, 6, generator=generator), torch.randint(0, 3, (30,), generator=generator)
    graph = from_edge_index(edges, 30, x=x, y=y, edge_weight=torch.rand(120, generator=generator))
    expected = build_model(model, graph, backend="reference", seed=4).eval()
    block = full_block(graph)
    ours = build_model(model, graph, backend="dgl", seed=4).eval()
    blocks = [block] * ours.num_layers
    torch.testing.assert_close(ours(blocks, x), expected(blocks, x), rtol=1e-5, atol=1e-5)
    assert load_backend("dgl").name in block.lowered
