"""PyG's layers against dense formulas and the reference backend, fed sparse matrices and lists of edges."""

from __future__ import annotations

import warnings
from typing import Any, Dict, Tuple

import pytest
import torch
from torch import Tensor, nn

from gnnkit.backends.reference import ReferenceBackend
from gnnkit.data import Block
from gnnkit.nn import ConvSpec, conv_parameters
from gnnkit_pyg.backend import PygBackend
from tests.dense import CONV_SPECS, HARD_BLOCKS, dense_conv

LAYOUTS = {"csr": PygBackend(use_csr=True), "edge_index": PygBackend(use_csr=False)}
layouts = pytest.mark.parametrize("layout", LAYOUTS)
specs = pytest.mark.parametrize("spec_name", CONV_SPECS)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, torch sees none")


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def values_of(spec: ConvSpec) -> Dict[str, Tensor]:
    return {name: draw(*p.shape, seed=i) for i, (name, p) in enumerate(conv_parameters(spec).items())}


def make(backend: Any, spec: ConvSpec) -> nn.Module:
    """A convolution whose parameters were set through the parameter map."""
    conv: nn.Module = backend.conv(spec)
    native = dict(conv.named_parameters())
    places = backend.parameter_map(spec)
    assert {place.name for place in places.values()} == set(native)
    with torch.no_grad():
        for name, value in values_of(spec).items():
            native[places[name].name].copy_(places[name].to_native(value))
    return conv


def run(backend: Any, spec: ConvSpec, block: Block, device: str = "cpu") -> Tuple[Tensor, Dict[str, Tensor]]:
    """Output of a convolution, and gradients of a random projection of it by canonical name, inputs included."""
    conv = make(backend, spec).to(device)
    block = block.map(lambda tensor: tensor.to(device))
    h = draw(block.num_src, spec.in_channels, seed=50).to(device).requires_grad_()
    out = conv(backend.lower(block), h, h[: block.num_dst])
    (out * draw(*out.shape, seed=51).to(device)).sum().backward()
    native = dict(conv.named_parameters())
    gradients = {"input": h.grad if h.grad is not None else torch.zeros_like(h)}
    for name, place in backend.parameter_map(spec).items():
        gradient = native[place.name].grad
        gradient = torch.zeros_like(native[place.name]) if gradient is None else gradient
        gradients[name] = place.to_canonical(gradient, conv_parameters(spec)[name].shape)
    return out.detach().cpu(), {name: gradient.cpu() for name, gradient in gradients.items()}


def assert_near(ours: Tuple[Tensor, Dict[str, Tensor]], theirs: Tuple[Tensor, Dict[str, Tensor]]) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    for name, gradient in theirs[1].items():
        scale = max(1.0, float(gradient.abs().max()) if gradient.numel() else 1.0)
        torch.testing.assert_close(ours[1][name] / scale, gradient / scale, rtol=1e-5, atol=1e-5, msg=f"d {name}")


