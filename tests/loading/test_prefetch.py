"""Items come in order from any number of threads, and threads end whichever way the iteration does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import List

import pytest
import torch

from gnnkit.errors import ConfigError
from gnnkit.loading.ahead import bytes_read
from gnnkit.loading.prefetch import Pace, prefetch, threads_at_work
from gnnkit.openmp import GNU, end_threads, openmp_libraries

LIMIT = 2.0
"""Seconds within which whatever was abandoned must have been left."""


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert threads_at_work() == []


@pytest.mark.parametrize("num_threads", [0, 1, 2, 5])
@pytest.mark.parametrize("ahead", [0, 1, 7])
@pytest.mark.parametrize("overlap", [True, False])
def test_items_come_in_order(num_threads, ahead, overlap):
    def produce(item):
        time.sleep(0.002 * (item % 3 == 0))  # So that later ones are finished first.
        return item * item

    expected = [item * item for item in range(12)]
    settings = {"num_threads": num_threads, "ahead": ahead, "overlap": overlap}
    assert list(prefetch(produce, 12, **settings)) == expected
    assert list(prefetch(produce, 0, **settings)) == []


@pytest.mark.parametrize("num_threads", [0, 1, 3])
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_exception_comes_in_its_items_turn(num_threads, overlap, kind):
    def produce(item):
        if item == 4:
            raise kind("four")
        return item

    items = prefetch(produce, 9, num_threads=num_threads, ahead=3, overlap=overlap)
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(kind, match="four"):
        next(items)
    assert list(items) == []


def test_more_threads_than_the_system_has(monkeypatch):
    start, begun = threading.Thread.start, []

    def limited(thread):  # To use up the real limit would disturb everything else on the machine.
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(ConfigError, match="Only 2 of 5 loader threads could be started. Set train.num_threads lower"):
        list(prefetch(str, 9, num_threads=5, ahead=1, overlap=True))


@pytest.mark.parametrize("seconds", [0.0, 0.03])
def test_without_overlap_nothing_is_made_while_the_consumer_works(seconds):
    made = []

    def produce(item):
        time.sleep(seconds)
        made.append(item)
        return item

    bursts, before = [], 0
    for item in prefetch(produce, 60, num_threads=2, ahead=1, overlap=False):
        if item == before:  # The first of a burst.
            bursts.append(len(made) - before)
            before = len(made)
        time.sleep(0.001)
        assert len(made) == before
    # 4 items are 1 + ahead for each thread; up to 16 where they take little time.
    assert bursts == ([4, 16, 16, 16, 8] if seconds == 0 else [4] * 15)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_every_thread_makes_as_many_items_of_a_burst(num_threads):
    made = []

    def produce(item):
        time.sleep(0.02)
        made.append(item)
        return item

    bursts, before = [], 0
    for item in prefetch(produce, 24, num_threads=num_threads, ahead=0, overlap=False):
        if item == before:
            bursts.append(len(made) - before)
            before = len(made)
    assert bursts[0] == num_threads and all(burst % num_threads == 0 for burst in bursts)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell a thread's cores")
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("times", [1, 2])
def test_threads_of_a_burst_share_all_cores_evenly(overlap, times):
    whole, found = os.sched_getaffinity(0), {}

    def produce(item):
        time.sleep(0.002)
        found[threading.current_thread().name] = os.sched_getaffinity(0)

    num_threads = times * len(whole)
    list(prefetch(produce, 10 * num_threads, num_threads=num_threads, ahead=0, overlap=overlap))
    if overlap:
        assert all(cores == whole for cores in found.values())
    else:
        assert sorted(core for cores in found.values() for core in cores) == sorted(times * list(whole))
    assert os.sched_getaffinity(0) == whole


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the threads of a process")
def test_no_thread_of_a_step_spins_beside_a_burst():
    before, x, found = torch.get_num_threads(), torch.ones(300, 300), []
    num_threads = len(os.sched_getaffinity(0))

    def produce(item):
        found.append(len(os.listdir("/proc/self/task")))

    torch.set_num_threads(3)
    try:
        expected = x @ x
        computing = len(os.listdir("/proc/self/task"))
        if not end_threads(openmp_libraries((GNU,))):
            pytest.skip("this OpenMP does not end its threads")
        for _ in prefetch(produce, 4 * num_threads, num_threads=num_threads, ahead=0, overlap=False):
            assert torch.equal(x @ x, expected)
    finally:
        torch.set_num_threads(before)
    # Two of three compute for this thread; a loader thread may have ended, or not have begun.
    assert max(found) <= computing - 2 + num_threads


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell a thread's cores")
def test_fewer_threads_than_cores_go_where_there_is_room():
    whole, found = os.sched_getaffinity(0), []
    if len(whole) == 1:
        pytest.skip("this process has one core")

    def produce(item):
        found.append(os.sched_getaffinity(0))

    list(prefetch(produce, 4, num_threads=len(whole) - 1, ahead=0, overlap=False))
    assert found == [whole] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what comes from the disk")
def test_what_comes_from_the_disk_is_made_while_the_consumer_works(tmp_path):
    size, made = 2 << 20, []
    (tmp_path / "items").write_bytes(os.urandom(6 * size))
    with (tmp_path / "items").open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        for advice in (os.POSIX_FADV_RANDOM, os.POSIX_FADV_DONTNEED):
            os.posix_fadvise(file.fileno(), 0, 0, advice)

        def produce(item):
            before = bytes_read()
            os.pread(file.fileno(), size, item * size)
            made.append(bytes_read() - before)
            return item

        items = prefetch(produce, 6, num_threads=1, ahead=1, overlap=False)
        assert [next(items), next(items)] == [0, 1]  # A burst, by which it is known where items come from.
        if min(made[:2]) < size:
            items.close()
            pytest.skip("this file system keeps files in memory")
        deadline = time.monotonic() + 10
        while len(made) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(made) >= 3, "the disk had nothing to do while the consumer worked"
        assert list(items) == [2, 3, 4, 5]


def test_an_item_that_takes_long_is_not_waited_for():
    begun, end = threading.Semaphore(0), threading.Event()
    made = []

    def produce(item):
        begun.release()
        if item > 0:
            end.wait(60)
        made.append(item)
        return item

    items = prefetch(produce, 100, num_threads=2, ahead=3)
    assert next(items) == 0
    for _ in range(3):
        begun.acquire(timeout=10)
    start = time.monotonic()
    items.close()
    assert time.monotonic() - start < LIMIT
    left = threads_at_work()
    assert len(left) == 2 and all(thread.daemon for thread in left)
    end.set()
    for thread in left:
        thread.join(10)
    assert sorted(made) == [0, 1, 2], "what had not begun is never made"


SLOW = """
import sys, threading, time
from gnnkit.loading.prefetch import prefetch

