"""``gnnkit run``: train a model and show the result."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

import typer

from gnnkit.cli.before_run import BeforeRun, look_before, takes_before_run
from gnnkit.cli.configuring import SETTINGS, run_config, takes_flags
from gnnkit.cli.help_config import show_settings
from gnnkit.cli.launched import is_first
from gnnkit.cli.output import ADVICE, print_json, print_summary, print_table, reports_errors
from gnnkit.cli.processes import Processes, launch, takes_processes
from gnnkit.cli.serving import needs_servers, parts_base, served
from gnnkit.cli.together import run_together
from gnnkit.errors import ConfigError
from gnnkit.paths import user_path
from gnnkit.stages import stage

if TYPE_CHECKING:
    from gnnkit.data import Graph
    from gnnkit.nn import GNN
    from gnnkit.runs import Learned, RunResult
    from gnnkit.train import Callback, RunConfig
    from gnnkit.train.heuristics import HeuristicResult

EXAMPLE = "Example: gnnkit run --backend pyg --dataset cora --model gat --seed 1 train.epochs=100"


@reports_errors
@takes_flags()
@takes_processes
@takes_before_run
def run(
    *,
    settings: Optional[List[str]] = SETTINGS,
    flags: Dict[str, Any],
    processes: Processes,
    before: BeforeRun,
    init_from: Optional[str] = typer.Option(
        None, metavar="RUN", help="Start from the best weights of a run, or from a file of weights."
    ),
    resume: Optional[str] = typer.Option(
        None,
        metavar="RUN",
        help="Continue a run from where it stopped, in a new folder; options given here override its settings. auto: "
        "the newest run under runs/ with this configuration, if there is one.",
    ),
    parts: Optional[str] = typer.Option(
        None, metavar="DIR", help="Train on a partitioned graph, one part per machine; see 'gnnkit data partition'."
    ),
    graph_store: Optional[str] = typer.Option(
        None, help="Library that serves the parts.  [default: the one that made DIR]"
    ),
    seeds: Optional[int] = typer.Option(None, help="Train with N seeds, starting at --seed; show mean and deviation."),
    folds: Optional[int] = typer.Option(None, help="Cross-validation over graphs with N folds, one run for each."),
    fold: Optional[str] = typer.Option(None, help="Only some of the folds, from 0: 0,1,2.  [default: all]"),
    save_every: Optional[str] = typer.Option(
        None, metavar="SPAN", help="How often to save the state: 5 (epochs), '200 batches' or '10 minutes'."
    ),
    keep_last: Optional[int] = typer.Option(None, help="Number of saved states to keep.  [default: 1]"),
    name: Optional[str] = typer.Option(None, help="Name of this run, for 'gnnkit runs'."),
    tag: Optional[List[str]] = typer.Option(None, help="Label of this run, to find it again. May be repeated."),
    notes: Optional[str] = typer.Option(None, help="Free text about this run."),
    track: Optional[List[str]] = typer.Option(None, help="Log to wandb, mlflow or tensorboard. May be repeated."),
    run_dir: Optional[str] = typer.Option(None, help="Folder of this run.  [default: a new one under runs/]"),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end."),
    help_config: bool = typer.Option(False, "--help-config", help="Show all settings, including those of plugins."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show only the result."),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", help="Also show settings, versions and the time of every stage."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Train a graph neural network, keep the model with the best validation metric, and test it."""
    if help_config:
        show_settings(json)
        return
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose exclude each other. Give one of them.")
    look = before.option
    if resume is not None and init_from is not None:
        raise ConfigError("--resume and --init-from both set the initial weights. Give one of them.")
    flags.update(run_dir=run_dir, name=name, notes=notes, tags=tag or None, track=track or None)
    span = {} if save_every is None else _span(save_every)
    flags["train"] = {**flags.get("train", {}), **span, "keep_last": keep_last}
    flags["init_from"] = None if init_from is None else str(user_path(init_from, "--init-from").resolve())
    with stage("loading libraries"):
        from gnnkit.engine.heuristics import is_heuristic
        from gnnkit.train import assembling  # noqa: F401  # What trains a model imports all that follows.

    flags["dataset"].update(parts=parts, graph_store=graph_store)
    if resume == AUTO:
        resume = _newest(run_config(settings, flags, base=parts_base(parts, graph_store)))
    base = {**parts_base(parts, graph_store), **_base(resume, init_from, flags["device"])}
    config = run_config(settings, flags, base=base)
    several = "--folds" if folds is not None else "--seeds" if seeds is not None else None
    if processes.is_asked_for or needs_servers(config):
        if look is not None:
            raise ConfigError(f"{look} works with one process and the whole graph. Leave --processes and --parts out.")
        if several is not None or is_heuristic(config.model.name):
            what = "a heuristic learns nothing" if several is None else f"{several} makes several"
            raise ConfigError(f"Several processes share one training, and {what}. Leave --processes out.")
        _launch(config, processes)
        return
    if fold is not None and folds is None:
        raise ConfigError("--fold needs --folds, the number of folds. Give it as well.")
    if look is not None:
        look_before(config, before, folds, json)
        return
    if several is not None:
        if resume is not None:
            raise ConfigError(f"--resume continues a single run, and {several} makes several. Give one of them.")
        if is_heuristic(config.model.name):
            raise ConfigError(
                f"{several} has no effect: model {config.model.name!r} is a heuristic and learns nothing."
            )
        run_together(config, seeds, folds, fold, json)
        return
    if is_heuristic(config.model.name):
        if resume is not None:
            raise ConfigError(f"--resume has no effect: model {config.model.name!r} is a heuristic and learns nothing.")
        judged = judge(config)
        _show_judged(judged)
        if json:
            print_json(judged.summary())
        return
    again = None if resume is None else user_path(resume, "--resume")
    result = train(config, resume=again, quiet=quiet, verbose=verbose)
    if not is_first():
        return
    _show(result)
    if json:
        print_json(result.summary())


