"""``gnnkit doctor``: what is installed, what works, and how to mend the rest."""

from __future__ import annotations

import platform
from typing import Any, Dict

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors

EXAMPLE = "Example: gnnkit doctor"


@reports_errors
def doctor(json: bool = typer.Option(False, "--json", help="Print one line of JSON instead.")) -> None:
    """Probe every plugin in a process of its own: ready, not installed, or broken with cause and fix."""
    import torch

    import gnnkit
    from gnnkit.cli.probing import probe_all, rows

    versions = {"gnnkit": gnnkit.__version__, "python": platform.python_version(), "torch": torch.__version__}
    answers = {kind: probe_all(f"gnnkit.{kind}") for kind in ("backends", "devices")}
    if json:
        values: Dict[str, Any] = {"versions": versions}
        for kind, found in answers.items():
            values[kind] = {n: {"status": a.status, "detail": a.detail, "fix": a.fix} for n, a in found.items()}
        print_json(values)
        return
    print_table("Versions", ["", ""], [[name, version] for name, version in versions.items()])
    for kind, found in answers.items():
        print_table(kind.capitalize(), ["name", "state", "notes"], rows(found))
