"""``gnnkit conform``: whether a plugin keeps its promises."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, List, Optional

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.testing import Report

EXAMPLE = "Example: gnnkit conform pyg --only 'grad*'"


@reports_errors
def conform(
    name: str = typer.Argument(..., help="A backend, a device, a data set or a task."),
    kind: Optional[str] = typer.Option(
        None, help="backend, device, dataset or task.  [default: the first with that name]"
    ),
    device: Optional[str] = typer.Option(
        None, help="Test a backend on this device.  [default: the one it is made for]"
    ),
    only: List[str] = typer.Option(
        [], metavar="CHECK", help="Run only this check: a name, name[case] or a pattern. May be repeated."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks and the output of the plugin."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
) -> None:
    """Check an installed plugin; exit code 0 if it is conformant, 1 if it is not."""
    from gnnkit.testing import conform as check

    report = check(name, kind=kind, device=device, only=only, show_output=debug)
    for result in report.failed if debug else ():
        print(f"{result.id}\n{result.traceback}", file=sys.stderr)
    if json:
        print_json(report.to_dict())
    else:
        _show(report)
    if not report.is_conformant:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    from gnnkit.testing import SUITES

    titles = {item.name: item.title for item in SUITES[report.kind].checks()}
    rows = []
    for check, numbers in report.counts().items():
        ended = ", ".join(f"{count} {status}" for status, count in numbers.items() if count)
        rows.append([check, titles[check], ended])
    print_table(f"{report.kind.capitalize()} {report.name}", ["check", "what must hold", "result"], rows)
    for why in sorted({result.message for result in report.skipped}):
        number = sum(result.message == why for result in report.skipped)
        print(f"  skipped {number}: {why}")
    for problem in report.problems:
        print(f"  FAILED {problem}")
    print(
        f"\n  {len(report.passed)} passed, {len(report.failed)} failed, {len(report.skipped)} skipped "
        f"in {report.seconds:.1f} s: {report.verdict}"
    )
