"""``gnnkit compare``: whether backends give the same numbers, and where they part if they do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from gnnkit.cli.configuring import SETTINGS, run_config, takes_flags
from gnnkit.cli.output import output_file, print_json, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.parity.comparison import BackendReport, Comparison

EXAMPLE = "Example: gnnkit compare --backends reference,pyg,dgl --dataset cora --model sage --epochs 20"


@reports_errors
@takes_flags(
    *("device", "dataset", "data_dir", "task", "model", "lr", "hidden", "layers", "dropout", "fanouts", "batch_size"),
    *("precision", "seed"),
)
def compare(
    *,
    settings: Optional[List[str]] = SETTINGS,
    backends: str = typer.Option(..., help="Two or more, separated by commas; the others are compared with the first."),
    flags: Dict[str, Any],
    epochs: int = typer.Option(20, help="Number of epochs to train each backend; 0 skips training."),
    seeds: int = typer.Option(1, help="With 2 or more: train with N seeds, and test whether results are equivalent."),
    margin: float = typer.Option(0.02, help="Largest mean difference of the test metric that counts as equivalent."),
    picture: Path = typer.Option(Path("compare.png"), help="PNG file for the loss curves."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Compare backends on the same weights and the same batch, layer by layer, then over whole training runs."""
    names = [name.strip() for name in backends.split(",") if name.strip()]
    picture = output_file(picture) if epochs else picture
    found = _compare(run_config(settings, flags), names, epochs=epochs, seeds=seeds, margin=margin)
    if epochs:
        _draw(found, picture)
    if json:
        print_json({**found.to_dict(), "picture": str(picture) if epochs else None})
    else:
        show(found, picture if epochs else None)
    if not found.is_within:
        raise typer.Exit(1)


def _compare(config: Any, names: List[str], *, epochs: int, seeds: int, margin: float) -> Comparison:
    from dataclasses import asdict

    from gnnkit.backends import load_backend
    from gnnkit.parity.comparison import compare
    from gnnkit.train.assembling import load_data, make_model

    loaded = [load_backend(name) for name in names]  # One that is missing is told before data are loaded.
    train = asdict(config.train)
    graph = load_data(config)
    train.pop("epochs"), train.pop("eval_every")
    return compare(
        make_model(config, graph),
        graph,
        loaded,
        device=config.device,
        device_options=config.device_options,
        epochs=epochs,
        seeds=seeds,
        margin=margin,
        seed=config.seed,
        task=config.task,
        task_options=config.task_options,
        **train,
    )


def _draw(found: Comparison, picture: Path) -> None:
    from gnnkit.runs.plots import plot_losses

    curves = {f"{report.backend} ({report.device})": report.losses for report in found.backends if report.losses}
    plot_losses(curves, f"{found.conv} on {found.dataset}", picture)


def show(found: Comparison, picture: Optional[Path]) -> None:
    """Print a comparison as tables."""
    first, tolerance = found.backends[0], found.tolerance
    print_table(
        "Tolerances",
        ["convolution", "dtype", "outputs", "gradients", "losses"],
        [
            [
                found.conv,
                found.dtype,
                *(f"{t:g}" for t in (tolerance.outputs, tolerance.gradients, tolerance.losses)),
            ]
        ],
    )
    print_table(
        f"First batch, against {first.backend} on {first.device}",
        ["backend", "what", "absolute", "relative", "within"],
        [row for report in found.backends[1:] for row in _difference_rows(report)],
    )
    if first.losses:
        columns = [
            "backend / device",
            "last loss",
            "largest difference",
            "ms an epoch",
            f"test {found.metric}",
            "memory",
        ]
        print_table("Training", columns, [_training_row(report) for report in found.backends if report.losses])
    if first.equivalence is not None:
        columns = ["backend", f"test {found.metric}", "difference", "margin", "p", "equivalent"]
        print_table(
            f"Over {len(first.metrics)} seeds", columns, [_equivalence_row(r) for r in found.backends if r.equivalence]
        )
    print(f"  graph:    {found.dataset}, fingerprint {found.fingerprint[:16]}, the same for all")
    for notice in found.notices:
        print(f"  notice:   {notice}")
    if picture is not None:
        print(f"  curves:   {picture}")
    for problem in found.problems:
        print(f"  outside:  {problem}")
    if found.is_within:
        print("  verdict:  all within tolerance")


def _difference_rows(report: BackendReport) -> List[List[str]]:
    rows = []
    for kind, items in (("output of", report.outputs), ("gradient of", report.gradients)):
        for item in items:
            verdict = "yes" if item.is_within else "NO"
            rows.append(
                [report.backend, f"{kind} {item.name}", f"{item.absolute:.1e}", f"{item.relative:.1e}", verdict]
            )
    return rows


def _training_row(report: BackendReport) -> List[str]:
    gap = "" if report.loss_difference is None else f"{report.loss_difference:.1e}"
    memory = ", ".join(f"{name.replace('_', ' ')} {size / 2**20:,.0f} MiB" for name, size in report.memory.items())
    speed = "" if report.seconds_per_epoch is None else f"{report.seconds_per_epoch * 1000:,.1f}"
    place = f"{report.backend} / {report.device}"
    return [place, f"{report.losses[-1]:.6f}", gap, speed, f"{report.metrics[0]:.4f}", memory]


def _equivalence_row(report: BackendReport) -> List[str]:
    test = report.equivalence
    assert test is not None
    mean = f"{test.mean:.4f} ± {test.std:.4f}"
    verdict = "yes" if test.is_shown else "not shown"
    return [report.backend, mean, f"{test.difference:+.4f}", f"{test.margin:g}", f"{test.p_value:.3f}", verdict]
