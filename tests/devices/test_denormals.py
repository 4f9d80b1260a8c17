"""Denormal numbers are zeros in all threads or in none, and as before afterwards."""

from __future__ import annotations

import pytest
import torch

import gnnkit
from gnnkit.devices.denormals import flushing_denormals
from gnnkit.train import Callback
from tests.graphs import communities


def zeros_of_tiny_products() -> int:
    """How many of many products of tiny numbers, which several threads compute, are 0."""
    return int((torch.full((1 << 20,), 1e-30) * 1e-12 == 0).sum())


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> int:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_all_threads_or_none(threads: int) -> None:
    assert zeros_of_tiny_products() == 0
    with flushing_denormals() as is_flushing:
        assert zeros_of_tiny_products() == (1 << 20 if is_flushing else 0)
        with flushing_denormals() as still:
            assert still == is_flushing
        assert zeros_of_tiny_products() == (1 << 20 if is_flushing else 0)
    assert zeros_of_tiny_products() == 0


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_only_while_it_trains_and_not_in_float64(threads: int, precision: str) -> None:
    seen = []

    class Sees(Callback):
        def on_batch(self, index: int) -> None:
            seen.append(zeros_of_tiny_products() > 0)

    with flushing_denormals() as can:
        pass
    graph = communities()
    trainer = gnnkit.Trainer("reference", "cpu", epochs=1, precision=precision, callbacks=[Sees()], progress=False)
    trainer.fit(gnnkit.build_model("gcn", graph), graph)
    assert seen == [can and precision == "float32"]
    assert zeros_of_tiny_products() == 0
