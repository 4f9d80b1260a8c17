"""``gnnkit run --parts``: the servers of a graph in parts, around the processes that train on it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ContextManager, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from gnnkit.cli.launched import STARTED
from gnnkit.cli.processes import Processes, local_address
from gnnkit.errors import ConfigError
from gnnkit.paths import user_path
from gnnkit.place import launched_place

if TYPE_CHECKING:
    from gnnkit.parallel.servers import Address
    from gnnkit.train import RunConfig


def parts_base(parts: Optional[str], graph_store: Optional[str]) -> Dict[str, Any]:
    """What a configuration says of data in parts, below what the user says.

    Raises:
        ConfigError: A store is named, and no parts.
        DatasetError: There are no parts.
    """
    if parts is None:
        if graph_store is not None:
            raise ConfigError("--graph-store is for a partitioned graph. Give --parts DIR as well.")
        return {}
    from gnnkit.train.parts import read_parts

    return read_parts(user_path(parts, "--parts")).config


def needs_servers(config: RunConfig) -> bool:
    """Whether servers are to be started: never in a process that was started with them.

    Raises:
        ConfigError: torchrun has started this process, by hand.
    """
    if config.dataset.parts is None or os.environ.get(STARTED):
        return False
    if launched_place().launcher is not None:
        raise ConfigError("'gnnkit run --parts' starts servers and processes itself. Start it without torchrun.")
    return True


def served(config: RunConfig, processes: Processes) -> ContextManager[None]:
    """A context in which the servers that a configuration needs run, none perhaps.

    Raises:
        ConfigError: The parts are of something else, or as many as machines they are not.
        GnnkitError: See :class:`gnnkit.parallel.servers.Servers`.
    """
    if config.dataset.parts is None:
        return nullcontext()
    processes.check()
    return _served(config, processes)


@contextmanager
def _served(config: RunConfig, processes: Processes) -> Iterator[None]:
    from gnnkit.backends import Served, load_backend
    from gnnkit.parallel.servers import Servers
    from gnnkit.parallel.world import time_limit
    from gnnkit.train.parts import STORE, check_parts

    parts = check_parts(config)
    machines = _machines(processes, len(parts.sizes))
    store = load_backend(parts.store).store()
    machine, meeting, host = 0, None, "127.0.0.1"
    if machines > 1:
        assert processes.rendezvous is not None and processes.node_rank is not None, "they were checked"
        name, _, port = processes.rendezvous.rpartition(":")
        machine, meeting, host = processes.node_rank, (name, int(port) + 1), local_address(processes)
    scratch = Path(tempfile.mkdtemp(prefix="gnnkit-servers-"))
    folder = user_path(config.dataset.parts or "").resolve() / STORE
    num_trainers = machines * (processes.processes or 1)

    def command(addresses: Sequence[Address]) -> Tuple[List[str], Mapping[str, str]]:
        where = [f"{each.host}:{each.port}" for each in addresses]
        found = Served(folder, machine, where, num_trainers, scratch)
        return store.server(found), store.environment(found)

    limit = processes.time_limit or time_limit()
    try:
        with Servers(
            command,
            machine=machine,
            machines=machines,
            host=host,
            meeting=meeting,
            limit=limit,
            log=scratch / "server.log",
        ):
            yield
    finally:
        store.clean(folder)
        shutil.rmtree(scratch, ignore_errors=True)


def _machines(processes: Processes, num_parts: int) -> int:
    """How many machines there are, which is how many parts.

    Raises:
        ConfigError: They are another number, or come and go.
    """
    text = processes.nodes or "1"
    if ":" in text or processes.max_restarts:
        what = "--max-restarts" if processes.max_restarts else f"--nodes {text}"
        raise ConfigError(
            f"{what} lets processes come and go, and servers of a graph in parts know theirs from the start. Leave it "
            "out; a run that has ended goes on with --resume."
        )
    machines = int(text)
    if machines != num_parts:
        raise ConfigError(
            f"There are {num_parts} parts and {machines} machines, and each machine serves one part. Give --nodes "
            f"{num_parts}, or partition the data again with --parts {machines}."
        )
    if machines > 1 and processes.node_rank is None:
        raise ConfigError("Each machine serves the part with its number. Give --node-rank, from 0.")
    if machines > 1 and processes.node_rank is not None and processes.node_rank >= machines:
        raise ConfigError(f"--node-rank is {processes.node_rank}, expected less than {machines}.")
    return machines
