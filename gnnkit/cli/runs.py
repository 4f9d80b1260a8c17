"""``gnnkit runs``: which runs there are."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Sequence

import typer

from gnnkit.cli.output import output_file, print_json, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.runs.listing import ListedRun

EXAMPLE = "Example: gnnkit runs --where dataset=cora --where 'test_accuracy>=0.8' --sort -test_accuracy"
_COLUMNS = ("run", "status", "dataset", "model", "backend", "seed")


@reports_errors
def runs(
    places: Optional[List[str]] = typer.Argument(
        None, metavar="[FOLDER]...", help="Run folders, and folders that contain run folders.  [default: runs]"
    ),
    conditions: Optional[List[str]] = typer.Option(
        None,
        "--where",
        metavar="CONDITION",
        help="Only matching runs: model=gcn, 'lr<0.1', tags~base. May be repeated.",
    ),
    sort: Optional[str] = typer.Option(
        None, metavar="VALUE", help="Sort by a value: seconds, or -test_accuracy for descending order."
    ),
    columns: Optional[str] = typer.Option(None, metavar="VALUE,...", help="Values to show for each run."),
    compare: bool = typer.Option(False, "--compare", help="Show the settings in which the runs differ."),
    csv_file: Optional[str] = typer.Option(None, "--csv", metavar="FILE", help="Write all values to a CSV file."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
) -> None:
    """List, filter, sort and compare runs."""
    from gnnkit.io.files import write_text
    from gnnkit.runs.listing import check_known, differing, list_runs, ordered, where

    target = None if csv_file is None else output_file(Path(csv_file))
    found = where(list_runs(places or ["runs"]), conditions or [])
    if sort is not None:
        found = ordered(found, sort)
    chosen = [name.strip() for name in columns.split(",")] if columns else []
    if found:
        check_known(found, [name for name in chosen if name != "run"])
    if target is not None:
        write_text(target, _csv(found))
    if json:
        print_json({"runs": [{"path": str(run.path), **run.values} for run in found]})
        return
    if not found:
        print("There are no such runs.")
        return
    shown = chosen or _shown(found)
    if compare:
        shown = list(dict.fromkeys(["run", *differing(found), *shown[len(_COLUMNS) :]]))
    rows = [[_cell(name, str(run.path) if name == "run" else run.values.get(name)) for name in shown] for run in found]
    same = [i for i, cells in enumerate(zip(*rows)) if len(found) > 1 and len(set(cells)) == 1] if not columns else []
    told = ", ".join(f"{shown[i].replace('_', ' ')} {rows[0][i]}" for i in same if rows[0][i])
    kept = [i for i in range(len(shown)) if i not in same]
    title = f"{len(found)} run{'s' if len(found) > 1 else ''}{f', all: {told}' if told else ''}"
    heads = [shown[i].replace("_", " ") for i in kept]
    print_table(title, heads, [[row[i] for i in kept] for row in rows], whole_lines=True)


def _shown(found: Sequence[ListedRun]) -> List[str]:
    """Names of the columns: what every run has, tags where there are some, and results."""
    known = {name for run in found for name, value in run.values.items() if value not in (None, [])}
    results = sorted({f"{split}_{run.values.get('metric')}" for run in found for split in ("valid", "test")} & known)
    return [*_COLUMNS, *(["tags"] if "tags" in known else []), *sorted(results, reverse=True)]


def _cell(name: str, value: Any) -> str:
    from gnnkit.runs.listing import local_time

    if value is None:
        return ""
    if name == "started":
        return local_time(str(value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _csv(found: Sequence[ListedRun]) -> str:
    """A table of everything that is known of the runs. Text that a spreadsheet would take for a formula is quoted."""
    names = list(dict.fromkeys(name for run in found for name in run.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", *names])
    for run in found:
        writer.writerow([str(run.path), *(_plain(run.values.get(name)) for name in names)])
    return text.getvalue()


def _plain(value: Any) -> Any:
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@") else text
