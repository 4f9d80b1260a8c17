"""Every convolution of every installed backend equals its dense-matrix formula, gradients included."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
import torch
from torch import Tensor, nn

from gnnkit.backends import load_backend
from gnnkit.nn import ConvSpec, conv_parameters
from tests.dense import CONV_SPECS, HARD_BLOCKS, dense_conv


def random_parameters(spec: ConvSpec, seed: int = 3) -> Dict[str, Tensor]:
    """A value for every canonical parameter, biases included."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(p.shape, generator=generator) for name, p in conv_parameters(spec).items()}


def make_conv(backend, spec: ConvSpec, values: Dict[str, Tensor]) -> Tuple[nn.Module, Dict[str, nn.Parameter]]:
    conv = backend.conv(spec)
    native = dict(conv.named_parameters())
    by_name = {}
    for name, place in backend.parameter_map(spec).items():
        with torch.no_grad():
            native[place.name].copy_(place.to_native(values[name]))
        by_name[name] = native[place.name]
    assert len(by_name) == len(native), "a native parameter has no canonical name"
    return conv.eval(), by_name


@pytest.mark.parametrize("block_name", HARD_BLOCKS)
@pytest.mark.parametrize("spec_name", CONV_SPECS)
def test_output_equals_the_dense_formula(backend, spec_name: str, block_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS[block_name]
    values = random_parameters(spec)
    conv, _ = make_conv(backend, spec, values)
    h = torch.randn(block.num_src, spec.in_channels, generator=torch.Generator().manual_seed(7))
    out = conv(backend.lower(block), h, h[: block.num_dst])
    expected = dense_conv(spec, values, block, h).float()
    assert out.shape == (block.num_dst, spec.out_width)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block_name", ["unequal sides", "multi-edges", "isolated nodes", "hub", "no edges"])
@pytest.mark.parametrize("spec_name", CONV_SPECS)
def test_gradients_equal_the_dense_formula(backend, spec_name: str, block_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS[block_name]
    values = random_parameters(spec)
    conv, native = make_conv(backend, spec, values)
    h = torch.randn(block.num_src, spec.in_channels, generator=torch.Generator().manual_seed(7), requires_grad=True)
    weights = torch.randn(block.num_dst, spec.out_width, generator=torch.Generator().manual_seed(8))
    (conv(backend.lower(block), h, h[: block.num_dst]) * weights).sum().backward()

    leaves = {name: value.double().requires_grad_() for name, value in values.items()}
    h64 = h.detach().double().requires_grad_()
    (dense_conv(spec, leaves, block, h64) * weights).sum().backward()
    torch.testing.assert_close(h.grad, h64.grad.float(), rtol=1e-4, atol=1e-4)
    places = backend.parameter_map(spec)
    for name, leaf in leaves.items():
        expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        gradient = native[name].grad
        gradient = torch.zeros_like(native[name]) if gradient is None else gradient
        received = places[name].to_canonical(gradient, tuple(leaf.shape))
        torch.testing.assert_close(received, expected.float(), rtol=1e-4, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("spec_name", CONV_SPECS)
def test_messages_run_from_source_to_destination(backend, spec_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS["unequal sides"]
    conv, _ = make_conv(backend, spec, random_parameters(spec))
    h = torch.randn(block.num_src, spec.in_channels, generator=torch.Generator().manual_seed(7))
    before = conv(backend.lower(block), h, h[: block.num_dst])
    changed = h.clone()
    changed[2] += 5.0  # Node 2 sends to destination 0 alone.
    after = conv(backend.lower(block), changed, changed[: block.num_dst])
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])


@pytest.mark.parametrize("spec_name", CONV_SPECS)
def test_bfloat16_trains_and_stays_close(backend, spec_name: str) -> None:
    if "bfloat16" not in backend.capabilities.dtypes:
        pytest.skip(f"{backend.name} does not declare bfloat16")
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS["unequal sides"]
    values = random_parameters(spec)
    conv, native = make_conv(backend, spec, values)
    h = torch.randn(block.num_src, spec.in_channels, generator=torch.Generator().manual_seed(7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(backend.lower(block), h, h[: block.num_dst])
    out.float().sum().backward()
    expected = dense_conv(spec, values, block, h).float()
    assert (out.float() - expected).norm() <= 0.03 * expected.norm()
    assert all(parameter.grad is not None for parameter in native.values())


def test_float64_where_declared(backend) -> None:
    if "float64" not in backend.capabilities.dtypes:
        pytest.skip(f"{backend.name} does not declare float64")
    for spec in CONV_SPECS.values():
        block = HARD_BLOCKS["unequal sides"].map(lambda t: t.double() if t.is_floating_point() else t)
        values = random_parameters(spec)
        conv, _ = make_conv(backend, spec, values)
        h = torch.randn(block.num_src, spec.in_channels, dtype=torch.float64)
        out = conv.double()(backend.lower(block), h, h[: block.num_dst])
        torch.testing.assert_close(out, dense_conv(spec, values, block, h), rtol=1e-9, atol=1e-9)


def test_reference_is_the_oracle_for_attention_over_large_scores() -> None:
    spec, block = ConvSpec("gat", 2, 2, heads=1), HARD_BLOCKS["hub"]
    backend = load_backend("reference")
    conv, _ = make_conv(backend, spec, {name: value * 30 for name, value in random_parameters(spec).items()})
    h = torch.randn(block.num_src, 2) * 10
    assert torch.isfinite(conv(block, h, h[: block.num_dst])).all()
