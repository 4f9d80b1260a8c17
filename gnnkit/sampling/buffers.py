"""Memory for the arrays of batches, used again from batch to batch.

Rules: memory comes back by itself when nothing refers to a tensor any more that was made in it, views and what autograd
has saved included; who holds a batch keeps it, and never sees it change.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from functools import lru_cache
from typing import Any, DefaultDict, List, Sequence

import numpy as np
import torch
from torch import Tensor

SMALLEST = 1 << 16
"""Bytes from which memory is kept; the allocator has smaller blocks at hand."""


class Buffers:
    """Memory that tensors of similar sizes take turns in.

    The C library maps large blocks anew for each batch, and the system fills every page of them with zeros at its first
    use; for gathered features that takes several times as long as gathering them. Any number of threads may use one.

    Example:
        >>> buffers = Buffers()
        >>> first = buffers.empty((1 << 15,), torch.int64)
        >>> place = first.data_ptr()
        >>> del first
        >>> buffers.empty((1 << 15,), torch.int64).data_ptr() == place
        True
    """

    def __init__(self) -> None:
        # The operations of lists are atomic, so that neither threads nor the collector of garbage need a lock here.
        self._free: DefaultDict[int, List[memoryview]] = defaultdict(list)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor in host memory with any values.

        Args:
            shape: Its shape.
            dtype: bfloat16, or a type that NumPy has, too.
        """
        if dtype == torch.bfloat16:
            return self.empty(shape, torch.int16).view(dtype)
        like = _numpy_type(dtype)
        num_bytes = math.prod(shape) * like.itemsize
        if num_bytes < SMALLEST:
            return torch.empty(tuple(shape), dtype=dtype)
        # Few sizes, so that memory soon fits whatever comes; of what is unused no page is ever touched.
        size = 1 << (num_bytes - 1).bit_length()
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            block: Any = torch.empty(size, dtype=torch.uint8).numpy()
            memory = memoryview(block)
        # The array belongs to this tensor alone, which keeps it; NumPy's own views of it would keep the memory instead.
        array: Any = np.ndarray(tuple(shape), like, memory)
        weakref.finalize(array, free.append, memory).atexit = False
        return torch.from_numpy(array)


@lru_cache(maxsize=None)
def _numpy_type(dtype: torch.dtype) -> Any:
    return torch.empty(0, dtype=dtype).numpy().dtype
