"""Links between drugs: a GraphSAGE with learnt embeddings on ogbl-ddi, after the Open Graph Benchmark's own example.

Nothing is known about the 4,267 drugs but which of them interact, so an embedding of each is learnt with the model,
and a multi-layer perceptron scores pairs by the product of both embeddings. The score is the benchmark's: the share of
pairs that score higher than all but 19 of the negatives, which come with the data. Sampled neighbours take the place of
the document's whole graph, and the learning rate falls to 0, so that fewer epochs are enough.

    python examples/ogbl_ddi.py                     # the data in GNNKIT_DATA; needs pip install 'gnnkit[ogb]'
    python examples/ogbl_ddi.py --backend dgl --epochs 30
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder

import gnnkit

EPOCHS = 70
WIDTH = 256


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Train; returns the scores of the best model and the mean seconds of an epoch."""
    given = options(__doc__ or "", dataset="ogbl-ddi").parse_args(argv)
    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    print(graph)
    folder = out_folder(given, "ogbl_ddi")
    model = gnnkit.build_model(
        "sage",
        graph,
        seed=given.seed,
        embedding_channels=WIDTH,
        hidden_channels=WIDTH,
        out_channels=WIDTH,
        dropout=0.5,
    )
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=folder,
        callbacks=[EpochLines()],
        task="link_prediction",
        task_options={"head": "mlp", "head_channels": WIDTH, "corrupt": "both"},
        fanouts=[10, 10],
        batch_size=65536,  # Pairs; each has one negative.
        lr=0.005,
        schedule="cosine",
        clip_norm=1.0,
        epochs=given.epochs or EPOCHS,
        eval_every=5,
    )
    result = trainer.fit(model, graph)
    metric = result.metric
    print(f"best epoch {result.best_epoch}: valid {metric} {result.valid[metric]:.4f}, test {result.test[metric]:.4f}")
    print(f"run folder {folder}")
    return {"valid": result.valid[metric], "test": result.test[metric], "seconds": result.seconds_per_epoch}


if __name__ == "__main__":
    launch(main)
