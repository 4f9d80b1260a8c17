"""What optimisers of others keep: saved and resumed bit by bit, or refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
from torch.optim import Optimizer

import gnnkit
from gnnkit.data import Graph
from gnnkit.errors import CheckpointError
from gnnkit.train import Callback
from tests.conftest import installed_backends
from tests.graphs import communities


class Keeps(Optimizer):
    """Gradient descent whose rate depends on what it keeps of each parameter."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    def share(self, state: Dict[str, Any], grad: torch.Tensor) -> Any:
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * self.share(self.state[p], p.grad) * p.grad)


class Numbers(Keeps):
    """Numbers of Python, in more digits than a float32 has."""

    def share(self, state: Dict[str, Any], grad: torch.Tensor) -> Any:
        assert type(state.get("count", 0)) is int and type(state.get("share", 1.0)) is float
        state["count"] = state.get("count", 2**24) + 1
        state["share"] = state.get("share", 1.0) * (1 - 1e-9)
        return 1 / (2**24 + 20 - state["count"]) + (1 - state["share"]) * 1e8


class Counts(Keeps):
    """Tensors of whole numbers and flags, of a parameter's shape and of others."""

    def share(self, state: Dict[str, Any], grad: torch.Tensor) -> Any:
        ups = state.setdefault("ups", torch.zeros_like(grad, dtype=torch.int64))
        ups += grad > 0
        last = state.get("last", grad > 0)
        state["last"] = grad > 0
        rows = state.setdefault("rows", torch.zeros(3, dtype=torch.int32))
        rows += 1
        assert (ups.dtype, last.dtype, rows.dtype) == (torch.int64, torch.bool, torch.int32)
        return 1 / (1 + ups + last) + rows.sum() / 100


class Average(Keeps):
    """A tensor of its own that is called as the moving average of weights could be."""

    def share(self, state: Dict[str, Any], grad: torch.Tensor) -> Any:
        average = state.setdefault("average", torch.zeros_like(grad))
        average.lerp_(grad, 0.1)
        return 1 + average.abs()


class Lists(Keeps):
    """Something that no file of tensors can hold."""

    def share(self, state: Dict[str, Any], grad: torch.Tensor) -> Any:
        state.setdefault("norms", []).append(float(grad.norm()))
        return 1.0


def fit(graph: Graph, backend: str = "reference", **settings: Any) -> Any:
    resume = settings.pop("resume", None)
    model = gnnkit.build_model("sage", graph, backend=backend, dropout=0.0, hidden_channels=8)
    settings = {"epochs": 8, "lr": 0.05, "weight_decay": 0.0, **settings}
    return gnnkit.Trainer(backend, "cpu", progress=False, **settings).fit(model, graph, resume=resume)


def losses(result: Any) -> List[float]:
    return [record.train_loss for record in result.history]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return communities()


OTHERS = [Numbers, Counts, Average]
OF_TORCH = [
    f"torch.optim:{name}"
    for name in ("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adamax", "NAdam", "RAdam", "Rprop")
    if hasattr(torch.optim, name)
]


@pytest.mark.parametrize("optimizer", [*OTHERS, *OF_TORCH])
@pytest.mark.parametrize("average", [None, 0.5])
def test_what_it_keeps_is_resumed(optimizer: Any, average: Any, graph: Graph, tmp_path: Path) -> None:
    class Interrupt(Callback):
        def on_epoch(self, record: Any) -> None:
            if record.epoch == 4:
                raise KeyboardInterrupt

    settings = {"optimizer": optimizer, "average": average}
    with pytest.raises(KeyboardInterrupt):
        fit(graph, **settings, run_dir=tmp_path / "run", save_every=1, callbacks=[Interrupt()])
    resumed, whole = fit(graph, **settings, resume=tmp_path / "run"), fit(graph, **settings)
    assert losses(resumed) == losses(whole)
    expected = whole.model.canonical_state()
    assert all(value.equal(expected[name]) for name, value in resumed.model.canonical_state().items())


@pytest.mark.skipif("dgl" not in installed_backends(), reason="needs gnnkit-dgl")
def test_what_has_another_shape_stays_on_its_backend(graph: Graph, tmp_path: Path) -> None:
    fit(graph, "dgl", optimizer=Counts, epochs=2, run_dir=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"not shaped as the parameters \(rows\).*Go on with 'dgl'"):
        fit(graph, optimizer=Counts, resume=tmp_path / "run")
    assert len(fit(graph, "dgl", optimizer=Counts, epochs=3, resume=tmp_path / "run").history) == 3


def test_what_cannot_be_saved_is_told_and_the_weights_are_kept(graph: Graph, tmp_path: Path, caplog: Any) -> None:
    fit(graph, optimizer=Lists, epochs=3, run_dir=tmp_path / "run", keep_last=3)
    assert "No state is saved: Lists keeps a list under 'norms'" in caplog.text
    files = {file.name for file in (tmp_path / "run/checkpoints").iterdir()}
    assert files == {"best.safetensors"}
