"""``gnnkit run``: train a model and show what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import typer

from gnnkit.cli.help_config import show_settings
from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.errors import ConfigError

if TYPE_CHECKING:
    from gnnkit.train import Callback, RunConfig, RunResult

EXAMPLE = "Example: gnnkit run --backend pyg --dataset cora --model gat --seed 1 train.epochs=100"


@reports_errors
def run(
    settings: Optional[List[str]] = typer.Argument(
        None, metavar="[CONFIG.yaml] [KEY=VALUE]...", help="A YAML file, and settings such as model.dropout=0.3."
    ),
    backend: Optional[str] = typer.Option(None, help="Graph library; see 'gnnkit backends'.  [default: reference]"),
    device: Optional[str] = typer.Option(
        None, help="Where steps run: auto, cpu, cuda, or a plugin's.  [default: auto]"
    ),
    dataset: Optional[str] = typer.Option(None, help="See 'gnnkit datasets', or a folder.  [default: digits]"),
    data_dir: Optional[str] = typer.Option(None, help="Where its files are looked for first."),
    model: Optional[str] = typer.Option(None, help="gcn, sage, gat, gatv2, gin.  [default: gcn]"),
    epochs: Optional[int] = typer.Option(None, help="Passes over the training nodes.  [default: 200; 20 if sampled]"),
    lr: Optional[float] = typer.Option(None, help="Learning rate.  [default: the model's]"),
    hidden: Optional[int] = typer.Option(None, help="Hidden width, per head.  [default: the model's]"),
    layers: Optional[int] = typer.Option(None, help="Number of layers.  [default: 2]"),
    dropout: Optional[float] = typer.Option(None, help="Dropout between layers.  [default: the model's]"),
    fanouts: Optional[str] = typer.Option(None, help="Sample so many neighbours per layer, seeds first: 15,10,5."),
    batch_size: Optional[int] = typer.Option(None, help="Training nodes per batch.  [default: 1024 if sampled]"),
    precision: Optional[str] = typer.Option(None, help="float32 or bfloat16.  [default: float32]"),
    overflow: Optional[str] = typer.Option(
        None, help="A batch too large for a device's fixed shapes: carry, error.  [default: carry]"
    ),
    seed: Optional[int] = typer.Option(None, help="Seed of everything random.  [default: 0]"),
    run_dir: Optional[str] = typer.Option(None, help="Folder of this run.  [default: a new one under runs/]"),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end."),
    help_config: bool = typer.Option(False, "--help-config", help="Show all settings, plugins' included, and stop."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Train a graph neural network, keep the best model by validation metric, and test it."""
    if help_config:
        show_settings(json)
        return
    flags = {
        "backend": backend,
        "device": device,
        "seed": seed,
        "run_dir": run_dir,
        "dataset": {"name": dataset, "data_dir": data_dir},
        "model": {"name": model, "hidden_channels": hidden, "num_layers": layers, "dropout": dropout},
        "train": {
            "epochs": epochs,
            "lr": lr,
            "fanouts": None if fanouts is None else parse_fanouts(fanouts),
            "batch_size": batch_size,
            "precision": precision,
            "overflow": overflow,
        },
    }
    result = train(run_config(settings or [], flags))
    _show(result)
    if json:
        print_json(result.summary())


def train(config: RunConfig) -> RunResult:
    """Run what a configuration says.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.

    Returns:
        The trained model and what happened; its folder is ``result.run_dir``.
    """
    from dataclasses import asdict

    from gnnkit.backends import build_model
    from gnnkit.cli.choosing import choose_hardware
    from gnnkit.datasets import load_dataset
    from gnnkit.train import Trainer, new_run_dir
    from gnnkit.train.run_folder import check_free

    # What is not there or cannot be done is told before data are loaded.
    backend, device = choose_hardware(config)
    if config.run_dir is not None:
        check_free(Path(config.run_dir))
    data, model = config.dataset, asdict(config.model)
    graph = load_dataset(
        data.name, data_dir=data.data_dir, download=data.download, seed=config.seed, **dict(data.options)
    )
    name = model.pop("name")
    run_dir = Path(config.run_dir) if config.run_dir else new_run_dir(Path("runs"), graph.name, name, backend.name)
    trainer = Trainer(
        backend,
        device,
        seed=config.seed,
        run_dir=run_dir,
        callbacks=_callbacks(config, run_dir),
        facts={"dataset": asdict(data), "tensorboard": config.tensorboard},
        backend_options=config.backend_options,
        device_options=config.device_options,
        **asdict(config.train),
    )
    return trainer.fit(build_model(name, graph, backend=backend, seed=config.seed, **model), graph)


def _callbacks(config: RunConfig, run_dir: Path) -> List[Callback]:
    from gnnkit.train import TensorBoard

    return [TensorBoard(run_dir / "tensorboard")] if config.tensorboard else []


def run_config(settings: List[str], flags: Dict[str, Any]) -> RunConfig:
    """The configuration from a command line.

    Args:
        settings: Arguments: a YAML file, and settings such as ``model.dropout=0.3``.
        flags: Nested values from flags; None where a flag was not given.
    """
    from gnnkit.train import load_config

    file, overrides = _split(settings)
    return load_config(file, _given(flags), overrides)


def parse_fanouts(text: str) -> List[int]:
    """Fan-outs from text such as "15,10,5"."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--fanouts is {text!r}, expected whole numbers with commas, such as 15,10,5.") from None


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


def _show(result: RunResult) -> None:
    rows = [
        ["backend / device", f"{result.backend} / {result.device}"],
        ["data set", result.dataset],
        ["model", f"{result.model.spec.conv}, {sum(p.numel() for p in result.model.parameters()):,} parameters"],
        ["epochs", f"{len(result.history)}, best {result.best_epoch}"],
        ["train loss", f"{result.history[-1].train_loss:.4f}"],
    ]
    for split, metrics in (("valid", result.valid), ("test", result.test)):
        rows += [[f"{split} {name.replace('_', ' ')}", f"{value:.4f}"] for name, value in metrics.items()]
    rows.append(["time", f"{result.seconds:.1f} s, {result.seconds_per_epoch * 1000:.1f} ms an epoch"])
    if result.compile_seconds:
        rows.append(["compilation", f"{result.compile_seconds:.1f} s of it"])
    print_table("Result", ["", ""], rows)
    if result.run_dir is not None:  # Outside the table, which would break a long path in two.
        print(f"  curves:      {result.run_dir / 'plots' / 'curves.png'}\n  run folder:  {result.run_dir}")
