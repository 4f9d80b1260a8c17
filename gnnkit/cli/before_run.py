"""``gnnkit run --dry-run``, ``--find-batch-size`` and ``--find-lr``: what can be known before a run.

Rules: nothing is trained and no run folder is written. The configuration is that of the run, checked in the same way.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

import typer

from gnnkit.cli.options import options_of, takes
from gnnkit.cli.output import output_file, print_json, print_table
from gnnkit.errors import ConfigError

if TYPE_CHECKING:
    from gnnkit.measure import DryRun, FoundBatchSize, LearningRates, SizeTried
    from gnnkit.train import RunConfig


@dataclass(frozen=True)
class BeforeRun:
    """What to look at before a run: options of ``gnnkit run``."""

    dry_run: bool = typer.Option(False, "--dry-run", help="Do not train; show layers, batches, memory and time.")
    find_batch_size: bool = typer.Option(
        False, "--find-batch-size", help="Do not train; find the largest batch size that fits into memory."
    )
    memory: Optional[str] = typer.Option(
        None, metavar="SIZE", help="Memory for --find-batch-size: 4GB.  [default: 80% of the free memory]"
    )
    find_lr: bool = typer.Option(False, "--find-lr", help="Do not train; find a learning rate with a range test.")
    picture: Optional[str] = typer.Option(None, metavar="FILE", help="Picture of --find-lr.  [default: lr.png]")

    @property
    def option(self) -> Optional[str]:
        """The one that is asked for; None if a run is.

        Raises:
            ConfigError: Several are, or an option has nothing to say.
        """
        asked = [name for name in ("dry_run", "find_batch_size", "find_lr") if getattr(self, name)]
        names = [f"--{name.replace('_', '-')}" for name in asked]
        if len(names) > 1:
            raise ConfigError(f"{' and '.join(names)} exclude each other. Give one of them.")
        for name, value, owner in (
            ("--memory", self.memory, "--find-batch-size"),
            ("--picture", self.picture, "--find-lr"),
        ):
            if value is not None and names != [owner]:
                raise ConfigError(f"{name} is for {owner}. Give that as well, or leave {name} out.")
        return names[0] if names else None


takes_before_run = takes("before", options_of(BeforeRun), BeforeRun)
"""Makes a command whose parameter ``before`` is the record of these options."""


def look_before(config: RunConfig, before: BeforeRun, folds: Optional[int], json: bool) -> None:
    """Do what an option asks for in the place of a run.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        before: The options.
        folds: As for ``gnnkit run``; the first fold is looked at.
        json: Whether to print a line of JSON instead of tables.

    Raises:
        ConfigError: The model is a heuristic, or a value cannot be used.
    """
    from gnnkit.engine.heuristics import is_heuristic

    if is_heuristic(config.model.name):
        raise ConfigError(
            f"{before.option} has no effect: model {config.model.name!r} is a heuristic and learns nothing."
        )
    if folds is not None:
        config = replace(config, task_options={**config.task_options, "folds": folds, "fold": 0})
    if before.dry_run:
        _dry_run(config, json)
    elif before.find_batch_size:
        _find_batch_size(config, None if before.memory is None else num_bytes(before.memory), json)
    else:
        _find_lr(config, output_file(Path(before.picture or "lr.png")), json)


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def num_bytes(text: str) -> int:
    """Bytes that a user means, such as ``4GB`` or ``512 MiB``.

    Raises:
        ConfigError: It is no such size.

    Example:
        >>> num_bytes("4GB"), num_bytes("1.5 KiB")
        (4000000000, 1536)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text.strip())
    size = 0 if found is None or found[2].upper() not in _UNITS else int(float(found[1]) * _UNITS[found[2].upper()])
    if size < 1:
        raise ConfigError(f"--memory is {text!r}, expected a size such as 4GB, 512MB or 2GiB.")
    return size


def _dry_run(config: RunConfig, json: bool) -> None:
    from gnnkit.devices.resident import forget_peak
    from gnnkit.measure import dry_run
    from gnnkit.train.assembling import assemble

    parts = assemble(replace(config, run_dir=None))
    forget_peak()  # A data set that was read for the first time took more than the run will, which has it in the cache.
    found = dry_run(*parts)
    if json:
        print_json(found.to_dict())
    else:
        _show_dry_run(found)


def _show_dry_run(found: DryRun) -> None:
    print(f"{found.title}, {found.task}")
    rows = [[layer.name, layer.kind, _shape(layer.shape), f"{layer.num_parameters:,}"] for layer in found.layers]
    rows.append(["together", "", "", f"{found.num_parameters:,}"])
    print_table("Layers", ["", "kind", "output of the largest batch", "parameters"], rows)
    size = "" if found.batch_size is None else f", {found.batch_size:,} {found.targets} a batch"
    edges = ", ".join(f"{num:,}" for num in found.largest.num_edges)
    nodes = ", ".join(f"{num:,}" for num in found.largest.num_nodes)
    print_table(
        "Batches",
        ["", ""],
        [
            ["kind", f"{found.loading}{size}"],
            ["an epoch", f"{found.batches_per_epoch:,}, {found.num_targets:,} {found.targets}"],
            ["largest", f"nodes {nodes}; edges {edges}"],
        ],
    )
    _show_memory(found)
    _show_time(found)


