"""Options and the data loader."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from gnnkit_ipu import emulator as poptorch

from .programs import options


def test_options_chain_and_read():
    opts = options().deviceIterations(2).replicationFactor(4).outputMode(poptorch.OutputMode.EveryN, 2)
    opts.Training.gradientAccumulation(3)
    assert (opts.device_iterations, opts.replication_factor, opts.output_return_period) == (2, 4, 2)
    assert opts.Training.gradient_accumulation == 3 and not opts.defaultOutputMode()
    assert poptorch.Options().defaultOutputMode()


def test_clone_is_separate_and_not_frozen():
    opts = options()
    opts._freeze()
    other = opts.clone().deviceIterations(5)
    other.Training.gradientAccumulation(2)
    assert opts.device_iterations == 1 and opts.Training.gradient_accumulation == 1
    for change in (
        lambda: opts.deviceIterations(2),
        lambda: opts.Training.gradientAccumulation(2),
        lambda: opts._Popart.set("key", 1),
    ):
        with pytest.raises(AttributeError, match="restriction 24"):
            change()


def test_options_from_json():
    opts = options().from_json('{"deviceIterations": 3, "Training.gradientAccumulation": 2, "_Popart.set": ["a", 1]}')
    assert opts.device_iterations == 3 and opts.Training.gradient_accumulation == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.logCycleCount(True),
        lambda o: o.anchorTensor("a", "b"),
        lambda o: o.enableSyntheticData(True),
        lambda o: o.Distributed.configureProcessId(1, 2),
    ],
)
def test_options_left_out_say_so(change):
    with pytest.raises(poptorch.NotEmulatedError, match="not emulated"):
        change(options())


def test_seed_seeds_torch():
    options().randomSeed(3)
    first = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(first, torch.rand(2))


def loader(samples, batch_size=2, **kwargs):
    opts = options().deviceIterations(2).replicationFactor(2)
    opts.Training.gradientAccumulation(2)
    return poptorch.DataLoader(opts, TensorDataset(torch.arange(samples)), batch_size=batch_size, **kwargs)


def test_loader_joins_what_a_call_eats():
    batches = list(loader(40))
    assert [tuple(b[0].shape) for b in batches] == [(16,), (16,)]
    assert loader(40).combinedBatchSize == 16 and len(loader(40)) == 2
    assert loader(16, batch_size=None, drop_last=False).combinedBatchSize is None
    with pytest.raises(AttributeError, match="restriction 24"):
        loader(40).options.deviceIterations(3)


def test_loader_shuffles_and_keeps_all():
    torch.manual_seed(0)
    values = torch.cat([b[0] for b in loader(32, shuffle=True)])
    assert sorted(values.tolist()) == list(range(32)) and values.tolist() != list(range(32))


def test_loader_with_batch_sampler():
    indices = [[i, i + 1] for i in range(0, 32, 2)]
    batches = list(loader(32, batch_size=1, batch_sampler=indices))
    assert [b[0].tolist() for b in batches] == [list(range(16)), list(range(16, 32))]


@pytest.mark.parametrize("mode", list(poptorch.DataLoaderMode))
def test_all_modes_give_the_same_batches(mode):
    assert [b[0].tolist() for b in loader(32, mode=mode)] == [list(range(16)), list(range(16, 32))]
