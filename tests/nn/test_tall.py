"""Products over many rows equal torch's own, in parts of few sizes where code is compiled for each."""

from __future__ import annotations

from typing import Any, Optional

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from gnnkit.backends import load_backend
from gnnkit.data import Block
from gnnkit.nn import GNN, ModelSpec
from gnnkit.nn.activations import ACTIVATIONS, activated, gradient_before
from gnnkit.nn.tall import (
    SIZES,
    add_product,
    affine,
    affine_gradients,
    apart,
    covering,
    in_turn,
    product,
    weight_gradient,
)
from gnnkit.nn.widening import widening
from tests.conftest import installed_backends

ROWS = st.one_of(st.integers(0, 700), st.integers(4000, 4700), st.integers(8191, 20000))
DTYPES = {torch.float32: 1e-4, torch.float64: 1e-10, torch.bfloat16: 3e-2}
WAYS = [*((dtype, False) for dtype in DTYPES), (torch.bfloat16, True)]
"""Types, and whether bfloat16 is widened."""


@given(st.integers(256, 30000))
def test_parts_cover_all_rows(num: int) -> None:
    seen = torch.zeros(num, dtype=torch.int64)
    for part in covering(num):
        assert part.stop - part.start in SIZES
        seen[part] += 1
    assert bool((seen > 0).all())
    for start in (num // 2, num - 1):
        later = [row for part in covering(num, start) for row in range(part.start, part.stop)]
        assert set(range(start, num)) <= set(later) and max(later) == num - 1
    assert [row for part in in_turn(num) for row in range(part.start, part.stop)] == list(range(num))
    once = torch.zeros(num, dtype=torch.int64)
    for part in apart(num):
        assert part.stop - part.start in SIZES
        once[part] += 1
    assert once.max() == 1 and int((once == 0).sum()) < SIZES[-1] and once.diff().max() <= 0


@pytest.mark.parametrize(("dtype", "widens"), WAYS, ids=str)
def test_products_are_torchs(dtype: torch.dtype, widens: bool) -> None:
    @settings(max_examples=25)
    @given(ROWS, st.booleans())
    def check(num: int, has_bias: bool) -> None:
        random = torch.Generator().manual_seed(num)
        x, grad, weight, bias = (
            torch.randn(*s, generator=random).to(dtype) for s in ((num, 5), (num, 3), (3, 5), (3,))
        )
        wide = {name: each.double() for name, each in (("x", x), ("grad", grad), ("weight", weight), ("bias", bias))}
        given_bias = bias if has_bias else None
        expected = wide["x"] @ wide["weight"].t() + (wide["bias"] if has_bias else 0)
        with torch.no_grad(), widening(widens):
            found = product(x, weight.t(), given_bias)
            total = add_product(found.clone(), x, weight.t())
            gradient = weight_gradient(grad, x)
        assert found.dtype == total.dtype == gradient.dtype == dtype
        more = wide["x"] @ wide["weight"].t()
        for got, wanted in (
            (found, expected),
            (total, found.double() + more),
            (gradient, wide["grad"].t() @ wide["x"]),
        ):
            scale = float(wanted.abs().max()) if wanted.numel() else 1.0
            torch.testing.assert_close(got.double(), wanted, rtol=0, atol=DTYPES[dtype] * max(scale, 1.0))

    check()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize(("dtype", "widens"), WAYS, ids=str)
def test_layers_and_their_gradients_are_torchs(
    dtype: torch.dtype, widens: bool, activation: Optional[str], threads: int
) -> None:
    @settings(max_examples=12)
    @given(ROWS, st.booleans(), st.booleans())
    def check(num: int, has_bias: bool, wants_before: bool) -> None:
        random = torch.Generator().manual_seed(num)
        shapes = ((num, 5), (num, 4), (3, 5), (3, 4), (3,), (num, 3))
        x, other, weight, second, bias, grad = (torch.randn(*s, generator=random).to(dtype) for s in shapes)
        given_bias = bias if has_bias else None
        with torch.no_grad(), widening(widens):
            out = affine([(x, weight.t()), (other, second.t())], given_bias, activation)
            kept, of_weights, of_bias = affine_gradients(
                grad, out, activation, [x, None, other], wants_before=wants_before, wants_bias=has_bias
            )
        assert of_weights[1] is None and (of_bias is not None) == has_bias
        assert not wants_before or kept is not None
        wide = [part.double().requires_grad_() for part in (x, other, weight, second, bias)]
        inner = wide[0] @ wide[2].t() + wide[1] @ wide[3].t() + (wide[4] if has_bias else 0)
        inner.retain_grad()
        expected = activated(inner, activation)
        if dtype == torch.bfloat16:  # Rounded to 0, an output has another gradient.
            inner.backward(gradient_before(grad.double(), out.double(), activation))
        else:
            expected.backward(grad.double())
        pairs = [(out, expected), (of_weights[0], wide[2].grad), (of_weights[2], wide[3].grad)]
        pairs += [(of_bias, wide[4].grad)] if has_bias else []
        pairs += [(kept, inner.grad)] if wants_before else []
        for got, wanted in pairs:
            assert got.dtype == dtype
            scale = float(wanted.detach().abs().max()) if wanted.numel() else 1.0
            torch.testing.assert_close(got.double(), wanted.detach(), rtol=0, atol=DTYPES[dtype] * max(scale, 1.0))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check()
    finally:
        torch.set_num_threads(before)


class _Shapes(TorchDispatchMode):
    """Remembers the shapes of products."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[Any, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.__name__.split(".")[0] in ("mm", "addmm", "addmm_", "bmm"):
            tensors = [each for each in args if isinstance(each, torch.Tensor)]
            if tensors[-1].dtype == torch.bfloat16:
                self.seen.add(tuple(tuple(each.shape) for each in tensors[-2:]))
        return out


@pytest.mark.parametrize("backend", [name for name in installed_backends() if name in ("pyg", "dgl")])
def test_batches_of_new_sizes_need_no_new_code(backend: str) -> None:
    """In bfloat16: whatever the number of rows, products have the shapes of those before."""
    model = GNN(ModelSpec("sage", 6, 3, hidden_channels=4, num_layers=2), load_backend(backend))
    counts = []
    with _Shapes() as shapes:
        for num in (4511, 5203, 6001, 7777, 7778, 7900):
            blocks = [Block(torch.arange(n + 1), torch.arange(n), n + 1) for n in (num + 1, num)]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = model(blocks, torch.randn(num + 2, 6))
            out.float().sum().backward()
            counts.append(len(shapes.seen))
    assert counts[0] and counts[-1] == counts[-2] == counts[-3]
    assert {size for pair in shapes.seen for shape in pair for size in shape if size > 6} <= set(SIZES)
