"""Run folders to open, each trained once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict

import pytest

import gnnkit
from tests.graphs import communities

MODELS: Dict[str, Dict[str, Any]] = {
    "gcn": {},
    "sage": {},
    "sage-max": {"aggregation": "max"},
    "gat": {"heads": 2},
    "gatv2": {"heads": 2},
    "gin": {},
    "gcn-joined": {"jumping_knowledge": "cat", "norm": "batch", "residual": True},
}
"""Settings of the models, whose names begin with the convolution's."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the run of a model on the communities, on the reference backend."""
    home, made = tmp_path_factory.mktemp("runs"), {}

    def make(name: str) -> Path:
        if name not in made:
            graph, conv = communities(), name.split("-")[0]
            model = gnnkit.build_model(conv, graph, hidden_channels=8, num_layers=2, **MODELS[name])
            trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=home / name, progress=False)
            trainer.fit(model, graph)
            made[name] = home / name
        return made[name]

    return make
