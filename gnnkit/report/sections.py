"""What stands on the page about which runs: the facts of runs as sections with figures and tables.

Rules: with one run a section has one panel; with several, what compares them comes first and then a panel for each. A
part that is missing is named, with the reason.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence

import numpy as np

from gnnkit.data.statistics import DataStatistics
from gnnkit.inference.graphs import POOLED
from gnnkit.report import figures
from gnnkit.report.collect import RunFacts, have_same_data
from gnnkit.report.figures import MOST_ROWS, Curve
from gnnkit.report.gallery import Gallery
from gnnkit.report.graphs import add_graph_figures, best_and_worst, graph_data
from gnnkit.report.links import link_panel, pair_tables
from gnnkit.report.numbers import number_errors
from gnnkit.report.page import Panel, Picture, Section, Table, class_entry
from gnnkit.report.settings import configuration
from gnnkit.report.style import drawable
from gnnkit.report.times import time_panel
from gnnkit.report.triples import triple_panel
from gnnkit.report.typed import TypeCounts, draw_schema, schema_in_words, type_tables
from gnnkit.report.words import number, percent, seconds, split_name
from gnnkit.runs.learned import NODES


def make_sections(runs: Sequence[RunFacts], gallery: Gallery) -> List[Section]:
    """All sections of the page, in their order."""
    return [
        Section("training", "Training", _training(runs, gallery)),
        Section("predictions", "Predictions", _of_each(runs, gallery, _predictions)),
        *best_and_worst(runs, gallery),
        Section("embeddings", "Embeddings", _of_each(runs, gallery, _maps)),
        Section("data", "Data", _data(runs, gallery)),
        Section("time", "Time", _of_each(runs, gallery, time_panel)),
        Section("configuration", "Configuration", [configuration(runs)]),
    ]


def _of_each(runs: Sequence[RunFacts], gallery: Gallery, make: Callable[[RunFacts, Gallery], Panel]) -> List[Panel]:
    panels = []
    for run in runs:
        panel = make(run, gallery)
        panel.title = run.label if len(runs) > 1 else ""
        panels.append(panel)
    return panels


def curve_label(run: RunFacts, runs: Sequence[RunFacts]) -> str:
    """The run's name as figures show it."""
    return drawable(run.label, f"run {list(runs).index(run) + 1}", 30)


def _training(runs: Sequence[RunFacts], gallery: Gallery) -> List[Panel]:
    """One panel for runs of the same data, else one for each, because losses on other data are no lower or higher."""
    if have_same_data(runs):
        return [_curves(runs, gallery)]
    return _of_each(runs, gallery, lambda run, gallery: _curves([run], gallery))


def _curves(runs: Sequence[RunFacts], gallery: Gallery) -> Panel:
    curves = [Curve(curve_label(run, runs), run.record.history, run.best.epoch if run.best else None) for run in runs]
    owner = runs[0] if len(runs) == 1 else None
    panel = Panel(is_spacious=len(runs) > 1)
    panel.pictures.append(
        gallery.picture(
            owner, "loss", lambda theme: figures.draw_loss(curves, theme), " ".join(map(_loss_in_words, runs)), "Loss"
        )
    )
    evaluated = [run for run in runs if run.best is not None]
    if evaluated:
        metrics = {run.metric for run in evaluated}
        metric = metrics.pop() if len(metrics) == 1 else "metric"
        panel.pictures.append(
            gallery.picture(
                owner,
                "metric",
                lambda theme: figures.draw_metric(curves, metric, theme),
                " ".join(_metric_in_words(run) for run in evaluated),
                f"Validation {metric}",
            )
        )
    for run in runs:
        if run.best is None:
            panel.notes.append(f"{run.label} has no validation curve: none of its epochs was evaluated.")
    if len(runs) == 1:
        panel.tables.append(Table("The epochs", ["", ""], _epoch_rows(runs[0])))
    return panel


