"""``gnnkit tasks``: what can be learned."""

from __future__ import annotations

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors

EXAMPLE = "Example: gnnkit tasks"


@reports_errors
def tasks(json: bool = typer.Option(False, "--json", help="Print one line of JSON instead.")) -> None:
    """List the tasks for 'gnnkit run --task'."""
    from gnnkit.probing import overview
    from gnnkit.tasks import tasks as registry

    reports = overview(registry)
    summaries = {name: report.summary or report.availability.detail for name, report in reports.items()}
    if json:
        print_json(summaries)
    else:
        print_table("Tasks", ["name", "what it is"], [[name, text] for name, text in summaries.items()])
