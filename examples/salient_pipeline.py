"""A fast pipeline: features in half precision, batches prepared ahead in threads, inference in sampled batches.

The settings are those of SALIENT's GraphSAGE tutorial: three layers of width 256 with dropout 0.5, fan-outs of 15, 10
and 5, batches of 1,024, ten epochs; validation and test in batches with fan-outs of 20, 20 and 20. For ogbn-arxiv its
learning rate of 0.01 is the default, too; other data take 0.003. At the end every stage of a batch is timed.

    python examples/salient_pipeline.py                             # images of digits, which come with gnnkit
    python examples/salient_pipeline.py --dataset facebook_large --backend pyg
    python examples/salient_pipeline.py --dataset ogbn-arxiv        # needs pip install 'gnnkit[ogb]'
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Optional, Sequence

from common import EpochLines, launch, options, out_folder

import gnnkit
from gnnkit.data import Graph
from gnnkit.measure import Measurement, measure

FANOUTS, EVAL_FANOUTS = [15, 10, 5], [20, 20, 20]
BATCH_SIZE = 1024
EPOCHS = 10
LR = {"ogbn-arxiv": 0.01}


def in_half_precision(graph: Graph) -> Graph:
    """The same graph with half the bytes of features. Loaders widen what they read: the model computes in float32."""
    assert graph.x is not None
    before, after = graph.x, graph.x.half()
    print(f"features: {before.nbytes / 1e6:,.1f} MB as {before.dtype}, {after.nbytes / 1e6:,.1f} MB as {after.dtype}")
    return replace(graph, x=after)


def show_stages(found: Measurement) -> None:
    """Print where the time of a batch goes."""
    for stage, seconds in found.stages.items():
        print(f"  {stage:10} {1000 * seconds:8.2f} ms  {100 * seconds / found.serial_seconds:3.0f}%")
    print(f"  {'together':10} {1000 * found.serial_seconds:8.2f} ms, one after the other")
    waiting = f"{100 * found.waiting:.0f}% of it waiting for a batch; threads that prepare them: {found.threads}"
    print(f"  {'training':10} {1000 * found.seconds_per_batch:8.2f} ms, {waiting}")


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """Train, test, and time the stages; returns metrics, mean seconds of an epoch, and seconds by stage."""
    parser = options(__doc__ or "")
    parser.add_argument("--threads", type=int, help="threads that prepare batches  [default: as many as keep up]")
    parser.add_argument("--batches", type=int, default=20, help="batches to time at the end")
    given = parser.parse_args(argv)
    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    print(graph)
    graph = in_half_precision(graph)
    folder = out_folder(given, "salient_pipeline")
    model = gnnkit.build_model("sage", graph, seed=given.seed, hidden_channels=256, num_layers=3, dropout=0.5)
    trainer = gnnkit.Trainer(
        given.backend,
        given.device,
        seed=given.seed,
        run_dir=folder,
        callbacks=[EpochLines()],
        fanouts=FANOUTS,
        batch_size=BATCH_SIZE,
        num_threads=given.threads,
        prefetch=4,
        lr=LR.get(given.dataset, 0.003),
        weight_decay=0.0,
        epochs=given.epochs or EPOCHS,
        evaluation="sampled",
        eval_fanouts=EVAL_FANOUTS,
    )
    result = trainer.fit(model, graph)
    metric = result.metric
    print(f"best epoch {result.best_epoch}: test {metric} {result.test[metric]:.4f}; run folder {folder}")
    print("time of a batch by stage:")
    found = measure(trainer, model, graph, num_batches=given.batches)
    show_stages(found)
    return {"test": result.test[metric], "seconds": result.seconds_per_epoch, "stages": found.stages}


if __name__ == "__main__":
    launch(main)
