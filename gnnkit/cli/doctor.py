"""``gnnkit doctor``: what is installed, what works, and how to fix the rest."""

from __future__ import annotations

import platform
from typing import Any, Dict

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.cli.reports import as_json, rows

EXAMPLE = "Example: gnnkit doctor"


@reports_errors
def doctor(json: bool = typer.Option(False, "--json", help="Print one line of JSON instead.")) -> None:
    """Probe every plugin in a separate process: ready, not installed, or broken with cause and fix."""
    import torch

    import gnnkit
    from gnnkit.backends import backends
    from gnnkit.devices import devices
    from gnnkit.devices.product_choice import product_choice
    from gnnkit.probing import probe_all
    from gnnkit.tasks import tasks

    versions = {"gnnkit": gnnkit.__version__, "python": platform.python_version(), "torch": torch.__version__}
    reports = {"backends": probe_all(backends), "devices": probe_all(devices), "tasks": probe_all(tasks)}
    products = product_choice()
    if json:
        values: Dict[str, Any] = {kind: as_json(found) for kind, found in reports.items()}
        print_json({"versions": versions, **values, "products": products.to_dict()})
        return
    print_table("Versions", ["", ""], [[name, version] for name, version in versions.items()])
    for kind, found in reports.items():
        print_table(kind.capitalize(), ["name", "state", "notes"], rows(found))
    kept = "nowhere, so every process measures it" if products.file is None else str(products.file)
    ways = [["float32", str(products)], ["bfloat16", products.in_bfloat16()], ["kept in", kept]]
    print_table("Matrix products on the processor", ["", ""], ways)
