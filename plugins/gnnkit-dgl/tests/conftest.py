"""What the tests of the DGL backend share: graphs that hurt, and one backend."""

from __future__ import annotations

from typing import Dict

import pytest
import torch

from gnnkit.backends import Backend, load_backend
from gnnkit.data import Block


def make_block(edges: object, num_src: int, num_dst: int, *, weighted: bool = True) -> Block:
    """A block from (source, destination) pairs, with the weights 0.5, 1.0, 1.5, ... if any."""
    pairs = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)
    pairs = pairs[(pairs[:, 1] * num_src + pairs[:, 0]).argsort(stable=True)]
    counts = torch.bincount(pairs[:, 1], minlength=num_dst)
    indptr = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    weight = torch.arange(1, len(pairs) + 1) / 2.0 if weighted else None
    return Block(indptr, pairs[:, 0].contiguous(), num_src, weight)


BLOCKS: Dict[str, Block] = {
    "no edges": make_block([], 4, 4),
    "one node": make_block([], 1, 1, weighted=False),
    "one self-loop": make_block([(0, 0)], 1, 1),
    "isolated nodes": make_block([(0, 2), (3, 2), (2, 0)], 5, 5),
    "self-loops": make_block([(0, 0), (1, 1), (1, 2), (2, 2)], 3, 3, weighted=False),
    "multi-edges": make_block([(1, 0), (1, 0), (1, 0), (0, 1), (2, 1)], 3, 3),
    "bipartite": make_block([(0, 0), (4, 0), (6, 1), (5, 1), (5, 2)], 7, 3),
    "hub": make_block([(i, 0) for i in range(40)] + [(0, i) for i in range(1, 40, 3)], 40, 40),
}


@pytest.fixture(scope="session")
def backend() -> Backend:
    """The DGL backend."""
    return load_backend("dgl")


@pytest.fixture(scope="session")
def blocks() -> Dict[str, Block]:
    """The blocks by name."""
    return BLOCKS


@pytest.fixture(params=sorted(BLOCKS))
def block(request: pytest.FixtureRequest) -> Block:
    """Each of the blocks in turn."""
    return BLOCKS[request.param]
