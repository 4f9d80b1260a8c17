"""Embeddings with sparse gradients: numbers, state, what does not go with them, and that no step sees all rows."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, SparseAdam
from torch.optim.lr_scheduler import LambdaLR
from torch.utils._python_dispatch import TorchDispatchMode

import gnnkit
from gnnkit.backends import load_backend, move_model
from gnnkit.data import Batch
from gnnkit.devices import StepOptions, choose_device
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError
from gnnkit.runs import read_state
from gnnkit.tasks import LossModule, make_task
from gnnkit.train.loaders import computed_graph, training_loader
from gnnkit.train.optimizers import make_optimizer
from gnnkit.train.settings import TrainConfig
from gnnkit.train.sparse import SPARSE_VALUES, decide_sparse
from tests.conftest import installed_backends
from tests.graphs import featureless

EAGER = [name for name in installed_backends() if name != "ipu"]
SAMPLED = {"fanouts": [4, 4], "batch_size": 32, "weight_decay": 0.0}
TABLE = "embedding.weight"


def build(conv="sage", **settings):
    return gnnkit.build_model(conv, featureless(), embedding_channels=12, **{"dropout": 0.0, **settings})


def fit(backend="reference", *, model=None, resume=None, device="cpu", **settings):
    given = {"epochs": 6, "sparse_embeddings": True, "save_every": 1, **SAMPLED, **settings}
    trainer = gnnkit.Trainer(backend, device, progress=False, **given)
    return trainer.fit(build() if model is None else model, featureless(), resume=resume)


def losses(result):
    return [record.train_loss for record in result.history]


def table_of(result):
    return result.model.canonical_state()[TABLE]


@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.05}, {"accumulate": 3}, {"accumulate": 2, "clip_norm": 0.05}])
@pytest.mark.parametrize("backend", EAGER)
def test_sgd_gives_the_numbers_of_dense_gradients(backend: str, more) -> None:
    runs = [fit(backend, optimizer="sgd", lr=0.5, sparse_embeddings=sparse, **more) for sparse in (True, False)]
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=1e-5)
    torch.testing.assert_close(table_of(runs[0]), table_of(runs[1]), rtol=1e-4, atol=1e-6)
    assert losses(runs[0])[-1] < losses(runs[0])[0]


def first_batches(model, number: int) -> list[Batch]:
    graph = featureless()
    config = TrainConfig(**SAMPLED).resolved(2)
    task = make_task("node_classification", graph)
    computed = computed_graph(graph, model.spec.prepare(graph), model.spec, "float32")
    loader = training_loader(computed, model.spec, task, config, 0)
    return list(loader.epoch(1))[:number]


@pytest.mark.parametrize("backend", EAGER)
def test_adam_updates_the_rows_of_the_batch_alone_as_torch_does(backend: str) -> None:
    config = TrainConfig(lr=0.02, sparse_embeddings=True, optimizer_options={"betas": (0.8, 0.9), "eps": 1e-6})
    model = move_model(build(), load_backend(backend))
    plain = move_model(model, load_backend("reference"))
    task = make_task("node_classification", featureless())
    module, other = LossModule(model, task), LossModule(plain, task)
    model.embedding.sparse = plain.embedding.sparse = True
    device = choose_device("cpu", load_backend(backend))
    optimizer, _ = make_optimizer(config, list(module.parameters()), table=model.embedding.weight)
    step = device.prepare(module, optimizer, StepOptions(clip_norm=0.5))
    settings = {"lr": 0.02, "betas": (0.8, 0.9), "eps": 1e-6}
    rest = Adam([each for each in other.parameters() if each is not plain.embedding.weight], **settings)
    own = SparseAdam([plain.embedding.weight], **settings)
    seen = torch.zeros(240, dtype=torch.bool)
    before = plain.canonical_state()[TABLE]
    for batch in first_batches(model, 3):
        step(batch)
        for each in (rest, own):
            each.zero_grad()
        other(batch)[0].backward()
        gradients = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in other.parameters()]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for gradient in gradients:
            gradient.mul_((0.5 / norm).clamp(max=1))
        for each in (rest, own):
            each.step()
        seen[batch.x[:, 0]] = True
    assert not seen.all()
    found = model.canonical_state()
    for name, value in plain.canonical_state().items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    moved = (found[TABLE] != before).any(dim=1)
    assert torch.equal(moved, seen)


@pytest.mark.parametrize("backend", EAGER)
def test_a_run_goes_on_bit_for_bit_and_on_any_backend(backend: str, tmp_path) -> None:
    how = {"schedule": "cosine", "clip_norm": 1.0, "accumulate": 2}
    whole = fit(backend, **how)
    fit(backend, **{**how, "epochs": 6}, run_dir=tmp_path / "whole")
    stopped = partial(fit, run_dir=tmp_path / "half", **how, callbacks=[StopAfter(3)])
    stopped(backend)
    state = read_state(tmp_path / "half")
    assert state.optimizer[TABLE]["exp_avg"].shape == (240, 12)
    assert state.optimizer[TABLE]["number:step"] == 3 * 2  # Four batches an epoch, two an update.
    resumed = fit(backend, resume=tmp_path / "half", **how)
    assert losses(resumed) == losses(whole)
    for name, value in whole.model.canonical_state().items():
        assert torch.equal(resumed.model.canonical_state()[name], value), name
    elsewhere = fit("reference", resume=tmp_path / "half", **how)
    assert losses(elsewhere) == pytest.approx(losses(whole), rel=1e-3)
    with pytest.raises(CheckpointError, match="sparse_embeddings=True, this run has False"):
        fit(backend, resume=tmp_path / "half", sparse_embeddings=False, **how)


class StopAfter(gnnkit.train.Callback):
    """Ends a training after an epoch, as patience would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, record) -> None:
        if record.epoch == self.epoch:
            self.stop()


