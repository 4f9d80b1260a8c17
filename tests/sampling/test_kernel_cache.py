"""Kernels are compiled once for all starts, and whoever waits for it is told."""

from __future__ import annotations

import os
import subprocess
import sys

SAMPLE = """
import torch
from gnnkit.data import Graph
from gnnkit.sampling import NeighborSampler
ring = Graph(torch.arange(4), torch.tensor([1, 2, 0]))
print(NeighborSampler(ring, [1]).sample([0], epoch=0, batch=0).nodes.tolist())
"""


def test_the_first_start_says_that_it_compiles_and_the_second_does_not(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", SAMPLE], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert first.stdout == second.stdout == "[0, 1]\n"
    assert first.stderr.count("Compiling kernels") == 1
    assert second.stderr == ""
