"""``gnnkit backends``: which graph libraries are there, and which work."""

from __future__ import annotations

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors

EXAMPLE = "Example: gnnkit backends --json"


@reports_errors
def backends(json: bool = typer.Option(False, "--json", help="Print one line of JSON instead.")) -> None:
    """List backends with their state; each is probed in a process of its own."""
    from gnnkit.cli.probing import probe_all, rows

    answers = probe_all("gnnkit.backends")
    if json:
        print_json({name: {"status": a.status, "detail": a.detail, "fix": a.fix} for name, a in answers.items()})
    else:
        print_table("Backends", ["name", "state", "notes"], rows(answers))
