"""A run that stopped goes on as though it had not, on any backend; what cannot go on is refused with the reason."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch

import gnnkit
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError, OtherDataError
from gnnkit.runs import read_run, read_state, read_weights
from gnnkit.train import Callback, TensorBoard
from tests.conftest import installed_backends
from tests.graphs import communities

SAMPLED = {"fanouts": [4, 4], "batch_size": 32, "overflow_rate": 0.0}
NO_DROPOUT = {"dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0}
DROPOUT = {"dropout": 0.5, "input_dropout": 0.2, "attention_dropout": 0.0}


class StopAfter(Callback):
    """An end in the middle of the epoch after this one: by Ctrl-C, or by a crash that saves nothing more."""

    def __init__(self, epoch, how=KeyboardInterrupt):
        self.epoch = epoch
        self.how = how
        self.done = 0

    def on_epoch(self, record):
        self.done = record.epoch

    def on_batch(self, index):
        if self.done == self.epoch:
            raise self.how


def fit(backend="reference", *, graph=None, model="gatv2", spec=None, resume=None, **settings):
    graph = communities() if graph is None else graph
    spec = {"norm": "layer", "hidden_channels": 16, **DROPOUT, **(spec or {})}
    net = gnnkit.build_model(model, graph, **spec)
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    trainer = gnnkit.Trainer(backend, device, progress=False, **{"epochs": 8, "save_every": 1, **settings})
    return trainer.fit(net, graph, resume=resume)


def stopped(folder, epoch=5, **settings):
    with pytest.raises(KeyboardInterrupt):
        fit(run_dir=folder, callbacks=[StopAfter(epoch)], **settings)
    return folder


def losses(result):
    return [record.train_loss for record in result.history]


def assert_same_curve(result, expected, rel=1e-3):
    assert losses(result) == pytest.approx(losses(expected), rel=rel)
    for name in ("valid_loss", "valid_metric"):
        values, wanted = ([getattr(r, name) for r in x.history] for x in (result, expected))
        assert values == pytest.approx(wanted, rel=rel, abs=0.02)


HOW = {"full": {}, "sampled": SAMPLED, "cora": {}}


@pytest.fixture(scope="module")
def cut_runs(tmp_path_factory):
    """Runs stopped after epoch 5, and uninterrupted ones, each trained once."""
    folder, made = tmp_path_factory.mktemp("cut"), {}

    def get(backend, spec_name, how_name, graph):
        key = backend, spec_name, how_name
        if key not in made:
            settings = {"graph": graph, "spec": DROPOUT if spec_name == "dropout" else NO_DROPOUT, **HOW[how_name]}
            run = stopped(folder / "-".join(key), backend=backend, **settings)
            made[key] = run, fit(backend, **settings)
        return made[key]

    return get


def pairs():
    """Every pair of backends and way; of every day is each pair of two once, full or sampled, and cora is long."""
    names = installed_backends()
    for how, (first, second) in itertools.product(HOW, itertools.product(names, repeat=2)):
        step = (names.index(second) - names.index(first)) % len(names)
        is_short = step == 1 % len(names) if how == "full" else how == "sampled" and (step > 1 or len(names) < 3)
        yield pytest.param(first, second, how, marks=() if is_short else pytest.mark.long)


@pytest.mark.parametrize("first, second, how", list(pairs()))
def test_every_pair_of_backends(first, second, how, cut_runs, tmp_path, request):
    graph = None
    if how == "cora":
        graph = gnnkit.load_dataset("cora", data_dir=request.getfixturevalue("data_dir"))
    # Dropout on an IPU draws from the device's own random numbers.
    spec = "no dropout" if "ipu" in (first, second) else "dropout"
    run, uninterrupted = cut_runs(first, spec, how, graph)
    result = fit(
        second,
        graph=graph,
        spec=DROPOUT if spec == "dropout" else NO_DROPOUT,
        resume=run,
        run_dir=tmp_path / "run",
        **HOW[how],
    )
    assert_same_curve(result, uninterrupted)
    assert result.test == pytest.approx(uninterrupted.test, abs=0.02)
    origin = json.loads((tmp_path / "run" / "manifest.json").read_text())["resumed_from"]
    assert (origin["run"], origin["epoch"], origin["backend"]) == (str(run), 5, first)


def test_on_one_backend_it_goes_on_to_the_last_bit(backend_name, tmp_path):
    settings = {"spec": NO_DROPOUT if backend_name == "ipu" else DROPOUT, **SAMPLED}
    run = stopped(tmp_path / "run", backend=backend_name, **settings)
    assert losses(fit(backend_name, resume=run, **settings)) == losses(fit(backend_name, **settings))


@pytest.mark.parametrize("schedule, lr, epochs", [("cosine", 0.05, 8), ("plateau", 1.0, 40)])
def test_the_schedule_goes_on(schedule, lr, epochs, tmp_path):
    settings = {"model": "gcn", "schedule": schedule, "lr": lr, "epochs": epochs}
    run = stopped(tmp_path / "run", epoch=epochs - 3, **settings)
    result, expected = fit(resume=run, **settings), fit(**settings)
    assert [record.lr for record in result.history] == [record.lr for record in expected.history]
    assert len({record.lr for record in expected.history}) > 1
    assert losses(result) == losses(expected)


def test_early_stopping_and_the_best_model_go_on(tmp_path):
    settings = {"epochs": 300, "patience": 6, "lr": 0.1, "model": "gcn"}
    expected = fit(**settings)
    assert expected.best_epoch + 6 == len(expected.history) < 300
    run = stopped(tmp_path / "run", epoch=expected.best_epoch + 2, **settings)
    result = fit(resume=run, run_dir=tmp_path / "next", **settings)
    assert (result.best_epoch, len(result.history)) == (expected.best_epoch, len(expected.history))
    # The best weights were found before the stop: they are in the new folder all the same.
    _, best, _ = read_weights(tmp_path / "next" / "checkpoints" / "best.safetensors")
    assert all(torch.equal(best[name], value) for name, value in expected.model.canonical_state().items())
    with pytest.raises(ConfigError, match=r"train\.patience is 6"):
        fit(resume=tmp_path / "next", **settings)
    assert len(fit(resume=tmp_path / "next", **{**settings, "patience": None, "epochs": 40}).history) == 40


def test_the_new_folder_has_both_histories_and_the_old_one_is_left_alone(tmp_path):
    run = stopped(tmp_path / "run")
    before = {file.name: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    result = fit(resume=run, run_dir=tmp_path / "next")
    assert [record.epoch for record in read_run(tmp_path / "next").history] == list(range(1, 9))
    assert [r.train_loss for r in read_run(tmp_path / "next").history] == losses(result)
    assert {file.name: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
    assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"


def test_tensorboard_gets_the_whole_curve(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = stopped(tmp_path / "run")
    fit(resume=run, callbacks=[TensorBoard(tmp_path / "events")])
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Scalars("train_loss")] == list(range(1, 9))


def test_a_resumed_run_can_be_resumed(tmp_path):
    first = stopped(tmp_path / "1", epoch=2)
    second = stopped(tmp_path / "2", epoch=4, resume=first)
    assert losses(fit(resume=second)) == losses(fit())
    assert read_state(second).facts["resumed_from"]["epoch"] == 2


def test_more_epochs_than_at_first(tmp_path):
    fit(run_dir=tmp_path / "run", epochs=5)
    assert losses(fit(resume=tmp_path / "run")) == losses(fit())
    with pytest.raises(ConfigError, match="All 5 epochs are done"):
        fit(resume=tmp_path / "run", epochs=5)


def test_save_every_decides_where_it_goes_on(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(SystemError):
        fit(run_dir=run, callbacks=[StopAfter(7, SystemError)], save_every=3)
    assert read_state(run).epoch == 6
    assert losses(fit(resume=run)) == losses(fit())


def test_states_are_in_canonical_layout(backend_name, tmp_path):
    spec = {**NO_DROPOUT, "residual": True, "jumping_knowledge": "cat"}
    states = []
    for name in ("reference", backend_name):
        fit(name, spec=spec, epochs=2, run_dir=tmp_path / name)
        states.append(read_state(tmp_path / name))
        shutil.rmtree(tmp_path / name)
    expected, found = states
    assert set(found.optimizer) == set(expected.optimizer) == set(expected.weights)
    for name, tensors in expected.optimizer.items():
        assert set(tensors) == set(found.optimizer[name]) == {"step", "exp_avg", "exp_avg_sq"}
        assert tensors["exp_avg"].shape == expected.weights[name].shape
        torch.testing.assert_close(found.optimizer[name]["exp_avg"], tensors["exp_avg"], rtol=1e-4, atol=1e-6)
        assert float(found.optimizer[name]["step"]) == float(tensors["step"]) == 2


def test_a_device_that_keeps_its_state_to_itself_trains_all_the_same(tmp_path, monkeypatch, caplog):
    def refuse(step):
        raise CapabilityError("no state here")

    monkeypatch.setattr("gnnkit.devices.eager.EagerStep.state_dict", refuse)
    fit(run_dir=tmp_path / "run")
    assert caplog.text.count("no state here") == 1
    with pytest.raises(CheckpointError, match=r"has no checkpoints/last\.safetensors"):
        fit(resume=tmp_path / "run")


# What is refused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return stopped(tmp_path_factory.mktemp("runs") / "run")


def spoil_bytes(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def spoil_header(file):
    content = file.read_bytes()
    assert b"best_epoch" in content
    file.write_bytes(content.replace(b"best_epoch", b"best_epocH"))


DAMAGES = {
    "a changed byte": (spoil_bytes, "is damaged: its content is not what was written"),
    "a changed header": (spoil_header, "is damaged"),
    "cut short": (lambda file: file.write_bytes(file.read_bytes()[:-20]), "Cannot read the checkpoint"),
    "empty": (lambda file: file.write_bytes(b""), "Cannot read the checkpoint"),
    "a pickle": (lambda file: file.write_bytes(pickle.dumps({"a": 1})), "Cannot read the checkpoint"),
    "foreign": (lambda file: safetensors.torch.save_file({"a": torch.zeros(2)}, file), "as gnnkit writes it"),
    "weights only": (lambda file: shutil.copy(file.with_name("best.safetensors"), file), "gnnkit-weights-1"),
    "missing": (lambda file: file.unlink(), r"has no checkpoints/last\.safetensors"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_refused_before_anything_is_written(name, run, tmp_path):
    spoil, message = DAMAGES[name]
    copy = shutil.copytree(run, tmp_path / "copy")
    spoil(copy / "checkpoints" / "last.safetensors")
    with pytest.raises(CheckpointError, match=message):
        fit(resume=copy, run_dir=tmp_path / "next")
    assert not (tmp_path / "next").exists()


def test_folders_that_are_no_runs_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="There is no run folder"):
        fit(resume=tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"no manifest\.json"):
        fit(resume=tmp_path)


def test_another_architecture_lists_what_differs(run):
    with pytest.raises(
        CheckpointError, match=r"hidden_channels is 32, in the checkpoint 16;.* heads is 1, in the checkpoint 8"
    ):
        fit(resume=run, spec={"hidden_channels": 32, "heads": 1})
    with pytest.raises(CheckpointError, match="conv is 'gcn', in the checkpoint 'gatv2'"):
        fit(resume=run, model="gcn")
    with pytest.raises(CheckpointError, match="activation is 'relu', in the checkpoint 'elu'"):
        fit(resume=run, spec={"activation": "relu"})


def test_dropout_may_change(run):
    assert len(fit(resume=run, spec={"dropout": 0.1}).history) == 8


OTHER_DATA = {
    "features": lambda g: replace(g, x=g.x + 1),
    "labels": lambda g: replace(g, y=(g.y + 1) % 3),
    "splits": lambda g: replace(g, splits={**g.splits, "train": g.splits["train"][1:]}),
    r"edges \(\d,\d+ with 240 self-loops, directed; \d,\d+ with 240 self-loops, directed\), other arrays": (
        lambda g: without_an_edge(g)  # And so without its features.
    ),
}


def without_an_edge(graph):
    fewer = gnnkit.from_edge_index(graph.edge_index[:, 1:], graph.num_nodes)
    return replace(graph, indptr=fewer.indptr, indices=fewer.indices, edge_attr=graph.edge_attr[1:])


@pytest.mark.parametrize("what", OTHER_DATA)
def test_other_data_are_refused_by_name(what, run):
    with pytest.raises(OtherDataError, match=f"what differs: {what}\\."):
        fit(graph=OTHER_DATA[what](communities()), resume=run)
