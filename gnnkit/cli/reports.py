"""Answers of probed plugins as rows of a table, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping

if TYPE_CHECKING:
    from gnnkit.probing import PluginReport


def rows(reports: Mapping[str, PluginReport]) -> List[List[str]]:
    """Table rows: name, status, and what to know or to do."""
    table = []
    for name, report in reports.items():
        answer = report.availability
        notes = [answer.detail] if answer.is_ready else [answer.detail, answer.fix and f"To fix: {answer.fix}"]
        table.append([name, answer.status, " ".join(note for note in notes if note)])
    return table


def as_json(reports: Mapping[str, PluginReport]) -> Dict[str, Dict[str, Any]]:
    """Status, detail and fix by name."""
    answers = {name: report.availability for name, report in reports.items()}
    return {name: {"status": a.status, "detail": a.detail, "fix": a.fix} for name, a in answers.items()}
