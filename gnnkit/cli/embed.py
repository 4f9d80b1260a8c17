"""``gnnkit embed``: what the layers of a trained run make of nodes, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import typer

from gnnkit.cli import inferring as options
from gnnkit.cli.output import reports_errors
from gnnkit.errors import ConfigError

EXAMPLE = "Example: gnnkit embed runs/20240101-120000-cora-gcn-pyg --layers 1 --output embeddings.parquet"


@reports_errors
def embed(
    run: str = options.RUN,
    output: Path = typer.Option(..., help="Where embeddings go: *.parquet or *.npy."),
    layers: Optional[str] = typer.Option(None, help="Which layers, counted from 1 at the input: 1,2.  [default: all]"),
    nodes: Optional[str] = options.NODES,
    method: Optional[str] = options.METHOD,
    fanouts: Optional[str] = options.FANOUTS,
    batch_size: Optional[int] = options.BATCH_SIZE,
    backend: Optional[str] = options.BACKEND,
    device: str = options.DEVICE,
    data_dir: Optional[str] = options.DATA_DIR,
    new_nodes: Optional[Path] = options.NEW_NODES,
    new_edges: Optional[Path] = options.NEW_EDGES,
    undirected: bool = options.UNDIRECTED,
    force: bool = options.FORCE,
    json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Compute the embeddings of nodes in every layer of the best model of a run."""
    import torch

    from gnnkit.inference import write_embeddings
    from gnnkit.inference.writing import EMBEDDING_FILES

    wanted = _layers(layers)
    work = options.open_work(
        run,
        output,
        EMBEDDING_FILES,
        nodes=nodes,
        method=method,
        fanouts=fanouts,
        batch_size=batch_size,
        backend=backend,
        device=device,
        data_dir=data_dir,
        new_nodes=new_nodes,
        new_edges=new_edges,
        undirected=undirected,
        force=force,
    )
    with work.computing() as how:
        embeddings = work.run.embed(work.nodes, layers=wanted, **how)
    numbers = torch.arange(len(work.ids)) if work.nodes is None else torch.from_numpy(work.nodes)
    write_embeddings(embeddings, numbers, output, ids=work.ids, force=force)
    widths = {str(layer): values.shape[1] for layer, values in embeddings.items()}
    report = work.report(output, numbers.numel(), widths=widths)
    shown = ", ".join(f"{layer} ({width} wide)" for layer, width in widths.items())
    options.show("Embeddings", report, [["layers", shown]], json)


def _layers(text: Optional[str]) -> Optional[List[int]]:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--layers is {text!r}, expected whole numbers with commas, such as 1,2.") from None
