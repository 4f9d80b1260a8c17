"""What a page shows of runs about whole graphs: errors by size, predicted numbers, the best and the worst, the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Sequence, Tuple

import numpy as np
import torch
from matplotlib.figure import Figure

from gnnkit.data import SPLITS, Graph
from gnnkit.loading import take_graphs
from gnnkit.report import figures, graph_figures
from gnnkit.report.collect import RunFacts
from gnnkit.report.drawing import MOST_NODES, colour_column, draw_graph
from gnnkit.report.graph_scores import GraphScores
from gnnkit.report.page import Panel, Section, Table, class_entry
from gnnkit.report.style import Theme
from gnnkit.report.words import number, percent, split_name

if TYPE_CHECKING:
    from gnnkit.report.gallery import Gallery

_SHOWN = 12
"""Pictures of the best graphs, and of the worst."""

_MOST_TARGETS = 6
"""Numbers whose predictions are drawn."""

_MOST_COLOURS = 12
_LONGEST_NAME = 60


def add_graph_figures(panel: Panel, run: RunFacts, gallery: Gallery) -> None:
    """Put figures about single graphs on the panel of a run's predictions."""
    scores = run.graph_scores
    if scores is None:
        return
    if scores.are_numbers:
        _add_numbers(panel, run, gallery, scores)
    least = min(scores.groups, key=lambda group: group[1])
    said = number(least[1]) if scores.are_numbers else percent(least[1])
    panel.pictures.append(
        gallery.picture(
            run,
            "errors-by-size",
            lambda theme: graph_figures.draw_errors_by_size(scores, theme),
            f"Mean error by number of nodes. Least: {least[0]} nodes, {said}.",
            "Errors by size of the graph",
        )
    )
    what = "mean error" if scores.are_numbers else "wrong"
    rows = [
        [name, f"{num:,}", f"{mean:.3f}" if scores.are_numbers else percent(mean)] for name, mean, num in scores.groups
    ]
    panel.tables.append(Table("Errors by size", ["nodes of a graph", "graphs", what], rows, numbers=True))


def _add_numbers(panel: Panel, run: RunFacts, gallery: Gallery, scores: GraphScores) -> None:
    """Predicted over true numbers, and a histogram of errors, of each number."""
    assert scores.said.true is not None
    true, predicted = scores.said.true.double().numpy(), scores.said.outputs.double().numpy()
    names = scores.said.class_names
    for column, name in enumerate(names[:_MOST_TARGETS]):
        known = np.isfinite(true[:, column])
        if not known.any():
            continue
        mine, theirs = true[known, column], predicted[known, column]
        errors = theirs - mine
        drawn: List[Tuple[str, Callable[[Theme], Figure], str, str]] = [
            (
                f"numbers-{column}",
                lambda theme, mine=mine, theirs=theirs: graph_figures.draw_numbers(mine, theirs, theme),  # type: ignore[misc]
                f"Predicted over true {name} of {len(mine):,} graphs.",
                f"{name}: predicted and true",
            ),
            (
                f"residuals-{column}",
                lambda theme, errors=errors: graph_figures.draw_residuals(errors, theme),  # type: ignore[misc]
                f"Histogram of errors of {name}: mean {number(float(errors.mean()))}, deviation "
                f"{number(float(errors.std()))}.",
                f"{name}: errors",
            ),
        ]
        for file, draw, alt, caption in drawn:
            panel.pictures.append(gallery.picture(run, file, draw, alt, caption))
    if len(names) > _MOST_TARGETS:
        panel.notes.append(f"Figures are of the first {_MOST_TARGETS} of {len(names)} numbers.")


def best_and_worst(runs: Sequence[RunFacts], gallery: Gallery) -> List[Section]:
    """Pictures of the graphs that are predicted best and worst; no section if no run has predictions of graphs."""
    panels: List[Panel] = []
    for run in runs:
        scores, graph = run.graph_scores, run.graph
        if scores is None or graph is None:
            continue
        chosen = scores.best_and_worst(_SHOWN)
        for title, rows in zip(("worst", "best"), reversed(chosen)):
            panel = Panel(title=f"{run.label}: {title}" if len(runs) > 1 else title.capitalize())
            _add_pictures(panel, run, gallery, scores, graph, title, rows)
            panels.append(panel)
        if panels and chosen[0]:
            _explain(panels[-2], scores, graph)
    return [Section("graphs", "Best and worst", panels)] if any(panel.thumbnails for panel in panels) else []


