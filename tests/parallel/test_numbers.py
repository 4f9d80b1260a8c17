"""Several processes give the numbers of one: losses, weights, counts, evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import installed_backends
from tests.parallel import job
from tests.parallel.launching import torchrun

NO_DROPOUT = {"hidden_channels": 8, "num_layers": 2, "dropout": 0.0}
LINKS = {"task": "link_prediction", "data": {"name": "karate"}}
NODES = {"data": {"name": "digits"}}
SAMPLED = {"epochs": 3, "batch_size": 97, "fanouts": [3, 3]}  # 1,078 nodes: the last batch has 11.


def case(backend: str, model: str, train: dict, spec: dict | None = None, **more: object) -> dict:
    spec = {**NO_DROPOUT, **({"input_dropout": 0.0} if model == "gcn" else {}), **(spec or {})}
    return {**NODES, "backend": backend, "model": model, "spec": spec, "train": train, **more}


def pairs(backend: str, model: str, **options: object) -> dict:
    train = {"epochs": 3, "batch_size": 25, "fanouts": [3, 3], "weight_decay": 0.0}
    return {**case(backend, model, train, {"out_channels": 8}), **LINKS, "options": options or None}


CASES = [
    *(case(backend, "gcn", SAMPLED) for backend in installed_backends("gcn", "cpu")),
    pairs("reference", "sage"),
    # Shares of which most are empty: 4 training nodes in batches of 3.
    case("reference", "sage", {"epochs": 4, "batch_size": 3, "fanouts": [2, 2]}, data={"name": "karate"}),
    # What a loss is a mean over is no number of targets here.
    case("reference", "sage", SAMPLED, options={"class_weights": [float(1 + i % 3) for i in range(10)]}),
    case("reference", "gcn", {**SAMPLED, "accumulate": 3, "clip_norm": 0.1, "average": 0.9}),
    case("reference", "sage", {**SAMPLED, "evaluation": "sampled", "eval_fanouts": [4, 4], "optimizer": "sgd"}),
    pairs("reference", "gcn", negatives="in_batch", num_negatives=3),
]


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    compare(CASES, 2, tmp_path)


def trained(cases: list[dict], num: int, folder: Path) -> list[list[dict]]:
    """What each of so many processes, which torchrun has started, has found of every case."""
    (folder / "cases.json").write_text(json.dumps(cases))
    ended = torchrun(num, Path(job.__file__), str(folder / "cases.json"), str(folder / "found.pt"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    everyone = torch.load(folder / "found.pt", weights_only=False)
    assert len(everyone) == num
    return everyone


def compare(cases: list[dict], num: int, folder: Path, tolerance: float = 1e-5) -> None:
    """Train all cases in one process, and in several, and hold the numbers side by side."""
    everyone = trained(cases, num, folder)
    for number, wanted in enumerate(cases):
        hold(job.train(wanted), [each[number] for each in everyone], f"{number}: {wanted}", tolerance)


def hold(one: dict, found: list[dict], name: str, tolerance: float) -> None:
    """Hold the numbers of several processes beside those of one."""
    first = found[0]
    assert first["losses"] == pytest.approx(one["losses"], abs=tolerance, rel=tolerance), name
    assert first["valid"] == pytest.approx(one["valid"], abs=1e-3), name
    assert first["targets"] == one["targets"], name
    for key, value in one["weights"].items():
        assert torch.allclose(first["weights"][key], value, atol=tolerance, rtol=tolerance), (name, key)
        assert all(torch.equal(each["weights"][key], first["weights"][key]) for each in found), (name, key)
    assert [each["epochs"] for each in found] == [one["epochs"], *[0] * (len(found) - 1)], name


@pytest.mark.long
@pytest.mark.parametrize("num", [2, 4])
def test_all_backends_and_models(num: int, tmp_path: Path) -> None:
    cases = []
    for backend in ("reference", "pyg", "dgl"):
        for model in ("gcn", "sage", "gat"):
            spec = {"input_dropout": 0.0, "attention_dropout": 0.0} if model == "gat" else {}
            # In float64, because some weights change no score: of GAT's attention, and before scores by products. Their
            # gradients are rounding, of which Adam makes whole steps.
            precision = "float64" if model == "gat" else "float32"
            train = {**SAMPLED, "epochs": 10, "fanouts": [5, 5], "precision": precision}
            cases.append(case(backend, model, train, spec))
            train = {"epochs": 4, "batch_size": 517, "fanouts": [5, 5], "weight_decay": 0.0, "precision": "float64"}
            cases.append(case(backend, model, train, {**spec, "out_channels": 16}, task="link_prediction"))
    compare(cases, num, tmp_path)


def dropping(backend: str, model: str, task: str, precision: str = "float32") -> dict:
    """The parity matrix's settings, with dropout between layers."""
    spec = {"hidden_channels": 16, "dropout": 0.5, "input_dropout": 0.0, "out_channels": 16}
    spec.update({"heads": 1, "attention_dropout": 0.0} if model == "gat" else {})
    if task == "node_classification":
        del spec["out_channels"]
    train = {"epochs": 6, "batch_size": 256, "fanouts": [5, 5], "precision": precision}
    return {**NODES, "backend": backend, "model": model, "task": task, "spec": spec, "train": train}


@pytest.mark.long
def test_with_dropout_processes_leave_out_the_same(tmp_path: Path) -> None:
    """Against one process that is launched as well: launched processes draw dropout by node."""
    cases = []
    for backend in ("reference", "pyg", "dgl"):
        for model in ("gcn", "sage", "gat"):
            cases.append(dropping(backend, model, "node_classification"))
            # Weights are held in float64, see above.
            cases += [dropping(backend, model, "link_prediction", each) for each in ("float32", "float64")]
    alone = trained(cases, 1, tmp_path)[0]
    for num in (2, 4):
        everyone = trained(cases, num, tmp_path)
        for number, wanted in enumerate(cases):
            one, several = alone[number], [each[number] for each in everyone]
            far = max(abs(a - b) for a, b in zip(one["losses"], several[0]["losses"]))
            print(num, wanted["backend"], wanted["model"], wanted["task"], wanted["train"]["precision"], f"{far:.1e}")
            assert far < 1e-3, wanted
            if (wanted["model"], wanted["task"]) == ("sage", "node_classification") or "64" in wanted["train"][
                "precision"
            ]:
                hold(one, several, f"{number}: {wanted}", 1e-5)
