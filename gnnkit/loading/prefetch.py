"""Computing the items of a sequence ahead of their use, in threads.

Rules: items come in order whatever the number of threads; no more than a window of them exists at a time; whichever
way an iteration ends, its threads end with it. Only an item that takes long is not waited for: its thread ends with it,
or with the process. While a device compiles, no thread makes an item (:mod:`gnnkit.loading.gate`).
"""

from __future__ import annotations

import logging
import math
import os
import statistics
import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from contextlib import suppress
from ctypes import CDLL
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, Callable, Collection, Deque, Generator, Iterable, Iterator, List, Optional, Tuple, TypeVar

import torch

from gnnkit.errors import ConfigError
from gnnkit.loading.ahead import bytes_read
from gnnkit.loading.gate import GATE
from gnnkit.openmp import GNU, end_threads, openmp_libraries
from gnnkit.place import launched_place

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

THREAD_NAME = "gnnkit-loader"
_BURST_SECONDS = 0.05
"""How long a burst should take, so that changing over to it and back costs little beside it."""
_LONGER_BURST = 4
"""How many times the asked number of items a burst may make to take that long."""
_MUCH = 1 << 20
"""Bytes from the disk for an item whose thread has mostly waited for them."""
STALLED = 30.0
"""Seconds of waiting for an item after which it is told; then after twice as long each time."""
_PATIENCE = 0.5
"""Seconds to wait, in all, for items that are still being made when nobody wants them any more."""


