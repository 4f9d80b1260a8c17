"""``gnnkit datasets``: which data sets can be named."""

from __future__ import annotations

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors

EXAMPLE = "Example: gnnkit datasets"


@reports_errors
def datasets(json: bool = typer.Option(False, "--json", help="Print one line of JSON instead.")) -> None:
    """List the data sets for 'gnnkit run --dataset'."""
    from gnnkit.datasets import datasets as registry
    from gnnkit.probing import overview

    reports = overview(registry)
    summaries = {name: report.summary or report.availability.detail for name, report in reports.items()}
    if json:
        print_json(summaries)
    else:
        print_table("Data sets", ["name", "what it is"], [[name, text] for name, text in summaries.items()])