def _explain(panel: Panel, scores: GraphScores, graph: Graph) -> None:
    by = "absolute error, in deviations of the true numbers" if scores.are_numbers else "probability of what is true"
    panel.notes.insert(0, f"Of the {split_name(scores.split)} graphs, by the {by}.")
    column, colours = colour_column(graph)
    if graph.num_features and not all(picture.is_molecule for picture in panel.thumbnails):
        named = "the first category" if column is not None else "the largest feature"
        panel.notes.append(f"The colour of a node says {named}.")
        names = graph.feature_names if column is None else ()
        shown = torch.unique(colours).tolist()[:_MOST_COLOURS]
        panel.legend = [class_entry(c, names[c] if c < len(names) else str(c)) for c in shown]


def _add_pictures(
    panel: Panel, run: RunFacts, gallery: Gallery, scores: GraphScores, graph: Graph, title: str, rows: List[int]
) -> None:
    for place, row in enumerate(rows, start=1):
        one = take_graphs(graph, [int(scores.said.graphs[row])])
        drawn, caption = draw_graph(one), _caption(scores, row)
        if drawn is None:
            panel.notes.append(f"{caption}. It has {one.num_nodes:,} nodes; of at most {MOST_NODES} it is drawn.")
            continue
        alt = f"{one.num_nodes} nodes, {one.num_edges} edges: {caption}."
        panel.thumbnails.append(gallery.drawing(run, f"{title}-{place:02}", drawn, alt, caption))


def _caption(scores: GraphScores, row: int) -> str:
    """Number and name of a graph, what is true of it, and what is predicted."""
    said = scores.said
    name = said.names[row] if said.names else ""
    who = f"Graph {int(said.graphs[row])}" + (f" {_cut(name)}" if name else "")
    assert said.true is not None
    if said.are_numbers and said.outputs.shape[1] == 1:
        return f"{who}: true {number(float(said.true[row, 0]))}, predicted {number(float(said.outputs[row, 0]))}"
    if said.are_numbers:
        return f"{who}: mean error {number(float(scores.errors[row]))}"
    if said.is_multi_label:
        return f"{who}: {percent(float(scores.wrong[row]))} of labels wrong"
    names, true, found = said.class_names, int(said.true[row]), int(said.classes[row])
    words = [names[c] if c < len(names) else str(c) for c in (true, found)]
    chance = percent(float(said.part(row, row + 1).probabilities[0, found]))
    return f"{who}: true {words[0]}, predicted {words[1]} ({chance})"


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def graph_data(run: RunFacts, gallery: Gallery) -> Panel:
    """What the data of a run about graphs are like: sizes and classes by split."""
    graph, data, items = run.graph, run.data, run.items
    assert graph is not None and data is not None and items is not None, "the data are there"
    panel, sizes = Panel(), nodes_of_graphs(graph)
    by_split = {name: sizes[graph.graph_splits[name].numpy()] for name in SPLITS if name in graph.graph_splits}
    panel.pictures.append(
        gallery.picture(
            run,
            "sizes",
            lambda theme: graph_figures.draw_sizes(by_split or {"all graphs": sizes}, theme),
            f"Histogram of nodes of a graph: mean {sizes.mean():.1f}, from {sizes.min():,} to {sizes.max():,}.",
            "How many graphs have how many nodes",
        )
    )
    if items.classes.any():
        counts = items.classes.sum(axis=1)
        panel.pictures.append(
            gallery.picture(
                run,
                "classes",
                lambda theme: figures.draw_classes(items, theme, "graphs"),
                f"Graphs of each class by split: from {counts.min():,} to {counts.max():,}.",
                "Class balance",
            )
        )
    edges = graph.indptr[graph.graph_offsets].diff().numpy()
    rows = [["graphs", f"{graph.num_graphs:,}"]]
    rows += [[f"{split_name(name)} graphs", f"{len(values):,}"] for name, values in by_split.items()]
    rows.append(["nodes of a graph", _spread(sizes)])
    rows.append(["edges of a graph", _spread(edges)])
    rows += [[name, f"{data.sizes[name]:,}"] for name in ("nodes", "edges", "features")]
    if data.undirected is not None:
        rows.append(["direction", "undirected: every edge has its reverse" if data.undirected else "directed"])
    panel.tables.append(Table(f"The graphs {data.name}", ["", ""], rows))
    return panel


def nodes_of_graphs(graph: Graph) -> np.ndarray:
    """Nodes of each graph of a record. Shape [G], int64."""
    sizes: np.ndarray = graph.graph_offsets.diff().numpy()
    return sizes


def _spread(values: np.ndarray) -> str:
    return f"mean {values.mean():.1f}, median {np.median(values):g}, from {values.min():,} to {values.max():,}"
