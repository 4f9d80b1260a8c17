"""``gnnkit reproduce``: make a run again and compare its curve with the recorded one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.errors import ConfigError

if TYPE_CHECKING:
    from gnnkit.data import Graph
    from gnnkit.nn import GNN
    from gnnkit.parity import Verdict
    from gnnkit.runs import RunRecord
    from gnnkit.train import RunConfig

EXAMPLE = "Example: gnnkit reproduce runs/20240101-120000-cora-gcn-pyg --backend dgl"


@reports_errors
def reproduce(
    run: str = typer.Argument(..., metavar="RUN", help="The run folder."),
    backend: Optional[str] = typer.Option(None, help="Use a different graph library.  [default: the run's]"),
    device: Optional[str] = typer.Option(None, help="Use a different device.  [default: the run's]"),
    data_dir: Optional[str] = typer.Option(None, help="Folder to search first for the data set's files."),
    tolerance: Optional[float] = typer.Option(None, help="Largest relative difference of a loss.  [default: 0.001]"),
    run_dir: Optional[str] = typer.Option(None, help="Keep the new run in this folder.  [default: not kept]"),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Repeat a run and say whether its curve is identical, within tolerance or different (exit code 1)."""
    from gnnkit.cli.configuring import run_config
    from gnnkit.cli.run import train
    from gnnkit.parity import compare_curves
    from gnnkit.parity.reproduce import DIFFERENT, LOSS_TOLERANCE
    from gnnkit.runs import Learned, read_run, recorded_config

    if tolerance is not None and not tolerance >= 0:
        raise ConfigError(f"--tolerance is {tolerance}, expected a number of at least 0.")
    record = read_run(run)
    if record.manifest.get("frozen"):
        frozen = ", ".join(record.manifest["frozen"])
        raise ConfigError(
            f"The run {run} was trained in Python with {frozen} frozen, which a configuration cannot express."
        )
    flags = {"backend": backend, "device": device, "run_dir": run_dir, "dataset": {"data_dir": data_dir}}
    config = run_config([], flags, base=recorded_config(run, device))
    learned = Learned.among(record.manifest)
    result = train(config, keep=False, learned=learned, check=lambda model, graph: _check_data(record, model, graph))
    verdict = compare_curves(
        record.history,
        result.history,
        loss_tolerance=LOSS_TOLERANCE if tolerance is None else tolerance,
        is_complete=record.is_complete,
    )
    changes = _changes(record, config, result.device)
    _show(verdict, changes)
    if json:
        where = {"backend": result.backend, "device": result.device, "changes": changes, "run_dir": run_dir}
        print_json({**verdict.to_dict(), **where})
    if verdict.verdict == DIFFERENT:
        raise typer.Exit(1)


def _check_data(record: RunRecord, model: GNN, graph: Graph) -> None:
    from gnnkit.data import check_same_data, describe_data

    fix = "Use the data and the seed of that run; --data-dir says where they are."
    check_same_data(record.manifest["data"], describe_data(model.spec.prepare(graph)), fix)


def _changes(record: RunRecord, config: RunConfig, device: str) -> List[str]:
    """What is not as it was: versions, backend, device."""
    from gnnkit.backends import load_backend
    from gnnkit.parity.reproduce import environment_differences
    from gnnkit.runs.run_folder import environment

    backend = load_backend(config.backend)
    now: Dict[str, Any] = {**environment(), "backend": {"name": backend.name}, "device": {"name": device}}
    if backend.name == record.manifest["backend"]["name"]:
        now["backend"].update(backend.versions())
    return environment_differences(record.manifest, now)


def _show(verdict: Verdict, changes: List[str]) -> None:
    rows = [["verdict", verdict.verdict]]
    if verdict.epoch is not None:
        rows[0][1] += f" from epoch {verdict.epoch} on"
        rows.append([f"{verdict.quantity}".replace("_", " "), f"{verdict.recorded} recorded, {verdict.found} now"])
    rows += [
        ["epochs compared", str(verdict.epochs)],
        [
            "largest difference",
            f"losses {verdict.loss_difference:.1e} relative, metric {verdict.metric_difference:.1e}",
        ],
        ["tolerance", f"losses {verdict.loss_tolerance:g} relative, metric {verdict.metric_tolerance:g}"],
        ["not as it was", "; ".join(changes) or "nothing"],
    ]
    print_table("Reproduction", ["", ""], rows)
