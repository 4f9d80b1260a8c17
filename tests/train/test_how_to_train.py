"""Optimisers, schedules, accumulation and averages: what torch does by hand, resumed bit by bit, refused in time."""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest
import torch
import yaml
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

import gnnkit
from gnnkit.data import Batch, Graph
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError, UnknownNameError
from gnnkit.inference import open_run
from gnnkit.nn import GNN
from gnnkit.tasks import NodeClassification
from gnnkit.train import Callback, load_config, train_config
from gnnkit.train.hardware import choose_hardware
from gnnkit.train.loaders import training_loader
from tests.conftest import installed_backends
from tests.graphs import communities

STEPS = 20
NO_DROPOUT = {"dropout": 0.0, "hidden_channels": 8}
SAMPLED = {"fanouts": [4, 4], "batch_size": 16, "fuse_first_layer": "never"}
LR = 0.05


class Lion(Optimizer):
    """A stranger's optimiser: the sign of a moving average (Chen et al., 2023)."""

    def __init__(self, params: Any, lr: float = 1e-4, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                mean = state.setdefault("mean", torch.zeros_like(p))
                p.sub_(group["lr"] * mean.lerp(p.grad, 1 - group["beta"]).sign())
                mean.lerp_(p.grad, 1 - group["beta"])


OPTIMIZERS: Dict[str, Tuple[Dict[str, Any], Callable[[Any], Optimizer]]] = {
    "adam": ({"optimizer": "adam", "weight_decay": 0.01}, partial(Adam, lr=LR, weight_decay=0.01)),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.1, "optimizer_options": {"betas": [0.8, 0.9]}},
        partial(AdamW, lr=LR, weight_decay=0.1, betas=(0.8, 0.9)),
    ),
    "sgd": ({"optimizer": "sgd"}, partial(SGD, lr=LR)),
    "momentum": (
        {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9, "nesterov": True}},
        partial(SGD, lr=LR, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (
        {"optimizer": "rmsprop", "optimizer_options": {"centered": True, "momentum": 0.5}},
        partial(RMSprop, lr=LR, centered=True, momentum=0.5),
    ),
    "torch's": ({"optimizer": "torch.optim:Adagrad"}, partial(torch.optim.Adagrad, lr=LR)),
    "a class": ({"optimizer": Lion, "optimizer_options": {"beta": 0.8}}, partial(Lion, lr=LR, beta=0.8)),
    "a function": (
        {"optimizer": lambda parameters: SGD(parameters, lr=LR, momentum=0.3)},
        partial(SGD, lr=LR, momentum=0.3),
    ),
}
SCHEDULES: Dict[str, Tuple[Dict[str, Any], Callable[[int], float]]] = {
    "constant": ({}, lambda epoch: 1.0),
    "cosine": ({"schedule": "cosine"}, lambda epoch: (1 + math.cos(math.pi * epoch / STEPS)) / 2),
    "step": (
        {"schedule": "step", "schedule_options": {"step_size": 5, "gamma": 0.5}},
        lambda epoch: 0.5 ** (epoch // 5),
    ),
    "warmup": ({"warmup": 4}, lambda epoch: min((epoch + 1) / 4, 1.0)),
    "warmup, cosine": (
        {"warmup": 4, "schedule": "cosine"},
        lambda epoch: min((epoch + 1) / 4, 1.0) * (1 + math.cos(math.pi * epoch / STEPS)) / 2,
    ),
    "torch's": (
        {"schedule": "torch.optim.lr_scheduler:ExponentialLR", "schedule_options": {"gamma": 0.9}},
        lambda epoch: 0.9**epoch,
    ),
    "a function": (
        {"schedule": lambda optimizer: LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))},
        lambda epoch: 1 / (1 + epoch),
    ),
}
WEIGHTS = [0.5, 2.0, 1.0]
LOSSES: Dict[str, Dict[str, Any]] = {
    "class weights": {"class_weights": WEIGHTS},
    "balanced": {"class_weights": "balanced"},
    "label smoothing": {"label_smoothing": 0.2},
    "weights and smoothing": {"class_weights": WEIGHTS, "label_smoothing": 0.1},
}
"""Options of node classification."""
BACKENDS = [name for name in ("reference", "pyg", "dgl") if name in installed_backends()]


def made(graph: Graph, backend: str = "reference") -> GNN:
    return gnnkit.build_model("sage", graph, backend=backend, **NO_DROPOUT)


