"""``gnnkit run``: train a model and show what came out."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

import typer

from gnnkit.cli.help_config import show_settings
from gnnkit.cli.options import parse_fanouts
from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.errors import ConfigError

if TYPE_CHECKING:
    from gnnkit.data import Graph
    from gnnkit.nn import GNN
    from gnnkit.train import Callback, RunConfig, RunResult, Trainer

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
    model: Optional[str] = typer.Option(None, help="gcn, sage, gat, gatv2, gin, or module:Layer.  [default: gcn]"),
    task: Optional[str] = typer.Option(None, help="node_classification, unsupervised.  [default: node_classification]"),
    epochs: Optional[int] = typer.Option(None, help="Passes over the training nodes.  [default: 200; 20 if sampled]"),
    lr: Optional[float] = typer.Option(None, help="Learning rate.  [default: the model's]"),
    hidden: Optional[int] = typer.Option(None, help="Hidden width, per head.  [default: the model's]"),
    layers: Optional[int] = typer.Option(None, help="Number of layers.  [default: 2]"),
    dropout: Optional[float] = typer.Option(None, help="Dropout between layers.  [default: the model's]"),
    fanouts: Optional[str] = typer.Option(None, help="Sample so many neighbours per layer, seeds first: 15,10,5."),
    batch_size: Optional[int] = typer.Option(None, help="Training nodes per batch.  [default: 1024 if sampled]"),
    precision: Optional[str] = typer.Option(None, help="float32, bfloat16, float64.  [default: float32]"),
    overflow: Optional[str] = typer.Option(
        None, help="A batch too large for a device's fixed shapes: carry, error.  [default: carry]"
    ),
    seed: Optional[int] = typer.Option(None, help="Seed of everything random.  [default: 0]"),
    deterministic: Optional[bool] = typer.Option(
        None, "--deterministic", help="The same bits in every run on this backend and device."
    ),
    init_from: Optional[str] = typer.Option(
        None, metavar="RUN", help="Start from the best weights of a run, or from a file of weights."
    ),
    resume: Optional[str] = typer.Option(
        None, metavar="RUN", help="Go on where a run stopped, in a new folder; options given here win over its own."
    ),
    run_dir: Optional[str] = typer.Option(None, help="Folder of this run.  [default: a new one under runs/]"),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end."),
    help_config: bool = typer.Option(False, "--help-config", help="Show all settings, plugins' included, and stop."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Train a graph neural network, keep the best model by validation metric, and test it."""
    if help_config:
        show_settings(json)
        return
    flags = nested_flags(
        backend=backend,
        device=device,
        dataset=dataset,
        data_dir=data_dir,
        model=model,
        task=task,
        epochs=epochs,
        lr=lr,
        hidden=hidden,
        layers=layers,
        dropout=dropout,
        fanouts=fanouts,
        batch_size=batch_size,
        precision=precision,
        overflow=overflow,
        seed=seed,
        deterministic=deterministic,
        init_from=None if init_from is None else str(Path(init_from).resolve()),
        run_dir=run_dir,
    )
    if resume is not None and init_from is not None:
        raise ConfigError("--resume takes the weights of its run, and --init-from others. Give one of them.")
    config = run_config(settings or [], flags, base=_base(resume, init_from, device))
    result = train(config, resume=None if resume is None else Path(resume))
    _show(result)
    if json:
        print_json(result.summary())


def train(
    config: RunConfig,
    *,
    resume: Optional[Path] = None,
    keep: bool = True,
    check: Optional[Callable[[GNN, Graph], None]] = None,
) -> RunResult:
    """Run what a configuration says.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        resume: A run to go on with.
        keep: Whether to make a run folder where the configuration names none.
        check: Called with the model and the graph before training; raises where they are not what they should be.

    Returns:
        The trained model and what happened; its folder is ``result.run_dir``.
    """
    from gnnkit.train import new_run_dir

    trainer, net, graph = make_trainer(config, initial=resume is None)
    if check is not None:
        check(net, graph)
    if trainer.run_dir is None and keep:
        trainer.run_dir = new_run_dir(Path("runs"), graph.name, config.model.name, net.backend.name)
    trainer.callbacks = _callbacks(config, trainer.run_dir)
    return trainer.fit(net, graph, resume=resume)


