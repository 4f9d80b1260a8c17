"""The ``World`` of a process: how many there are, and the few things that they do together.

Rules: one process is a world, too, in which all of this does nothing, so that nobody asks how many there are. All
processes call the same methods in the same order. Every wait has a name.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar

import torch
from torch import Tensor

from gnnkit.errors import ConfigError, GnnkitError, PeerError, ToldError
from gnnkit.parallel.watch import Watch
from gnnkit.place import Place, launched_place

T = TypeVar("T")

TIME_LIMIT = 300.0
"""Seconds that a process waits for others, unless told otherwise."""
TIME_LIMIT_VARIABLE = "GNNKIT_TIME_LIMIT"
"""Environment variable with another number of seconds."""


class World:
    """The world of a single process, and the base of those of several.

    Args:
        place: Where this process stands.

    Attributes:
        place: Likewise.
        rank: Its number, from 0.
        size: How many processes there are.
        is_first: Whether this is the process that writes, shows and reports.
        launchers: The launchers of all processes, :attr:`Place.launcher`. Empty if there are none.

    Example:
        >>> world = World()
        >>> world.size, world.share(5), world.from_first(lambda: "as it is")
        (1, (0, 5), 'as it is')
    """

    def __init__(self, place: Place = Place()) -> None:  # noqa: B008  # A frozen record.
        self.place = place
        self.rank, self.size, self.is_first = place.rank, place.size, place.is_first
        self.launchers = frozenset() if place.launcher is None else frozenset({place.launcher})

    def share(self, num: int) -> Tuple[int, int]:
        """The part of ``num`` things that is this process's: first and last, the last one not included.

        Parts follow each other in the order of ranks and differ by one at most.
        """
        return num * self.rank // self.size, num * (self.rank + 1) // self.size

    def sum_(self, tensors: Sequence[Tensor], what: str = "a sum") -> None:
        """Replace tensors by their sums over all processes.

        Args:
            tensors: In the same order, with the same shapes and types everywhere.
            what: Name of the wait.
        """

    def joined(self, rows: Tensor, what: str = "rows") -> Tensor:
        """The rows of all processes, in the order of ranks.

        Args:
            rows: Shape [n, ...]; ``n`` may be another number everywhere, the other dimensions may not.
            what: Name of the wait.
        """
        return rows

    def gathered(self, value: T, what: str = "values") -> List[T]:
        """A value of every process, in the order of ranks; anything that can be pickled."""
        return [value]

    def from_first(self, make: Callable[[], T], what: str = "the first process") -> T:
        """What the first process makes, for all of them.

        Args:
            make: Called in the first process alone.
            what: Name of the wait.

        Raises:
            GnnkitError: ``make`` raised it there; it is raised everywhere.
        """
        return make()

    def on_machine(self, make: Callable[[], T], what: str = "another process of this machine") -> T:
        """What the first process of each machine makes, for all of that machine; as :meth:`from_first`."""
        return make()

    @property
    def is_single_machine(self) -> bool:
        """Whether all processes are on one machine."""
        return True

    def spread_(self, tensor: Tensor, source: int, what: str = "rows") -> None:
        """Replace a tensor by that of one process."""

    def meet(self, what: str) -> None:
        """Wait until all processes are here."""

    def close(self, failed: bool = False) -> None:
        """Leave the world; if something has failed, without a word to the others."""


ALONE = World()
"""The world of a single process."""


class GroupWorld(World):
    """The world of several processes, which talk by torch.distributed.

    Args:
        place: Where this process stands.
        watch: Hears of every wait.
        owns_group: Whether the process group was made for this world, and ends with it.
    """

    def __init__(self, place: Place, watch: Watch, *, owns_group: bool) -> None:
        super().__init__(place)
        self._watch = watch
        self._owns_group = owns_group
        self._machines: Dict[int, List[int]] = {}
        places = self.gathered(place, "the others to start")
        for each in places:
            self._machines.setdefault(each.machine, []).append(each.rank)
        self.launchers = frozenset(each.launcher for each in places if each.launcher is not None)
        watch.named(self.from_first(lambda: f"{os.getpid()}-{time.time_ns()}", "the others to start"))

    @property
    def is_single_machine(self) -> bool:
        """See :class:`World`."""
        return len(self._machines) == 1

    @contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        with self._watch.waiting(what):
            try:
                yield
            except RuntimeError as error:  # torch.distributed has none of its own for a peer that is gone.
                raise PeerError(self._watch.lost(what, _first_line(error))) from error

    def sum_(self, tensors: Sequence[Tensor], what: str = "a sum") -> None:
        """See :class:`World`; tensors of one type and device travel as one."""
        kinds: Dict[Any, List[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for some in kinds.values():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in some])
            with self._waiting(what):
                _distributed().all_reduce(flat)
            for tensor, part in zip(some, torch.split(flat, [tensor.numel() for tensor in some])):
                tensor.detach().copy_(part.view_as(tensor))

    def joined(self, rows: Tensor, what: str = "rows") -> Tensor:
        """See :class:`World`."""
        counts = self.gathered(len(rows), what)
        room = [rows.new_empty((count, *rows.shape[1:])) for count in counts]
        room[self.rank] = rows.detach().contiguous()
        with self._waiting(what):
            for rank, part in enumerate(room):
                if part.numel():
                    _distributed().broadcast(part, src=rank)
        return torch.cat(room)

    def gathered(self, value: T, what: str = "values") -> List[T]:
        """See :class:`World`."""
        found: List[Any] = [None] * self.size
        with self._waiting(what):
            _distributed().all_gather_object(found, value)
        return found

    def from_first(self, make: Callable[[], T], what: str = "the first process") -> T:
        """See :class:`World`."""
        told = [_made(make) if self.rank == 0 else None]
        with self._waiting(what):
            _distributed().broadcast_object_list(told, src=0)
        return _taken(told[0])  # type: ignore[no-any-return]

    def on_machine(self, make: Callable[[], T], what: str = "another process of this machine") -> T:
        """See :class:`World`.

        All hear what each machine's process has made, which is little: large tensors do not travel.
        """
        source = self._machines[self.place.machine][0]
        return _taken(self.gathered(_made(make) if self.rank == source else None, what)[source])  # type: ignore[no-any-return]

    def spread_(self, tensor: Tensor, source: int, what: str = "rows") -> None:
        """See :class:`World`."""
        with self._waiting(what):
            _distributed().broadcast(tensor, src=source)

    def meet(self, what: str) -> None:
        """See :class:`World`."""
        self.gathered(None, what)

    def close(self, failed: bool = False) -> None:
        """See :class:`World`; a process group of the user's own stays."""
        self._watch.close()
        if self._owns_group and not failed:
            _distributed().destroy_process_group()


