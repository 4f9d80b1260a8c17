"""Products of slices with a matrix each, and blocks by relation."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import full_block
from gnnkit.devices.widened import WidenedProducts
from gnnkit.nn import Relations, segment_linear
from gnnkit.nn.segments import tables_linear
from tests.typed_graphs import papers


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5), groups=st.integers(0, 2))
def test_slices_are_multiplied_by_their_own_matrix(sizes, groups):
    ptr = [0, *torch.tensor(sizes).cumsum(0).tolist()]
    width = max(groups, 1)
    x = torch.randn(ptr[-1], 2 * width, dtype=torch.float64, requires_grad=True)
    shape = (len(sizes), groups, 3, 2) if groups else (len(sizes), 3, 2)
    weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    matrices = [torch.block_diag(*each) if groups else each for each in weight]
    expected = torch.cat([x[start:end] @ each.T for start, end, each in zip(ptr, ptr[1:], matrices)])
    torch.testing.assert_close(segment_linear(x, ptr, weight), expected)
    assert torch.autograd.gradcheck(lambda x, weight: segment_linear(x, ptr, weight), (x, weight))


@pytest.mark.parametrize(
    ("mode", "tolerance"),
    [(nullcontext(), 1e-5), (torch.autocast("cpu", dtype=torch.bfloat16), 2e-2), (WidenedProducts(), 2e-2)],
    ids=["float32", "bfloat16", "widened"],
)
def test_tables_are_multiplied_by_their_own_matrix(mode, tolerance):
    widths, rows = (2, 7, 3), (5, 0, 9000)
    parts = [torch.randn(n, width) for n, width in zip(rows, widths)]
    parts += [torch.randn(4, width) for width in widths] + [torch.randn(4) for _ in widths]
    ours, exact = (
        [part.detach().clone().to(d).requires_grad_() for part in parts] for d in (torch.float32, torch.float64)
    )
    with mode:
        out = tables_linear(ours[:3], ours[3:6], ours[6:])
    expected = torch.cat([x @ w.T + b for x, w, b in zip(exact[:3], exact[3:6], exact[6:])])
    grad = torch.randn(expected.shape)
    out.backward(grad.to(out.dtype))
    expected.backward(grad.double())
    pairs = [(out, expected), *((one.grad, other.grad) for one, other in zip(ours, exact))]
    for got, wanted in pairs:
        scale = float(wanted.detach().abs().max()) if wanted.numel() else 1.0
        torch.testing.assert_close(got.double(), wanted.detach(), rtol=0, atol=tolerance * scale)


def test_runs_hold_every_edge_once():
    block = full_block(papers())
    runs = Relations(block, lambda each: each).runs(6)
    assert runs.ptr[-1] == runs.gather.num_dst == runs.spread.num_src
    found = []
    for destination, run in zip(runs.spread.dst.tolist(), runs.spread.indices.tolist()):
        relation = int((torch.tensor(runs.ptr[1:]) <= run).sum())
        start, end = runs.gather.indptr[run : run + 2].tolist()
        found += [(destination, relation, source) for source in runs.gather.indices[start:end].tolist()]
    assert sorted(found) == sorted(zip(block.dst.tolist(), block.edge_type.tolist(), block.indices.tolist()))


def test_sorted_and_dense_pairs_lead_to_the_same_messages():
    block = full_block(papers())
    h, weight = torch.randn(block.num_src, 4), torch.randn(6, 3, 4)
    messages = []
    for dense in (False, True):
        relations = Relations(block, lambda each: each, dense=dense)
        messages.append(relations.of_pairs(h, weight)[relations.pairs(6).lowered.indices])
    torch.testing.assert_close(messages[0], messages[1])
