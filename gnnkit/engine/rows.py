"""Rows that an evaluation gives: where they lie, and how several processes put theirs together.

Rules: memory is bounded by a setting; beyond it rows lie in a temporary file. Several processes have one a machine.
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import Tensor

from gnnkit.io.files import mapped_tensor
from gnnkit.parallel import World, complete, shared_table


class SharedRows:
    """The rows that batches give, one after the other; every process has some of the batches, all together.

    Args:
        world: The processes.
        num: Number of rows.
        num_batches: Number of batches.
        batch_size: Rows of each batch but the last.
        memory: Bytes that the rows may take in memory.

    Attributes:
        batches: Numbers of this process's batches.

    Example:
        >>> rows = SharedRows(World(), 3, 2, 2, 1e9)
        >>> for number in rows.batches:
        ...     rows.add(torch.ones(2 - number, 1))
        >>> rows.complete().tolist()
        [[1.0], [1.0], [1.0]]
    """

    def __init__(self, world: World, num: int, num_batches: int, batch_size: int, memory: float) -> None:
        self._world = world
        self._num = num
        self._memory = memory
        self._result = torch.empty(0)
        self._width: Optional[int] = None
        self.batches = range(*world.share(num_batches))
        self._at = self._begin = min(self.batches.start * batch_size, num)

    def add(self, part: Tensor) -> None:
        """Take in the rows of the next batch."""
        if self._width is None:
            self._make_room(part.shape[1], part.dtype)
        self._result[self._at : self._at + len(part)] = part
        self._at += len(part)

    def _make_room(self, width: Optional[int], dtype: torch.dtype) -> None:
        """Room for all rows; a process without rows does not know how wide they are, so they tell each other."""
        if self._world.size == 1:
            self._width = width
            self._result = torch.empty(0) if width is None else result_room((self._num, width), dtype, self._memory)
            return
        told = self._world.gathered((width, dtype), _ROWS)
        self._width, dtype = next((each for each in told if each[0] is not None), (0, dtype))
        assert self._width is not None
        self._result = shared_table(self._world, (self._num, self._width), dtype, self._memory)

    def complete(self) -> Tensor:
        """All rows, of all processes."""
        if self._width is None:
            self._make_room(None, torch.float32)
        if self._world.size > 1:
            bounds = self._world.gathered((self._begin, self._at), _ROWS)
            complete(self._world, self._result, bounds, _ROWS)
        return self._result


_ROWS = "rows of an evaluation"


def result_room(shape: Tuple[int, int], dtype: torch.dtype, memory: float) -> Tensor:
    """Room for a result: in memory, or in a temporary file if it would be larger than ``memory`` bytes."""
    size = torch.empty(0, dtype=dtype).element_size() * shape[0] * shape[1]
    return mapped_tensor(shape, dtype) if size > memory else torch.empty(shape, dtype=dtype)


def table_rows(table: Tensor, rows: Tensor, memory: float) -> Tensor:
    """Rows of a table; the table itself where they are all its rows in order."""
    if rows.numel() == len(table) and torch.equal(rows, torch.arange(len(table))):
        return table
    result = result_room((rows.numel(), table.shape[1]), table.dtype, memory)
    for start in range(0, rows.numel(), _CHUNK_ROWS):
        result[start : start + _CHUNK_ROWS] = table[rows[start : start + _CHUNK_ROWS]]
    return result


_CHUNK_ROWS = 1 << 16


def widened(outputs: Tensor) -> Tensor:
    """Outputs in host memory, and at least in float32."""
    return outputs.cpu().to(torch.promote_types(outputs.dtype, torch.float32))
