"""Layer-wise inference in bounded memory: the same numbers, and nothing left behind."""

from __future__ import annotations

import errno
import gc
import os
import tempfile
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.devices import StepOptions, load_device
from gnnkit.engine import LayerwiseInference
from gnnkit.errors import ConfigError
from gnnkit.train import Callback, TrainConfig
from tests.graphs import communities

MAPS = Path("/proc/self/maps")


def make(memory=float("inf"), batch_size=50, **settings):
    graph = communities()
    model = gnnkit.build_model("sage", graph, num_layers=3, **settings).eval()
    return LayerwiseInference(model, graph, load_device("cpu"), StepOptions(), batch_size, memory)


@pytest.mark.parametrize("jumping_knowledge", ["none", "cat"])
def test_results_in_files_equal_those_in_memory(jumping_knowledge, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nodes = torch.tensor([7, 3, 239, 3])
    inside, outside = (make(memory, jumping_knowledge=jumping_knowledge) for memory in (float("inf"), 0))
    assert torch.equal(outside.outputs(nodes), inside.outputs(nodes))
    mapped = outside.layers()
    assert all(torch.equal(mapped[i], layer) for i, layer in inside.layers().items())
    if MAPS.exists():
        assert MAPS.read_text().count(str(tmp_path)) == len(mapped)
        del mapped
        assert str(tmp_path) not in MAPS.read_text()
    assert list(tmp_path.iterdir()) == []


def test_only_wanted_nodes_pass_through_the_last_layer_and_progress_is_told():
    told = []
    inference = make()
    outputs = inference.outputs(torch.arange(60), lambda *progress: told.append(progress))
    # 240 nodes in chunks of 50: 5 batches for each of two layers, and 2 for the 60 nodes of the last.
    assert told == [(done, 12) for done in range(1, 13)]
    torch.testing.assert_close(outputs, inference.layers()[3][:60])


def test_several_lists_share_one_pass():
    told = []
    inference = make()
    first, second = torch.arange(0, 60), torch.arange(30, 80)
    got = inference.outputs_of_each([first, second], lambda *progress: told.append(progress))
    assert len(told) == 12
    for outputs, nodes in zip(got, (first, second)):
        torch.testing.assert_close(outputs, inference.outputs(nodes))


def test_nothing_is_left_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def stop(done, total):
        if done == 8:
            assert list(tmp_path.iterdir()) == [], "the file has no name even while it is used"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(memory=0).outputs(torch.arange(60), stop)
    assert list(tmp_path.iterdir()) == []
    if MAPS.exists():
        gc.collect()
        assert str(tmp_path) not in MAPS.read_text()


def test_a_full_disk_is_told_before_anything_is_written(monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigError, match=r"no room for .* GB in .*No space left.*TMPDIR.*eval_memory"):
        make(memory=0).outputs(torch.arange(60))


def test_the_trainer_evaluates_in_files_and_tells_its_listeners(tmp_path):
    class Note(Callback):
        def __init__(self):
            self.told = []

        def on_evaluation(self, done, total):
            self.told.append((done, total))

    results, notes = [], []
    for memory in (0.0, 1.0):
        graph, note = communities(), Note()
        trainer = gnnkit.Trainer(
            device="cpu", epochs=2, fanouts=[5, 5], batch_size=64, eval_memory=memory, progress=False, callbacks=[note]
        )
        results.append(trainer.fit(gnnkit.build_model("sage", graph), graph))
        notes.append(note.told)
    assert results[0].valid == results[1].valid and results[0].test == results[1].test
    assert [r.valid_loss for r in results[0].history] == [r.valid_loss for r in results[1].history]
    # Two evaluations and the final one, which computes validation and test together; each of two layers in one batch.
    assert notes[0] == notes[1] == [(1, 2), (2, 2)] * 3


def test_sampled_evaluation_costs_what_its_split_costs():
    class Count(Callback):
        def __init__(self):
            self.totals = set()

        def on_evaluation(self, done, total):
            self.totals.add(total)

    graph, count = communities(), Count()
    trainer = gnnkit.Trainer(
        device="cpu", epochs=1, fanouts=[5, 5], batch_size=10, evaluation="sampled", progress=False, callbacks=[count]
    )
    trainer.fit(gnnkit.build_model("sage", graph), graph)
    sizes = {-(-graph.splits[name].numel() // 10) for name in ("valid", "test")}
    assert count.totals == sizes


def test_batches_of_evaluation_follow_its_kind():
    def size(**settings):
        return TrainConfig(**settings).resolved(2).eval_batch_size

    assert size() == size(fanouts=[5, 5]) == 4096
    assert size(fanouts=[5, 5], batch_size=256, evaluation="sampled") == 256
    assert size(evaluation="sampled") == 1024
    assert size(fanouts=[5, 5], evaluation="sampled", eval_batch_size=7) == 7
