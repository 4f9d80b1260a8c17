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
    *(pairs(backend, "sage") for backend in installed_backends("sage", "cpu")),
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


def compare(cases: list[dict], num: int, folder: Path, tolerance: float = 1e-5) -> None:
    """Train all cases in one process, and in several, and hold the numbers side by side."""
    (folder / "cases.json").write_text(json.dumps(cases))
    ended = torchrun(num, Path(job.__file__), str(folder / "cases.json"), str(folder / "found.pt"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    everyone = torch.load(folder / "found.pt", weights_only=False)
    assert len(everyone) == num
    for number, wanted in enumerate(cases):
        one, found = job.train(wanted), [each[number] for each in everyone]
        first, name = found[0], f"{number}: {wanted}"
        assert first["losses"] == pytest.approx(one["losses"], abs=tolerance, rel=tolerance), name
        assert first["valid"] == pytest.approx(one["valid"], abs=1e-3), name
        assert first["targets"] == one["targets"], name
        for key, value in one["weights"].items():
            assert torch.allclose(first["weights"][key], value, atol=tolerance, rtol=tolerance), (name, key)
            assert all(torch.equal(each["weights"][key], first["weights"][key]) for each in found), (name, key)
        assert [each["epochs"] for each in found] == [one["epochs"], *[0] * (num - 1)], name


@pytest.mark.long
@pytest.mark.parametrize("num", [2, 4])
def test_all_backends_and_models(num: int, tmp_path: Path) -> None:
    cases = []
    for backend in ("reference", "pyg", "dgl"):
        for model in ("gcn", "sage", "gat"):
            spec = {"input_dropout": 0.0, "attention_dropout": 0.0} if model == "gat" else {}
            cases.append(case(backend, model, {**SAMPLED, "epochs": 10, "fanouts": [5, 5]}, spec))
            # In float64, because scores by products do not depend on some of GAT's weights, which Adam then moves by
            # rounding alone.
            train = {"epochs": 4, "batch_size": 517, "fanouts": [5, 5], "weight_decay": 0.0, "precision": "float64"}
            cases.append(case(backend, model, train, {**spec, "out_channels": 16}, task="link_prediction"))
    compare(cases, num, tmp_path)


@pytest.mark.long
def test_with_dropout_the_result_is_as_good(tmp_path: Path) -> None:
    cases = [case("reference", "gcn", {"epochs": 20, "batch_size": 97, "fanouts": [-1, -1]}, {"dropout": 0.5})]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    ended = torchrun(2, Path(job.__file__), str(tmp_path / "cases.json"), str(tmp_path / "found.pt"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    (found,) = torch.load(tmp_path / "found.pt", weights_only=False)[0]
    assert found["test"]["accuracy"] == pytest.approx(job.train(cases[0])["test"]["accuracy"], abs=0.03)
