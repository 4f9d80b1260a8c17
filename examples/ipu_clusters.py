"""Cluster-GCN on a large graph: parts of it as batches of one size, on any backend and on an IPU.

The graph is cut into parts with few edges between them; a batch is a few of these, drawn anew in every epoch, with all
edges inside (Chiang et al., 2019). On an IPU, or its emulator, all batches have the
size of the largest, so that there are two programs: one that trains on parts, one that evaluates the whole graph.

    python examples/ipu_clusters.py --backend ipu --dataset facebook_large --data-dir FOLDER
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder

import gnnkit


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, float]:
    """Train on parts of the graph; test metrics by name."""
    parser = options(__doc__ or "", backend="ipu")
    parser.add_argument("--clusters", type=int, default=64, help="parts of the graph  [default: %(default)s]")
    parser.add_argument("--per-batch", type=int, default=4, help="parts in a batch  [default: %(default)s]")
    parser.add_argument("--partition", default="grown", help="how it is cut: grown or metis  [default: %(default)s]")
    given = parser.parse_args(argv)

    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir)
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        clusters=given.clusters,
        clusters_per_batch=given.per_batch,
        partition=given.partition,
        epochs=given.epochs or 20,
        seed=given.seed,
        run_dir=out_folder(given, "ipu_clusters"),
        callbacks=[EpochLines()],
        progress=False,
    )
    result = trainer.fit(gnnkit.build_model("sage", graph, seed=given.seed), graph)
    print(f"test accuracy {result.test['accuracy']:.4f}")
    return dict(result.test)


if __name__ == "__main__":
    launch(main)
