"""A number of each molecule: a table of SMILES becomes graphs, and a GINE with bond features learns to predict it.

Without a table, one is written: small molecules with their octanol-water partition coefficient as RDKit's Crippen
estimates it, so that the example runs anywhere. Needs pip install 'gnnkit[molecules]'.

    python examples/molecules.py
    python examples/molecules.py --table delaney-processed.csv --target "measured log solubility in mols per litre"
"""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder

import gnnkit
from gnnkit.inference import open_run

TARGET = "logp"
FIRST = ("C", "O", "N", "F", "Cl", "OC(=O)", "N#C", "CO", "NC(=O)", "Br", "S")
LAST = ("C", "O", "N", "F", "Cl", "C(=O)O", "C#N", "OC", "C(=O)N", "Br", "S")
CORES = ("C", "CC", "CCC", "C=C", "C(C)C", "c1ccc(cc1)", "c1cccc(c1)", "C1CCC(CC1)", "c1ccnc(c1)", "CCCC")
ASKED = ("CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O")


def write_table(path: Path) -> None:
    """Write molecules made of two ends and a core, with the number that is to be learnt."""
    from rdkit import Chem
    from rdkit.Chem.Crippen import MolLogP

    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["smiles", TARGET])
        for parts in product(FIRST, CORES, LAST):
            molecule = Chem.MolFromSmiles("".join(parts))
            rows.writerow([Chem.MolToSmiles(molecule), f"{MolLogP(molecule):.4f}"])


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Read, train, predict; returns test metrics and the predictions of three molecules."""
    parser = options(__doc__ or "", dataset=None)
    parser.add_argument("--table", type=Path, help="CSV, TSV or Parquet with SMILES  [default: one that is written]")
    parser.add_argument("--target", default=TARGET, help="column to learn  [default: %(default)s]")
    parser.add_argument("--scaffolds", action="store_true", help="test on molecules of other scaffolds")
    given = parser.parse_args(argv)
    folder = out_folder(given, "molecules")
    table = given.table
    if table is None:
        table = folder.with_suffix(".csv")
        write_table(table)

    split = {"split_by": "scaffold"} if given.scaffolds else {}
    molecules = gnnkit.load_dataset("molecules", file=str(table), targets=[given.target], seed=given.seed, **split)
    print(molecules)

    model = gnnkit.build_model(
        "gine",  # Reads bonds.
        molecules,
        seed=given.seed,
        pooling="sum",
        norm="batch",
        num_layers=4,
        hidden_channels=64,
        dropout=0.0,
        head_layers=2,
    )
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=folder,
        callbacks=[EpochLines()],
        task="graph_regression",
        batch_size=32,
        lr=0.005,
        schedule="cosine",
        epochs=given.epochs or 100,
    )
    result = trainer.fit(model, molecules)
    print(f"best epoch {result.best_epoch}: test " + ", ".join(f"{k} {v:.4f}" for k, v in result.test.items()))

    run = open_run(folder, graph=molecules, device=given.device)
    predicted = run.predict(smiles=ASKED)
    run.close()
    for smiles, value in zip(predicted.names, predicted.outputs[:, 0].tolist()):
        print(f"{smiles:24} {value:.2f}")
    print(f"run folder {folder}")
    return {**result.test, "predicted": predicted.outputs[:, 0].tolist()}


if __name__ == "__main__":
    launch(main)
