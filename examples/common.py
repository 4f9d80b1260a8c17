"""What the examples share: their options, and a line for every epoch."""

from __future__ import annotations

import argparse
from pathlib import Path

from gnnkit.train import Callback, EpochRecord


def options(doc: str, *, dataset: str, out: str) -> argparse.ArgumentParser:
    """A parser with the options that every example has.

    Args:
        doc: The docstring of the example.
        dataset: The data set that it takes if it is told nothing.
        out: Where it writes.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default=dataset, help="see 'gnnkit datasets'  [default: %(default)s]")
    parser.add_argument("--data-dir", help="where its files are looked for first")
    parser.add_argument("--backend", default="reference", help="see 'gnnkit backends'  [default: %(default)s]")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, or a plugin's  [default: %(default)s]")
    parser.add_argument("--epochs", type=int, help="passes over the training nodes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for what is written  [default: %(default)s]")
    return parser


class EpochLines(Callback):
    """Prints loss, validation metric and time of every epoch."""

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`gnnkit.train.Callback`."""
        valid = "" if record.valid_metric is None else f"  validation {record.valid_metric:.4f}"
        print(f"epoch {record.epoch:3}  loss {record.train_loss:.4f}{valid}  {record.seconds:.2f} s", flush=True)
