"""From your own tables to predictions: two CSV files in, one out.

Without a folder of yours, one is written first: 1,797 handwritten digits, each linked to those that look like it, of
which three in ten are unlabelled. Then a model learns from the labelled ones and names the others.

    python examples/bring_your_own_data.py
    python examples/bring_your_own_data.py --folder path/to/your/folder     # with nodes.csv and edges.csv

The same from the shell:

    gnnkit run --dataset path/to/your/folder --model sage --run-dir runs/mine
    gnnkit predict runs/mine --output predictions.csv
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from common import EpochLines, launch, options, out_folder

import gnnkit
from gnnkit.data import IGNORED_LABEL, summarize
from gnnkit.datasets import load_node_names
from gnnkit.errors import ConfigError
from gnnkit.inference import NodeIds, open_run, write_predictions

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_tables(folder: Path, seed: int) -> Dict[str, str]:
    """Write ``nodes.csv`` and ``edges.csv``; returns the classes that the file does not tell, by id."""
    digits = gnnkit.load_dataset("digits")
    assert digits.x is not None and digits.y is not None
    ids = [f"image-{number:04}" for number in range(digits.num_nodes)]
    words = [WORDS[label] for label in digits.y.tolist()]
    is_hidden = np.random.default_rng(seed).random(digits.num_nodes) < 0.3
    if folder.exists():
        raise ConfigError(f"{folder} exists. Give another folder with --out, or these tables with --folder.")
    folder.mkdir(parents=True)
    with (folder / "nodes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", *(f"pixel_{i}" for i in range(digits.num_features))])
        for name, word, hidden, pixels in zip(ids, words, is_hidden, digits.x.tolist()):
            rows.writerow([name, "" if hidden else word, *pixels])
    with (folder / "edges.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "target"])
        rows.writerows((ids[source], ids[target]) for source, target in zip(digits.indices, digits.dst))
    return {name: word for name, word, hidden in zip(ids, words, is_hidden) if hidden}


def read_classes(file: Path) -> Dict[str, str]:
    """The predicted class of every node in a file of predictions."""
    with file.open(newline="") as stream:
        return {row["node"]: row["class_name"] for row in csv.DictReader(stream)}


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Write tables if need be, train, predict; returns test accuracy, and that of the predictions if it is known."""
    parser = options(__doc__ or "", dataset=None)
    parser.add_argument("--folder", type=Path, help="your own nodes.csv and edges.csv  [default: digits are written]")
    given = parser.parse_args(argv)
    out = out_folder(given, "own_data")
    folder: Path = given.folder or out / "tables"
    hidden = write_tables(folder, given.seed) if given.folder is None else {}

    # Ids, class names and the split come from the tables; labelled nodes are split 60/20/20 if they have no split.
    graph = gnnkit.load_dataset(str(folder.resolve()), seed=given.seed)
    for topic, words in summarize(graph).items():
        print(f"{topic}: {words}")
    model = gnnkit.build_model("sage", graph, backend=given.backend, seed=given.seed)
    epochs = given.epochs or 60
    run_dir = out / "run"
    trainer = gnnkit.Trainer(
        device=given.device, seed=given.seed, epochs=epochs, run_dir=run_dir, callbacks=[EpochLines()]
    )
    result = trainer.fit(model, graph)
    print(f"test {result.metric} {result.test[result.metric]:.4f}")

    run = open_run(run_dir, graph=graph, device=given.device)
    assert graph.y is not None
    unlabelled = torch.nonzero(graph.y == IGNORED_LABEL).flatten()
    predictions = run.predict(unlabelled)
    ids = NodeIds.of(graph, load_node_names(str(folder.resolve())))
    file = out / "predictions.csv"
    write_predictions(predictions, file, ids=ids)
    print(f"{len(predictions):,} nodes without a label: {file}")
    found = read_classes(file)
    first: List[str] = [f"{name} is {word}" for name, word in list(found.items())[:3]]
    print("; ".join(first))
    right = sum(found[name] == word for name, word in hidden.items()) / len(hidden) if hidden else None
    if right is not None:
        print(f"{right:.1%} of them are right")
    return {"test": result.test[result.metric], "predicted": right}


if __name__ == "__main__":
    launch(main)
