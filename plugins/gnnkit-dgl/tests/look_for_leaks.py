"""Started beside servers: an epoch of link prediction, in which no batch may see its own pairs."""

from __future__ import annotations

import os
import sys
from typing import Optional, Set, Tuple

import numpy as np

from gnnkit.sampling import RemoteSampler
from gnnkit.tasks import make_task
from gnnkit.train import load_config
from gnnkit.train.parts import open_parts, read_parts


def main() -> None:
    folder = sys.argv[1]
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
    main()
