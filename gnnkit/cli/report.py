"""``gnnkit report``: one page about one run, or about several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import typer

from gnnkit.cli.output import print_json, reports_errors

EXAMPLE = "Example: gnnkit report runs/20240101-120000-cora-gcn-pyg"


@reports_errors
def report(
    runs: List[str] = typer.Argument(
        ...,
        metavar="RUN...",
        help="One run folder, several to compare, or the folder of seeds, folds or a sweep.",
    ),
    output: Optional[Path] = typer.Option(
        None, help="The page.  [default: report.html in the run folder, or here for several]"
    ),
    force: bool = typer.Option(False, "--force", help="Replace the page if it exists."),
    data_dir: Optional[str] = typer.Option(None, help="Folder to search first for the data sets' files."),
    backend: Optional[str] = typer.Option(
        None, help="Graph library for predictions and embeddings.  [default: the run's]"
    ),
    device: str = typer.Option("auto", help="Where to compute predictions and embeddings."),
    map: str = typer.Option("auto", help="Projection of embeddings to two dimensions: auto, umap, tsne, pca."),
    map_nodes: int = typer.Option(1500, help="Maximum number of nodes in a map."),
    batches: int = typer.Option(5, help="Number of training batches whose stages are measured; 0 measures none."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Write a page about runs: curves, predictions, embeddings, data, time, settings. It works offline."""
    from gnnkit.cli.progress import drawn
    from gnnkit.report import write_report

    with drawn() as progress:
        done = write_report(
            runs,
            output,
            force=force,
            progress=progress,
            data_dir=data_dir,
            backend=backend,
            device=device,
            map=map,
            map_nodes=map_nodes,
            batches=batches,
        )
    if json:
        print_json(done.to_dict())
        return
    for warning in done.warnings:
        print(f"note: {warning}")
    for run, missing in done.missing.items():
        for reason in dict.fromkeys(missing.values()):
            parts = ", no ".join(part for part, why in missing.items() if why == reason)
            print(f"{run}: no {parts}. {reason}")
    print(f"page:     {done.file}")
    for folder in dict.fromkeys(figure.parent for figure in done.figures):
        print(f"figures:  {folder}")
