"""Patience and the plateau count epochs, but only an evaluation can end them."""

from __future__ import annotations

import pytest

import gnnkit
from gnnkit.errors import ConfigError
from gnnkit.runs import read_run
from gnnkit.runs.checkpoint import BEST, FOLDER
from tests.graphs import communities


def fit(run_dir=None, resume=None, backend="reference", **settings):
    graph = communities()
    trainer = gnnkit.Trainer(backend, progress=False, run_dir=run_dir, **settings)
    return trainer.fit(gnnkit.build_model("gcn", graph), graph, resume=resume)


def test_patience_waits_for_an_evaluation(backend, tmp_path) -> None:
    result = fit(tmp_path / "run", backend=backend, epochs=400, eval_every=10, patience=5)
    assert result.history[-1].valid_metric is not None
    # A best epoch has been evaluated, and at least one worse evaluation came after it.
    assert 10 <= result.best_epoch <= len(result.history) - 10 < 400 - 10
    assert len(result.history) == result.best_epoch + 10
    assert (tmp_path / "run" / FOLDER / BEST).is_file()


@pytest.mark.parametrize(("eval_every", "patience"), [(1, 5), (10, 5), (10, 10), (10, 15), (7, 20)])
def test_training_stops_at_the_first_evaluation_without_patience(eval_every: int, patience: int) -> None:
    result = fit(epochs=400, eval_every=eval_every, patience=patience)
    waited = -(-patience // eval_every) * eval_every
    assert len(result.history) == result.best_epoch + waited


def test_a_run_with_fewer_epochs_than_its_patience_is_evaluated_at_its_end() -> None:
    result = fit(epochs=7, eval_every=10, patience=5)
    assert (result.best_epoch, len(result.history)) == (7, 7)


def test_a_run_goes_on_only_if_patience_is_left(tmp_path) -> None:
    settings = {"eval_every": 10, "patience": 15}
    stopped = fit(tmp_path / "stopped", epochs=400, save_every=1, **settings)
    with pytest.raises(ConfigError, match="stopped early"):
        fit(resume=tmp_path / "stopped", epochs=400, **settings)
    fit(tmp_path / "short", epochs=stopped.best_epoch, save_every=1, **settings)
    longer = fit(tmp_path / "longer", resume=tmp_path / "short", epochs=400, **settings)
    assert [r.train_loss for r in longer.history] == [r.train_loss for r in stopped.history]
    assert len(read_run(tmp_path / "longer").history) == len(stopped.history)


@pytest.mark.parametrize("eval_every", [1, 4, 8])
def test_the_plateau_counts_epochs_not_evaluations(eval_every: int) -> None:
    history = fit(epochs=80, lr=1.0, schedule="plateau", eval_every=eval_every).history
    lr, best, since = 1.0, -1.0, 0
    for record in history:
        assert record.lr == lr
        if record.valid_metric is None:
            continue
        if record.valid_metric > best * (1 + 1e-4):
            best, since = record.valid_metric, record.epoch
        elif record.epoch - since > 10:
            lr, since = lr / 2, record.epoch
    assert lr < 1.0
