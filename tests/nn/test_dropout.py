"""Dropout by node: the same for a node wherever it is, and otherwise as dropout is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.nn.dropout import _kept, dropout, masks_on_host
from gnnkit.sampling import row_keys


def keys(ids: np.ndarray, *words: int) -> torch.Tensor:
    return torch.from_numpy(row_keys(ids, *words))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 300), st.floats(0, 1), st.integers(0, 99))
def test_rows_depend_on_their_keys_alone(ids: list[int], width: int, p: float, seed: int) -> None:
    every = dropout(torch.ones(51, width), p, True, keys(np.arange(51), seed))
    some = dropout(torch.ones(len(ids), width), p, True, keys(np.array(ids), seed))
    assert torch.equal(some, every[ids])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_as_many_are_left_out_as_are_to_be_and_independently(dtype: torch.dtype) -> None:
    h = torch.ones(20_000, 40, dtype=dtype)
    out = dropout(h, 0.3, True, keys(np.arange(len(h)), 1))
    assert out.dtype == dtype and sorted(out.unique().tolist()) == pytest.approx([0, 1 / 0.7], rel=1e-2)
    kept = (out > 0).double()
    # Five standard deviations.
    assert float((kept.mean(0) - 0.7).abs().max()) < 5 * (0.21 / len(h)) ** 0.5
    assert float(torch.corrcoef(kept.T).fill_diagonal_(0).abs().max()) < 5 / len(h) ** 0.5
    other = (dropout(h, 0.3, True, keys(np.arange(len(h)), 2)) > 0).double()
    both = torch.corrcoef(torch.stack([kept.flatten(), other.flatten()]))[0, 1]
    assert abs(float(both)) < 5 / kept.numel() ** 0.5


def test_without_keys_and_in_evaluation_it_is_torchs() -> None:
    h = torch.randn(5, 3)
    assert torch.equal(dropout(h, 0.5, False, keys(np.arange(5))), h)
    torch.manual_seed(3)
    mine = dropout(h, 0.5, True)
    torch.manual_seed(3)
    assert torch.equal(mine, torch.nn.functional.dropout(h, 0.5, True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_masks_without_keys_are_the_generators_on_the_host(dtype: torch.dtype) -> None:
    h = torch.ones(20_000, 40, dtype=dtype)
    with masks_on_host():
        torch.manual_seed(3)
        first, second = dropout(h, 0.3, True), dropout(h, 0.3, True)
        torch.manual_seed(3)
        again = dropout(h, 0.3, True)
        odd = dropout(torch.ones(3, 7, 2, dtype=dtype), 0.5, True)
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert first.dtype == dtype and sorted(set(first.flatten().tolist())) == pytest.approx([0, 1 / 0.7], rel=1e-2)
    for out in (first, second):
        kept = (out > 0).double()
        assert float((kept.mean(0) - 0.7).abs().max()) < 5 * (0.21 / len(h)) ** 0.5
        assert float((kept.mean(1) - 0.7).abs().max()) < 6 * (0.21 / h.shape[1]) ** 0.5
    assert set(odd.flatten().tolist()) <= {0.0, 2.0}


@settings(max_examples=30)
@given(st.integers(0, 30), st.integers(1, 40), st.floats(0.01, 0.99), st.integers(0, 99))
def test_the_kernel_keeps_what_other_devices_keep(num: int, width: int, p: float, seed: int) -> None:
    rows = keys(np.arange(num), seed)
    mine, half = (dropout(torch.ones(num, width, dtype=dtype), p, True, rows) for dtype in (torch.float32, torch.half))
    # Other devices compute masks with torch's own operations, which run here as well.
    others = _kept(rows, width, p, torch.float32)
    assert torch.equal(mine, others) and torch.equal(half, others.half())


def test_gradients_are_those_of_what_is_kept() -> None:
    h = torch.randn(6, 4, requires_grad=True)
    out = dropout(h, 0.5, True, keys(np.arange(6)))
    out.sum().backward()
    assert torch.equal(h.grad, (out != 0) * 2.0)


def test_gradients_of_gradients() -> None:
    h, rows = torch.randn(6, 4, dtype=torch.float64, requires_grad=True), keys(np.arange(6))
    assert torch.autograd.gradgradcheck(lambda x: dropout(x, 0.5, True, rows) ** 2, [h])
