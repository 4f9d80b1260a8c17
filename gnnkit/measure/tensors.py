"""How many bytes tensors take: each piece of memory counts once, however many tensors are views of it."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, Dict, Iterator, Mapping

import torch
from torch import Tensor

Storages = Dict[int, int]
"""Pieces of memory: where each begins, and its bytes."""


def storages(*holders: Any) -> Storages:
    """The memory of all tensors in records, mappings and lists, however deep.

    Args:
        holders: What holds tensors; everything else counts nothing.

    Example:
        >>> x = torch.zeros(4)
        >>> sum(storages({"x": x, "view": x[:2]}).values())
        16
    """
    found: Storages = {}
    for holder in holders:
        for tensor in _tensors(holder):
            if tensor.layout == torch.strided:  # Sparse ones are made of others.
                memory = tensor.untyped_storage()
                found[memory.data_ptr()] = memory.nbytes()
    return found


def num_bytes(*holders: Any, without: Storages) -> int:
    """Bytes of all tensors, but those of some memory that counts elsewhere.

    Args:
        holders: As for :func:`storages`.
        without: What is left out.
    """
    return sum(size for place, size in storages(*holders).items() if place not in without)


def _tensors(holder: Any) -> Iterator[Tensor]:
    if isinstance(holder, Tensor):
        yield holder
    elif isinstance(holder, Mapping):
        for value in holder.values():
            yield from _tensors(value)
    elif isinstance(holder, (list, tuple)):
        for value in holder:
            yield from _tensors(value)
    elif is_dataclass(holder) and not isinstance(holder, type):
        yield from _tensors(vars(holder))  # With what has been computed from the fields and kept.