def _loss_in_words(run: RunFacts) -> str:
    history = run.record.history
    first, last = history[0], history[-1]
    return (
        f"Training loss of {run.label}: {number(first.train_loss)} in epoch {first.epoch}, "
        f"{number(last.train_loss)} in epoch {last.epoch}."
    )


def _metric_in_words(run: RunFacts) -> str:
    assert run.best is not None
    return f"Validation {run.metric} of {run.label}: best {number(run.best.valid_metric)} in epoch {run.best.epoch}."


def _epoch_rows(run: RunFacts) -> List[List[str]]:
    history, best = run.record.history, run.best
    planned = (run.config.get("train") or {}).get("epochs")
    rows = [["epochs", f"{len(history)} of {planned}" if planned and planned != len(history) else f"{len(history)}"]]
    if best is not None:
        rows.append(["best epoch", f"{best.epoch}, with validation {run.metric} {number(best.valid_metric)}"])
        rows.append(["validation loss there", number(best.valid_loss)])
    rows += [
        ["training loss in the last", number(history[-1].train_loss)],
        ["learning rate in the last", f"{history[-1].lr:g}"],
        ["time of an epoch", f"{seconds(float(np.median([record.seconds for record in history])))} (median)"],
    ]
    return rows


def compare_scores(runs: Sequence[RunFacts], gallery: Gallery) -> Optional[Picture]:
    """F1 by class of all runs in one figure; None where fewer than two have scores, or not on the same data."""
    scored = [run for run in runs if run.scores is not None]
    if len(scored) < 2 or not have_same_data(runs):
        return None
    scores = {curve_label(run, runs): run.scores for run in scored if run.scores is not None}
    assert scored[0].scores is not None
    names, split, items = scored[0].class_names, scored[0].scores.split, scored[0].scores.items
    if any(run.class_names != names for run in scored):
        return None
    words = "; ".join(f"{name}: mean over classes {number(float(found.f1.mean()))}" for name, found in scores.items())
    return gallery.picture(
        None,
        "scores",
        lambda theme: figures.draw_class_scores(scores, names, theme),
        f"F1 score of each class by run. {words}.",
        f"F1 score by class on the {split_name(split)} {items}{_rows_shown(len(names))}",
    )


def _predictions(run: RunFacts, gallery: Gallery) -> Panel:
    panel = _judged(run, gallery)
    add_graph_figures(panel, run, gallery)
    return panel


def _judged(run: RunFacts, gallery: Gallery) -> Panel:
    scores = run.scores
    if run.number_scores is not None:
        return number_errors(run.number_scores)
    if run.triple_scores is not None:
        return triple_panel(run)
    if run.link_scores is not None:
        return link_panel(run, gallery)
    if scores is None:
        return Panel(notes=[f"No predictions: {_reason(run, 'predictions')}"])
    names = run.class_names
    where = f"{scores.num_nodes:,} {split_name(scores.split)} {scores.items}"
    panel = Panel(notes=[f"Computed for this page with the weights of the best epoch, on {where}."])
    if scores.accuracy is not None:
        panel.notes[0] += f" Accuracy {number(scores.accuracy)}, macro F1 {number(float(scores.f1.mean()))}."
        panel.pictures.append(
            gallery.picture(
                run,
                "confusion",
                lambda theme: figures.draw_confusion(scores, names, theme),
                f"Confusion matrix of {run.label} on {where}: {percent(scores.accuracy)} are on the diagonal.",
                f"Confusion matrix, percent of each true class{_rows_shown(len(names))}",
            )
        )
    else:
        panel.notes.append(f"A {scores.items[:-1]} can have several classes, so there is no confusion matrix.")
    order = np.argsort(scores.f1)
    panel.pictures.append(
        gallery.picture(
            run,
            "scores",
            lambda theme: figures.draw_class_scores({run.label: scores}, names, theme),
            f"Precision, recall and F1 of each class. Best F1: {names[order[-1]]} ({number(scores.f1[order[-1]])}); "
            f"worst: {names[order[0]]} ({number(scores.f1[order[0]])}).",
            f"Scores by class{_rows_shown(len(names))}",
        )
    )
    panel.tables.append(
        Table(
            "Scores by class",
            ["class", "precision", "recall", "F1", scores.items],
            [
                [numbered(c, names), *(f"{values[c]:.3f}" for values in (scores.precision, scores.recall, scores.f1))]
                + [f"{scores.support[c]:,}"]
                for c in range(len(names))
            ],
            numbers=True,
            folded=len(names) > MOST_ROWS,
        )
    )
    mistakes = scores.mistakes(5)
    if mistakes:
        rows = [[numbered(true, names), numbered(found, names), f"{num:,}"] for true, found, num in mistakes]
        panel.tables.append(
            Table(
                "Most frequent mistakes", ["true class", "predicted", scores.items], rows, numbers=True, text_columns=2
            )
        )
    return panel