def fit(graph: Graph, backend: str = "reference", **settings: Any) -> Any:
    optimizer = settings.get("optimizer", "adam")
    is_function = callable(optimizer) and not isinstance(optimizer, type)
    updates = {} if is_function else {"lr": LR, "weight_decay": 0.0}
    settings = {"device": "cpu", "epochs": STEPS, **updates, "progress": False, **settings}
    resume = settings.pop("resume", None)
    return gnnkit.Trainer(backend, **settings).fit(made(graph, backend), graph, resume=resume)


def by_hand(
    graph: Graph,
    make: Callable[[Any], Optimizer],
    *,
    share: Callable[[int], float] = lambda step: 1.0,
    groups: List[List[Batch]],
    clip: float = math.inf,
    decay: float = 0.0,
    loss: Optional[Callable[[Tensor, Tensor], Tensor]] = None,
) -> Tuple[List[float], Dict[str, Tensor]]:
    """Losses of each batch, and the average of the weights after the last update (with decay 0 the weights)."""
    model, task = made(graph), NodeClassification()
    judge = task.loss if loss is None else lambda outputs, targets: loss(outputs, targets.y)
    optimizer = make(model.parameters())
    first, losses = optimizer.param_groups[0]["lr"], []
    average = {name: value.detach().clone() for name, value in model.named_parameters()}
    for step, group in enumerate(groups):
        optimizer.param_groups[0]["lr"] = first * share(step)
        found = [judge(model.train()(batch.blocks, batch.x), batch.targets) for batch in group]
        counts = [batch.num_targets for batch in group]
        optimizer.zero_grad()
        (sum(each * num for each, num in zip(found, counts)) / sum(counts)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses += [each.item() for each in found]
        for name, value in model.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * value.detach()
    return losses, average


def whole(graph: Graph) -> List[List[Batch]]:
    loader = training_loader(graph, made(graph).spec, NodeClassification(), train_config("sage", {}).resolved(2), 0)
    return [list(loader.epoch(1)) for _ in range(STEPS)]


def losses(result: Any) -> List[float]:
    return [record.train_loss for record in result.history]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return communities()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_are_those_of_torch(name: str, backend: str, graph: Graph) -> None:
    settings, make = OPTIMIZERS[name]
    expected, _ = by_hand(graph, make, groups=whole(graph))
    assert losses(fit(graph, backend, **settings)) == pytest.approx(
        expected, rel=1e-6 if backend == "reference" else 1e-5
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_torch(name: str, backend: str, graph: Graph) -> None:
    options = LOSSES[name]
    weights = options.get("class_weights")
    if weights == "balanced":
        counts = torch.bincount(graph.y[graph.splits["train"]])
        weights = (counts.sum() / (len(counts) * counts)).tolist()
    cross_entropy = torch.nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights),
        label_smoothing=options.get("label_smoothing", 0.0),
        ignore_index=-100,
    )
    expected, _ = by_hand(graph, partial(Adam, lr=LR), groups=whole(graph), loss=cross_entropy)
    found = losses(fit(graph, backend, task_options=options))
    assert found == pytest.approx(expected, rel=1e-6 if backend == "reference" else 1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_the_formula(name: str, graph: Graph) -> None:
    settings, share = SCHEDULES[name]
    result = fit(graph, optimizer="sgd", **settings)
    expected, _ = by_hand(graph, partial(SGD, lr=LR), share=share, groups=whole(graph))
    assert [record.lr for record in result.history] == pytest.approx([LR * share(epoch) for epoch in range(STEPS)])
    assert losses(result) == pytest.approx(expected, rel=1e-6)


def test_a_class_gets_the_settings(graph: Graph) -> None:
    cls = torch.optim.lr_scheduler.ExponentialLR
    given = fit(
        graph, optimizer=SGD, optimizer_options={"momentum": 0.9}, schedule=cls, schedule_options={"gamma": 0.9}
    )
    settings = {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, **SCHEDULES["torch's"][0]}
    assert losses(given) == losses(fit(graph, **settings))
    assert [record.lr for record in given.history] == pytest.approx([LR * 0.9**epoch for epoch in range(STEPS)])


def test_a_function_decides_and_its_settings_are_recorded(graph: Graph, tmp_path: Path) -> None:
    make = partial(SGD, lr=0.03, weight_decay=0.2)
    result = fit(graph, optimizer=make, schedule="onecycle", epochs=4, run_dir=tmp_path / "run")
    assert max(record.lr for record in result.history) == pytest.approx(0.03, rel=0.2)
    train = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["train"]
    assert (train["lr"], train["weight_decay"]) == (0.03, 0.2)


OF_TORCH: Dict[str, Tuple[Dict[str, Any], Callable[[Optimizer], Any]]] = {
    "onecycle": (
        {"schedule_options": {"pct_start": 0.4}},
        lambda optimizer: OneCycleLR(optimizer, max_lr=LR, total_steps=STEPS, pct_start=0.4, cycle_momentum=False),
    ),
    "plateau": (
        {"schedule_options": {"patience": 1, "factor": 0.3}},
        lambda optimizer: ReduceLROnPlateau(optimizer, mode="max", patience=1, factor=0.3),
    ),
    "step": ({}, lambda optimizer: StepLR(optimizer, step_size=STEPS // 3, gamma=0.1)),
}


@pytest.mark.parametrize("name", OF_TORCH)
def test_rates_are_those_of_torch(name: str, graph: Graph) -> None:
    settings, make = OF_TORCH[name]
    history = fit(graph, schedule=name, **settings).history
    optimizer = SGD([torch.zeros(1)], lr=LR)
    scheduler, expected = make(optimizer), []
    for record in history:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([record.valid_metric] if name == "plateau" else []))
    assert [record.lr for record in history] == expected
    assert len(set(expected)) > 2


def test_one_cycle_goes_up_and_down(graph: Graph) -> None:
    rates = [record.lr for record in fit(graph, schedule="onecycle", schedule_options={"pct_start": 0.5}).history]
    assert rates[0] == pytest.approx(LR / 25)
    assert max(rates) == pytest.approx(LR)
    assert rates[-1] == pytest.approx(LR / 25e4, rel=0.01)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)


def test_clipping_and_average_are_those_of_torch(graph: Graph, tmp_path: Path) -> None:
    result = fit(graph, clip_norm=0.05, average=0.8, eval_every=STEPS, run_dir=tmp_path / "run")
    expected, average = by_hand(graph, partial(Adam, lr=LR), groups=whole(graph), clip=0.05, decay=0.8)
    assert losses(result) == pytest.approx(expected, rel=1e-6)
    # The only evaluation was after the last update, so the best weights are the average then.
    for name, value in result.model.named_parameters():
        assert torch.allclose(value, average[name], atol=1e-6)
    kept = open_run(tmp_path / "run", graph=graph, device="cpu").model
    for name, value in kept.named_parameters():
        assert torch.allclose(value, average[name], atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("num", [2, 3, 100])
def test_accumulated_batches_are_one_large_batch(num: int, backend: str, graph: Graph) -> None:
    config = train_config("sage", SAMPLED).resolved(2)
    loader = training_loader(graph, made(graph).spec, NodeClassification(), config, 0)
    groups, counts = [], []
    for epoch in range(1, 6):
        batches = list(loader.epoch(epoch))
        counts.append([batch.num_targets for batch in batches])
        groups += [batches[i : i + num] for i in range(0, len(batches), num)]
    found, _ = by_hand(graph, partial(Adam, lr=LR), groups=groups)
    expected = []
    for sizes in counts:
        own, found = found[: len(sizes)], found[len(sizes) :]
        expected.append(sum(loss * size for loss, size in zip(own, sizes)) / sum(sizes))
    result = fit(graph, backend, **SAMPLED, accumulate=num, epochs=5)
    assert losses(result) == pytest.approx(expected, rel=1e-6 if backend == "reference" else 1e-5)


HOW = {
    **{name: settings for name, (settings, _) in OPTIMIZERS.items() if name != "adam"},
    **{f"{name} rates": settings for name, (settings, _) in SCHEDULES.items()},
    **{name: {"task_options": options} for name, options in LOSSES.items()},
    "onecycle": {"schedule": "onecycle"},
    "plateau": {"schedule": "plateau", "lr": 1.0, "schedule_options": {"patience": 0}},
    "average": {"average": 0.7},
    "average without state": {"average": 0.7, "optimizer": "sgd"},
    "accumulate": {**SAMPLED, "accumulate": 2, "average": 0.5, "optimizer": "rmsprop"},
}


@pytest.mark.parametrize("name", HOW)
def test_a_resumed_training_gives_the_bits_of_a_whole_one(name: str, graph: Graph, tmp_path: Path) -> None:
    settings = {"epochs": 12, **HOW[name]}
    expected = fit(graph, **settings)

    class Interrupt(Callback):
        def on_epoch(self, record: Any) -> None:
            if record.epoch == 6:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(graph, **settings, run_dir=tmp_path / "run", save_every=1, callbacks=[Interrupt()])
    resumed = fit(graph, **settings, resume=tmp_path / "run")
    assert [(r.train_loss, r.lr, r.valid_metric) for r in resumed.history] == [
        (r.train_loss, r.lr, r.valid_metric) for r in expected.history
    ]
    assert all(
        value.equal(expected.model.canonical_state()[key]) for key, value in resumed.model.canonical_state().items()
    )


@pytest.mark.parametrize("name", ["momentum", "rmsprop", "average"])
@pytest.mark.skipif("dgl" not in BACKENDS, reason="needs gnnkit-dgl")
def test_a_state_goes_to_another_backend(name: str, graph: Graph, tmp_path: Path) -> None:
    settings = {"epochs": 12, **HOW[name]}
    expected = fit(graph, **settings)
    fit(graph, "dgl", **{**settings, "epochs": 6}, run_dir=tmp_path / "run")
    assert losses(fit(graph, **settings, resume=tmp_path / "run")) == pytest.approx(losses(expected), rel=1e-4)


def test_an_optimiser_has_one_name(graph: Graph, tmp_path: Path) -> None:
    fit(graph, epochs=2, optimizer="torch.optim:SGD", run_dir=tmp_path / "run")
    resumed = fit(graph, epochs=4, optimizer=partial(SGD, lr=LR), resume=tmp_path / "run")
    assert losses(resumed) == losses(fit(graph, epochs=4, optimizer="sgd"))


def test_a_run_at_its_end_is_refused_whatever_its_schedule_says(graph: Graph, tmp_path: Path) -> None:
    fit(graph, epochs=6, schedule="onecycle", run_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="All 4 epochs are done: the run is at 6"):
        fit(graph, epochs=4, schedule="onecycle", resume=tmp_path / "run")


def test_a_state_is_for_its_own_optimiser_and_average(graph: Graph, tmp_path: Path) -> None:
    fit(graph, epochs=2, optimizer="sgd", run_dir=tmp_path / "run")
    with pytest.raises(CheckpointError, match="with the optimiser 'sgd', this run is for 'adam'"):
        fit(graph, epochs=4, resume=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"train.average=None, this run has 0\.5"):
        fit(graph, epochs=4, optimizer="sgd", average=0.5, resume=tmp_path / "run")


@pytest.mark.parametrize(
    "settings, error, message",
    [
        (
            {"optimizer": "adma"},
            ConfigError,
            "optimizer is 'adma', expected one of adam, adamw, sgd, rmsprop, or module",
        ),
        ({"optimizer": "torch.optim:Nope"}, ConfigError, "has no class 'Nope'"),
        ({"optimizer": "not_imported:Lion"}, ConfigError, "has not been imported"),
        ({"optimizer": "torch.optim:LBFGS"}, ConfigError, "LBFGS"),
        ({"optimizer": lambda parameters: 3}, ConfigError, "gives a int, expected a torch.optim.Optimizer"),
        ({"optimizer_options": {"beta": 0.3}}, UnknownNameError, "betas"),
        ({"optimizer_options": {"lr": 0.3}}, ConfigError, "place of its own"),
        ({"optimizer": "sgd", "optimizer_options": {"momentum": -1.0}}, ConfigError, "momentum"),
        ({"schedule_options": {"gamma": 0.3}}, ConfigError, "takes no options, received gamma"),
        ({"schedule": "step", "schedule_options": {"gama": 0.3}}, UnknownNameError, "gamma"),
        ({"schedule": lambda optimizer: 3}, ConfigError, "gives a int, expected a scheduler"),
        ({"optimizer": SGD([torch.zeros(1)], lr=1.0)}, ConfigError, "optimizer is a SGD, expected a name, a class, or"),
        ({"optimizer": partial(SGD, lr=1.0), "lr": 0.1}, ConfigError, "lr would have no effect beside a function"),
        (
            {"schedule": lambda optimizer: 3, "schedule_options": {"gamma": 0.3}},
            ConfigError,
            "schedule_options would have no effect beside a function",
        ),
        ({"optimizer": "torch.nope:Adam"}, ConfigError, "'torch.nope' has not been imported"),
        ({"optimizer": "torch.optim.nope:Adam"}, ConfigError, "'torch.optim.nope' cannot be imported"),
        ({"optimizer": "os:system"}, ConfigError, "no class 'system' derived from torch.optim.optimizer:Optimizer"),
        ({"schedule": "subprocess:Popen"}, ConfigError, "no class 'Popen' derived from torch.optim.lr_scheduler"),
        ({"optimizer_options": {"fused": True, "foreach": True}}, ConfigError, "cannot be made with"),
        ({"schedule": "step", "schedule_options": {"step_size": 0}}, ConfigError, "fails after epoch 1 of 20"),
        (
            {
                "schedule": "torch.optim.lr_scheduler:OneCycleLR",
                "schedule_options": {"max_lr": 1.0, "total_steps": 3},
            },
            ConfigError,
            "fails after epoch 4 of 20",
        ),
        ({"warmup": -1}, ConfigError, "warmup is -1"),
        ({"accumulate": 0, **SAMPLED}, ConfigError, "accumulate is 0"),
        ({"average": 1.0}, ConfigError, r"average is 1\.0, expected a decay"),
    ],
)
def test_what_cannot_be_used_is_refused(settings: dict, error: type, message: str, graph: Graph) -> None:
    with pytest.raises(error, match=message):
        fit(graph, **settings)


@pytest.mark.skipif("ipu" not in installed_backends(), reason="needs gnnkit-ipu")
@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"optimizer": "torch.optim:Adagrad"},
            "does not update with optimiser 'torch.optim.adagrad:Adagrad', only with adam",
        ),
        ({"optimizer": partial(Lion, lr=LR)}, "Lion'"),
        ({**SAMPLED, "accumulate": 2}, r"own option is device_options\.gradient_accumulation"),
        ({"average": 0.9}, r"no moving average of weights, received train\.average=0\.9"),
        ({"optimizer": "rmsprop", "clip_norm": 1.0}, "RMSprop does not clip"),
    ],
)
def test_what_a_device_cannot_do_is_refused_before_anything_is_written(
    settings: dict, message: str, graph: Graph, tmp_path: Path
) -> None:
    with pytest.raises(CapabilityError, match=message):
        fit(graph, "ipu", device="ipu-emulator", run_dir=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif("ipu" not in installed_backends(), reason="needs gnnkit-ipu")
def test_a_command_line_is_refused_before_data_are_loaded(tmp_path: Path) -> None:
    config = {"backend": "ipu", "device": "ipu-emulator"}
    with pytest.raises(CapabilityError, match=r"only with adam, adamw, rmsprop, sgd\.$"):  # No backend would help.
        choose_hardware(load_config(flags=config, overrides=["train.optimizer=torch.optim:Adagrad"]))
    _, device = choose_hardware(load_config(flags=config, overrides=["train.optimizer=torch.optim:Adam"]))
    device.close()


@pytest.mark.skipif("ipu" not in installed_backends(), reason="needs gnnkit-ipu")
@pytest.mark.parametrize("name", ["adamw", "momentum", "rmsprop"])
def test_an_ipu_has_four_optimisers(name: str, graph: Graph) -> None:
    settings = {**OPTIMIZERS[name][0], "epochs": 5, "schedule": "cosine"}
    if name == "momentum":
        settings["optimizer_options"] = {"momentum": 0.9}
    found = losses(fit(graph, "ipu", device="ipu-emulator", **settings))
    assert found == pytest.approx(losses(fit(graph, **settings)), rel=1e-4)


class Enough(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_batch(self, index: int) -> None:
        self.batches = getattr(self, "batches", 0) + 1
        if self.batches == self.epoch:
            self.stop("enough")


def test_a_callback_can_stop_a_training(graph: Graph, tmp_path: Path) -> None:
    result = fit(graph, callbacks=[Enough(4)], run_dir=tmp_path / "run", eval_every=3)
    assert (len(result.history), result.stopped) == (6, "enough")  # Epoch 6 is the next one that is evaluated.
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["status"], manifest["result"]["stopped"]) == ("complete", "enough")
    assert result.test["accuracy"] > 0
    resumed = fit(graph, resume=tmp_path / "run", eval_every=3)
    assert losses(resumed) == losses(fit(graph, eval_every=3))
    assert resumed.stopped is None


def test_a_callback_that_stopped_one_training_does_not_stop_the_next(graph: Graph) -> None:
    enough = Enough(2)
    assert len(fit(graph, callbacks=[enough]).history) == 2
    assert len(fit(graph, callbacks=[enough]).history) == STEPS


def test_the_users_own_module_is_imported_and_a_recorded_one_is_not(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "my_optimizers.py").write_text("from torch.optim import SGD\nclass Mine(SGD):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="'no_such_module' cannot be imported"):
        load_config(overrides=["train.optimizer=no_such_module:Mine"])
    recorded = {"train": {"optimizer": "my_optimizers:Mine", "schedule": "my_optimizers:Mine"}}
    (tmp_path / "recorded.yaml").write_text(yaml.safe_dump(recorded))
    load_config(tmp_path / "recorded.yaml")
    for model in ({}, {"name": ["sage", "gin"]}):
        load_config(base={**recorded, "model": model})
        assert "my_optimizers" not in sys.modules
    assert load_config(overrides=["train.optimizer=my_optimizers:Mine"]).train.optimizer == "my_optimizers:Mine"
    assert "my_optimizers" in sys.modules