AUTO = "auto"
"""What stands for the newest run of a configuration."""


def _newest(config: RunConfig) -> Optional[str]:
    """The run that ``--resume auto`` means; None, and a line that says so, if there is none."""
    from gnnkit.runs.finding import newest_run

    found = newest_run(asdict(config), Path("runs"))
    said = "starting a new one" if found is None else f"going on with {found}"
    print(f"resume: {'no run of this configuration under runs/, ' if found is None else ''}{said}", file=sys.stderr)
    return None if found is None else str(found)


_SPANS = {"epoch": "save_every", "batch": "save_every_batches", "minute": "save_every_minutes"}


def _span(text: str) -> Dict[str, Any]:
    """The setting that ``--save-every`` stands for."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(epoch|batch|minute)?(?:e?s)?", text.strip())
    if found is None:
        raise ConfigError(f"--save-every is {text!r}, expected 5 (epochs), '200 batches' or '10 minutes'.")
    unit = found[2] or "epoch"
    if unit != "minute" and not found[1].isdigit():
        raise ConfigError(f"--save-every is {text!r}, expected a whole number of {unit}s.")
    return {_SPANS[unit]: float(found[1]) if unit == "minute" else int(found[1])}


def _launch(config: RunConfig, processes: Processes) -> None:
    """Run the command in several processes, with a run folder that is the same after a restart."""
    from gnnkit.runs.run_folder import run_dir_or_new

    if config.run_dir is not None:
        with served(config, processes):
            launch(processes)
        return
    if processes.has_machines and processes.max_restarts:
        raise ConfigError("--max-restarts on several machines needs --run-dir, a folder that all of them can access.")
    words = (Path(config.dataset.name).name, config.model.name, config.backend)
    named = (str(word).replace(",", "-") for word in words)
    with run_dir_or_new(None, Path("runs"), *named) as made, served(config, processes):
        launch(processes, "--run-dir", str(made))


def judge(config: RunConfig) -> HeuristicResult:
    """Judge the heuristic that a configuration names, and keep the result in a run folder."""
    from gnnkit.runs.run_folder import run_dir_or_new
    from gnnkit.train.assembling import load_data
    from gnnkit.train.heuristics import judge_heuristic

    graph = load_data(config)
    with run_dir_or_new(config.run_dir, Path("runs"), graph.name, config.model.name) as folder:
        return judge_heuristic(
            config.model.name,
            graph,
            task_options=config.task_options,
            seed=config.seed,
            run_dir=folder,
            facts={"dataset": asdict(config.dataset)},
        )


def train(
    config: RunConfig,
    *,
    resume: Optional[Path] = None,
    keep: bool = True,
    quiet: bool = False,
    verbose: bool = False,
    learned: Optional[Learned] = None,
    check: Optional[Callable[[GNN, Graph], None]] = None,
) -> RunResult:
    """Run what a configuration says.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        resume: A run to go on with.
        keep: Whether to make a run folder where the configuration names none.
        quiet: Whether to show neither the data nor how training comes on.
        verbose: Whether to show versions and all settings as well.
        learned: As for :func:`gnnkit.train.assembling.assemble`. None: what the run to go on with has learned.
        check: Called with the model and the graph before training; raises where they are not what they should be.

    Returns:
        The trained model and what happened; its folder is ``result.run_dir``.
    """
    from gnnkit.runs import read_learned
    from gnnkit.runs.checkpoint import FOLDER, state_files
    from gnnkit.runs.run_folder import run_dir_or_new
    from gnnkit.runs.state import state_file
    from gnnkit.train.assembling import assemble
    from gnnkit.train.trackers import make_trackers

    if resume is not None:
        learned = read_learned(state_file(resume))
    make_trackers(config.track, asdict(config), Path())  # What is not there is told before data are loaded.
    trainer, net, graph = assemble(config, initial=resume is None, learned=learned)
    if check is not None:
        check(net, graph)
    words = [config.name] if config.name else [graph.name, net.spec.name.replace(",", "-"), net.backend.name]
    with run_dir_or_new(trainer.run_dir, Path("runs"), *words) if keep else nullcontext(trainer.run_dir) as folder:
        trainer.run_dir, trainer.progress = folder, not quiet
        shown: List[Callback] = [] if quiet else [_shown(graph, folder if verbose else None)]
        tracked = [] if folder is None else make_trackers(config.track, asdict(config), folder)
        trainer.callbacks = [*shown, *tracked]
        try:
            return trainer.fit(net, graph, resume=resume)
        except KeyboardInterrupt as interrupt:
            if folder is not None and state_files(folder / FOLDER):
                setattr(interrupt, ADVICE, f"go on with: gnnkit run --resume {shlex.quote(str(folder))}")
            raise


def _shown(graph: Graph, settings_of: Optional[Path]) -> Callback:
    """Shows what was loaded once everything has been checked, and the settings that a run folder has."""
    from gnnkit.data import summarize
    from gnnkit.io.text import read_text
    from gnnkit.runs.records import read_manifest
    from gnnkit.runs.run_folder import CONFIG, MANIFEST, environment
    from gnnkit.train import Callback

    class Shown(Callback):
        def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
            if settings_of is not None:
                manifest = read_manifest(settings_of / MANIFEST)
                backend = {f"backend {name}": each for name, each in manifest["backend"].items()}
                versions = {**environment(), **backend, "device": manifest["device"]["name"]}
                print_table("Versions", ["", ""], [[name, str(each)] for name, each in versions.items()])
                print(f"Settings\n\n{read_text(settings_of / CONFIG)}")
            print_summary("Data", summarize(graph))

    return Shown()


def _base(resume: Optional[str], init_from: Optional[str], device: Optional[str]) -> Dict[str, Any]:
    """What the configuration builds on: that of an earlier run, or the model that a file of weights is for."""
    run = resume or init_from
    if run is None:
        return {}
    from gnnkit.runs import read_weights, recorded_config
    from gnnkit.runs.checkpoint import BEST, checkpoint_file
    from gnnkit.runs.state import state_file
    from gnnkit.train.model_config import model_settings

    file = (
        state_file(run) if resume else checkpoint_file(run, BEST)
    )  # Says what is wrong with a folder that is none of a run.
    if file != user_path(run):
        return recorded_config(run, device)
    if resume:
        raise ConfigError(f"--resume is {run}, a file. Give the run folder, which has the configuration as well.")
    return {"model": model_settings(read_weights(file)[0])}


def _show_judged(result: HeuristicResult) -> None:
    rows = [["data set", result.dataset], ["model", f"{result.model}, nothing trained"]]
    rows += [*_metrics(result.valid, result.test), ["time", f"{result.seconds:.1f} s"]]
    print_table("Result", ["", ""], rows)
    if result.run_dir is not None:
        print(f"  run folder:  {result.run_dir}")


def _metrics(valid: Dict[str, float], test: Dict[str, float]) -> List[List[str]]:
    """Rows of the table."""
    splits = {"valid": valid, "test": test}
    return [
        [f"{split} {name.replace('_', ' ')}", f"{value:.4f}"]
        for split in splits
        for name, value in splits[split].items()
    ]


def _show(result: RunResult) -> None:
    rows = [
        ["backend / device", f"{result.backend} / {result.device}"],
        ["data set", result.dataset],
        ["model", f"{result.model.spec.name}, {sum(p.numel() for p in result.model.parameters()):,} parameters"],
        ["epochs", f"{len(result.history)}, best {result.best_epoch}"],
        ["train loss", f"{result.history[-1].train_loss:.4f}"],
    ]
    rows += _metrics(result.valid, result.test)
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
        folder = shlex.quote(str(result.run_dir))
        print(f"  next:        gnnkit report {folder}, or gnnkit predict {folder} --output predictions.csv")
