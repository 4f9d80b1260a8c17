"""An epoch of link prediction on a graph in parts, in which no batch may see its own pairs.

Start it on each machine: ``look_for_leaks.py PARTS LOG MACHINE MACHINES HOST MEETING_HOST MEETING_PORT``.
The first looks, all serve. Started beside servers it has no arguments but PARTS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional, Set, Tuple

import numpy as np

from gnnkit.backends import Served, load_backend
from gnnkit.parallel.servers import Servers
from gnnkit.sampling import RemoteSampler
from gnnkit.tasks import make_task
from gnnkit.train import load_config
from gnnkit.train.parts import STORE, open_parts, read_parts


def serve(parts: str, log: str, machine: str, machines: str, host: str, *meeting: str) -> None:
    """Serve a part; on the first machine, look meanwhile."""
    store = load_backend("dgl").store()

    def server(addresses: Any) -> Any:
        where = [f"{each.host}:{each.port}" for each in addresses]
        served = Served(Path(parts) / STORE, int(machine), where, 1, Path(log).parent)
        return store.server(served), store.environment(served)

    place = {"machine": int(machine), "machines": int(machines), "host": host, "limit": 120.0, "log": Path(log)}
    with Servers(server, **place, meeting=(meeting[0], int(meeting[1])) if int(machines) > 1 else None):
        if machine == "0":
            subprocess.run([sys.executable, __file__, parts], check=True)


def look(folder: str) -> None:
    """Go through the epoch."""
    known = read_parts(folder).config
    config = load_config(flags={**known, "dataset": {**known["dataset"], "parts": folder}})
    graph = open_parts(config)
    draw = make_task(config.task, graph, {}).draw(graph, 0)
    assert draw is not None and graph.links is not None
    sampler, items, seen, would = RemoteSampler(graph, [10, -1]), np.arange(len(graph.links.pairs["train"])), 0, 0
    for number, start in enumerate(range(0, len(items), 20)):
        drawn = draw(items[start : start + 20], slice(None), 1, number)
        pairs = {(source, end) for source, end in drawn.hidden.tolist()}
        assert {(end, source) for source, end in pairs} == pairs
        found = edges(sampler, drawn.seeds, drawn.hidden)
        assert not found & pairs
        seen, would = seen + len(found), would + len(edges(sampler, drawn.seeds, None) & pairs)
    assert seen and would, "there was nothing to hide"
    print(f"{seen} edges, {would} pairs that would have been seen", flush=True)
    os._exit(0)  # DGL's threads wait for servers.


def edges(sampler: RemoteSampler, seeds: np.ndarray, hidden: Optional[np.ndarray]) -> Set[Tuple[int, int]]:
    sampled = sampler.sample(seeds, epoch=1, batch=0, hidden=hidden)
    ids, found = sampled.nodes.numpy(), set()
    for block in sampled.blocks:
        found |= set(zip(ids[block.indices.numpy()].tolist(), ids[block.dst.numpy()].tolist()))
    return found


if __name__ == "__main__":
    (look if len(sys.argv) == 2 else serve)(*sys.argv[1:])
