"""Sums over a block: the bits of torch's own, gradients included; what layers make of them; no memory held for long."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any, List

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gnnkit
from gnnkit.backends import BlockSums, composing
from gnnkit.data import Block, full_block


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
    out = BlockSums(block).reduce(ours, how, weighted=weighted)
    expected = torchs_own(block, theirs, how, weighted)
    grad = torch.randn(out.shape, dtype=dtype)
    out.backward(grad)
    expected.backward(grad)
    assert torch.equal(out, expected)
    assert torch.equal(ours.grad, theirs.grad)


def layer_inputs(block: Block) -> List[Tensor]:
    """Features, two matrices and a bias, in float64."""
    torch.manual_seed(0)
    shapes = [(block.num_src, 3), (2, 3), (2, 3), (2,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@settings(max_examples=60, deadline=None)
@given(blocks(), st.sampled_from(["sum", "mean"]), st.booleans(), st.booleans(), st.booleans())
def test_layers_in_one_operation_equal_those_in_parts(
    block: Block, how: str, weighted: bool, is_own_apart: bool, is_reduced: bool
) -> None:
    if is_reduced:
        num = block.num_dst
        block = Block(torch.arange(num + 1), torch.arange(num, 2 * num), 2 * num, is_reduced=True)
    sums, (h, own, neighbor, bias) = BlockSums(block), layer_inputs(block)
    apart = torch.randn(block.num_dst, 3, dtype=torch.float64, requires_grad=True) if is_own_apart else None
    inputs = [each for each in (h, apart, own, neighbor, bias) if each is not None]
    out = sums.affine(h, apart, own, neighbor, bias, how, weighted=weighted)
    with composing():
        parts = sums.affine(h, apart, own, neighbor, bias, how, weighted=weighted)
    total = torchs_own(block, h, how, weighted)
    by_hand = (h[: block.num_dst] if apart is None else apart) @ own.t() + total @ neighbor.t() + bias
    grad = torch.randn(out.shape, dtype=torch.float64)
    expected = torch.autograd.grad(by_hand, inputs, grad)
    for found in (out, parts):
        torch.testing.assert_close(found, by_hand)
        torch.testing.assert_close(torch.autograd.grad(found, inputs, grad), expected)


@settings(max_examples=30, deadline=None)
@given(blocks(), st.sampled_from(["sum", "mean"]))
def test_own_features_are_added_to_sums(block: Block, how: str) -> None:
    h = layer_inputs(block)[0]
    out = BlockSums(block).reduce(h, how, own=1.5)
    by_hand = torchs_own(block, h, how, False) + 1.5 * h[: block.num_dst]
    grad = torch.randn(out.shape, dtype=torch.float64)
    torch.testing.assert_close(out, by_hand)
    torch.testing.assert_close(torch.autograd.grad(out, h, grad), torch.autograd.grad(by_hand, h, grad))


def test_gradients_of_gradients() -> None:
    block = Block(torch.tensor([0, 2, 3]), torch.tensor([2, 0, 2]), 3)
    sums, inputs = BlockSums(block), layer_inputs(block)
    assert torch.autograd.gradgradcheck(lambda x: sums.reduce(x, "mean", own=0.5) ** 2, inputs[:1])
    assert torch.autograd.gradgradcheck(lambda x, *rest: sums.affine(x, None, *rest, "mean") ** 2, inputs)


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_bfloat16(how: str) -> None:
    torch.manual_seed(0)
    block = Block(torch.arange(0, 301, 3), torch.randint(0, 120, (300,)), 120)
    h = torch.randn(120, 8).bfloat16().requires_grad_()
    wide = h.detach().float().requires_grad_()
    BlockSums(block).reduce(h, how).float().square().sum().backward()
    BlockSums(block).reduce(wide, how).square().sum().backward()
    assert torch.allclose(h.grad.float(), wide.grad, rtol=0.05, atol=0.05)


def test_a_block_is_freed_with_its_last_user(backend_name: str) -> None:
    graph = gnnkit.load_dataset("karate")
    model = gnnkit.build_model("sage", graph, backend=backend_name)
    block = full_block(graph)
    assert graph.x is not None
    model([block] * model.num_layers, graph.x).sum().backward()
    alive = weakref.ref(block)
    gc.disable()
    try:
        del block
        assert alive() is None
    finally:
        gc.enable()
