"""A training that a signal ends goes on from the very batch, bit for bit; what ends it without one loses little."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

import pytest
import torch
from torch.nn import functional

import gnnkit
from gnnkit.runs import RunResult, read_state
from gnnkit.train import Callback
from tests.conftest import need
from tests.graphs import communities

SAMPLED = {"fanouts": [4, 4], "batch_size": 16}
IPU = {"backend": "ipu", "device": "ipu-emulator", **SAMPLED}
CASES: Dict[str, Tuple[Dict[str, Any], Dict[str, Any]]] = {
    "sampled": ({}, SAMPLED),
    "parts": ({}, {"clusters": 5}),
    "accumulating": ({}, {"accumulate": 3, **SAMPLED}),
    "averaging": ({"norm": "layer"}, {"average": 0.9, **SAMPLED}),
    "schedule and patience": ({}, {"schedule": "plateau", "patience": 2, "optimizer": "sgd", "lr": 0.5, **SAMPLED}),
    "pyg": ({}, {"backend": "pyg", **SAMPLED}),
    "dgl": ({}, {"backend": "dgl", **SAMPLED}),
    "pairs": ({}, {"task": "link_prediction", **SAMPLED}),
    "all pairs": ({}, {"task": "link_prediction"}),
    "unsupervised": ({"out_channels": 8}, {"task": "unsupervised", **SAMPLED}),
    "ipu": ({}, IPU),
    "ipu, split batches": ({}, {**IPU, "overflow_rate": 0.5}),
    "ipu, several batches a call": (
        {"norm": "layer"},
        {**IPU, "device_options": {"device_iterations": 2, "gradient_accumulation": 2}},
    ),
}


class EndAt(Callback):
    """Ctrl-C after a batch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = (epoch, batch)
        self.epoch = 1

    def on_resume(self, state: Any) -> None:
        self.epoch = state.epoch + 1

    def on_epoch(self, record: Any) -> None:
        self.epoch = record.epoch + 1

    def on_batch(self, index: int) -> None:
        if (self.epoch, index) == self.at:
            raise KeyboardInterrupt


def fit(case: str, run_dir: Any = None, resume: Any = None, callbacks: Any = (), **more: Any) -> RunResult:
    spec, settings = CASES[case]
    settings = {"backend": "reference", "device": "cpu", "epochs": 4, "deterministic": True, **settings, **more}
    need(settings["backend"], "sage")
    graph = communities()
    model = gnnkit.build_model("sage", graph, **{"norm": "batch", "hidden_channels": 8, "dropout": 0.5, **spec})
    trainer = gnnkit.Trainer(
        settings.pop("backend"),
        settings.pop("device"),
        progress=False,
        run_dir=run_dir,
        callbacks=callbacks,
        **settings,
    )
    return trainer.fit(model, graph, resume=resume)


def bits(result: RunResult) -> List[Any]:
    history = [(record.train_loss, record.valid_loss, record.valid_metric) for record in result.history]
    weights = {name: value.tolist() for name, value in result.model.canonical_state().items()}
    return [history, weights, result.test, result.best_epoch]


PLACES = [(2, 1), (3, 4), (1, 0)]
"""Epochs and batches after which a training is ended; by turns the first two are for every day."""


@pytest.mark.parametrize(
    "case, at",
    [
        pytest.param(case, at, marks=[] if at == PLACES[number % 2] else pytest.mark.long)
        for number, case in enumerate(CASES)
        for at in PLACES
    ],
)
def test_it_goes_on_from_the_batch(case: str, at: Tuple[int, int], tmp_path: Any) -> None:
    whole = fit(case)
    try:
        fit(case, tmp_path / "run", callbacks=[EndAt(*at)])
    except KeyboardInterrupt:
        state = read_state(tmp_path / "run")
        assert state.epoch == at[0] - 1
        if "several" not in case and case != "accumulating":
            assert state.position is not None and state.position.batches == at[1] + 1
    else:
        raise AssertionError("it should have been ended")
    assert bits(fit(case, tmp_path / "next", resume=tmp_path / "run")) == bits(whole)


def test_again_and_again(tmp_path: Any) -> None:
    earlier: Optional[Any] = None
    for number, at in enumerate([(1, 2), (1, 5), (2, 0), (2, 1)]):
        with pytest.raises(KeyboardInterrupt):
            fit("sampled", tmp_path / str(number), resume=earlier, callbacks=[EndAt(*at)])
        earlier = tmp_path / str(number)
    assert bits(fit("sampled", resume=earlier)) == bits(fit("sampled"))


class _Signalled:
    """A loss in whose midst a signal comes, once."""

    def __init__(self, at: int, signals: int = 1, seconds: float = 0.0) -> None:
        self.left = at
        self.signals = signals
        self.seconds = seconds

    def __call__(self, outputs: Any, targets: Any) -> Any:
        self.left -= outputs.requires_grad  # Evaluations have losses, too.
        if self.left == 0 and outputs.requires_grad:
            for _ in range(self.signals):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(self.seconds)
        return functional.cross_entropy(outputs, targets.y)


