"""Which torch operators PopTorch lowers, and what is special about some of them.

Rules: names are base names as in ``aten_ops.txt`` (``aten::add`` stands for ``add_`` too). Operators that torch only
uses to hand tensors around are no operators of the device.
"""

# ruff: noqa: SIM905 - PopTorch's names; lists of names read better as text.
from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, FrozenSet

#: Handing around, allocating, converting.
PLUMBING = frozenset(
    "aten::" + name
    for name in (
        "lift_fresh lift alias detach _to_copy empty empty_like new_empty empty_strided new_empty_strided "
        "fill zero scalar_tensor positive resolve_conj resolve_neg _assert_async is_same_size sym_size "
        "sym_numel is_pinned record_stream"
    ).split()
) | {"prim::device"}

#: Names that torch gives to parts, or later forms, of operators that are in the list.
_SAME = frozenset(
    "aten::" + name
    for name in (
        "_native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_with_update "
        "_batch_norm_no_update native_dropout unsafe_split unsafe_split_with_sizes _index_put_impl "
        "_embedding_bag_forward_only expand_copy view_copy nll_loss2d_backward"
    ).split()
)

#: Composite functions without a lowering of their own, which torch takes apart into operators that have one.
TAKEN_APART = frozenset({"scaled_dot_product_attention"})

VIEWS = frozenset(
    "aten::" + name
    for name in (
        "view _unsafe_view _reshape_alias reshape expand t transpose permute unsqueeze squeeze clone "
        "contiguous alias detach _to_copy to lift_fresh select slice as_strided flatten unbind"
    ).split()
)
#: Not compared between compilation and execution: torch chooses among them by strides and by the kind of tensor.
UNCOMPARED = PLUMBING | frozenset(
    "aten::" + name for name in ("view _unsafe_view _reshape_alias reshape clone contiguous as_strided").split()
)

DYNAMIC = frozenset(
    "aten::" + name
    for name in (
        "nonzero nonzero_numpy argwhere masked_select _unique _unique2 unique_dim unique_consecutive "
        "unique_dim_consecutive"
    ).split()
)
READS_VALUE = frozenset("aten::" + name for name in ("_local_scalar_dense item is_nonzero equal allclose").split())


@lru_cache(maxsize=None)
def supported() -> FrozenSet[str]:
    """Base names of all operators with a lowering."""
    text = Path(__file__).with_name("aten_ops.txt").read_text(encoding="utf-8")
    return frozenset(_base(name) for name in text.split()) | PLUMBING | _SAME


def base_name(func: Any) -> str:
    """Base name of an operator overload: ``aten::add`` for ``aten.add_.Tensor``."""
    return _base(func._schema.name)


def _base(name: str) -> str:
    return name if name.endswith("__") else name.rstrip("_")
