"""``gnnkit embed``: what the layers of a trained run make of nodes, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from gnnkit.cli.inferring import Asked, open_work, show, takes_asked
from gnnkit.cli.output import reports_errors
from gnnkit.options import whole_numbers

EXAMPLE = "Example: gnnkit embed runs/20240101-120000-cora-gcn-pyg --layers 1 --output embeddings.parquet"


@reports_errors
@takes_asked
def embed(
    *,
    output: Path = typer.Option(..., help="Where embeddings go: *.parquet or *.npy."),
    layers: Optional[str] = typer.Option(None, help="Which layers, counted from 1 at the input: 1,2.  [default: all]"),
    asked: Asked,
) -> None:
    """Compute the embeddings of nodes in every layer of the best model of a run."""
    import torch

    from gnnkit.inference import write_embeddings
    from gnnkit.inference.writing import EMBEDDING_FILES

    wanted = None if layers is None else whole_numbers(layers, "--layers")
    work = open_work(asked, output, EMBEDDING_FILES)
    with work.computing() as how:
        embeddings = work.run.embed(work.nodes, layers=wanted, **how)
    numbers = torch.arange(len(work.ids)) if work.nodes is None else torch.from_numpy(work.nodes)
    write_embeddings(embeddings, numbers, output, ids=work.ids, force=asked.force)
    widths = {str(layer): values.shape[1] for layer, values in embeddings.items()}
    report = work.report(output, numbers.numel(), widths=widths)
    shown = ", ".join(f"{layer} ({width} wide)" for layer, width in widths.items())
    show("Embeddings", work, report, [["layers", shown]], asked.json)
