"""GraphSAGE with neighbour sampling: small batches, validation by the sampler, the best model saved.

The settings are those of DGL's tutorial on training with neighbour sampling: two layers of width 128, four neighbours a
layer, batches of 1,024. For ogbn-arxiv its learning rate, its ten epochs and training without dropout are the defaults
as well; other data have fewer nodes and get settings of their own.

    python examples/neighbor_sampling.py                            # images of digits, which come with gnnkit
    python examples/neighbor_sampling.py --dataset facebook_large --backend dgl
    python examples/neighbor_sampling.py --dataset ogbn-arxiv       # needs pip install 'gnnkit[ogb]'
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder

import gnnkit
from gnnkit.data import Graph
from gnnkit.loading import NeighborLoader
from gnnkit.sampling import NeighborSampler

FANOUTS = [4, 4]
BATCH_SIZE = 1024
DOCUMENT = {"lr": 0.001, "dropout": 0.0, "epochs": 10}  # For ogbn-arxiv.
SMALLER = {"lr": 0.01, "dropout": 0.5, "epochs": 20}


def show_batch(graph: Graph, seed: int) -> None:
    """Say what one batch is made of."""
    sampler = NeighborSampler(graph, FANOUTS, seed=seed)
    loader = NeighborLoader(graph, graph.splits["train"], sampler, batch_size=BATCH_SIZE, shuffle=True, seed=seed)
    batch = next(loader.epoch(0))
    for i, block in enumerate(batch.blocks):
        print(f"block {i}: {block.num_src:,} source nodes, {block.num_dst:,} destinations, {block.num_edges:,} edges")
    print(f"{len(batch.nodes):,} outputs need the features of {len(batch.x):,} nodes")


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Train; returns the metrics of the best model and the mean seconds of an epoch."""
    given = options(__doc__ or "").parse_args(argv)
    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    print(graph)
    show_batch(graph, given.seed)
    folder = out_folder(given, "neighbor_sampling")
    settings = DOCUMENT if given.dataset == "ogbn-arxiv" else SMALLER
    model = gnnkit.build_model("sage", graph, seed=given.seed, hidden_channels=128, dropout=settings["dropout"])
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=folder,  # Keeps the best model, among other things.
        callbacks=[EpochLines()],
        fanouts=FANOUTS,
        batch_size=BATCH_SIZE,
        lr=settings["lr"],
        weight_decay=0.0,
        epochs=given.epochs or settings["epochs"],
        evaluation="sampled",  # Validation and test take four neighbours a layer, too.
    )
    result = trainer.fit(model, graph)
    metric = result.metric
    print(f"best epoch {result.best_epoch}: test {metric} {result.test[metric]:.4f}; run folder {folder}")
    return {"valid": result.valid[metric], "test": result.test[metric], "seconds": result.seconds_per_epoch}


if __name__ == "__main__":
    launch(main)