def _shape(shape: Optional[Tuple[int, ...]]) -> str:
    return "" if shape is None else " x ".join(f"{size:,}" for size in shape)


_PARTS: Dict[str, Tuple[str, str]] = {
    "graph": ("graph and features", "counted"),
    "parameters": ("weights", "counted"),
    "gradients": ("gradients", "counted"),
    "optimizer": ("optimiser's state", "counted"),
    "activations": ("activations of the largest batch", "counted in a step"),
    "batches": ("batches in the loader's hand", "counted"),
    "evaluation": ("evaluation", "measured"),
    "process": ("process: libraries, workspaces, kept memory", "what remains"),
    "total": ("peak resident memory", "measured"),
}


def _show_memory(found: DryRun) -> None:
    rows = []
    for name, (words, how) in _PARTS.items():
        size = getattr(found.memory, name)
        known = [f"{size:,}", f"{size / 2**20:,.1f}"] if size is not None else ["", ""]
        rows.append([words, *known, how if size is not None else "not known on this device"])
    for name, size in found.memory.device.items():
        rows.append([f"device: {name.replace('_', ' ')}", f"{size:,}", f"{size / 2**20:,.1f}", "measured"])
    print_table("Memory", ["", "bytes", "MiB", "how it is known"], rows)


def _show_time(found: DryRun) -> None:
    rows = [
        ["a step", f"{_seconds(found.step_seconds)}, median of {found.batches}"],
        ["a batch with loading", _seconds(found.batch_seconds)],
        ["the batches of an epoch", _seconds(found.batches_per_epoch * found.batch_seconds)],
    ]
    if found.evaluation_seconds is not None:
        words = "" if found.is_complete else ", extrapolated"
        rows.append(["an evaluation", f"{_seconds(found.evaluation_seconds)}{words}"])
    rows.append(["an epoch", _seconds(found.epoch_seconds)])
    rows.append([f"{found.epochs:,} epochs", _seconds(found.epochs * found.epoch_seconds)])
    print_table("Time", ["", ""], rows)


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:,.1f} ms"
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _find_batch_size(config: RunConfig, memory: Optional[int], json: bool) -> None:
    from gnnkit.measure import find_batch_size

    found = find_batch_size(config, memory=memory, report=_report)
    if json:
        print_json(found.to_dict())
    else:
        _show_batch_size(found)


def _report(tried: SizeTried) -> None:
    words = "too large" if tried.num_bytes is None else f"{tried.num_bytes / 2**20:,.0f} MiB"
    print(f"batch size {tried.batch_size:,}: {words}", file=sys.stderr, flush=True)


def _show_batch_size(found: FoundBatchSize) -> None:
    rows: List[List[str]] = []
    for each in found.tried:
        if each.num_bytes is None or each.batch_seconds is None or each.target_seconds is None:
            rows.append([f"{each.batch_size:,}", "too large", "", ""])
            continue
        times = [_seconds(each.batch_seconds), f"{each.target_seconds * 1e6:,.1f}"]
        rows.append([f"{each.batch_size:,}", f"{each.num_bytes / 2**20:,.0f}", *times])
    print_table(
        f"Batch sizes within {found.limit / 2**20:,.0f} MiB",
        ["batch size", "peak in MiB", "a batch", "microseconds a target"],
        rows,
    )
    if found.batch_size == found.num_targets:
        print("  all training targets fit into one batch")
    print(f"  use:  train.batch_size={found.batch_size}")
    if found.evaluation_bytes is None:
        print("  but evaluating goes beyond the limit: lower train.eval_batch_size or train.eval_memory")


def _find_lr(config: RunConfig, picture: Path, json: bool) -> None:
    from gnnkit.measure import find_lr
    from gnnkit.measure.learning_rate import plot_rates
    from gnnkit.train.assembling import assemble

    found = find_lr(*assemble(replace(config, run_dir=None)))
    plot_rates(found, picture)
    if json:
        print_json({**found.to_dict(), "picture": str(picture)})
    else:
        _show_lr(found, picture)


_ROWS = 16
"""Rows of the table of learning rates."""


def _show_lr(found: LearningRates, picture: Path) -> None:
    num = len(found.rates)
    shown = sorted({i * (num - 1) // (_ROWS - 1) for i in range(_ROWS)})
    rows = [[f"{found.rates[i]:.2e}", f"{found.losses[i]:.4f}", f"{found.smoothed[i]:.4f}"] for i in shown]
    print_table(f"Learning rates, {num} batches", ["learning rate", "loss", "smoothed"], rows)
    if found.exploded:
        print(f"  ended at {found.rates[-1]:.2e}: the loss is four times its smallest, or no number")
    if found.lr is None:
        print("  the loss never falls, so that no learning rate can be proposed")
    else:
        print(f"  use:      train.lr={found.lr:.2g}, where the loss falls fastest")
    print(f"  picture:  {picture}")
