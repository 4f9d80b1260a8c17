"""What a page shows of predicted numbers."""

from __future__ import annotations

from gnnkit.report.page import Panel, Table
from gnnkit.report.scores import NumberScores
from gnnkit.report.words import split_name

_COLUMNS = ("RMSE", "mean absolute error", "R2", "true mean", "true deviation")


def number_errors(scores: NumberScores) -> Panel:
    """A table of the errors of each number."""
    where = f"{scores.num_nodes:,} {split_name(scores.split)} {scores.items}"
    rows = []
    for name, (num, *values) in scores.rows.items():
        rows.append([name, f"{num:,}", *(f"{value:.4g}" for value in values)])
    return Panel(
        notes=[f"Computed for this page with the weights of the best epoch, on {where}, in the data's units."],
        tables=[Table("Errors of predicted numbers", ["number", scores.items, *_COLUMNS], rows)],
    )
