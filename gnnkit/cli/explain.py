"""``gnnkit explain``: which edges and features matter for what a run says of some nodes."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Sequence

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.paths import check_writable, user_path

if TYPE_CHECKING:
    from gnnkit.explain import Explanation

EXAMPLE = "Example: gnnkit explain runs/20240101-120000-cora-gcn-pyg --nodes 10,20"
_SHOWN = 5
"""Edges in the table of a node."""


@reports_errors
def explain(
    run: str = typer.Argument(..., metavar="RUN", help="The run folder."),
    nodes: str = typer.Option(..., help="Comma-separated ids, or a .csv, .parquet, .txt or .npy file of them."),
    method: str = typer.Option("gnn_explainer", help="gradient, integrated_gradients, gnn_explainer."),
    output: Optional[str] = typer.Option(
        None, metavar="FOLDER", help="Folder for tables and pictures.  [default: RUN/explanations]"
    ),
    edges: int = typer.Option(10, help="Number of top edges used for fidelity, sparsity and pictures."),
    backend: Optional[str] = typer.Option(None, help="Use a different graph library.  [default: the run's]"),
    data_dir: Optional[str] = typer.Option(None, help="Folder to search first for the data set's files."),
    force: bool = typer.Option(False, "--force", help="Replace existing files."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Show which edges and features matter for the predictions of a run's best model."""
    import numpy as np

    from gnnkit.errors import ConfigError
    from gnnkit.inference import NodeIds, open_run, read_nodes
    from gnnkit.report.explanations import draw_explanation

    folder = user_path(run) / "explanations" if output is None else user_path(output, "--output")
    check_writable(folder, as_folder=True)
    if folder.exists() and any(folder.iterdir()) and not force:
        raise ConfigError(f"{folder} exists. Name another folder, or give --force to replace what is in it.")
    with closing(open_run(run, backend=backend, device="cpu", data_dir=data_dir)) as opened:
        names = opened.names()
        ids = NodeIds.of(opened.graph, names)
        found = opened.explain(read_nodes(nodes, ids), method=method, num_edges=edges)
        graph = opened.graph
    named = ids.labels(np.arange(graph.num_nodes)).tolist()
    _write(folder, found, named, names.features or graph.feature_names)
    for one in found:
        draw_explanation(one, graph, folder / f"node-{named[one.node]}.png", edges, named)
    for one in found:
        _show(one, named)
    print(f"  tables and pictures:  {folder}")
    if json:
        print_json({"output": str(folder), "explanations": [one.summary(edges) for one in found]})


def _write(folder: Path, found: Sequence[Explanation], named: Sequence[str], features: Any) -> None:
    """Tables of edges and of features."""
    from gnnkit.io.files import write_text

    rows = [
        [named[one.node], named[edge["source"]], named[edge["destination"]], edge["score"]]
        for one in found
        for edge in one.top_edges(one.edges.shape[1])
    ]
    write_text(folder / "edges.csv", _csv(["node", "source", "destination", "score"], rows))
    rows = [
        [named[one.node], features[i] if features else str(i), score]
        for one in found
        for i, score in enumerate(one.feature_scores.tolist())
    ]
    if rows:
        write_text(folder / "features.csv", _csv(["node", "feature", "score"], rows))


def _csv(head: List[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


def _show(one: Explanation, named: Sequence[str]) -> None:
    best = [
        f"{named[edge['source']]} -> {named[edge['destination']]} ({edge['score']:.3g})"
        for edge in one.top_edges(_SHOWN)
    ]
    rows = [
        ["output", f"{one.output}, score {one.score:.4f}"],
        ["edges within reach", f"{one.edges.shape[1]:,}"],
        ["that matter most", "\n".join(best) or "none"],
        ["fidelity", f"without the best {one.fidelity_plus:+.4f}, with them alone {one.fidelity_minus:+.4f}"],
        ["sparsity", f"{one.sparsity:.3f}"],
    ]
    print_table(f"Node {named[one.node]}", ["", ""], rows)
