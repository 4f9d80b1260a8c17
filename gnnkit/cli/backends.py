"""``gnnkit backends``: which graph libraries are there, which work, and what they can do."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.cli.reports import as_json, rows

EXAMPLE = "Example: gnnkit backends --capabilities"

CAPABILITY_COLUMNS = ("backend", "models", "devices", "precisions", "exports", "notes")


@reports_errors
def backends(
    capabilities: bool = typer.Option(False, "--capabilities", help="Show what each backend supports."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
) -> None:
    """List backends with their state; each is probed in a separate process."""
    from gnnkit.backends import backends as registry
    from gnnkit.probing import probe_all

    reports = probe_all(registry)
    if json:
        values = as_json(reports)
        if capabilities:
            for name, report in reports.items():
                values[name]["capabilities"] = dict(report.capabilities)
        print_json(values)
    elif capabilities:
        print_table("What backends can do", CAPABILITY_COLUMNS, capability_rows(reports))
    else:
        print_table("Backends", ["name", "state", "notes"], rows(reports))


def capability_rows(reports: Mapping[str, Any]) -> List[List[str]]:
    """One row per backend with what it declares; one that cannot be loaded has its state in the notes instead."""
    table = []
    for name, report in reports.items():
        declared: Dict[str, Any] = dict(report.capabilities)
        lists = [", ".join(declared.get(key, ())) for key in ("convs", "devices", "dtypes", "exports")]
        table.append([name, *lists, declared.get("note") or ("" if declared else report.availability.status)])
    return table
