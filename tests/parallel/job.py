"""What the tests of several processes start: trains every case of a file, and keeps the results of the first process.

Start it by torchrun, or alone for the numbers of one process: ``job.py CASES.json OUTPUT.pt``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

import gnnkit
from gnnkit.parallel import join_world, leave_world
from gnnkit.runs import Callback


class Seen(Callback):
    """Counts epochs; only the first process may hear of them."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_epoch(self, record: Any) -> None:
        self.epochs += 1


def train(case: dict[str, Any]) -> dict[str, Any]:
    graph = gnnkit.load_dataset(**case["data"])
    task = case.get("task", "node_classification")
    model = gnnkit.build_model(case["model"], graph, **case["spec"])
    seen = Seen()
    trainer = gnnkit.Trainer(
        case["backend"], "cpu", task=task, task_options=case.get("options"), callbacks=[seen], **case["train"]
    )
    result = trainer.fit(model, graph)
    return {
        "losses": [record.train_loss for record in result.history],
        "valid": [record.valid_metric for record in result.history],
        "targets": [round(record.nodes_per_second * record.seconds) for record in result.history],
        "weights": result.model.canonical_state(),
        "test": result.test,
        "epochs": seen.epochs,
    }


def main() -> None:
    cases, output = sys.argv[1:]
    world = join_world()
    found = [train(case) for case in json.loads(Path(cases).read_text())]
    everyone = world.gathered(found)
    if world.is_first:
        torch.save(everyone, output)
    leave_world()


if __name__ == "__main__":
    main()
