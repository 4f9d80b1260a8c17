"""Layers by packed matrices are the layers of float64, and only where they should be."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest
import torch
from torch import Tensor

from gnnkit.devices.products import has_packing
from gnnkit.nn.activations import ACTIVATIONS, activated
from gnnkit.nn.packed import ROWS, WIDE, is_packed, packed_affine, packing
from gnnkit.nn.tall import affine

pytestmark = pytest.mark.skipif(not has_packing(), reason="this torch cannot multiply with packed matrices")

Terms = List[Tuple[Tensor, Tensor]]


def terms_of(rows: int, widths: Tuple[int, ...], out: int = 6) -> Terms:
    generator = torch.Generator().manual_seed(rows)
    weights = [torch.randn(out, width, generator=generator) for width in widths]
    return [(torch.randn(rows, len(w[0]), generator=generator), w.t()) for w in weights]


def exact(terms: Terms, bias: Optional[Tensor], activation: Optional[str]) -> Tensor:
    total = sum(x.double() @ matrix.double() for x, matrix in terms)
    assert isinstance(total, Tensor)
    return activated(total if bias is None else total + bias.double(), activation).float()


@pytest.mark.parametrize("rows", [ROWS, ROWS + 1, ROWS + 128, 2 * ROWS - 1, 10_756])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_every_row_is_the_one_of_float64(rows: int, activation: Optional[str]) -> None:
    terms, bias = terms_of(rows, (30, 30)), torch.linspace(-1, 1, 6)
    with torch.no_grad():
        found = packed_affine(terms, bias, activation)
    torch.testing.assert_close(found, exact(terms, bias, activation), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("widths", [(WIDE,), (WIDE, WIDE + 90), (3, 5, 7)])
def test_any_number_of_products_without_a_bias(widths: Tuple[int, ...]) -> None:
    terms = terms_of(5000, widths)
    with torch.no_grad():
        found = packed_affine(terms, None, None)
    torch.testing.assert_close(found, exact(terms, None, None), rtol=1e-4, atol=1e-3)


def test_features_and_matrices_in_any_order_of_memory() -> None:
    terms = terms_of(5000, (20, 20))
    (x, matrix), (other, second) = terms
    strided = [(torch.cat([x, x], 1)[:, :20], matrix.contiguous()), (other.t().contiguous().t(), second)]
    with torch.no_grad():
        torch.testing.assert_close(packed_affine(strided, None, None), packed_affine(terms, None, None))


def test_layers_are_packed_where_a_device_asks_for_it_and_they_are_large() -> None:
    large = terms_of(ROWS, (WIDE, WIDE))
    with torch.no_grad(), packing():
        assert is_packed(large)
        assert torch.equal(affine(large, None, "relu"), packed_affine(large, None, "relu"))
        assert not is_packed(terms_of(ROWS - 1, (WIDE, WIDE)))
        assert not is_packed(terms_of(ROWS, (WIDE, WIDE - 1)))
        assert not is_packed([(x.double(), matrix.double()) for x, matrix in large])
        with torch.enable_grad():
            assert not is_packed(large)
    with torch.no_grad():
        assert not is_packed(large)
