"""``gnnkit predict --smiles`` with a model of solubility (ESOL, Delaney 2004)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.commands import answer, gnnkit_here

pytest.importorskip("rdkit")
pytest.importorskip("gnnkit.datasets.smiles")


@pytest.fixture(scope="module")
def home(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = data_dir / "esol" / "delaney-processed.csv"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    home = tmp_path_factory.mktemp("esol")
    options = [f"dataset.options.file={file}", "dataset.options.targets=[measured log solubility in mols per litre]"]
    train = ["--task", "graph_regression", "--model", "gine", "--epochs", "1", "--device", "cpu", "--run-dir", "run"]
    done = gnnkit_here("run", "--dataset", "molecules", *options, *train, cwd=home)
    assert done.returncode == 0, done.stderr
    pd.read_csv(file)[["smiles"]].to_csv(home / "all.csv", index=False)
    return home


def test_molecules_of_a_file_are_those_of_the_data(home: Path) -> None:
    assert answer(gnnkit_here("predict", "run", "--output", "data.csv", "--json", cwd=home))["graphs"] == 1128
    told = answer(gnnkit_here("predict", "run", "--smiles", "all.csv", "--output", "s.csv", "--json", cwd=home))
    assert told["graphs"] == 1128 and "skipped" not in told
    data, found = pd.read_csv(home / "data.csv"), pd.read_csv(home / "s.csv")
    name = found.columns[-1]
    assert list(found.columns) == ["graph", "name", name] and f"true_{name}" in data.columns
    assert (data[name] - found[name]).abs().max() < 1e-4 and data["name"].tolist() == found["name"].tolist()


def test_what_cannot_be_read(home: Path) -> None:
    typed = ["--smiles", "CCO", "--smiles", "C1C", "--smiles", "C", "--output", "few.csv", "--json"]
    done = gnnkit_here("predict", "run", *typed, cwd=home)
    assert done.returncode == 2 and "row 1: 'C1C'" in done.stderr and not (home / "few.csv").exists()
    done = gnnkit_here("predict", "run", *typed, "--skip-invalid", cwd=home)
    told = answer(done)
    assert told["graphs"] == 2 and list(told["skipped"]) == ["1"] and "1 of 3 SMILES" in done.stderr
    assert pd.read_csv(home / "few.csv")["graph"].tolist() == [0, 2]
    told = answer(gnnkit_here("embed", "run", "--smiles", "CCO", "--output", "e.npy", "--json", cwd=home))
    assert told["graphs"] == 1
