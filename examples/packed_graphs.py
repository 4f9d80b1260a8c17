"""Whole graphs on an IPU: graphs are packed into bins of one size, and a GIN learns their classes.

An IPU takes batches of one shape. Each graph in a batch of its own would be padded to the largest; bins that several
graphs share waste little. Without an IPU the emulator runs the same program on the CPU.

    python examples/packed_graphs.py                                        # small graphs that come with gnnkit
    python examples/packed_graphs.py --dataset TU-MUTAG --data-dir DIR      # molecules, mutagenic or not
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder

import gnnkit
from gnnkit.loading import pad_to_maximum, propose_bins

BATCH_SIZE = 16


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Pack, train; returns shares of node slots that are filled, and the test accuracy."""
    parser = options(__doc__ or "", dataset="motifs", backend="ipu")
    parser.set_defaults(device="ipu-emulator")
    given = parser.parse_args(argv)
    graphs = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    print(graphs)

    alone, packed = pad_to_maximum(graphs), propose_bins(graphs, graphs_per_bin=BATCH_SIZE)
    nodes, edges = packed.spec.num_nodes[0], packed.spec.num_edges[0]
    print(f"one graph a batch:  {len(alone.bins):5} batches, {alone.efficiency:.1%} of the node slots filled")
    print(f"packed into bins:   {len(packed.bins):5} batches, {packed.efficiency:.1%} filled", end="")
    print(f"; {nodes} nodes, {edges} edges and {packed.spec.num_graphs} graphs a bin")

    model = gnnkit.build_model(
        "gin", graphs, seed=given.seed, pooling="sum", norm="batch", num_layers=4, hidden_channels=64, dropout=0.3
    )
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=out_folder(given, "packed_graphs"),
        callbacks=[EpochLines()],
        task="graph_classification",
        batch_size=BATCH_SIZE,  # Graphs in a bin, on average.
        packing="always",
        lr=0.005,
        epochs=given.epochs or 20,
    )
    result = trainer.fit(model, graphs)
    print(f"best epoch {result.best_epoch}: test accuracy {result.test['accuracy']:.4f}")
    print(f"run folder {result.run_dir}")
    return {"alone": alone.efficiency, "packed": packed.efficiency, "test": result.test["accuracy"]}


if __name__ == "__main__":
    launch(main)
