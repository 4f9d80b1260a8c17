"""What was measured, in words and as tables in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
import statistics
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from benchmarks.contests import Row
from benchmarks.paired import Ratio, SideResult
from benchmarks.process import NotMeasuredError
from gnnkit.devices.processor import processor_name

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_PACKAGES = ("gnnkit", "torch", "torch-geometric", "pyg-lib", "torch-sparse", "dgl", "numba", "numpy")


@dataclass
class Record:
    """One line of the table.

    Attributes:
        name: Of the row.
        work: What was done.
        against: The measure.
        asked: What is asked, in words.
        measured: What came out, in words.
        met: Whether that is what was asked; None where nothing is asked or nothing was measured.
        figures: The numbers behind the words.
        date: Day of the measurement; empty if there was none.
    """

    name: str
    work: str
    against: str
    asked: str
    measured: str = "not measured yet"
    met: Optional[bool] = None
    figures: Dict[str, Any] = field(default_factory=dict)
    date: str = ""


def asked(row: Row) -> str:
    """What a row asks, in words."""
    words = ""
    if row.at_least is not None:
        words = f"{row.at_least:g} times faster"
    if row.at_most is not None:
        words = f"at most {row.at_most:g} times its time"
    if row.memory_below is not None:
        words += f", below {row.memory_below / 1e9:g} GB"
    return words


def empty(row: Row) -> Record:
    """The record of a row that has not been measured."""
    return Record(row.name, row.work, row.against, asked(row))


def compared(row: Row, ratio: Ratio, side: SideResult, date: str) -> Record:
    """The record of a row with a ratio of theirs to ours, or of ours to theirs where the row limits that."""
    record = empty(row)
    record.date = date
    record.figures = {**asdict(ratio), "rounds": len(side.seconds)}
    unit = "" if row.is_limit else " times faster"
    spread = f"{ratio.low:.2f} to {ratio.high:.2f} in {len(side.seconds)} rounds"
    record.measured = f"{ratio.median:.2f}{unit} ({spread})"
    record.met = _is_met(row, ratio, side)
    if row.memory_below is not None:
        record.measured += f", {side.peak / 1e9:.1f} GB"
    if ratio.problem:  # Then the sides did different things, and the figure says nothing.
        record.measured += f"; {ratio.problem}"
        record.met = None if record.met is None else False
    return record


def _is_met(row: Row, ratio: Ratio, side: SideResult) -> Optional[bool]:
    demands = []
    if row.at_least is not None:
        demands.append(ratio.median >= row.at_least)
    if row.at_most is not None:
        demands.append(ratio.median <= row.at_most)
    if row.memory_below is not None:
        demands.append(side.peak < row.memory_below)
    return all(demands) if demands else None


def missing(record: Record, error: NotMeasuredError, date: str) -> Record:
    """The record of a row that could not be measured."""
    measured = f"{'not measured' if error.is_absent else 'failed'}: {error}"
    return replace(record, measured=measured, met=None if error.is_absent else False, date=date)


def side_row(side: SideResult, is_full: bool, date: str) -> Dict[str, str]:
    """What one side of a contest did: the cells of its line."""
    ms = [1000 * value for value in side.seconds]
    batch = side.batch
    holds = "the full graph" if is_full else ""
    if "nodes" in batch:
        holds = f"{batch['nodes']:,.0f} nodes, {batch['edges']:,.0f} edges"
    if "rows" in batch:
        holds = f"{batch['rows']:,.0f} rows"
    if "rank" in batch:
        holds = f"mean rank {batch['rank']:,.0f}"
    if "gflops" in batch:
        holds = f"{batch['gflops']:.0f} GFLOP/s, {batch['gbytes']:.0f} GB/s"
    return {
        "side": side.label,
        "milliseconds": f"{statistics.median(ms):.3g} ({min(ms):.3g} to {max(ms):.3g})",
        "a batch holds": holds,
        "peak memory, GB": f"{side.peak / 1e9:.2f}",
        "GPU waits": "" if side.gpu_waits is None else f"{100 * side.gpu_waits:.0f}%",
        "date": date,
    }


def machine() -> Dict[str, Any]:
    """Processor, cores, memory, GPU and versions."""
    versions = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    import torch

    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "versions": versions,
    }


def write_section(name: str, body: str) -> None:
    """Replace what stands in docs/benchmarks.md between ``<!-- benchmarks: NAME -->`` and the end that follows."""
    text = PAGE.read_text(encoding="utf-8")
    new = f"<!-- benchmarks: {name} -->\n\n{body}\n\n<!-- end of benchmarks -->"
    pattern = rf"<!-- benchmarks: {name} -->.*?<!-- end of benchmarks -->"
    text, count = re.subn(pattern, lambda _: new, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE} has {count} sections {name!r}, expected one between its two comments")
    PAGE.write_text(text, encoding="utf-8")


def machine_title(found: Mapping[str, Any]) -> str:
    """A machine in few words."""
    gpu = "" if found["gpu"] == "none" else f", {found['gpu']}"
    return f"{found['processor']}, {found['cores']} cores{gpu}"


def machine_text(found: Mapping[str, Any]) -> str:
    """A machine's memory and versions."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{found['memory']}. {versions}."


def table(records: Sequence[Record]) -> str:
    """Rows in Markdown."""
    words = {True: "yes", False: "**no**", None: ""}
    lines = [[r.work, r.against, r.asked, r.measured, words[r.met], r.date] for r in records]
    return markdown(["work", "against", "asked", "measured", "met", "date"], lines)


def contest_text(contest: Mapping[str, Any]) -> str:
    """What the sides of a contest did, in Markdown."""
    sides = list(contest["sides"].values())
    header = [key for key in sides[0] if any(side[key] for side in sides)]
    lines = [[side[key] for key in header] for side in sides]
    header[1] += f" {contest['unit']}"
    return f"**{contest['title']}**\n\n{markdown(header, lines)}"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(' '.join(cell.split()).replace('|', '/') for cell in cells)} |"

    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, lines)])
