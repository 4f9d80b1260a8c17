"""What the examples share: their options, where they write, how they start, a line for every epoch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable, Optional

from gnnkit.errors import GnnkitError
from gnnkit.runs import EpochRecord, new_run_dir
from gnnkit.train import Callback


def options(
    doc: str, *, dataset: Optional[str] = "digits", backend: Optional[str] = "reference", seed: int = 0
) -> argparse.ArgumentParser:
    """A parser with the options that every example has.

    Args:
        doc: The docstring of the example.
        dataset: The data set that it takes if it is told nothing. None: it takes no data sets.
        backend: Likewise, the backend. None: there is no choice.
        seed: Likewise, the seed.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if dataset is not None:
        parser.add_argument("--dataset", default=dataset, help="see 'gnnkit datasets'  [default: %(default)s]")
        parser.add_argument("--data-dir", help="where its files are looked for first")
    if backend is not None:
        parser.add_argument("--backend", default=backend, help="see 'gnnkit backends'  [default: %(default)s]")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, or a plugin's  [default: %(default)s]")
    parser.add_argument("--epochs", type=int, help="passes over the training nodes")
    parser.add_argument("--seed", type=int, default=seed, help="[default: %(default)s]")
    parser.add_argument("--out", type=Path, help="folder for what is written  [default: a new one under runs/]")
    return parser


def out_folder(given: argparse.Namespace, example: str) -> Path:
    """Where an example writes."""
    out: Optional[Path] = given.out
    return new_run_dir(Path("runs"), example, given.backend) if out is None else out


def launch(main: Callable[[], object]) -> None:
    """Run an example from the shell: what gnnkit refuses is said in a line."""
    try:
        main()
    except GnnkitError as error:
        sys.exit(f"error: {error}")


class EpochLines(Callback):
    """Prints loss, validation metric and time of every epoch."""

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`gnnkit.train.Callback`."""
        valid = "" if record.valid_metric is None else f"  validation {record.valid_metric:.4f}"
        print(f"epoch {record.epoch:3}  loss {record.train_loss:.4f}{valid}  {record.seconds:.2f} s", flush=True)