def prefetch(
    produce: Callable[[int], T], num: int, *, num_threads: int, ahead: int, overlap: bool = True
) -> Generator[T, None, None]:
    """Yield ``produce(0)`` to ``produce(num - 1)`` in order.

    Args:
        produce: Makes an item from its number; called from several threads at once.
        num: Number of items.
        num_threads: Threads to use. 0 makes each item in the caller's thread when it is asked for.
        ahead: Items to have in hand beyond those that the threads are making.
        overlap: Whether items are made while the consumer works. False makes ``1 + ahead`` for each thread when none is
            left, up to four times as many if they take little time, and lets the consumer wait until they are done;
            except while items are read from the disk, because waiting for it takes no core from the consumer.

    Yields:
        The items. An exception that ``produce`` raises appears when its item's turn comes, and ends the iteration.
        Closing the iterator, or an exception in its consumer, cancels what has not begun and waits half a second for
        what has.
    """
    if num_threads == 0:
        for item in range(num):
            yield produce(item)
        return
    pending: Deque[Future[T]] = deque()
    work: SimpleQueue[Any] = SimpleQueue()
    threads: List[threading.Thread] = []
    submitted, disk = 0, threading.Event()
    room = least = least_in_hand(num_threads, ahead, overlap=overlap)
    cores = None if overlap else _cores_of(num_threads)
    openmp = [] if cores is None else _gnu_openmp()
    try:
        for number in range(num_threads):
            # A daemon, as the interpreter would wait for others at its end, and nothing can interrupt a kernel.
            name, core = f"{THREAD_NAME}-{number}", None if cores is None else cores[number]
            thread = threading.Thread(target=_work, args=(work, produce, disk, core), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise ConfigError(
                    f"Only {number:,} of {num_threads:,} loader threads could be started. Set train.num_threads lower."
                ) from error
            threads.append(thread)
        for item in range(num):
            start, is_burst = time.monotonic(), not overlap and not pending
            if is_burst:  # After a step they go on spinning for some milliseconds, on cores that the burst wants.
                end_threads(openmp)
            while submitted < num and len(pending) < room and (overlap or is_burst or disk.is_set()):
                pending.append(Future())
                work.put((pending[-1], submitted))
                submitted += 1
            if is_burst:
                _wait(pending, item)
                fitting = len(pending) * _BURST_SECONDS / max(time.monotonic() - start, 1e-6)
                rounds = round(fitting / num_threads)  # Whole ones: no thread waits while others make the last items.
                room = min(max(least, num_threads * rounds), _LONGER_BURST * least)
            if not pending[0].done():
                _wait([pending[0]], item)
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        for _ in range(num_threads):
            work.put(None)
        deadline = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        # A thread's own number is also that of threads to come, until another thread says its own.
        torch.set_num_threads(torch.get_num_threads())


def least_in_hand(num_threads: int, ahead: int, *, overlap: bool) -> int:
    """Items that :func:`prefetch` makes before it waits for its consumer; more only if they take little time.

    Args:
        num_threads: As for :func:`prefetch`, like the rest.
        ahead: Likewise.
        overlap: Likewise.
    """
    return num_threads + ahead if overlap else num_threads * (1 + ahead)


def _wait(futures: Collection[Future[T]], first: int) -> None:
    """Wait for items, and say so when one takes unusually long: a disk may hang, or a plugin."""
    start, told = time.monotonic(), STALLED
    while wait(futures, timeout=start + told - time.monotonic()).not_done:
        waited, place = time.monotonic() - start, next(i for i, each in enumerate(futures) if not each.done())
        _LOG.warning(
            "Batch %d has been in preparation for %.0f s. Ctrl-C ends the run and saves its state.",
            *(first + place, waited),
        )
        told *= 2


def _cores_of(num_threads: int) -> Optional[List[int]]:
    """A core for each thread of a burst, if there are threads for all cores of this process.

    A burst is short, and the system may leave two threads on one core for much of it.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return [cores[i % len(cores)] for i in range(num_threads)] if num_threads >= len(cores) else None


@lru_cache(maxsize=None)
def _gnu_openmp() -> List[CDLL]:
    """Looked for once: it takes a millisecond, as much as a small batch."""
    return openmp_libraries((GNU,))


def _work(
    work: SimpleQueue[Optional[Tuple[Future[T], int]]],
    produce: Callable[[int], T],
    disk: threading.Event,
    core: Optional[int],
) -> None:
    """Make items until there is None to make; ``disk`` is set while much of them comes from it."""
    if core is not None:
        with suppress(OSError):  # The process may have lost the core in the meantime.
            os.sched_setaffinity(0, {core})  # Of this thread alone.
    # Else torch's operations start more threads for this one, and OpenMP, which then counts more threads than there are
    # cores, puts those of the consumer to sleep between any two operations: steps take a fifth longer.
    torch.set_num_threads(1)
    for future, item in iter(work.get, None):
        if not future.set_running_or_notify_cancel():
            continue
        try:
            before = bytes_read()
            with GATE.inside():
                result = produce(item)
            (disk.set if bytes_read() - before >= _MUCH else disk.clear)()
        except BaseException as error:  # Whatever it is, it is for the consumer.
            future.set_exception(error)
        else:
            future.set_result(result)
            del result  # A batch is large, and the next one takes its time.
        del future


def threads_at_work() -> List[threading.Thread]:
    """Threads that make items, those included whose items nobody waits for any more."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]


def num_cores() -> int:
    """Cores that this process may use; those of a launcher share them evenly."""
    num = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, num // launched_place().local_size)


class Pace:
    """How long items take to make and to use, and how many threads make them as fast as they are used.

    Attributes:
        made: Seconds that each item took to make, in the order in which they were finished.
        used: Seconds that the consumer spent on each item.

    Example:
        >>> pace = Pace()
        >>> pace.made, pace.used = [0.9, 0.3, 0.3, 0.3], [0.5, 0.1, 0.1, 0.1]
        >>> pace.num_threads(most=8)
        3
    """

    ENOUGH = 4

    def __init__(self) -> None:
        self.made: List[float] = []
        self.used: List[float] = []

    def making(self, produce: Callable[[int], T]) -> Callable[[int], T]:
        """``produce``, timed."""

        def timed(item: int) -> T:
            start = time.perf_counter()
            result = produce(item)
            self.made.append(time.perf_counter() - start)
            return result

        return timed

    def using(self, items: Iterable[T]) -> Iterator[T]:
        """The items; what the consumer does with each is timed."""
        for item in items:
            start = time.perf_counter()
            yield item
            self.used.append(time.perf_counter() - start)

    def num_threads(self, most: Optional[int] = None) -> Optional[int]:
        """Threads that keep up with the consumer, from 1 to ``most``; None while too little has been seen.

        The first item does not count: kernels are compiled for it.
        """
        if min(len(self.made), len(self.used)) < self.ENOUGH:
            return None
        most = num_cores() if most is None else most
        made, used = statistics.median(self.made[1:]), statistics.median(self.used[1:])
        return max(1, min(most, math.ceil(made / max(used, 1e-6))))
