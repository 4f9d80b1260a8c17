"""Sums over a lowered block: the bits of torch's own, gradients included, and no memory held for long."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnnkit.data import Block
from gnnkit_pyg.block import PygBlock


@st.composite
def blocks(draw: Any) -> Block:
    """Blocks with repeated edges, destinations without any and sources that nobody reads."""
    num_dst = draw(st.integers(1, 6))
    num_src = num_dst + draw(st.integers(0, 5))
    degrees = draw(st.lists(st.integers(0, 4), min_size=num_dst, max_size=num_dst))
    indptr = torch.tensor([0, *degrees]).cumsum(0)
    sources = draw(st.lists(st.integers(0, num_src - 1), min_size=sum(degrees), max_size=sum(degrees)))
    weight = torch.rand(sum(degrees), generator=torch.Generator().manual_seed(0)) if draw(st.booleans()) else None
    return Block(indptr, torch.tensor(sources, dtype=torch.int64), num_src, edge_weight=weight)


def torchs_own(block: Block, h: Tensor, how: str, weighted: bool) -> Tensor:
    ones = torch.ones(block.num_edges, dtype=h.dtype)
    values = ones if block.edge_weight is None or not weighted else block.edge_weight.to(h.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = torch.sparse_csr_tensor(block.indptr, block.indices, values, (block.num_dst, block.num_src))
    return torch.sparse.mm(matrix, h, how)


@settings(max_examples=60, deadline=None)
@given(blocks(), st.sampled_from(["sum", "mean"]), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_values_and_gradients_have_the_bits_of_torch(
    block: Block, how: str, weighted: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    values = torch.randn(block.num_src, 3, dtype=dtype)
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    out = PygBlock(block, use_csr=True).reduce(ours, how, weighted=weighted)
    expected = torchs_own(block, theirs, how, weighted)
    grad = torch.randn(out.shape, dtype=dtype)
    out.backward(grad)
    expected.backward(grad)
    assert torch.equal(out, expected)
    assert torch.equal(ours.grad, theirs.grad)


def test_gradients_of_gradients() -> None:
    block = Block(torch.tensor([0, 2, 3]), torch.tensor([2, 0, 2]), 3)
    lowered = PygBlock(block, use_csr=True)
    h = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: lowered.reduce(x, "mean") ** 2, [h])


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_bfloat16(how: str) -> None:
    torch.manual_seed(0)
    block = Block(torch.arange(0, 301, 3), torch.randint(0, 120, (300,)), 120)
    h = torch.randn(120, 8).bfloat16().requires_grad_()
    wide = h.detach().float().requires_grad_()
    PygBlock(block, use_csr=True).reduce(h, how).float().square().sum().backward()
    PygBlock(block, use_csr=True).reduce(wide, how).square().sum().backward()
    assert torch.allclose(h.grad.float(), wide.grad, rtol=0.05, atol=0.05)


def test_a_block_is_freed_with_its_last_user() -> None:
    block = Block(torch.tensor([0, 1]), torch.tensor([0]), 1)
    block.lowered["pyg"] = PygBlock(block, use_csr=True)
    h = torch.ones(1, 1, requires_grad=True)
    block.lowered["pyg"].reduce(h).sum().backward()
    alive = weakref.ref(block)
    gc.disable()
    try:
        del block
        assert alive() is None
    finally:
        gc.enable()
