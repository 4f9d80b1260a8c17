"""A page about several seeds or folds: the runs in a table, what they say together, and their curves.

Rules: everything is read from the summary folder that ``gnnkit run --seeds`` or ``--folds`` made; nothing is computed
anew. A run whose folder is gone has no curve, and the page says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from gnnkit.errors import ConfigError, GnnkitError
from gnnkit.io.text import parse_json, read_text
from gnnkit.paths import is_file
from gnnkit.report.collect import RunFacts
from gnnkit.report.curves import draw_together
from gnnkit.report.gallery import Gallery
from gnnkit.report.page import Page, Panel, Section, Table
from gnnkit.report.settings import configuration
from gnnkit.report.words import metric_name, number, seconds
from gnnkit.runs import RunRecord, read_run, recorded_config
from gnnkit.studies import SUMMARY
from gnnkit.studies.together import member_name

_PLUS_MINUS = " ± "


def is_summary(folder: Path) -> bool:
    """Whether a folder is the summary of several runs."""
    return is_file(folder / SUMMARY)


def together_page(folder: Path, gallery: Gallery, footer: str) -> Page:
    """The page of a summary folder.

    Args:
        folder: The folder.
        gallery: Draws the curves.
        footer: How the page was made.

    Raises:
        ConfigError: The summary is damaged.
    """
    said = _read(folder)
    runs, missing = _runs(folder, said)
    kind = said["kind"]
    warnings = []
    if not said["complete"]:
        warnings.append(f"The {kind} are not complete: {said['runs']} have been run, and only these are shown.")
    if missing:
        warnings.append(f"There are no curves of {', '.join(missing)}: their folders are not there, or not whole.")
    sections = [Section(kind, kind.capitalize(), [_table(said)])]
    if runs:
        sections.append(Section("training", "Training", [_curves(said, runs, gallery)]))
        settings = configuration(runs[:1])
        settings.notes.insert(0, f"These are the settings of {runs[0].label}; others have another {kind[:-1]}.")
        sections.append(Section("configuration", "Configuration", [settings]))
    return Page(
        title=f"{said['model']} on {said['dataset']}, {said['runs']} {kind}",
        subtitle=f"{folder.name}, {said['backend']} on {said['device']}",
        tiles=_tiles(said),
        warnings=warnings,
        sections=sections,
        footer=footer,
    )


def members_of(folder: Path) -> List[RunRecord]:
    """The runs of a summary folder, but those whose folders are gone.

    Raises:
        ConfigError: The summary is damaged.
    """
    runs, _ = _runs(folder, _read(folder))
    return [run.record for run in runs]


def _read(folder: Path) -> Dict[str, Any]:
    file = folder / SUMMARY
    text = read_text(file, ConfigError)
    try:
        said = parse_json(text, "it", ConfigError)
        needed = {
            "model",
            "dataset",
            "backend",
            "device",
            "metric",
            "runs",
            "complete",
            "members",
            "kind",
        }
        if (
            not isinstance(said, dict)
            or needed - said.keys()
            or not said["members"]
            or said["kind"] not in ("folds", "seeds")
        ):
            raise ConfigError("parts of it are missing.")
    except ConfigError as error:
        raise ConfigError(f"{file} is damaged: {error} Start the runs again.") from error
    return said


def _runs(folder: Path, said: Mapping[str, Any]) -> Tuple[List[RunFacts], List[str]]:
    """The runs whose folders are there, which may have been moved together; and names of the others."""
    runs, missing = [], []
    for member in said["members"]:
        path = folder / Path(member["run_dir"] or member_name(member["labels"])).name
        try:
            runs.append(RunFacts(path, path.name, read_run(path), recorded_config(path)))
        except GnnkitError:
            missing.append(path.name)
    return runs, missing


def _over_members(said: Mapping[str, Any], split: str) -> Dict[str, Mapping[str, float]]:
    """Mean and deviation of each metric of a split, by name."""
    names = said["members"][0][split]
    return {name: said[f"{split}_{name}"] for name in names}


def _tiles(said: Mapping[str, Any]) -> List[Tuple[str, str, str]]:
    tiles = []
    for split, title in (("test", "Test"), ("valid", "Validation")):
        for name, values in _over_members(said, split).items():
            shown = f"{number(values['mean'])}{_PLUS_MINUS}{number(values['deviation'])}"
            tiles.append((f"{title} {metric_name(name)}", shown, f"mean and deviation over {said['kind']}"))
    total = sum(member["seconds"] for member in said["members"])
    return [*tiles[:4], ("Time", seconds(total), f"{said['runs']} {said['kind']} together")]


def _table(said: Mapping[str, Any]) -> Panel:
    columns: List[Tuple[str, str]] = [
        (split, name) for split in ("valid", "test") for name in _over_members(said, split)
    ]
    heads = [f"{'validation' if split == 'valid' else split} {metric_name(name)}" for split, name in columns]
    rows = [
        [
            member_name(member["labels"]).replace("-", " "),
            str(member["best_epoch"]),
            *(number(member[split][name]) for split, name in columns),
            seconds(member["seconds"]),
        ]
        for member in said["members"]
    ]
    for value in ("mean", "deviation"):
        rows.append([value, "", *(number(said[f"{split}_{name}"][value]) for split, name in columns), ""])
    last = len(rows) - 2
    best = [(last, 2 + place) for place in range(len(columns))]
    table = Table(f"The {said['kind']}", [said["kind"][:-1], "best epoch", *heads, "time"], rows, best=best)
    panel = Panel(tables=[table])
    panel.notes.append(_NOTES[said["kind"]] + " The deviation is that of the sample." + _interval(said))
    over = said.get("best_epoch_over_folds")
    if over:
        metric = metric_name(said["metric"])
        panel.notes.append(
            f"The best mean validation {metric} at one epoch of all folds is {number(over['mean'])}{_PLUS_MINUS}"
            f"{number(over['deviation'])}, at epoch {over['epoch']}. It picks the epoch by the very numbers that it "
            "reports (Xu et al., 2019), so it is too good, and no result."
        )
    return panel


_NOTES = {
    "folds": "Each fold is tested by a model that was trained on the others; the epoch is picked by a validation part "
    "of these, never by the fold.",
    "seeds": "Each seed gives other initial weights, samples and dropout, and other splits where these are random.",
}


def _interval(said: Mapping[str, Any]) -> str:
    """The confidence interval of the metric that picks models, on the test part, in words."""
    interval = said.get(f"test_{said['metric']}", {}).get("interval")
    if not interval:
        return ""
    low, high = (number(end) for end in interval)
    return f" The mean test {metric_name(said['metric'])} lies between {low} and {high} with 95 % confidence."


def _curves(said: Mapping[str, Any], runs: List[RunFacts], gallery: Gallery) -> Panel:
    metric = metric_name(said["metric"])
    panel = Panel(is_spacious=True)
    drawn = {
        "loss": ("training loss", "train_loss", "Training loss"),
        "validation-loss": ("validation loss", "valid_loss", "Validation loss"),
        "metric": (metric, "valid_metric", f"Validation {metric}"),
    }
    for name, (ylabel, field, caption) in drawn.items():
        curves = [
            [
                (record.epoch, getattr(record, field))
                for record in run.record.history
                if getattr(record, field) is not None
            ]
            for run in runs
        ]
        kept = [curve for curve in curves if curve]
        if kept:
            panel.pictures.append(
                gallery.picture(
                    None,
                    name,
                    lambda theme, kept=kept, ylabel=ylabel: draw_together(  # type: ignore[misc]
                        kept, ylabel, theme, said["kind"][:-1]
                    ),
                    f"{caption} over epochs of {len(kept)} {said['kind']}, and their mean.",
                    caption,
                )
            )
    return panel
