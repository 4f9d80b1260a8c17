"""Threads of OpenMP: they end when asked to, and compute the same when they are back."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from gnnkit.openmp import end_threads, openmp_libraries


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the threads of a process")
def test_threads_end_and_come_back(three_threads):
    x = torch.randn(500, 500)
    for _ in range(3):
        expected = x @ x
        computing = len(os.listdir("/proc/self/task"))
        if not end_threads(openmp_libraries()):
            pytest.skip("this OpenMP does not end its threads")
        assert len(os.listdir("/proc/self/task")) <= computing - 2
        assert torch.equal(x @ x, expected)


def test_without_a_library_nothing_has_ended(three_threads):
    assert not end_threads([])


def test_one_thread_has_no_others():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert end_threads([])
    finally:
        torch.set_num_threads(before)