def _maps(run: RunFacts, gallery: Gallery) -> Panel:
    data = run.items if run.is_about_graphs else run.data
    if not run.maps or data is None:
        return Panel(notes=[f"No maps: {_reason(run, 'maps')}"])
    names, first = data.class_names, run.maps[0]
    items = "graphs" if run.is_about_graphs else "nodes"
    methods = " and ".join(dict.fromkeys(found.method for found in run.maps))
    panel = Panel(
        is_spacious=True,
        notes=[
            f"{methods} of {len(first.points):,} of {data.sizes['nodes']:,} {items}"
            + (", coloured by their true class" if (first.classes >= 0).any() else "")
            + (" (of several, the first)." if data.multi_label else ".")
        ],
        legend=[class_entry(int(c), numbered(int(c), names)) for c in np.unique(first.classes) if c >= 0],
    )
    has_head = run.record.manifest["model"].get("jumping_knowledge", "none") != "none"
    is_mixed = len({found.method for found in run.maps}) > 1
    for found in run.maps:
        last = "the outputs" if run.level == NODES else "what the head reads"
        is_last = found is run.maps[-1] and (run.is_about_graphs or not has_head)
        what = last if is_last else "after its activation"
        where = "Pooled" if found.layer == POOLED else f"Layer {found.layer}"
        panel.pictures.append(
            gallery.picture(
                run,
                f"embeddings-layer-{found.layer}",
                lambda theme, found=found: figures.draw_map(  # type: ignore[misc]
                    found.points, found.classes, names, theme, legend=False
                ),
                f"{found.method} of {where.lower()} features of {run.label}: {len(found.points):,} {items} as points."
                if found.layer == POOLED
                else f"{found.method} of layer {found.layer} of {run.label}: {len(found.points):,} nodes as points.",
                f"{where}, {found.width} wide, {what}" + (f" ({found.method})" if is_mixed else ""),
                lambda theme, found=found: figures.draw_map(  # type: ignore[misc]
                    found.points, found.classes, names, theme, legend=True
                ),
            )
        )
    return panel


def _data(runs: Sequence[RunFacts], gallery: Gallery) -> List[Panel]:
    """One panel for runs of the same data, else one for each."""
    is_common = len(runs) > 1 and have_same_data(runs)
    first = next((run for run in runs if run.data is not None), runs[0])
    panels = _of_each([first] if is_common else runs, gallery, _data_of)
    if is_common:
        panels[0].notes.insert(0, "All runs have these data.")
    return panels