def make_trainer(config: RunConfig, *, initial: bool = True) -> Tuple[Trainer, GNN, Graph]:
    """What a configuration says, ready to begin: nothing has been written.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        initial: Whether the model gets the weights that the configuration names as initial ones.
    """
    from dataclasses import asdict

    from gnnkit.backends import build_model
    from gnnkit.cli.choosing import choose_hardware
    from gnnkit.datasets import load_dataset
    from gnnkit.train import Trainer, read_weights
    from gnnkit.train.checkpoint import BEST, checkpoint_file
    from gnnkit.train.run_folder import check_free

    # What is not there or cannot be done is told before data are loaded.
    backend, device = choose_hardware(config)
    if config.run_dir is not None:
        check_free(Path(config.run_dir))
    graph = load_dataset(**config.dataset.arguments(config.seed))
    model = asdict(config.model)
    net = build_model(model.pop("name"), graph, backend=backend, seed=config.seed, **model)
    if config.init_from is not None and initial:
        net.load_canonical(read_weights(checkpoint_file(config.init_from, BEST))[1])
    trainer = Trainer(
        backend,
        device,
        seed=config.seed,
        run_dir=config.run_dir,
        facts={"dataset": asdict(config.dataset), "init_from": config.init_from, "tensorboard": config.tensorboard},
        backend_options=config.backend_options,
        device_options=config.device_options,
        **asdict(config.train),
    )
    return trainer, net, graph


def _callbacks(config: RunConfig, run_dir: Optional[Path]) -> List[Callback]:
    from gnnkit.train import TensorBoard

    return [TensorBoard(run_dir / "tensorboard")] if config.tensorboard and run_dir is not None else []


def _base(resume: Optional[str], init_from: Optional[str], device: Optional[str]) -> Dict[str, Any]:
    """What the configuration builds on: that of an earlier run, or the model that a file of weights is for."""
    run = resume or init_from
    if run is None:
        return {}
    from gnnkit.train import read_weights, recorded_config
    from gnnkit.train.checkpoint import BEST, LAST, checkpoint_file
    from gnnkit.train.config import model_settings

    file = checkpoint_file(run, LAST if resume else BEST)  # Says what is wrong with a folder that is none of a run.
    if file != Path(run):
        return recorded_config(run, device)
    if resume:
        raise ConfigError(f"--resume is {run}, a file. Give the run folder, which has the configuration as well.")
    return {"model": model_settings(read_weights(file)[0])}


def run_config(settings: List[str], flags: Dict[str, Any], base: Optional[Dict[str, Any]] = None) -> RunConfig:
    """The configuration from a command line.

    Args:
        settings: Arguments: a YAML file, and settings such as ``model.dropout=0.3``.
        flags: Nested values from flags; None where a flag was not given.
        base: Nested values below all these.
    """
    from gnnkit.train import load_config

    file, overrides = _split(settings)
    return load_config(file, _given(flags), overrides, base=base)


_PLACES = {
    "dataset": "dataset.name",
    "data_dir": "dataset.data_dir",
    "model": "model.name",
    "hidden": "model.hidden_channels",
    "layers": "model.num_layers",
    "dropout": "model.dropout",
    **{
        name: f"train.{name}"
        for name in ("task", "epochs", "lr", "batch_size", "precision", "overflow", "deterministic")
    },
    "fanouts": "train.fanouts",
}
"""Where in the configuration an option stands that has another name there."""


def nested_flags(**options: Any) -> Dict[str, Any]:
    """Options of the command line in the structure of the configuration.

    Args:
        options: As they were typed; None where one was not.
    """
    if options.get("fanouts") is not None:
        options["fanouts"] = parse_fanouts(options["fanouts"])
    flags: Dict[str, Any] = {}
    for name, value in options.items():
        section, _, key = _PLACES.get(name, name).rpartition(".")
        (flags.setdefault(section, {}) if section else flags)[key] = value
    return flags


def option_of_run(name: str) -> Any:
    """An option of ``gnnkit run``, for another command that takes it as well."""
    return inspect.signature(run).parameters[name].default


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
    if not result.model.spec.is_portable:
        rows.append(["portable", f"no: the layer is one of backend {result.backend} alone"])
    if result.nondeterministic is not None:
        rows.append(["deterministic", "\n".join(f"not: {sentence}" for sentence in result.nondeterministic) or "yes"])
    if result.compile_seconds:
        rows.append(["compilation", f"{result.compile_seconds:.1f} s of it"])
    print_table("Result", ["", ""], rows)
    if result.run_dir is not None:  # Outside the table, which would break a long path in two.
        print(f"  curves:      {result.run_dir / 'plots' / 'curves.png'}\n  run folder:  {result.run_dir}")
