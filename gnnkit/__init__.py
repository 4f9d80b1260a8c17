"""gnnkit: write a graph neural network once, train it with plain torch, PyTorch Geometric or DGL, on any device.

Importing this package loads no graph library, and torch only when something is used that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

__version__ = "0.1.0"

_HOME = {
    "Backend": "gnnkit.backends",
    "Batch": "gnnkit.data",
    "Block": "gnnkit.data",
    "Device": "gnnkit.devices",
    "GNN": "gnnkit.nn",
    "GnnkitError": "gnnkit.errors",
    "Graph": "gnnkit.data",
    "ModelSpec": "gnnkit.nn",
    "Trainer": "gnnkit.train",
    "build_model": "gnnkit.backends",
    "from_edge_index": "gnnkit.data",
    "from_networkx": "gnnkit.data",
    "from_pandas": "gnnkit.data",
    "from_scipy": "gnnkit.data",
    "from_smiles": "gnnkit.datasets",
    "load_dataset": "gnnkit.datasets",
    "load_model": "gnnkit.runs",
    "open_run": "gnnkit.inference",
    "save_weights": "gnnkit.runs",
}

_ROOMS = frozenset({"data", "devices", "inference", "measure", "nn", "sampling", "studies", "tasks", "train"})
"""Packages that ``import gnnkit`` gives by name, without another import."""

__all__ = [
    "GNN",
    "Backend",
    "Batch",
    "Block",
    "Device",
    "GnnkitError",
    "Graph",
    "ModelSpec",
    "Trainer",
    "build_model",
    "from_edge_index",
    "from_networkx",
    "from_pandas",
    "from_scipy",
    "from_smiles",
    "load_dataset",
    "load_model",
    "open_run",
    "save_weights",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"gnnkit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'gnnkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> List[str]:
    return sorted([*globals(), *_HOME])


if TYPE_CHECKING:
    from gnnkit.backends import Backend, build_model
    from gnnkit.data import Batch, Block, Graph, from_edge_index, from_networkx, from_pandas, from_scipy
    from gnnkit.datasets import from_smiles, load_dataset
    from gnnkit.devices import Device
    from gnnkit.errors import GnnkitError
    from gnnkit.inference import open_run
    from gnnkit.nn import GNN, ModelSpec
    from gnnkit.runs import load_model, save_weights
    from gnnkit.train import Trainer
