"""Trainings in several threads give the numbers that they give alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import gnnkit
from gnnkit.train import Callback
from tests.graphs import communities

HOWS = {"full": {"epochs": 25}, "sampled": {"epochs": 4, "fanouts": [3, 3], "batch_size": 16}}


def losses(backend, seed: int, callbacks=(), **how) -> list[float]:
    graph = communities(120)
    model = gnnkit.build_model("gcn", graph, backend=backend, seed=seed, dropout=0.5)
    trainer = gnnkit.Trainer(device="cpu", progress=False, seed=seed, callbacks=callbacks, **how)
    return [record.train_loss for record in trainer.fit(model, graph).history]


@pytest.mark.in_turn
@pytest.mark.parametrize("how", HOWS)
def test_two_fits_in_two_threads_are_two_fits(backend, how: str) -> None:
    expected = [losses(backend, seed, **HOWS[how]) for seed in (1, 2)]
    state = torch.random.get_rng_state()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda seed: losses(backend, seed, **HOWS[how]), (1, 2)))
    assert found == expected
    assert torch.equal(torch.random.get_rng_state(), state)


def test_models_built_meanwhile_change_nothing() -> None:
    graph, expected, stop = communities(120), losses("reference", 1, epochs=40), threading.Event()

    def build() -> None:
        while not stop.is_set():
            gnnkit.build_model("sage", graph)

    builder = threading.Thread(target=build)
    builder.start()
    try:
        assert losses("reference", 1, epochs=40) == expected
    finally:
        stop.set()
        builder.join()


def test_a_callback_may_train_in_its_own_thread() -> None:
    class Inner(Callback):
        def on_batch(self, index: int) -> None:
            self.found = losses("reference", 2, epochs=3)

    inner = Inner()
    assert losses("reference", 1, callbacks=[inner], epochs=3) == losses("reference", 1, epochs=3)
    assert inner.found == losses("reference", 2, epochs=3)


def test_determinism_ends_with_the_training_that_asked_for_it() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda on: losses("reference", 1, epochs=20, deterministic=on), (True, True, False)))
    assert not torch.are_deterministic_algorithms_enabled()
