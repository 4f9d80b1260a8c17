"""The options of ``gnnkit run`` that say what to run, for every command that works on such a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

import typer

from gnnkit.cli.options import F, options_of, takes
from gnnkit.errors import ConfigError
from gnnkit.options import whole_numbers

if TYPE_CHECKING:
    from gnnkit.train import RunConfig


SETTINGS = typer.Argument(
    None, metavar="[CONFIG.yaml] [KEY=VALUE]...", help="A YAML file, and settings such as model.dropout=0.3."
)
"""What such a command takes besides options."""


class RunOptions:
    """The options, None where one is not given."""

    backend: Optional[str] = typer.Option(None, help="Graph library; see 'gnnkit backends'.  [default: reference]")
    device: Optional[str] = typer.Option(
        None, help="Where training runs: auto, cpu, cuda, or a plugin's.  [default: auto]"
    )
    dataset: Optional[str] = typer.Option(None, help="A name from 'gnnkit datasets', or a folder.  [default: digits]")
    data_dir: Optional[str] = typer.Option(None, help="Folder to search first for its files.")
    model: Optional[str] = typer.Option(None, help="gcn, sage, gat, gatv2, gin, or module:Layer.  [default: gcn]")
    task: Optional[str] = typer.Option(None, help="What to learn; see 'gnnkit tasks'.  [default: node_classification]")
    epochs: Optional[int] = typer.Option(None, help="Passes over the training nodes.  [default: 200; 20 if sampled]")
    lr: Optional[float] = typer.Option(None, help="Learning rate.  [default: the model's]")
    hidden: Optional[int] = typer.Option(None, help="Hidden width, per head.  [default: the model's]")
    layers: Optional[int] = typer.Option(None, help="Number of layers.  [default: 2]")
    dropout: Optional[float] = typer.Option(None, help="Dropout between layers.  [default: the model's]")
    fanouts: Optional[str] = typer.Option(None, help="Neighbours to sample per layer, from the seed nodes on: 15,10,5.")
    batch_size: Optional[int] = typer.Option(None, help="Training nodes per batch.  [default: 1024 if sampled]")
    precision: Optional[str] = typer.Option(None, help="float32, bfloat16, float64.  [default: float32]")
    overflow: Optional[str] = typer.Option(
        None, help="A batch too large for a device's fixed shapes: carry, error.  [default: carry]"
    )
    seed: Optional[int] = typer.Option(None, help="Seed for all random numbers.  [default: 0]")
    deterministic: Optional[bool] = typer.Option(
        None, "--deterministic", help="Make runs on this backend and device bit-identical."
    )


def takes_flags(*names: str) -> Callable[[F], F]:
    """Give a command some of these options, and hand them on as its parameter ``flags``, see :func:`nested_flags`.

    Args:
        names: Fields of :class:`RunOptions`. None given: all.
    """
    return takes("flags", options_of(RunOptions, *names), nested_flags)


def run_config(
    settings: Optional[List[str]], flags: Dict[str, Any], base: Optional[Dict[str, Any]] = None
) -> RunConfig:
    """The configuration from a command line.

    Args:
        settings: Arguments: a YAML file, and settings such as ``model.dropout=0.3``.
        flags: Nested values from flags; None where a flag was not given.
        base: Nested values below all these.
    """
    from gnnkit.train import load_config

    file, overrides = _split(settings or [])
    return load_config(file, _given(flags), overrides, base=base)


_PLACES = {
    "dataset": "dataset.name",
    "data_dir": "dataset.data_dir",
    "model": "model.name",
    "hidden": "model.hidden_channels",
    "layers": "model.num_layers",
    "dropout": "model.dropout",
    **{name: f"train.{name}" for name in ("epochs", "lr", "batch_size", "precision", "overflow", "deterministic")},
    "fanouts": "train.fanouts",
}
"""Where in the configuration an option stands that has another name there."""


def nested_flags(**options: Any) -> Dict[str, Any]:
    """Options of the command line in the structure of the configuration.

    Args:
        options: As they were typed; None where one was not.
    """
    if options.get("fanouts") is not None:
        options["fanouts"] = whole_numbers(options["fanouts"], "--fanouts")
    flags: Dict[str, Any] = {}
    for name, value in options.items():
        section, _, key = _PLACES.get(name, name).rpartition(".")
        (flags.setdefault(section, {}) if section else flags)[key] = value
    return flags


def _given(flags: Dict[str, Any]) -> Dict[str, Any]:
    """Only what the user typed; the rest is left to the other layers of the configuration."""
    given = {}
    for name, value in flags.items():
        value = _given(value) if isinstance(value, dict) else value
        if value is not None and value != {}:
            given[name] = value
    return given


def _split(settings: List[str]) -> Tuple[Optional[Path], List[str]]:
    files = [item for item in settings if "=" not in item]
    if len(files) > 1:
        raise ConfigError(f"One configuration file can be given, received {', '.join(files)}.")
    return Path(files[0]) if files else None, [item for item in settings if "=" in item]