def test_schedules_act_on_the_table_too() -> None:
    def schedule(optimizer):
        return LambdaLR(optimizer, lambda epoch: float(epoch < 1))

    once = fit(epochs=1)
    frozen = fit(epochs=3, schedule=schedule)
    assert torch.equal(table_of(once), table_of(frozen))
    for name in ("cosine", "onecycle", "plateau", "step"):
        assert losses(fit(schedule=name, warmup=1))[-1] < losses(once)[0]


def test_a_table_alone_is_trained() -> None:
    model = build()
    for name, parameter in model.parameters_by_name().items():
        parameter.requires_grad_(name == TABLE)
    result = fit(model=model)
    assert losses(result)[-1] < losses(result)[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adamw"}, "'adamw' takes no sparse gradients; adam and sgd do"),
        ({"optimizer": Adagrad}, "'torch.optim.adagrad:Adagrad' takes no sparse gradients"),
        ({"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}}, "momentum of 'sgd' needs gradients of all rows"),
        ({"optimizer_options": {"amsgrad": True}}, "amsgrad of 'adam' needs"),
        ({"weight_decay": 5e-4}, r"weight_decay 0.0005 changes all rows .* Set train\.weight_decay=0"),
        ({"average": 0.9}, r"train\.average=0\.9 goes over all rows"),
    ],
)
def test_what_does_not_go_with_them_is_refused_before_training(settings, words: str) -> None:
    with pytest.raises(ConfigError, match=f"sparse_embeddings is true, but .*{words}"):
        fit(**settings)
    assert fit(**settings, sparse_embeddings=None, epochs=1).history


def test_models_without_a_trained_table_are_refused() -> None:
    model = build()
    model.embedding.weight.requires_grad_(False)
    with pytest.raises(ConfigError, match="trains no embeddings"):
        fit(model=model)
    graph = gnnkit.load_dataset("karate")
    with pytest.raises(ConfigError, match="trains no embeddings"):
        gnnkit.Trainer(device="cpu", sparse_embeddings=True).fit(gnnkit.build_model("gcn", graph), graph)
    by_function = gnnkit.Trainer(device="cpu", sparse_embeddings=True, optimizer=partial(Adam, lr=0.1))
    with pytest.raises(ConfigError, match="takes no sparse gradients"):
        by_function.fit(build(), featureless())
    with pytest.raises(ConfigError, match="SparseAdam takes sparse gradients alone"):
        fit(optimizer="torch.optim:SparseAdam", sparse_embeddings=None)


def test_devices_without_sparse_gradients() -> None:
    if "ipu" not in installed_backends():
        pytest.skip("no device without sparse gradients is installed")
    with pytest.raises(CapabilityError, match="'ipu-emulator' has no sparse gradients"):
        fit("ipu", device="ipu-emulator")
    assert fit("ipu", device="ipu-emulator", sparse_embeddings=None, epochs=1).history


def test_large_tables_get_them_by_themselves() -> None:
    large = nn.Parameter(torch.empty(SPARSE_VALUES // 64, 64))
    small = nn.Parameter(torch.empty(SPARSE_VALUES // 64 - 1, 64))
    sampled, device = TrainConfig(**SAMPLED), choose_device("cpu", load_backend("reference"))

    def decided(config, table):
        return decide_sparse(config, table, device).sparse_embeddings

    assert decided(sampled, large) is True
    assert decided(sampled, small) is False
    assert decided(TrainConfig(weight_decay=0.0), large) is False  # On the full graph every row is read.
    assert decided(TrainConfig(**{**SAMPLED, "weight_decay": 0.1}), large) is False
    assert decided(sampled, None) is None


class Allocations(TorchDispatchMode):
    """Notes the sizes of all dense tensors that operations make anew."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        known = {id(each) for each in args}
        for each in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(each, torch.Tensor) and each.layout == torch.strided and id(each) not in known:
                self.sizes.append(each.numel())
        return result


@pytest.mark.parametrize("make", [lambda config: config, lambda config: config.__class__(optimizer="sgd")])
def test_no_operation_of_a_step_goes_over_the_table(make) -> None:
    num_nodes, width = 1_000_000, 4
    model = build()
    batch = first_batches(model, 1)[0]
    spec = model.spec.__class__(**{**model.spec.to_dict(), "num_embeddings": num_nodes, "in_channels": width})
    module = LossModule(gnnkit.nn.GNN(spec, load_backend("reference")), make_task("node_classification", featureless()))
    found = {}
    for sparse in (True, False):
        table = module.model.embedding.weight if sparse else None
        module.model.embedding.sparse = sparse
        optimizer, _ = make_optimizer(make(TrainConfig()), list(module.parameters()), table=table)
        step = choose_device("cpu", load_backend("reference")).prepare(module, optimizer, StepOptions(clip_norm=1.0))
        step(batch)  # The state of the optimiser is made.
        with Allocations() as found[sparse]:
            step(batch)
    assert max(found[False].sizes) >= num_nodes * width
    assert max(found[True].sizes) < num_nodes


def test_sgd_of_torch_takes_them() -> None:
    """That SGD without momentum needs no optimiser beside it is torch's promise."""
    table = nn.Embedding(3, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = SGD(table.parameters(), lr=1.0)
    table(torch.tensor([1, 1])).sum().backward()
    optimizer.step()
    torch.testing.assert_close(before - table.weight.detach(), torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]))
