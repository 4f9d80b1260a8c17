"""Servers that belong to a job, one a machine: started before its processes, watched, and ended after them.

Rules: the launcher of each machine does this, not its processes, because a request to a server that is gone may never
return. A server holds a listening socket that it does nothing with; launchers connect to it, and the system closes the
connection when the process is gone, however it ended. Nothing here knows what is served.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from gnnkit.errors import GnnkitError, PeerError

_BEAT = 0.2
"""Seconds from one look at the servers to the next."""
_GRACE = 3.0
"""Seconds in which the loss of a server is noticed after what it has caused."""
_KEEPALIVE = (5, 3, 3)
"""Seconds of silence before the system asks whether a machine is there, seconds between, and how often."""
_ALL = "0.0.0.0"


class Address(NamedTuple):
    """Where a server is.

    Attributes:
        host: Address of its machine.
        port: Where it serves.
        life: Port of the socket by which it is watched.
    """

    host: str
    port: int
    life: int


Command = Callable[[Sequence[Address]], Tuple[List[str], Mapping[str, str]]]
"""From the addresses of all servers to the command of this machine's, and what the environment of all needs."""


class Servers:
    """A context in which the servers of all machines run; the environment has what trainers need.

    Args:
        make: Says what to start.
        machine: Number of this machine.
        machines: How many there are.
        host: Address of this machine.
        meeting: Address and port of a store of torch.distributed that machine 0 keeps. None: there is one machine.
        limit: Seconds to wait for the other machines.
        log: File for what the server prints.

    Raises:
        PeerError: Another machine did not come, or ended.
        GnnkitError: A server is gone: the message names it.
    """

    def __init__(
        self,
        make: Command,
        *,
        machine: int,
        machines: int,
        host: str,
        meeting: Optional[Tuple[str, int]],
        limit: float,
        log: Path,
    ) -> None:
        self._make, self._machine, self._machines = make, machine, machines
        self._host, self._meeting, self._limit, self._log = host, meeting, limit, log
        self._store: Any = None
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._addresses: List[Address] = []
        self._lost: Optional[str] = None
        self._end = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._kept: Mapping[str, Optional[str]] = {}

    def __enter__(self) -> Servers:
        with socket.create_server((_ALL, 0), backlog=self._machines + 8) as life:
            own = Address(self._host, _free_port(self._host), life.getsockname()[1])
            self._addresses = [own] if self._meeting is None else self._exchanged(own, self._meeting)
            command, environment = self._make(self._addresses)
            self._kept = {name: os.environ.get(name) for name in environment}
            os.environ.update(environment)
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[life.fileno()],
                    preexec_fn=_end_with_parent,
                    start_new_session=True,
                )
        self._thread = threading.Thread(target=self._watch, name="gnnkit-servers", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        assert self._process is not None and self._thread is not None, "the context has begun"
        try:
            if error is None:
                self._wait_for_others()
            elif self._lost is None and not isinstance(error, KeyboardInterrupt):
                self._end.wait(_GRACE)  # The watch ends by itself if it finds that a server is the cause.
            self._end.set()
            self._thread.join()
            if error is not None:
                self._tell("failed", self._lost or str(error))
        finally:
            _ended(self._process)
            for name, value in self._kept.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        if self._lost is not None and (error is None or isinstance(error, (GnnkitError, KeyboardInterrupt))):
            raise GnnkitError(self._lost) from None

    def _exchanged(self, own: Address, meeting: Tuple[str, int]) -> List[Address]:
        """The addresses of all servers, told by their launchers."""
        import torch.distributed

        make: Any = getattr(torch.distributed, "TCPStore")  # noqa: B009  # Its stubs do not name it.
        machine, found = 0, []
        try:
            seconds = timedelta(seconds=self._limit)
            self._store = make(*meeting, is_master=self._machine == 0, wait_for_workers=False, timeout=seconds)
            self._tell("server", json.dumps(own))
            for machine in range(self._machines):
                found.append(Address(*json.loads(self._store.get(f"server/{machine}"))))
        except RuntimeError as error:  # torch.distributed has none of its own.
            raise PeerError(
                f"Machine {machine} of {self._machines} did not come to {meeting[0]}:{meeting[1]} within "
                f"{self._limit:.0f} s. Start the command there with --node-rank {machine}, and check the address: "
                "the port after that of --rendezvous must be free, too."
            ) from error
        return found

    def _tell(self, what: str, text: str) -> None:
        with suppress(RuntimeError):  # Who kept the store may be gone.
            if self._store is not None:
                self._store.set(f"{what}/{self._machine}", text)

    def _told(self, what: str, machine: int) -> Optional[str]:
        """What a launcher has told, if it has."""
        with suppress(RuntimeError):
            key = f"{what}/{machine}"
            if self._store is not None and self._store.check([key]):
                return str(self._store.get(key).decode())
        return None

    def _wait_for_others(self) -> None:
        """Keep the server until the processes of all machines have ended, and the store until all know."""
        assert self._thread is not None
        for what in ("ended", "left"):
            self._tell(what, "")
            if what == "left" and self._machine != 0:
                return
            begin = time.monotonic()
            while not all(self._told(what, machine) is not None for machine in range(self._machines)):
                if self._store is None or self._lost is not None or time.monotonic() - begin > self._limit:
                    return
                time.sleep(_BEAT)

    def _watch(self) -> None:
        """Look after all servers until the end; the loss of one ends this process's work by a signal."""
        connections: List[Optional[socket.socket]] = []
        try:
            for address in self._addresses:
                connections.append(_connected(address))
            while not self._end.wait(_BEAT):
                gone = [i for i, each in enumerate(connections) if each is None or _is_closed(each)]
                gone = [machine for machine in gone if self._told("ended", machine) is None]
                if gone:
                    self._lost = self._sentence(gone[0])
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
        finally:
            self._end.set()
            for each in connections:
                if each is not None:
                    each.close()

    def _sentence(self, machine: int) -> str:
        """What is said of a server that is gone."""
        told = self._told("failed", machine)
        if told is not None:
            return f"Machine {machine} has ended, and this one with it. It said: {told}"
        address = self._addresses[machine]
        who = f"The graph server of machine {machine} ({address.host}:{address.port}"
        if machine != self._machine or self._process is None:
            return (
                f"{who}) is gone, and the processes of this machine were stopped. Look at what machine {machine} says."
            )
        code = self._process.wait()
        how = f"ended with exit code {code}"
        if code < 0:
            with suppress(ValueError):
                how = f"was ended by {signal.Signals(-code).name}"
        advice = " The system may have run out of memory." if -code == signal.SIGKILL else self._last_words()
        return f"{who}, process {self._process.pid}) {how}, and the processes were stopped.{advice}"

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return f" It said: {lines[-1].strip()}"
        return ""


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End a process, by force if it does not."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _connected(address: Address) -> Optional[socket.socket]:
    """A connection that the system watches; None if there is nobody."""
    try:
        connection = socket.create_connection((address.host, address.life), timeout=_KEEPALIVE[0] * 2)
    except OSError:
        return None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _KEEPALIVE):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    connection.setblocking(False)
    return connection


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other end is gone. It never sends anything."""
    return bool(select.select([connection], [], [], 0)[0])


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    """Have the system end this process when the one that started it is gone, killed for example."""
    asked_for = 1  # PR_SET_PDEATHSIG
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(asked_for, signal.SIGKILL)
