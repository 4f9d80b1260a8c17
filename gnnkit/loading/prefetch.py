"""Computing the items of a sequence ahead of their use, in threads.

Rules: items come in order whatever the number of threads; no more than a window of them exists at a time; whichever
way an iteration ends, its threads end with it.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Generator, TypeVar

T = TypeVar("T")


def prefetch(produce: Callable[[int], T], num: int, *, num_threads: int, ahead: int) -> Generator[T, None, None]:
    """Yield ``produce(0)`` to ``produce(num - 1)`` in order.

    Args:
        produce: Makes an item from its number; called from several threads at once.
        num: Number of items.
        num_threads: Threads to use. 0 makes each item in the caller's thread when it is asked for.
        ahead: Items to have in hand beyond those that the threads are making.

    Yields:
        The items. An exception that ``produce`` raises appears when its item's turn comes, and ends the iteration.
        Closing the iterator, or an exception in its consumer, cancels what has not begun and waits for what has.
    """
    if num_threads == 0:
        for item in range(num):
            yield produce(item)
        return
    pending: Deque[Future[T]] = deque()
    threads = ThreadPoolExecutor(num_threads, thread_name_prefix="gnnkit-loader")
    submitted = 0
    try:
        for _ in range(num):
            while submitted < num and len(pending) < num_threads + ahead:
                pending.append(threads.submit(produce, submitted))
                submitted += 1
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        threads.shutdown(wait=True)
