"""Optimisers without torch's compiler: torch's numbers, hooks and states."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gnnkit.devices import eager_class, torch_class

CASES = [
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (Adam, {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    (RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True}),
]


def updated(optimizer: Optimizer, weight: torch.Tensor, steps: int) -> torch.Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight.sin() * weight).sum().backward()
        optimizer.step()
    return weight.detach().clone()


@pytest.mark.parametrize("cls, options", CASES, ids=[cls.__name__ for cls, _ in CASES])
def test_numbers_and_states_are_those_of_torch(cls: type[Optimizer], options: dict) -> None:
    first, second = (torch.linspace(-2, 2, 7).requires_grad_() for _ in range(2))
    theirs, ours = cls([first], **options), eager_class(cls)([second], **options)
    assert torch.equal(updated(theirs, first, 3), updated(ours, second, 3))
    assert isinstance(ours, cls) and torch_class(ours) is cls is torch_class(theirs)
    # A state goes from one to the other, and a copy goes on by itself.
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    other = copy.deepcopy(ours)
    assert torch.equal(updated(theirs, first, 2), updated(ours, second, 2))
    assert torch_class(other) is cls and other.param_groups[0]["params"][0] is not second


def test_hooks_are_called_once_and_schedules_drive_it() -> None:
    weight, calls = torch.ones(2, requires_grad=True), []
    optimizer = eager_class(SGD)([weight], lr=1.0)
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    updated(optimizer, weight, 2)
    schedule.step()
    assert calls == [1, 1] and optimizer.param_groups[0]["lr"] == 0.5


TRAINS = """
import sys, gnnkit
graph = gnnkit.load_dataset("karate")
trainer = gnnkit.Trainer(device="cpu", epochs=1, batch_size=2, progress=False)
assert {"accuracy", "macro_f1"} <= set(trainer.fit(gnnkit.build_model("sage", graph), graph).test)
print([name for name in ("torch._dynamo", "sklearn", "pandas", "matplotlib") if name in sys.modules])
"""


def test_a_training_imports_no_compiler_and_no_scikit_learn() -> None:
    """Each costs every process 70 MB and a second."""
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