@pytest.fixture
def listening() -> Any:
    """Ctrl-C is heard; a shell may have had these tests ignore it, and that is inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_in_a_step_waits_for_its_end(listening: None, tmp_path: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("sampled", tmp_path / "run", loss=_Signalled(12))
    state = read_state(tmp_path / "run")
    done = state.epoch * 8 + (0 if state.position is None else state.position.batches)
    assert done == 12
    assert bits(fit("sampled", resume=tmp_path / "run", loss=_Signalled(0))) == bits(fit("sampled", loss=_Signalled(0)))


@pytest.mark.parametrize("how", [{"signals": 2}, {"seconds": 3.0}])
def test_a_second_signal_and_a_long_step_wait_for_nothing(how: Dict[str, Any], listening: None, tmp_path: Any) -> None:
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        fit("sampled", tmp_path / "run", loss=_Signalled(12, **how))
    assert time.perf_counter() - start < 3.0 + 2.0
    state = read_state(tmp_path / "run")  # Nothing of the broken step is in it.
    assert bits(fit("sampled", resume=tmp_path / "run", loss=_Signalled(0))) == bits(fit("sampled", loss=_Signalled(0)))
    assert state.position is None


def test_handlers_are_as_before(tmp_path: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    fit("sampled", tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before


def test_training_in_another_thread_touches_no_signal(tmp_path: Any) -> None:
    found: List[Any] = []
    thread = threading.Thread(target=lambda: found.append(fit("sampled", tmp_path / "run", epochs=1)))
    thread.start()
    thread.join()
    assert len(found) == 1


class Crash(Callback):
    """Ends a training as kill -9 would: nothing more is written."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_batch(self, index: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise SystemError("crash")


@pytest.mark.parametrize(
    ("settings", "batches"), [({"save_every_batches": 3}, 11), ({"save_every_minutes": 1e-9}, 13), ({}, 8)]
)
def test_states_between_epochs(settings: Dict[str, Any], batches: int, tmp_path: Any) -> None:
    with pytest.raises(SystemError):
        fit("sampled", tmp_path / "run", callbacks=[Crash(14)], **{"save_every": 1, **settings})
    state = read_state(tmp_path / "run")
    assert state.epoch * 8 + (0 if state.position is None else state.position.batches) == batches
    assert bits(fit("sampled", resume=tmp_path / "run")) == bits(fit("sampled"))


def test_a_damaged_state_is_passed_over(tmp_path: Any, caplog: Any) -> None:
    with pytest.raises(SystemError):
        fit("sampled", tmp_path / "run", callbacks=[Crash(14)], save_every_batches=2, keep_last=3)
    folder = tmp_path / "run/checkpoints"
    assert {file.name for file in folder.iterdir()} == {
        "best.safetensors",
        *("last.safetensors", "last-1.safetensors", "last-2.safetensors"),
    }
    content = bytearray((folder / "last.safetensors").read_bytes())
    content[-5] ^= 16
    (folder / "last.safetensors").write_bytes(content)
    assert bits(fit("sampled", resume=tmp_path / "run")) == bits(fit("sampled"))
    assert "Going back to the state before it" in caplog.text
    (folder / "last.safetensors").unlink()
    assert bits(fit("sampled", resume=tmp_path / "run")) == bits(fit("sampled"))


def test_a_crash_before_the_first_save(tmp_path: Any) -> None:
    with pytest.raises(SystemError):
        fit("sampled", tmp_path / "run", callbacks=[Crash(1)])
    assert bits(fit("sampled", resume=tmp_path / "run")) == bits(fit("sampled"))


def test_a_crash_after_the_last_save(tmp_path: Any) -> None:
    class CrashAtEnd(Callback):
        def on_end(self, result: RunResult) -> None:
            raise SystemError("crash")

    with pytest.raises(SystemError):
        fit("sampled", tmp_path / "run", callbacks=[CrashAtEnd()])
    assert bits(fit("sampled", tmp_path / "next", resume=tmp_path / "run")) == bits(fit("sampled"))
    with pytest.raises(gnnkit.errors.ConfigError, match="All 4 epochs are done"):
        fit("sampled", resume=tmp_path / "next")


def test_it_goes_on_with_another_backend(tmp_path: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("sampled", tmp_path / "run", callbacks=[EndAt(2, 3)])
    found, expected = fit("pyg", resume=tmp_path / "run"), fit("sampled")
    for name, value in expected.model.canonical_state().items():
        torch.testing.assert_close(found.model.canonical_state()[name], value, rtol=1e-3, atol=1e-4)
