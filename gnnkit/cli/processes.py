"""Running a command in several processes: torchrun's elastic launcher starts them, and one line says how they ended.

Rules: the command line of the processes is the user's own. The launcher prints what ends a job; its processes write
that down where torchrun looks for it. Nothing here knows what the command does.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, List, Mapping, NoReturn, Optional, Sequence, Tuple
from uuid import uuid4

import typer

from gnnkit.cli.launched import PRELOADED, SHUTDOWN_SECONDS, STARTED, work
from gnnkit.cli.options import options_of, takes
from gnnkit.cli.output import Ended, handed_on
from gnnkit.errors import ConfigError, GnnkitError, PeerError, ToldError
from gnnkit.place import launched_place


@dataclass(frozen=True)
class Processes:
    """How many processes share the work: options that several commands have."""

    processes: Optional[int] = typer.Option(
        None, help="Number of processes on this machine that share the work.  [default: 1]"
    )
    nodes: Optional[str] = typer.Option(None, help="Number of machines, or 1:4 for 1 to 4 machines.  [default: 1]")
    node_rank: Optional[int] = typer.Option(
        None, help="Number of this machine, from 0, if the number of machines is fixed."
    )
    rendezvous: Optional[str] = typer.Option(None, metavar="HOST:PORT", help="Address at which the machines meet.")
    max_restarts: Optional[int] = typer.Option(
        None, help="How often to restart after a process has died.  [default: 0]"
    )
    time_limit: Optional[float] = typer.Option(None, help="Seconds to wait for the other processes.  [default: 300]")

    @property
    def is_asked_for(self) -> bool:
        """Whether processes are to be started: never in one that was started itself."""
        if os.environ.get(STARTED):
            return False
        given = [name.replace("_", "-") for name, value in vars(self).items() if value is not None]
        if given and launched_place().launcher is not None:
            raise ConfigError(f"torchrun has started this process already. Leave --{given[0]} out, or torchrun.")
        if given and self.processes is None and self.nodes is None:
            raise ConfigError(f"--{given[0]} is for several processes. Give --processes or --nodes as well.")
        return bool(given)

    def check(self) -> None:
        """Refuse what cannot be used.

        Raises:
            ConfigError: A number is too small, or one option needs another.
        """
        for name, value, least in (
            ("--processes", self.processes, 1),
            ("--max-restarts", self.max_restarts, 0),
            ("--node-rank", self.node_rank, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}, expected at least {least}.")
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise ConfigError(f"--time-limit is {self.time_limit}, expected seconds, above 0.")
        parts = (self.nodes or "1").split(":")
        if (
            len(parts) > 2
            or not all(part.isdecimal() and int(part) > 0 for part in parts)
            or len(parts) != len([part for part in parts if int(part) >= int(parts[0])])
        ):
            raise ConfigError(f"--nodes is {self.nodes!r}, expected a number of machines such as 2, or a range: 1:4.")
        if self.has_machines and self.rendezvous is None:
            raise ConfigError("--nodes needs --rendezvous HOST:PORT, the address of one machine and a free port on it.")
        if self.node_rank is not None and ":" in (self.nodes or "1"):
            raise ConfigError(
                "--node-rank is for a fixed number of machines, and --nodes is a range. Give one of them."
            )
        if self.rendezvous is not None and not self.rendezvous.rpartition(":")[2].isdecimal():
            raise ConfigError(f"--rendezvous is {self.rendezvous!r}, expected HOST:PORT.")

    @property
    def has_machines(self) -> bool:
        """Whether there may be several machines."""
        return self.nodes not in (None, "1", "1:1")


takes_processes = takes("processes", options_of(Processes), Processes)
"""Makes a command whose parameter ``processes`` is the record of these options."""
takes_processes_here = takes(
    "processes",
    options_of(Processes, "processes", "time_limit"),
    partial(Processes, nodes=None, node_rank=None, rendezvous=None, max_restarts=None),
)
"""The same for processes of one machine."""


def launch(processes: Processes, *more: str) -> None:
    """Run this command line in several processes; returns when all have ended well.

    Args:
        processes: How many.
        more: Arguments that the user's are followed by.

    Raises:
        GnnkitError: One of them failed; the message is what ended the first that did.
        Ended: A signal has ended them.
    """
    processes.check()
    environment = _environment(processes)
    folder = Path(tempfile.mkdtemp(prefix="gnnkit-processes-"))
    kept = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with handed_on():
            _run(_arguments(processes, folder), [*sys.argv[1:], *more])
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)


def _environment(processes: Processes) -> Mapping[str, str]:
    """What the environment of the launcher and of its processes needs; what the user has set stays."""
    num = processes.processes or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = {
        STARTED: "1",
        "OMP_NUM_THREADS": str(max(1, cores // num)),
        "LOGLEVEL": "CRITICAL",  # Of torchrun, which would tell the same in dozens of lines.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        # Else processes that are started again would find the addresses of those before them.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
    }
    if processes.time_limit is not None:
        wanted["GNNKIT_TIME_LIMIT"] = str(processes.time_limit)
    name = _interface(local_address(processes)) if processes.has_machines else "lo"
    if name is not None:
        wanted.update({"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name})
    always = (STARTED, "GNNKIT_TIME_LIMIT")
    return {key: value for key, value in wanted.items() if key in always or key not in os.environ}


def _arguments(processes: Processes, folder: Path) -> List[str]:
    """The command line of torchrun."""
    num = processes.processes or 1
    found = ["--nproc-per-node", str(num), "--max-restarts", str(processes.max_restarts or 0)]
    found += ["--monitor-interval", "0.2", "--log-dir", str(folder)]
    if num > 1:  # The first one has the terminal.
        found += ["--redirects", ",".join(f"{rank}:3" for rank in range(1, num))]
    if not processes.has_machines:
        found += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--rdzv-id", uuid4().hex]
    else:
        assert processes.nodes is not None and processes.rendezvous is not None, "they were checked"
        found += ["--nnodes", processes.nodes, "--local-addr", local_address(processes)]
        host, _, port = processes.rendezvous.rpartition(":")
        if processes.node_rank is not None:
            found += ["--node-rank", str(processes.node_rank), "--master-addr", host, "--master-port", port]
        else:
            found += ["--rdzv-backend", "c10d", "--rdzv-endpoint", processes.rendezvous, "--rdzv-id", "gnnkit"]
            # torchrun would look at the names of this machine alone, and not at its addresses.
            found += ["--rdzv-conf", f"is_host={_resolved(host) == local_address(processes)}"]
    return [*found, "--start-method", "forkserver", "--module", "gnnkit"]


def _run(arguments: Sequence[str], command: Sequence[str]) -> None:
    """Be torchrun, with processes that are forked from one which has imported what all need."""
    import torch.distributed.run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import elastic_launch

    for name in ("torch.distributed", "torch.multiprocessing"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    parsed = torchrun.parse_args(list(arguments))  # type: ignore[no-untyped-call]
    config, _, _ = torchrun.config_from_args(parsed)
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    try:
        elastic_launch(config, work)(*command)
    except ChildFailedError as error:
        _fail(error.failures)
    except SignalException as end:
        raise Ended(int(end.sigval)) from None
    except (RendezvousError, RuntimeError, TimeoutError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PeerError(f"The processes of other machines were not found or have disappeared: {text}") from error


def _fail(failures: Mapping[int, Any]) -> NoReturn:
    """Raise what ended the first of the processes that failed by itself."""
    told = {rank: _told(failure) for rank, failure in failures.items()}
    own = [rank for rank in failures if told[rank] is None or told[rank][1] not in _FOLLOWING]  # type: ignore[index]
    rank = (own or list(failures))[0]
    failure, words = failures[rank], told[rank]
    if words is not None and words[1] == Ended.__name__:
        raise Ended(int(words[0]))
    if words is not None:
        raise GnnkitError(words[0])
    code = failure.exitcode
    how = f"ended with exit code {code}"
    if code < 0:
        with suppress(ValueError):
            how = f"was ended by {signal.Signals(-code).name}"
    advice = " The system may have run out of memory." if -code == signal.SIGKILL else ""
    words_left = _last_words(failure)
    raise GnnkitError(
        f"Process {rank} (number {failure.pid} of the system) {how}, and the others were stopped.{advice}{words_left}"
    )


_FOLLOWING = (PeerError.__name__, ToldError.__name__)
"""Errors of processes that failed because another one did."""


def _told(failure: Any) -> Optional[Tuple[str, str]]:
    """What a process wrote down before it ended, and the name of its error; None if it wrote nothing."""
    try:
        message = failure.error_file_data["message"]
        return str(message["message"]), str(message["extraInfo"]["error"])
    except (KeyError, TypeError):
        return None


def _last_words(failure: Any) -> str:
    """What a process whose output goes to a file said last."""
    file = Path(failure.error_file).parent / "stderr.log"
    with suppress(OSError):
        lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return f" It said: {lines[-1].strip()}"
    return ""


def local_address(processes: Processes) -> str:
    """The address by which this machine is reached from where machines find each other."""
    assert processes.rendezvous is not None, "it was checked"
    host, _, port = processes.rendezvous.rpartition(":")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, int(port)))  # Nothing is sent.
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(
            f"--rendezvous is {processes.rendezvous}: {error.strerror}. Check host and network."
        ) from error


def _resolved(host: str) -> str:
    """The address of a host; its name where that is not known."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host


def _interface(address: str) -> Optional[str]:
    """Name of the network interface that has an address; None if none has."""
    asked_for = 0x8915  # SIOCGIFADDR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                found = fcntl.ioctl(probe.fileno(), asked_for, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    return None
