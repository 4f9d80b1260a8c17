"""Memory is used again when nothing refers to it, and not before."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from gnnkit.data import Graph
from gnnkit.sampling import Buffers, NeighborSampler

SHAPE = (300, 128)


def place(buffers: Buffers, shape=SHAPE, dtype=torch.float32) -> int:
    return buffers.empty(shape, dtype).data_ptr()


def view(tensor):
    return tensor[3:5]


def array(tensor):
    return tensor.numpy()


def saved_for_backward(tensor):
    weight = torch.ones(tensor.shape[1], requires_grad=True)
    return tensor.fill_(1.0) @ weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_freed_memory_is_used_again(dtype):
    buffers = Buffers()
    tensor = buffers.empty(SHAPE, dtype)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == (SHAPE, dtype, True)
    first = tensor.data_ptr()
    assert place(buffers, dtype=dtype) != first
    del tensor
    assert place(buffers, dtype=dtype) == first
    # What is a little smaller fits, and what is much smaller takes memory of its own.
    assert place(buffers, (290, 128), dtype) == first != place(buffers, (150, 128), dtype)


@pytest.mark.parametrize("derive", [view, array, saved_for_backward])
def test_memory_that_something_refers_to_is_left_alone(derive):
    buffers = Buffers()
    tensor = buffers.empty(SHAPE, torch.float32)
    first = tensor.data_ptr()
    derived = derive(tensor)
    del tensor
    gc.collect()
    assert place(buffers) != first
    if derive is saved_for_backward:
        derived.sum().backward()
    del derived
    assert place(buffers) == first


def test_threads_never_share_memory():
    buffers, wrong = Buffers(), []

    def work(number):
        for _ in range(200):
            tensor = buffers.empty(SHAPE, torch.int64).fill_(number)
            if bool((tensor != number).any()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_samples_that_are_held_do_not_change():
    num = 20_000
    ring = Graph(torch.arange(num + 1), torch.arange(num).roll(1))
    sampler = NeighborSampler(ring, [-1, -1])
    seeds = torch.arange(15_000)
    held = [sampler.sample(seeds, epoch=0, batch=batch) for batch in range(4)]
    copies = [(sample.nodes.clone(), sample.blocks[0].indices.clone()) for sample in held]
    sampler.sample(seeds.flip(0), epoch=0, batch=4)
    for sample, (nodes, indices) in zip(held, copies):
        assert torch.equal(sample.nodes, nodes)
        assert torch.equal(sample.blocks[0].indices, indices)
    assert len({sample.nodes.data_ptr() for sample in held}) == 4
