"""Keeping freed memory is a setting of the whole process: nothing sets it but a training that wants it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gnnkit
from tests.graphs import communities

SCRIPT = """
import gnnkit, gnnkit.train, gnnkit.cli.main, gnnkit.loading
from gnnkit.train.allocator import keep_freed_memory

def times_set():
    return keep_freed_memory.cache_info().misses

seen = [times_set()]
graph = gnnkit.load_dataset("karate")
for keep in (False, True, True):
    trainer = gnnkit.Trainer(device="cpu", epochs=1, keep_memory=keep)
    seen.append(times_set())
    trainer.fit(gnnkit.build_model("gcn", graph), graph)
    seen.append(times_set())
print(seen)
"""


def test_neither_import_nor_a_training_without_it_sets_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0, 1, 1, 1]"


@pytest.mark.parametrize("settings", [{}, {"fanouts": [3, 2], "batch_size": 32}], ids=["full", "sampled"])
def test_losses_are_the_same_with_it_and_without(settings: dict) -> None:
    graph = communities()
    losses = []
    for keep in (False, True):
        trainer = gnnkit.Trainer(device="cpu", epochs=4, keep_memory=keep, **settings)
        result = trainer.fit(gnnkit.build_model("sage", graph), graph)
        losses.append([record.train_loss for record in result.history])
    assert losses[0] == losses[1]


LARGE_PAGES = """
import resource, sys
if sys.argv[1] == "limited":
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
import torch
from gnnkit.train.allocator import use_large_pages

def large():
    return sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages"))

print(use_large_pages())
before = large()
blocks = [torch.ones(1 << 18) for _ in range(64)]  # A megabyte each.
print((large() - before) >> 10)
"""
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.parametrize("addresses", ["free", "limited"])
def test_batches_lie_in_large_pages(addresses: str) -> None:
    if not ENABLED.exists() or "[never]" in ENABLED.read_text():
        pytest.skip("this system has no large pages")
    done = subprocess.run(
        [sys.executable, "-c", LARGE_PAGES, addresses],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    taken, megabytes = done.stdout.split()
    assert taken == str(addresses == "free")
    if "[madvise]" in ENABLED.read_text():
        assert int(megabytes) >= 32 if addresses == "free" else int(megabytes) == 0
