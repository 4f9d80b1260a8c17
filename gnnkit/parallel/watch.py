"""Who waits for whom: a thread that writes down where its process is, and says so when a wait takes long.

Rules: words go through the store that the launcher keeps (torch.distributed's TCPStore), on a connection of their own,
so that they come through while the process itself waits. Without such a store a process knows of itself alone.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Dict, Iterator, List, Optional, Tuple

from gnnkit.place import Place

_LOG = logging.getLogger("gnnkit.parallel")

BEAT = 1.0
"""Seconds from one sign of life to the next."""
SILENT = 4.0
"""Seconds without one after which a process counts as silent."""
FIRST_WORD = 10.0
"""Seconds of waiting after which it is told; then after twice as long each time."""
_STORE_SECONDS = 5.0


class Watch:
    """Watches the waits of one process.

    Args:
        place: Where the process stands.
        limit: Seconds after which torch.distributed gives up.
    """

    def __init__(self, place: Place, limit: float) -> None:
        self._place = place
        self._limit = limit
        self._what: Optional[str] = None
        self._since = time.monotonic()
        self._told = FIRST_WORD
        self._count = 0
        self._name: Optional[str] = None
        self._end = threading.Event()
        self._heard: Dict[int, Tuple[str, float]] = {}  # By rank: its last word, and when it came.
        self._words: Dict[int, Dict[str, Any]] = {}
        self._has_looked = False
        self._others = [rank for rank in range(place.size) if rank != place.rank]
        self._thread = threading.Thread(target=self._work, name="gnnkit-watch", daemon=True)
        self._thread.start()

    def named(self, name: str) -> None:
        """From now on talk to the others, under a name that is the same for all and was never used before."""
        self._name = name

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A context in which the process waits for the others; ``what`` says for what."""
        self._since, self._told, self._what = time.monotonic(), FIRST_WORD, what
        try:
            yield
            self._what, self._since = None, time.monotonic()
        finally:
            self._count += 1

    def lost(self, what: str, reason: str) -> str:
        """A sentence about a wait that failed: who waited for what and how long, and who is silent.

        Args:
            what: What it was.
            reason: What torch.distributed said.
        """
        waited = time.monotonic() - self._since
        with suppress(KeyboardInterrupt):  # The launcher ends this process, which has its error already.
            # A process that died a moment ago was heard a moment ago.
            self._end.wait(max(0.0, SILENT + 2 * BEAT - waited))
        silent = self._silent()
        who = f"Process {self._place.rank} of {self._place.size} lost the others while it waited for {what}"
        if silent:
            numbers = " and ".join(map(str, silent))
            word = "Process" if len(silent) == 1 else "Processes"
            return f"{who} ({waited:.0f} s): {word} {numbers} gave no sign of life. Look at the end of its own output."
        return f"{who} ({waited:.0f} s, of {self._limit:.0f} s that it may take): {reason}"

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join(2 * BEAT)

    def _silent(self) -> List[int]:
        """Processes that said nothing for long; also those that never did, once this one has listened for so long."""
        never = self._since if self._has_looked else float("inf")
        last = {rank: self._heard[rank][1] if rank in self._heard else never for rank in self._others}
        return [rank for rank, heard in last.items() if time.monotonic() - heard > SILENT]

    def _key(self, rank: int) -> str:
        return f"gnnkit/watch/{self._name}/{rank}"

    def _work(self) -> None:
        store = None
        while not self._end.wait(BEAT):
            try:
                store = _connected() if store is None else store
                if store is not None and self._name is not None:
                    self._exchange(store)
            except RuntimeError:  # What the store raises, whoever is gone; the next second tries again.
                store = None
            self._tell()

    def _exchange(self, store: Any) -> None:
        what = self._what
        word = {"count": self._count, "what": what, "for": time.monotonic() - self._since, "beat": time.monotonic()}
        store.set(self._key(self._place.rank), json.dumps(word))
        if what is None:
            return  # Who does not wait need not read.
        self._has_looked, now = True, time.monotonic()
        for rank in self._others:
            key = self._key(rank)
            if not store.check([key]):
                continue
            text = store.get(key).decode()
            if rank not in self._heard or self._heard[rank][0] != text:
                self._heard[rank], self._words[rank] = (text, now), json.loads(text)

    def _tell(self) -> None:
        what, waited = self._what, time.monotonic() - self._since
        if what is None or waited < self._told:
            return
        self._told *= 2
        if self._place.local_rank == 0:
            _LOG.warning(
                "process %d of %d has waited %.0f s for %s (it gives up after %.0f s). %s",
                *(self._place.rank, self._place.size, waited, what, self._limit, " ".join(self._sentences())),
            )

    def _sentences(self) -> List[str]:
        now, found = time.monotonic(), []
        for rank in self._others:
            if rank not in self._heard:
                found.append(f"Process {rank} was not heard of yet.")
                continue
            silent, word = now - self._heard[rank][1], self._words[rank]
            if silent > SILENT:
                found.append(f"Process {rank} has given no sign of life for {silent:.0f} s.")
            elif word["what"] is None:
                found.append(f"Process {rank} has been computing for {word['for']:.0f} s.")
            else:
                found.append(f"Process {rank} waits for {word['what']}, for {word['for']:.0f} s.")
        return found


def _connected() -> Any:
    """A separate connection to the launcher's store; None where there is none."""
    import torch.distributed

    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not address or not port:
        return None
    seconds = timedelta(seconds=_STORE_SECONDS)
    store: Any = getattr(torch.distributed, "TCPStore")  # noqa: B009  # Its stubs do not name it.
    return store(address, int(port), is_master=False, wait_for_workers=False, timeout=seconds)
