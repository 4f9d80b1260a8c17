"""What a page says of the time that a run took."""

from __future__ import annotations

from typing import TYPE_CHECKING, List

from gnnkit.report import figures
from gnnkit.report.collect import RunFacts
from gnnkit.report.page import Panel, Table
from gnnkit.report.words import day_and_time, seconds

if TYPE_CHECKING:
    from gnnkit.report.gallery import Gallery


def time_panel(run: RunFacts, gallery: Gallery) -> Panel:
    """What the run recorded, and stages of a batch measured now."""
    panel = Panel(tables=[Table("Recorded while the run trained", ["", ""], _recorded_times(run))])
    found = run.measurement
    if found is None or run.measured is None:
        reason = run.missing.get("stages", "they were not to be measured for this page.")
        panel.notes.append(f"No stages of a batch: {reason}")
        return panel
    panel.notes.append(
        f"Stages of a training batch were measured for this page, on {day_and_time(run.measured)} on the machine that "
        f"made it: {found.backend} on {found.device}, median of {found.batches} batches, one stage after the other. "
        f"With loading and steps side by side, as in training, a batch took {seconds(found.seconds_per_batch)}."
    )
    slowest = max(found.stages, key=lambda stage: found.stages[stage])
    panel.pictures.append(
        gallery.picture(
            run,
            "stages",
            lambda theme: figures.draw_stages(found.stages, theme),
            f"Time of a batch by stage. Longest: {slowest}, {seconds(found.stages[slowest])}.",
            "Time of a batch by stage, measured for this page",
        )
    )
    return panel


def _recorded_times(run: RunFacts) -> List[List[str]]:
    history, result = run.record.history, run.result
    training = sum(record.seconds for record in history)
    rows = [["training", f"{seconds(training)} in {len(history)} epochs"]]
    if result:
        compiling = float(result.get("compile_seconds") or 0)
        rows.append(["evaluation and saving", seconds(max(float(result["seconds"]) - training - compiling, 0))])
        if compiling:
            rows.append(["compilation", seconds(compiling)])
        rows.append(["together", seconds(float(result["seconds"]))])
    rows.append([f"training {run.what}", f"{sum(r.nodes_per_second for r in history) / len(history):,.0f} a second"])
    for name, size in (result.get("memory") or {}).items():
        rows.append([name.replace("_", " "), f"{size / 2**20:,.0f} MiB"])
    return rows
