"""What stands on the page about which runs: the facts of runs as sections with figures and tables.

Rules: with one run a section has one panel; with several, what compares them comes first and then a panel for each. A
part that is missing is named, with the reason.
"""

from __future__ import annotations

from typing import Callable, List, Sequence

import numpy as np

from gnnkit.data.statistics import DataStatistics
from gnnkit.inference.graphs import POOLED
from gnnkit.report import figures
from gnnkit.report.collect import RunFacts
from gnnkit.report.figures import MOST_ROWS, rows_shown
from gnnkit.report.gallery import Gallery
from gnnkit.report.graphs import add_graph_figures, best_and_worst, graph_data
from gnnkit.report.groups import Group, groups_of
from gnnkit.report.links import link_panel, pair_tables
from gnnkit.report.numbers import number_errors
from gnnkit.report.page import Panel, Section, Table, class_entry
from gnnkit.report.settings import configuration
from gnnkit.report.times import time_panel
from gnnkit.report.training import training
from gnnkit.report.triples import triple_panel
from gnnkit.report.typed import TypeCounts, draw_schema, schema_in_words, type_tables
from gnnkit.report.words import number, percent, split_name
from gnnkit.runs.learned import NODES


def make_sections(runs: Sequence[RunFacts], gallery: Gallery) -> List[Section]:
    """All sections of the page, in their order."""
    groups = groups_of(runs)
    runs = [run for group in groups for run in group.runs]
    return [
        Section("training", "Training", [training(group, gallery) for group in groups]),
        Section("predictions", "Predictions", _of_each(runs, gallery, _predictions)),
        *best_and_worst(runs, gallery),
        Section("embeddings", "Embeddings", _of_each(runs, gallery, _maps)),
        Section("data", "Data", [panel for group in groups for panel in _data(group, gallery)]),
        Section("time", "Time", _of_each(runs, gallery, time_panel)),
        Section("configuration", "Configuration", [_configuration(group) for group in groups]),
    ]


def _of_each(runs: Sequence[RunFacts], gallery: Gallery, make: Callable[[RunFacts, Gallery], Panel]) -> List[Panel]:
    panels = []
    for run in runs:
        panel = make(run, gallery)
        panel.title = run.label if len(runs) > 1 else ""
        panels.append(panel)
    return panels


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
        panel.notes[0] += f" Accuracy {number(scores.accuracy)}, macro F1 {number(scores.macro_f1)}."
        panel.pictures.append(
            gallery.picture(
                run,
                "confusion",
                lambda theme: figures.draw_confusion(scores, names, theme),
                f"Confusion matrix of {run.label} on {where}: {percent(scores.accuracy)} are on the diagonal.",
                f"Confusion matrix, percent of each true class{rows_shown(len(names))}",
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
            f"Scores by class{rows_shown(len(names))}",
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


def _configuration(group: Group) -> Panel:
    panel = configuration(group.runs)
    panel.title, panel.is_full = group.heading, len(group.runs) > 1
    return panel


def _data(group: Group, gallery: Gallery) -> List[Panel]:
    """One panel for the data that the runs of a group have; one for each run where they could not be loaded for all."""
    found = [run for run in group.runs if run.data is not None]
    if not found:
        return _of_each(group.runs, gallery, _data_of)
    panel = _data_of(found[0], gallery)
    panel.title = group.heading
    if len(group.runs) > 1:
        panel.notes.insert(
            0, "All runs have these data." if group.is_alone else "All runs of the group have these data."
        )
    return [panel]


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
                f"Class balance{rows_shown(len(sizes))}",
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


def _reason(run: RunFacts, part: str) -> str:
    """Why a part is not there; what needs predictions may be missing because these are."""
    return run.missing.get(part) or run.missing["predictions"]