def produce(item):
    if item:
        time.sleep(60)
    return item

items = prefetch(produce, 10, num_threads=2, ahead=2)
next(items)
time.sleep(0.1)
print("ready", flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["raise RuntimeError('consumer')", "sys.exit(7)"])
def test_a_process_ends_although_an_item_takes_long(then):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(then=then)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    start = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < LIMIT
    assert process.returncode == (7 if "exit" in then else 1)
    assert errors.count("Traceback") == (0 if "exit" in then else 1)


def test_pace_needs_a_few_items():
    pace = Pace()
    assert pace.num_threads() is None
    pace.made, pace.used = [0.1] * 9, [0.1] * (Pace.ENOUGH - 1)
    assert pace.num_threads() is None


@pytest.mark.parametrize(
    "made, used, most, threads",
    [
        (0.1, 0.2, 8, 1),
        (0.2, 0.2, 8, 1),
        (0.21, 0.1, 8, 3),
        (9.0, 0.1, 8, 8),
        (0.2, 0.0, 4, 4),
    ],
)
def test_pace_takes_as_many_threads_as_keep_up(made, used, most, threads):
    pace = Pace()
    pace.made, pace.used = [100.0] + [made] * 5, [100.0] + [used] * 5  # The first item compiles kernels.
    assert pace.num_threads(most=most) == threads


def test_pace_times_making_and_using():
    pace = Pace()
    items = prefetch(pace.making(lambda item: time.sleep(0.02) or item), 5, num_threads=1, ahead=1)
    for _ in pace.using(items):
        time.sleep(0.01)
    assert len(pace.made) == len(pace.used) == 5
    assert min(pace.made) >= 0.02 and min(pace.used) >= 0.01


def test_threads_of_a_loader_start_no_threads_of_torch() -> None:
    before = torch.get_num_threads()
    assert list(prefetch(lambda item: torch.get_num_threads(), 4, num_threads=2, ahead=1)) == [1] * 4
    seen: List[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *seen] == [before, before]


@pytest.mark.parametrize("overlap", [True, False])
def test_an_item_that_stalls_is_named(overlap: bool, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr("gnnkit.loading.prefetch.STALLED", 0.2)

    def produce(number: int) -> int:
        time.sleep(0.7 if number == 2 else 0.0)
        return number

    assert list(prefetch(produce, 4, num_threads=1, ahead=1, overlap=overlap)) == [0, 1, 2, 3]
    assert [line.split(" for ")[0] for line in caplog.messages] == ["Batch 2 has been in preparation"] * 2
