"""``gnnkit embed``: what a trained run makes of nodes, layer by layer, or of graphs, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import typer

from gnnkit.cli.inferring import Asked, Work, launched, open_work, show, takes_asked
from gnnkit.cli.launched import is_first
from gnnkit.cli.output import reports_errors
from gnnkit.cli.processes import Processes, takes_processes_here
from gnnkit.options import whole_numbers

EXAMPLE = "Example: gnnkit embed runs/20240101-120000-cora-gcn-pyg --layers 1 --output embeddings.parquet"


@reports_errors
@takes_asked
@takes_processes_here
def embed(
    *,
    output: Path = typer.Option(..., help="File for the embeddings: *.parquet or *.npy."),
    layers: Optional[str] = typer.Option(
        None, help="Layers, counted from 1 at the input: 1,2.  [default: all; for graphs, the input of the head]"
    ),
    asked: Asked,
    processes: Processes,
) -> None:
    """Compute the node embeddings of every layer of a run's best model, or pooled embeddings of graphs."""
    import torch

    from gnnkit.inference import write_embeddings
    from gnnkit.inference.writing import EMBEDDING_FILES

    wanted = None if layers is None else whole_numbers(layers, "--layers")
    if launched(processes, asked, output, EMBEDDING_FILES):
        return
    work = open_work(asked, output, EMBEDDING_FILES)
    if work.graphs is not None:
        _embed_graphs(work, output, wanted, asked)
        return
    with work.computing() as how:
        embeddings = work.run.embed(work.nodes, layers=wanted, **how)
    numbers = torch.arange(len(work.ids)) if work.nodes is None else torch.from_numpy(work.nodes)
    if not is_first():
        return
    write_embeddings(embeddings, numbers, output, ids=work.ids, force=asked.force)
    widths = {str(layer): values.shape[1] for layer, values in embeddings.items()}
    report = work.report(output, numbers.numel(), widths=widths)
    shown = ", ".join(f"{layer} ({width} wide)" for layer, width in widths.items())
    show("Embeddings", work, report, [["layers", shown]], asked.json)


def _embed_graphs(work: Work, output: Path, layers: Optional[List[int]], asked: Asked) -> None:
    from gnnkit.cli.inferring_graphs import tell_skipped
    from gnnkit.inference import write_graph_embeddings
    from gnnkit.inference.graphs import embed_graphs

    assert work.graphs is not None
    with work.computing() as how:
        embeddings = embed_graphs(work.run, work.graphs, layers, how["report"])
    if not is_first():
        return
    write_graph_embeddings(embeddings, output, force=asked.force)
    widths = {str(layer): values.shape[1] for layer, values in embeddings.values.items()}
    report = work.report(
        output, len(embeddings), what="graphs", widths=widths, **tell_skipped(work, embeddings.skipped)
    )
    shown = ", ".join(f"{layer} ({width} wide)" for layer, width in widths.items())
    show("Embeddings", work, report, [["layers" if layers else "features", shown]], asked.json)