@layouts
@specs
@pytest.mark.parametrize("block_name", HARD_BLOCKS)
def test_equals_formula_and_reference(layout: str, spec_name: str, block_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS[block_name]
    received = run(LAYOUTS[layout], spec, block)
    h = draw(block.num_src, spec.in_channels, seed=50)
    expected = dense_conv(spec, values_of(spec), block, h).float()
    torch.testing.assert_close(received[0], expected, rtol=1e-5, atol=1e-5)
    assert_near(received, run(ReferenceBackend(), spec, block))


@layouts
def test_max_pool_of_nothing_is_zero_whatever_the_others(layout: str) -> None:
    spec = CONV_SPECS["sage max"]
    block = HARD_BLOCKS["isolated nodes"]
    conv = make(LAYOUTS[layout], spec)
    h = draw(4, spec.in_channels, seed=1)
    out = conv(LAYOUTS[layout].lower(block), h, h)
    parameters = values_of(spec)
    alone = h[2:] @ parameters["lin_self.weight"].T + parameters["bias"]
    torch.testing.assert_close(out[2:], alone, rtol=1e-5, atol=1e-5)


@layouts
@specs
def test_bfloat16_by_autocast(layout: str, spec_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS["unequal sides"]
    backend = LAYOUTS[layout]
    conv = make(backend, spec)
    full = draw(block.num_src, spec.in_channels, seed=50)
    for h in (full, full.bfloat16()):  # What the first layer gets, and what the ones after it get.
        h = h.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = conv(backend.lower(block), h, h[: block.num_dst])
        out.float().sum().backward()
        expected = dense_conv(spec, values_of(spec), block, full).float()
        assert (out.float() - expected).norm() <= 0.03 * expected.norm()
        assert h.grad is not None and h.grad.isfinite().all() and bool(h.grad.any())
    assert all(parameter.grad is not None for parameter in conv.parameters())


@layouts
@pytest.mark.parametrize("spec_name", ["gcn", "sage mean", "gin", "gat"])
def test_bfloat16_counts_every_neighbour_of_a_hub(layout: str, spec_name: str) -> None:
    spec, n = CONV_SPECS[spec_name], 5000
    block = Block(torch.tensor([0, n]), torch.arange(n), n, torch.ones(n))
    backend = LAYOUTS[layout]
    conv = make(backend, spec)
    h = torch.ones(n, spec.in_channels, dtype=torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(backend.lower(block), h, h[:1]).float()
    with torch.no_grad():
        expected = conv.float()(backend.lower(block), h.float(), h[:1].float())
    assert (out - expected).norm() <= 0.02 * expected.norm(), "a sum kept in bfloat16 stops growing at 256"


@layouts
@specs
def test_float64(layout: str, spec_name: str) -> None:
    spec, backend = CONV_SPECS[spec_name], LAYOUTS[layout]
    block = HARD_BLOCKS["multi-edges"]  # Its weights stay float32: the layer takes them in its own precision.
    h = draw(block.num_src, spec.in_channels, seed=2).double()
    out = make(backend, spec).double()(backend.lower(block), h, h[: block.num_dst])
    torch.testing.assert_close(out, dense_conv(spec, values_of(spec), block, h), rtol=1e-9, atol=1e-9)


@layouts
def test_attention_dropout_acts_while_training_only(layout: str) -> None:
    spec, block = ConvSpec("gat", 6, 4, heads=2, attention_dropout=0.5), HARD_BLOCKS["hub"]
    conv, lowered = make(LAYOUTS[layout], spec), LAYOUTS[layout].lower(block)
    h = draw(block.num_src, 6, seed=3)
    outputs = [conv(lowered, h, h[: block.num_dst]) for _ in range(2)]
    assert not torch.allclose(outputs[0], outputs[1])
    conv.eval()
    assert torch.equal(conv(lowered, h, h[: block.num_dst]), conv(lowered, h, h[: block.num_dst]))


def test_a_whole_graph_is_transformed_once_and_right() -> None:
    spec, block = CONV_SPECS["gat"], HARD_BLOCKS["square"]
    conv = make(LAYOUTS["csr"], spec)
    lowered, h = LAYOUTS["csr"].lower(block), draw(4, 6, seed=4)
    calls = []
    linear = conv.get_submodule(LAYOUTS["csr"].parameter_map(spec)["lin.weight"].name.rpartition(".")[0])
    linear.register_forward_hook(lambda *_: calls.append(1))
    once = conv(lowered, h, h[:4])
    assert len(calls) == 1
    torch.testing.assert_close(once, conv(lowered, h, h.clone()))


def test_lowering_is_lazy_shares_memory_and_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = HARD_BLOCKS["multi-edges"]
        lowered = PygBackend().lower(block)
        matrix = lowered.csr(torch.float32, weighted=True)
        assert matrix is lowered.csr(torch.float32, weighted=True)
        assert lowered.csr(torch.float32, weighted=False).values().eq(1).all()
    assert lowered.use_csr and matrix.shape == (2, 3) and matrix.col_indices().data_ptr() == block.indices.data_ptr()
    assert lowered.edge_index.tolist() == [block.indices.tolist(), block.dst.tolist()]


@needs_cuda
@pytest.mark.cuda
@specs
@pytest.mark.parametrize("block_name", HARD_BLOCKS)
def test_cuda_equals_reference(spec_name: str, block_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS[block_name]
    assert_near(run(PygBackend(), spec, block, "cuda"), run(ReferenceBackend(), spec, block))


@needs_cuda
@pytest.mark.cuda
@specs
def test_cuda_bfloat16_by_autocast(spec_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS["unequal sides"]
    conv = make(PygBackend(), spec).cuda()
    h = draw(block.num_src, spec.in_channels, seed=50)
    on_device = block.map(lambda tensor: tensor.cuda())
    with torch.autocast("cuda", dtype=torch.bfloat16):
        out = conv(PygBackend().lower(on_device), h.cuda(), h[: block.num_dst].cuda())
    out.float().sum().backward()
    expected = dense_conv(spec, values_of(spec), block, h).float()
    assert (out.float().cpu() - expected).norm() <= 0.03 * expected.norm()
    assert all(parameter.grad is not None for parameter in conv.parameters())
