"""``gnnkit bench``: where the time of a configuration goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from gnnkit.cli.configuring import SETTINGS, run_config, takes_flags
from gnnkit.cli.output import output_file, print_json, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.measure.stages import Measurement

EXAMPLE = "Example: gnnkit bench --backend pyg --dataset cora --model sage --fanouts 10,5 --batch-size 64"


@reports_errors
@takes_flags(
    *(
        "backend",
        "device",
        "dataset",
        "data_dir",
        "task",
        "model",
        "hidden",
        "layers",
        "dropout",
        "fanouts",
        "batch_size",
    ),
    *("precision", "seed"),
)
def bench(
    *,
    settings: Optional[List[str]] = SETTINGS,
    flags: Dict[str, Any],
    batches: int = typer.Option(20, help="Number of batches to measure, after a warm-up."),
    picture: Path = typer.Option(Path("bench.png"), help="PNG file for the stacked bars."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Measure a configuration of 'gnnkit run': every stage of a batch, speed, memory, distance to the floor."""
    from gnnkit.measure.stages import measure, plot_measurement
    from gnnkit.train.assembling import assemble

    picture = output_file(picture)
    found = measure(*assemble(run_config(settings, flags)), num_batches=batches)
    plot_measurement(found, picture)
    if json:
        print_json({**found.to_dict(), "picture": str(picture)})
    else:
        _show(found, picture)


def _show(found: Measurement, picture: Path) -> None:
    print(found.title)
    total = found.serial_seconds
    rows = [[name, _ms(seconds), f"{100 * seconds / total:.0f}"] for name, seconds in found.stages.items()]
    rows.append(["together", _ms(total), "100"])
    print_table("One after the other", ["stage", f"ms, median of {found.batches}", "%"], rows)
    threads = "" if found.threads is None else f", batches prepared in {found.threads} thread(s)"
    rows = [
        ["a batch", f"{_ms(found.seconds_per_batch)} ms{threads}"],
        ["waiting for a batch", f"{100 * found.waiting:.1f}% of it"],
        [found.targets, f"{found.targets_per_second:,.0f} a second"],
        ["nodes", f"{found.nodes_per_second:,.0f} a second"],
        ["edges", f"{found.edges_per_second:,.0f} a second"],
    ]
    for name, size in found.memory.items():
        rows.append([name.replace("_", " "), f"{size / 2**20:,.0f} MiB"])
    print_table("As in training", ["", ""], rows)
    print_table("The floor", ["", ""], _floor_rows(found))
    print(f"  bars:  {picture}")


def _floor_rows(found: Measurement) -> List[List[str]]:
    floor = found.floor
    if floor is None:
        return [["unknown", f"{found.no_floor}"]]
    return [
        [
            "matrix products",
            f"{floor.flops / 1e9:,.3f} GFLOP at {floor.matrix_rate / 1e9:,.1f} GFLOP/s: {_ms(floor.matrix_seconds)} ms",
        ],
        [
            "copying",
            f"{floor.feature_bytes / 1e6:,.1f} MB at {floor.copy_bandwidth / 1e9:,.1f} GB/s: "
            f"{_ms(floor.copy_seconds)} ms",
        ],
        ["together", f"{_ms(floor.seconds)} ms"],
        ["a batch takes", f"{found.times_floor:.2f} times that"],
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.2f}"
