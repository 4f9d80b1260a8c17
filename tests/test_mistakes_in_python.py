"""Mistakes in Python: wrong objects, values of another kind, names misspelt. One line names the way out."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple, Type

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.errors import CheckpointError, ConfigError, DataError, GnnkitError, MisplacedSettingError, UnknownNameError


@pytest.fixture(scope="module")
def graph() -> gnnkit.Graph:
    return gnnkit.load_dataset("karate")


@pytest.fixture(scope="module")
def model(graph: gnnkit.Graph) -> gnnkit.GNN:
    return gnnkit.build_model("gcn", graph)


def fit(model: Any, graph: Any, **settings: Any) -> Any:
    return gnnkit.Trainer(device="cpu", progress=False, **{"epochs": 1, **settings}).fit(model, graph)


Call = Callable[[Any, Any], Any]
MISTAKES: Dict[str, Tuple[Call, Type[GnnkitError], str]] = {
    "model and graph swapped": (lambda m, g: fit(g, m), ConfigError, "expected fit(model, graph)"),
    "a name for a model": (lambda m, g: fit("gcn", g), ConfigError, "a model of gnnkit.build_model"),
    "a name for a graph": (lambda m, g: fit(m, "karate"), DataError, "gnnkit.load_dataset('karate')"),
    "edges for a graph": (lambda m, g: fit(m, g.edge_index), DataError, "gnnkit.from_edge_index"),
    "other data": (lambda m, g: fit(m, gnnkit.load_dataset("digits")), ConfigError, "Build the model for this graph"),
    "a module without layers": (lambda m, g: fit(torch.nn.Linear(3, 3), g), ConfigError, "Give the module such"),
    "build_model swapped": (lambda m, g: gnnkit.build_model(g, "gcn"), ConfigError, "build_model(model, graph)"),
    "build_model on a name": (lambda m, g: gnnkit.build_model("gcn", "cora"), DataError, "load_dataset('cora')"),
    "a model misspelt": (lambda m, g: gnnkit.build_model("gcm", g), UnknownNameError, "Did you mean 'gcn'"),
    "widths in a list": (
        lambda m, g: gnnkit.build_model("gcn", g, hidden_channels=[16]),
        ConfigError,
        "one whole number",
    ),
    "a rate in a list": (lambda m, g: fit(m, g, lr=[0.1]), ConfigError, "expected a number"),
    "epochs in a list": (lambda m, g: fit(m, g, epochs=[10]), ConfigError, "expected a whole number"),
    **{
        f"{name} by name": (
            lambda m, g, name=name: fit(m, g, **{name: "torch"}),
            ConfigError,
            f"{name} is 'torch', expected a dictionary",
        )
        for name in ("backend_options", "device_options", "task_options")
    },
    "options in a list": (lambda m, g: fit(m, g, device_options=[]), ConfigError, "expected a dictionary"),
    "heads of a gcn": (lambda m, g: gnnkit.build_model("gcn", g, heads=4), ConfigError, "Leave it out"),
    "a rate for a model": (lambda m, g: gnnkit.build_model("gcn", g, lr=0.1), UnknownNameError, "go to the Trainer"),
    "a width for a trainer": (lambda m, g: fit(m, g, hidden_channels=3), UnknownNameError, "build_model(...,"),
    "another library's word": (lambda m, g: fit(m, g, learning_rate=3), MisplacedSettingError, "Write lr"),
    "load_model of a model": (lambda m, g: gnnkit.load_model(m), ConfigError, "expected text or a path"),
    "load_model of nothing": (lambda m, g: gnnkit.load_model("nowhere"), CheckpointError, "no run folder nowhere"),
    "save_weights swapped": (lambda m, g: gnnkit.save_weights("w.pt", m), ConfigError, "cannot be written"),
    "a data set misspelt": (lambda m, g: gnnkit.load_dataset("karat"), UnknownNameError, "'karate'"),
    "one callback": (lambda m, g: fit(m, g, callbacks=gnnkit.train.Callback()), ConfigError, "expected a list"),
    "a class for a callback": (lambda m, g: fit(m, g, callbacks=[gnnkit.train.Callback]), ConfigError, "Callback()"),
    "a function for a callback": (lambda m, g: fit(m, g, callbacks=[print]), ConfigError, "gnnkit.train.Callback"),
    "torch's loss": (lambda m, g: fit(m, g, loss=torch.nn.CrossEntropyLoss()), ConfigError, "reads targets.y"),
    "a loss by name": (lambda m, g: fit(m, g, loss="mse"), ConfigError, "a function of outputs and targets"),
    "an optimiser": (
        lambda m, g: fit(m, g, optimizer=torch.optim.Adam(m.parameters())),
        ConfigError,
        "a name, a class",
    ),
    "a backend's module": (lambda m, g: fit(m, g, backend=torch), ConfigError, "a name such as 'pyg'"),
    "edges on their side": (lambda m, g: gnnkit.from_edge_index([[0, 1]] * 3, 3), DataError, "Transpose it"),
    "rows too few": (lambda m, g: gnnkit.from_edge_index([[0], [1]], 3, x=np.ones((2, 2))), DataError, "has 3 nodes"),
    "shares in percent": (lambda m, g: gnnkit.data.random_split(g, 60, 20), ConfigError, "sum 1 at most"),
    "a share in words": (lambda m, g: gnnkit.data.random_split(g, "0.6", 0.2), ConfigError, "sum 1 at most"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_the_way_out(name: str, model: gnnkit.GNN, graph: gnnkit.Graph) -> None:
    call, kind, says = MISTAKES[name]
    with pytest.raises(GnnkitError) as caught:
        call(model, graph)
    assert type(caught.value) is kind
    assert says in str(caught.value) and len(str(caught.value).splitlines()) == 1
