"""Sums over a block: torch's own values and gradients; what layers make of them; no memory held for long."""

from __future__ import annotations

import gc
import warnings
import weakref
from functools import partial
from typing import Any, List, Optional

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gnnkit
from gnnkit.backends import BlockSums, composing
from gnnkit.backends.bags import bag_sums
from gnnkit.data import Block, full_block
from gnnkit.nn import ACTIVATIONS, activated


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


@settings(max_examples=60)
@given(blocks(), st.sampled_from(["sum", "mean"]), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_values_have_the_bits_of_torch_and_gradients_are_the_same(
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
    # On some processors, torch's library adds up the edges of a source in another order if there are many.
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def layer_inputs(block: Block) -> List[Tensor]:
    """Features, two matrices and a bias, in float64."""
    torch.manual_seed(0)
    shapes = [(block.num_src, 3), (2, 3), (2, 3), (2,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@settings(max_examples=60)
@given(blocks(), st.sampled_from(["sum", "mean"]), st.sampled_from([None, *ACTIVATIONS]), *[st.booleans()] * 3)
def test_layers_in_one_operation_equal_those_in_parts(
    block: Block, how: str, activation: Optional[str], weighted: bool, is_own_apart: bool, is_reduced: bool
) -> None:
    if is_reduced:
        num = block.num_dst
        block = Block(torch.arange(num + 1), torch.arange(num, 2 * num), 2 * num, is_reduced=True)
    sums, (h, own, neighbor, bias) = BlockSums(block), layer_inputs(block)
    apart = torch.randn(block.num_dst, 3, dtype=torch.float64, requires_grad=True) if is_own_apart else None
    inputs = [each for each in (h, apart, own, neighbor, bias) if each is not None]
    out = sums.affine(h, apart, own, neighbor, bias, how, weighted=weighted, activation=activation)
    with composing():
        parts = sums.affine(h, apart, own, neighbor, bias, how, weighted=weighted, activation=activation)
    total = torchs_own(block, h, how, weighted)
    by_hand = (h[: block.num_dst] if apart is None else apart) @ own.t() + total @ neighbor.t() + bias
    by_hand = activated(by_hand, activation)
    grad = torch.randn(out.shape, dtype=torch.float64)
    expected = torch.autograd.grad(by_hand, inputs, grad)
    for found in (out, parts):
        torch.testing.assert_close(found, by_hand)
        torch.testing.assert_close(torch.autograd.grad(found, inputs, grad), expected)


@settings(max_examples=30)
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
    for activation in (None, "elu"):
        layer = partial(sums.affine, how="mean", activation=activation)
        assert torch.autograd.gradgradcheck(lambda x, *rest, layer=layer: layer(x, None, *rest) ** 2, inputs)


def test_gradients_of_gradients_in_bfloat16() -> None:
    num = 600
    sums = BlockSums(Block(torch.arange(num + 1), torch.randint(0, num + 1, (num,)), num + 1))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        inputs = [torch.randn(*size).to(dtype).requires_grad_() for size in ((num + 1, 6), (4, 6), (4, 6), (4,))]
        out = sums.affine(inputs[0], None, *inputs[1:], "mean", activation="elu")
        first = torch.autograd.grad(out.float().square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(first[0].float().square().sum(), inputs[1])[0].float())
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("how", ["sum", "mean"])
def test_bags_are_what_a_sparse_product_gives(how: str, dtype: torch.dtype) -> None:
    @settings(max_examples=40)
    @given(blocks(), st.integers(0, 70))
    def check(block: Block, width: int) -> None:
        torch.manual_seed(0)
        h = torch.randn(block.num_src, width).to(dtype)
        values = None if block.edge_weight is None else block.edge_weight.to(dtype)
        with torch.no_grad():
            found = bag_sums(h, block.indptr, block.indices, values, how)
        with torch.enable_grad():  # Where gradients are recorded it is a product.
            product = bag_sums(h.clone().requires_grad_(), block.indptr, block.indices, values, how)
        assert found.dtype == dtype and product.requires_grad
        if dtype in (torch.float32, torch.float64):
            assert torch.equal(found, product)
        expected = torchs_own(block, h.double(), how, values is not None)
        tolerance = {torch.float16: 1e-2, torch.bfloat16: 5e-2}.get(dtype, 1e-5)
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)

    check()


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
