"""What was measured so far: a file of results for each processor, and the page that shows them all.

Rules: figures of two processors never share a table. A measurement is kept in ``build``, row by row, so rows can be
measured one at a time; ``--write`` publishes what is there into ``benchmarks/results``, which the project keeps, and
makes the tables of docs/benchmarks.md from all files there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from benchmarks import report
from benchmarks.report import Record

_HOME = Path(__file__).parent
BUILD = _HOME.parent / "build"
PUBLISHED = _HOME / "results"

Results = Dict[str, Any]
"""Of one processor: "machines" by table, "records" by name of row, "contests" by title."""


def load(processor: str) -> Results:
    """All results of a processor: those of this folder, else the published ones."""
    for folder in (BUILD, PUBLISHED):
        file = folder / _file_name(processor)
        if file.is_file():
            results: Results = json.loads(file.read_text(encoding="utf-8"))
            return results
    return {"machines": {}, "records": {}, "contests": {}}


def save(processor: str, results: Mapping[str, Any], *, publish: bool = False) -> None:
    """Write all results of a processor, in the folder of builds or for everybody."""
    folder = PUBLISHED if publish else BUILD
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _file_name(processor)).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _file_name(processor: str) -> str:
    return f"bench-{re.sub('[^a-z0-9]+', '-', processor.lower()).strip('-')}.json"


def write_page(name: str, rows: Sequence[Record]) -> None:
    """Write one section of the page from all published results.

    Args:
        name: Of the table.
        rows: All that it may have.
    """
    files = sorted(PUBLISHED.glob("bench-*.json"))
    report.write_section(name, section([json.loads(file.read_text(encoding="utf-8")) for file in files], rows, name))


def section(processors: Sequence[Results], rows: Sequence[Record], name: str) -> str:
    """The tables of one section: for each processor the rows measured there, and what every side did below."""
    parts: List[str] = []
    for results in processors:
        shown = [Record(**results["records"][row.name]) for row in rows if row.name in results["records"]]
        if not shown:
            continue
        contests = [contest for contest in results["contests"].values() if contest["table"] == name]
        parts += [f"### {report.machine_title(results['machines'][name])}"]
        parts += [report.machine_text(results["machines"][name]), report.table(shown)]
        parts += [report.contest_text(contest) for contest in contests]
    return "\n\n".join(parts) if parts else "Nothing has been measured for this version yet."
