"""Two processes in one: threads that share batches as processes do, so that a check needs to start none.

Rules: a step talks to other processes through ``StepOptions.world`` alone, so a world of threads is enough to see
whether it does what one process does with the whole batch. A thread that fails ends the wait of the other.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List, Sequence, TypeVar

import torch
from torch import Tensor

from gnnkit.parallel import Place, World

T = TypeVar("T")

_SECONDS = 60.0
"""After which one that waits for the other gives up."""


class _Meeting:
    """Where threads exchange values."""

    def __init__(self, size: int) -> None:
        self.values: List[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=_SECONDS)


class ThreadWorld(World):
    """The world of one of several threads.

    Args:
        rank: Its number.
        meeting: That of all of them.
    """

    def __init__(self, rank: int, meeting: _Meeting) -> None:
        super().__init__(Place(rank=rank, size=len(meeting.values)))
        self._meeting = meeting

    def gathered(self, value: T, what: str = "values") -> List[T]:
        """See :class:`World`."""
        self._meeting.values[self.rank] = value
        self._meeting.barrier.wait()
        found = list(self._meeting.values)
        self._meeting.barrier.wait()  # Nobody writes before all have read.
        return found

    def sum_(self, tensors: Sequence[Tensor], what: str = "a sum") -> None:
        """See :class:`World`."""
        every = self.gathered([tensor.clone() for tensor in tensors], what)
        for number, tensor in enumerate(tensors):
            tensor.copy_(torch.stack([each[number] for each in every]).sum(dim=0))

    def joined(self, rows: Tensor, what: str = "rows") -> Tensor:
        """See :class:`World`."""
        return torch.cat(self.gathered(rows.clone(), what))

    def from_first(self, make: Callable[[], T], what: str = "the first process") -> T:
        """See :class:`World`."""
        found: List[Any] = self.gathered(make() if self.is_first else None, what)
        value: T = found[0]
        return value

    on_machine = from_first

    def spread_(self, tensor: Tensor, source: int, what: str = "rows") -> None:
        """See :class:`World`."""
        tensor.copy_(self.gathered(tensor.clone(), what)[source])

    def meet(self, what: str) -> None:
        """See :class:`World`."""
        self.gathered(None, what)


def as_processes(size: int, work: Callable[[World], T]) -> List[T]:
    """What each of so many threads makes, each in a world of its own.

    Args:
        size: How many.
        work: Called with the world of each.

    Returns:
        What it gave, in the order of ranks.

    Raises:
        AssertionError: One waited for the others in vain, because they made fewer calls.
        Exception: What ``work`` raised first.

    Example:
        >>> def work(world):
        ...     total = torch.tensor([float(world.rank)])
        ...     world.sum_([total])
        ...     return total.item()
        >>> as_processes(3, work)
        [3.0, 3.0, 3.0]
    """
    meeting = _Meeting(size)

    def watched(rank: int) -> T:
        try:
            return work(ThreadWorld(rank, meeting))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(watched, rank) for rank in range(size)]
    failed = [future.exception() for future in futures if future.exception() is not None]
    own = [error for error in failed if not isinstance(error, threading.BrokenBarrierError)]
    if own and own[0] is not None:
        raise own[0]
    assert not failed, "processes do not take part in the same sums: one waited for the other in vain."
    return [future.result() for future in futures]