class _Told:
    """What one process tells the others: something that it has made, or why it has not."""

    def __init__(self, value: Any, problem: Optional[str] = None, error: Optional[GnnkitError] = None) -> None:
        self.value, self.problem, self.error = value, problem, error

    def __reduce__(self) -> Any:
        """Without the error itself, whose class may take other arguments than a sentence."""
        return _Told, (self.value, self.problem)


def _made(make: Callable[[], Any]) -> _Told:
    try:
        return _Told(make())
    except GnnkitError as error:
        return _Told(None, str(error), error)


def _taken(told: Any) -> Any:
    if told.problem is not None:
        raise told.error or ToldError(told.problem)
    return told.value


def _distributed() -> Any:
    import torch.distributed

    return torch.distributed


def _first_line(error: BaseException) -> str:
    """The first sentence of an error, without the place in torch's sources that may stand before it."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\[[^\]]*\.cc:\d+\]\s*", "", line).split(". ")[0].strip()


def time_limit() -> float:
    """Seconds that a process waits for others.

    Raises:
        ConfigError: The environment variable holds no number above 0.
    """
    text = os.environ.get(TIME_LIMIT_VARIABLE)
    if text is None:
        return TIME_LIMIT
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{TIME_LIMIT_VARIABLE} is {text!r}, expected seconds, above 0.")
    return seconds


_joined: Optional[World] = None


def join_world(limit: Optional[float] = None) -> World:
    """The world that torchrun, or a script of the user's, has put this process into; called by all of its processes.

    A process group that exists is taken as it is, with its own time limit. In a process that torchrun started one is
    made: gloo for host memory, NCCL for CUDA. It is made once and serves all that follows.

    Args:
        limit: Seconds that a process waits for others. None: ``GNNKIT_TIME_LIMIT``, or 300.

    Returns:
        ``ALONE`` in a process of which there is but one.

    Raises:
        ConfigError: A time limit that cannot be used.
        PeerError: The others do not come.

    Example:
        >>> join_world().size
        1
    """
    global _joined
    if _joined is not None:
        return _joined
    distributed = _distributed()
    place = launched_place()
    seconds = time_limit() if limit is None else limit
    exists = distributed.is_available() and distributed.is_initialized()
    if place.size == 1 and not exists:
        return ALONE if place.launcher is None else World(place)
    if not exists:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        start = time.monotonic()
        try:
            store, rank, size = next(distributed.rendezvous("env://", timeout=timedelta(seconds=seconds)))
            # A launcher that shares its store with its processes would give those that it starts again the addresses
            # of those before them. Between machines it counts restarts otherwise, and must not share (see the launcher
            # of the command line).
            number = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if place.local_size == place.size else "0"
            own = distributed.PrefixStore(f"gnnkit/{number}", store)
            group = {"store": own, "rank": rank, "world_size": size}
            distributed.init_process_group(backend, timeout=timedelta(seconds=seconds), **group)
        except RuntimeError as error:  # torch.distributed has none of its own.
            waited = time.monotonic() - start
            raise PeerError(
                f"Process {place.rank} of {place.size} waited {waited:.0f} s for the others to start: "
                f"{_first_line(error)}. Look at what they say."
            ) from error
    elif place.launcher is None:
        place = Place(distributed.get_rank(), distributed.get_world_size(), machine=_machine())
    if place.size == 1:
        return World(place)
    watch = Watch(place, seconds)
    _joined = GroupWorld(place, watch, owns_group=not exists)
    return _joined


def _machine() -> int:
    """A number of this machine, where no launcher has given one."""
    return int.from_bytes(hashlib.blake2b(socket.gethostname().encode(), digest_size=6).digest(), "little")


def leave_world(failed: bool = False) -> None:
    """Leave the world that :func:`join_world` gave, before the process ends.

    Args:
        failed: Whether it ends with an error, so that others may not be there any more.
    """
    global _joined
    if _joined is not None:
        _joined.close(failed)
        _joined = None
