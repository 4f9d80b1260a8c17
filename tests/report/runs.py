"""Short trainings to report on."""

from __future__ import annotations

from pathlib import Path

import gnnkit
from gnnkit.train import Callback
from tests.graphs import communities


def train(folder: Path, graph=None, model: str = "gcn", callbacks=(), **settings) -> Path:
    graph = communities(120) if graph is None else graph
    settings = {"epochs": 4, **settings}
    trainer = gnnkit.Trainer(device="cpu", run_dir=folder, progress=False, callbacks=callbacks, **settings)
    trainer.fit(gnnkit.build_model(model, graph), graph)
    return folder


class StopAfter(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, record) -> None:
        if record.epoch == self.epoch:
            raise KeyboardInterrupt