def _data_of(run: RunFacts, gallery: Gallery) -> Panel:
    data = run.data
    if data is None:
        return Panel(notes=[f"No statistics: {_reason(run, 'data')}"])
    if run.is_about_graphs:
        panel = graph_data(run, gallery)
        if run.items is not None and run.items.classes.any():
            panel.tables.append(_class_table(run.items, "Graphs"))
        return panel
    panel = Panel()
    panel.pictures.append(
        gallery.picture(
            run,
            "degrees",
            lambda theme: figures.draw_degrees(data, theme),
            f"Histogram of degrees: mean {data.mean_degree:.1f}, median {data.median_degree}, most {data.max_degree}.",
            "How many nodes have how many neighbours",
        )
    )
    if run.types is not None:
        _add_types(panel, run, run.types, gallery)
    if run.is_about_pairs and run.links is not None:
        panel.tables += [Table(f"The graph {data.name}", ["", ""], _graph_rows(data, of_pairs=True)), *pair_tables(run)]
        return panel
    if data.classes.any():
        sizes = data.classes.sum(axis=1)
        panel.pictures.append(
            gallery.picture(
                run,
                "classes",
                lambda theme: figures.draw_classes(data, theme),
                f"Nodes of each class by split: from {sizes.min():,} to {sizes.max():,}.",
                f"Class balance{_rows_shown(len(sizes))}",
            )
        )
    else:
        panel.notes.append("The data have no labels.")
    panel.tables.append(Table(f"The graph {data.name}", ["", ""], _graph_rows(data)))
    if data.classes.any():
        panel.tables.append(_class_table(data))
    return panel


def _add_types(panel: Panel, run: RunFacts, types: TypeCounts, gallery: Gallery) -> None:
    """The schema as a picture, and counts by type and relation."""
    picture = gallery.picture(
        run, "schema", lambda theme: draw_schema(types, theme), schema_in_words(types), "Types and relations"
    )
    panel.pictures.append(picture)
    panel.tables += type_tables(types)


def _graph_rows(data: DataStatistics, of_pairs: bool = False) -> List[List[str]]:
    sizes = {name: size for name, size in data.sizes.items() if not (of_pairs and name == "classes")}
    rows = [
        [f"{name} that carry messages" if of_pairs and name == "edges" else name, f"{sizes[name]:,}"] for name in sizes
    ]
    if data.undirected is not None:
        rows.append(["direction", "undirected: every edge has its reverse" if data.undirected else "directed"])
    rows.append(
        ["edges to a node", f"mean {data.mean_degree:.1f}, median {data.median_degree}, most {data.max_degree:,}"]
    )
    if of_pairs:
        return rows
    homophily = data.homophily
    if homophily is None:
        why = "not defined: a node can have several classes" if data.multi_label else "no labelled neighbours"
        rows.append(["homophily", why])
    else:
        rows.append(
            [
                "edge homophily",
                f"{homophily.edge:.3f}: the share of edges within a class; by chance {homophily.chance:.3f}",
            ]
        )
        rows.append(["adjusted homophily", f"{round(homophily.adjusted, 3) + 0.0:.3f}: with chance taken out"])
    return rows


def _class_table(data: DataStatistics, items: str = "Nodes") -> Table:
    """Nodes, or other items, of every class by split, and how many of its neighbours are of the same class."""
    columns = ["class", "train", "valid", "test", "none"]
    if data.homophily is not None:
        columns.append("own class")
    rows = []
    for c, sizes in enumerate(data.classes):
        row = [numbered(c, data.class_names), *(f"{size:,}" for size in sizes)]
        if data.homophily is not None:
            row.append(percent(float(data.homophily.by_class[c])))
        rows.append(row)
    caption = f"{items} by class" + (", and edges from the own class" if data.homophily is not None else "")
    return Table(caption, columns, rows, numbers=True, folded=len(rows) > MOST_ROWS)


def numbered(c: int, names: Sequence[str]) -> str:
    """A class with its number, in full."""
    return str(c) if names[c] == str(c) else f"{c} {names[c]}"


def _rows_shown(num_classes: int) -> str:
    return f", the {MOST_ROWS} largest of {num_classes:,}" if num_classes > MOST_ROWS else ""


def _reason(run: RunFacts, part: str) -> str:
    """Why a part is not there; what needs predictions may be missing because these are."""
    return run.missing.get(part) or run.missing["predictions"]
