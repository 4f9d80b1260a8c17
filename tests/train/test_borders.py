"""Objects of other kinds than expected: one line that says how to get the right one."""

from __future__ import annotations

import networkx
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.errors import ConfigError, DataError, GnnkitError, UnknownNameError
from gnnkit.parity import compare
from tests.conftest import installed_backends
from tests.graphs import communities


def native(name: str):
    return load_backend(name).to_native(communities(60))


LIBRARIES = [name for name in ("pyg", "dgl") if name in installed_backends()]
OTHERS = {
    **{name: (lambda name=name: native(name), rf'load_backend\("{name}"\)\.from_native') for name in LIBRARIES},
    "networkx": (networkx.path_graph, r"from_networkx\(graph\)"),
    "scipy": (lambda num: scipy.sparse.eye(num).tocsr(), r"from_scipy\(matrix"),
    "pandas": (lambda num: pandas.DataFrame({"source": range(num)}), r"from_pandas\(edges, nodes\)"),
    "name": (lambda num: "cora", r"load_dataset\('cora'\)"),
    "none": (lambda num: None, r"NoneType.*from_edge_index"),
    "tensor": (torch.zeros, r"Tensor.*from_edge_index"),
    "list": (lambda num: [[0], [1]], r"list.*from_edge_index"),
}


def made(kind: str):
    make, says = OTHERS[kind]
    return make() if kind in LIBRARIES else make(4), says


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_graph_is_refused_everywhere(kind: str) -> None:
    obj, says = made(kind)
    model = gnnkit.build_model("gcn", communities(60))
    for take in (
        lambda: gnnkit.build_model("gcn", obj),
        lambda: gnnkit.Trainer(progress=False, epochs=1).fit(model, obj),
        lambda: compare(model, obj, ["reference", "reference"], epochs=1),
    ):
        with pytest.raises(DataError, match=f"graph: received .*{says}") as caught:
            take()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_way_that_is_told_works(name: str) -> None:
    graph = load_backend(name).from_native(native(name))
    assert gnnkit.Trainer(progress=False, epochs=1).fit(gnnkit.build_model("gcn", graph), graph).history


@pytest.mark.parametrize("model", [torch.nn.Linear, "gcn", None, communities(60)], ids=["class", "name", "no", "graph"])
def test_what_is_no_model_is_refused(model) -> None:
    with pytest.raises(ConfigError, match=r"fit\(model, graph\)"):
        gnnkit.Trainer(progress=False, epochs=1).fit(model, communities(60))


@pytest.mark.parametrize("model", [3, None, torch.nn.Linear, object()], ids=["number", "no", "class", "object"])
def test_what_names_no_model_is_refused(model) -> None:
    with pytest.raises(ConfigError, match="expected the name of one"):
        gnnkit.build_model(model, communities(60))


@pytest.mark.parametrize("device", [torch.device("cpu"), torch.device("cpu", 0), "cpu:0", "cpu"], ids=str)
def test_devices_of_torch_are_devices(device) -> None:
    graph = communities(60)
    result = gnnkit.Trainer(device=device, progress=False, epochs=1).fit(gnnkit.build_model("gcn", graph), graph)
    assert result.device == "cpu"
    assert gnnkit.devices.load_device(device).name == "cpu"


@pytest.mark.parametrize("device", [torch.device("cuda", 1), "cuda:3"], ids=str)
def test_another_gpu_is_asked_for_by_the_environment(device) -> None:
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES=[13]"):
        gnnkit.Trainer(device=device)


@pytest.mark.parametrize(
    ("device", "error"), [(0, ConfigError), (None, ConfigError), (torch.device("mps"), UnknownNameError)]
)
def test_what_is_no_device_is_refused(device, error) -> None:
    graph = communities(60)
    with pytest.raises(error, match="cpu"):
        gnnkit.Trainer(device=device, progress=False).fit(gnnkit.build_model("gcn", graph), graph)


@pytest.mark.parametrize("backend", [3, torch, object], ids=["number", "module", "class"])
def test_what_is_no_backend_is_refused(backend) -> None:
    graph = communities(60)
    model = gnnkit.build_model("gcn", graph)
    for take in (
        lambda: gnnkit.Trainer(backend, progress=False).fit(model, graph),
        lambda: gnnkit.build_model("gcn", graph, backend=backend),
        lambda: compare(model, graph, ["reference", backend]),
    ):
        with pytest.raises(GnnkitError, match="expected a name such as 'pyg'"):
            take()


@pytest.mark.parametrize("seed", [None, 1.5, float("nan"), "3", [1]], ids=str)
def test_a_seed_is_a_whole_number(seed) -> None:
    with pytest.raises(ConfigError, match="seed is .*expected one whole number"):
        gnnkit.Trainer(seed=seed)
    with pytest.raises(ConfigError, match="seed is .*expected one whole number"):
        gnnkit.build_model("gcn", communities(60), seed=seed)
    assert gnnkit.Trainer(seed=np.int64(3)).seed == 3
