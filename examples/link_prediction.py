"""Recommending links: pairs are split off the edges, a GCN learns which pairs have one, and each node gets new ones.

Heuristics that learn nothing are judged on the same pairs, so that it can be seen what learning is worth.

    python examples/link_prediction.py                              # images of digits, which come with gnnkit
    python examples/link_prediction.py --dataset facebook_large --backend pyg
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder
from torch import Tensor

import gnnkit
from gnnkit.data import Graph, check_leaks, split_edges
from gnnkit.inference import open_run
from gnnkit.train import judge_heuristic

HEURISTICS = ("common_neighbors", "adamic_adar", "resource_allocation")
METRICS = ["auc", "average_precision", "hits@50"]
RECOMMENDED = 5


def line(name: str, scores: Dict[str, float]) -> str:
    """A line of a table."""
    return f"{name:20}" + "".join(f"  {metric} {scores[metric]:.4f}" for metric in METRICS)


def recommend(run_dir: Path, graph: Graph, device: str) -> Tensor:
    """The nodes that each node is most likely to be linked to, without those that it is linked to. [N, RECOMMENDED]."""
    run = open_run(run_dir, graph=graph, device=device)
    found = run.recommend(k=RECOMMENDED)
    for node in (0, 1, 2):
        best = zip(found.ids[node].tolist(), found.scores[node].tolist())
        said = ", ".join(f"{i} ({score:.2f})" for i, score in best)
        print(f"node {node}: {said}")
    run.close()
    return found.ids


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Split, train, recommend; returns test metrics by model, and how alike recommended nodes are."""
    given = options(__doc__ or "").parse_args(argv)
    whole = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    graph = split_edges(whole, valid=0.05, test=0.1, seed=given.seed)
    print(f"{whole}\n{graph}\n{check_leaks(graph):,} pairs that are judged carry no message")

    judging = {"metrics": METRICS}
    found = {name: judge_heuristic(name, graph, task_options=judging).test for name in HEURISTICS}

    folder = out_folder(given, "link_prediction")
    model = gnnkit.build_model("gcn", graph, seed=given.seed, hidden_channels=128, out_channels=64, dropout=0.0)
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=folder,
        callbacks=[EpochLines()],
        task="link_prediction",
        task_options={**judging, "num_negatives": 4, "loss": "softmax"},
        fanouts=[10, 10],
        batch_size=1024,  # Pairs.
        lr=0.005,
        epochs=given.epochs or 20,
    )
    found["gcn"] = trainer.fit(model, graph).test
    for name, scores in found.items():
        print(line(name, scores))

    alike = None
    ids = recommend(folder, graph, given.device)
    if whole.y is not None and whole.y.ndim == 1:
        alike = float((whole.y[ids] == whole.y[:, None])[ids >= 0].float().mean())
        print(f"{alike:.1%} of all recommended nodes have the label of the node that they are recommended to")
    return {"test": found, "alike": alike}


if __name__ == "__main__":
    launch(main)
