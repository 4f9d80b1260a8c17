"""Layers of wide features by oneDNN, with matrices packed in a form of its own.

oneDNN multiplies faster than torch's library if it finds a matrix in its own form. To bring it there costs a tenth of a
millisecond, which many rows of wide features repay.

Rules: nothing happens unless a device asks for it (:func:`packing`), because on other processors torch is faster.
oneDNN compiles code for every number of rows and keeps it, so there are few numbers of rows.
"""

from __future__ import annotations

from typing import ContextManager, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.nn.activations import activated
from gnnkit.nn.thread_switch import ThreadSwitch

WIDE = 512
"""Features from which on a layer is worth it. With 256, whole steps are no faster on a Zen 4."""
ROWS = 4096
"""Rows of a part, and the fewest that are worth it."""
_STEP = 128
"""The last part has a multiple of so many rows."""


def packing() -> ContextManager[None]:
    """While it is entered, oneDNN computes large layers of wide features in this thread. This torch must have it."""
    return _PACKING.turned(True)


def is_packed(terms: Sequence[Tuple[Tensor, Tensor]]) -> bool:
    """Whether these products are oneDNN's here and now; see :func:`packed_affine`."""
    if not _PACKING.is_on or torch.is_grad_enabled():
        return False
    first = terms[0][0]
    is_large = len(first) >= ROWS and all(x.shape[1] >= WIDE for x, _ in terms)
    return is_large and first.dtype == torch.float32 and first.device.type == "cpu"


def packed_affine(terms: Sequence[Tuple[Tensor, Tensor]], bias: Optional[Tensor], activation: Optional[str]) -> Tensor:
    """:func:`gnnkit.nn.tall.affine` by oneDNN.

    Args:
        terms: Features, [n, in_i], and matrices, [in_i, out], in float32; n is at least ``ROWS``.
        bias: Shape [out].
        activation: One of :data:`gnnkit.nn.activations.ACTIVATIONS`.

    Returns:
        Shape [n, out].

    Example:
        >>> x, matrix = torch.ones(5000, 3), torch.ones(3, 2)
        >>> with torch.no_grad():
        ...     packed_affine([(x, matrix), (x, -matrix)], torch.ones(2), "relu").unique().tolist()
        [1.0]
    """
    multiply = torch.ops.mkldnn._linear_pointwise
    packed = [torch.ops.mkldnn._reorder_linear_weight(matrix.t(), ROWS) for _, matrix in terms]
    first = terms[0][0]
    out = first.new_empty(len(first), terms[0][1].shape[1])
    for part in _parts(len(first)):
        rows = multiply(first[part], packed[0], bias, "none", [], "")
        for (x, _), matrix in zip(terms[1:], packed[1:]):
            rows = multiply.binary(x[part], rows, matrix, None, "add")
        activated(rows, activation, into=out[part])
    return out


def _parts(num_rows: int) -> Iterator[slice]:
    """All rows, in parts of few sizes; the last one may begin in the one before.

    As packing favours large parts, one of many sizes takes the rest, where :func:`gnnkit.nn.tall.covering` has several.
    """
    for start in range(0, num_rows, ROWS):
        end = min(start + ROWS, num_rows)
        yield slice(end + (start - end) // _STEP * _STEP, end)


_PACKING = ThreadSwitch()
