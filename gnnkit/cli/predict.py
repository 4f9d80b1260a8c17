"""``gnnkit predict``: what a trained run says about nodes, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from gnnkit.cli import inferring as options
from gnnkit.cli.output import reports_errors

if TYPE_CHECKING:
    from gnnkit.inference import Predictions

EXAMPLE = "Example: gnnkit predict runs/20240101-120000-cora-gcn-pyg --output predictions.parquet"


@reports_errors
def predict(
    run: str = options.RUN,
    output: Path = typer.Option(..., help="Where predictions go: *.parquet, *.csv or *.npy."),
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
    top: bool = typer.Option(False, "--top", help="Leave out the probabilities of all classes."),
    force: bool = options.FORCE,
    json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Predict the classes of nodes with the best model of a run."""
    from gnnkit.inference import write_predictions
    from gnnkit.inference.writing import PREDICTION_FILES

    work = options.open_work(
        run,
        output,
        PREDICTION_FILES,
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
        predictions = work.run.predict(work.nodes, **how)
    write_predictions(predictions, output, ids=work.ids, top=top, force=force)
    report = work.report(output, len(predictions), classes=predictions.outputs.shape[1])
    options.show("Predictions", report, _counts(predictions), json)


def _counts(predictions: Predictions) -> List[List[str]]:
    """The most frequent classes."""
    import torch

    num = predictions.outputs.shape[1]
    members = predictions.classes
    counts = members.sum(dim=0) if predictions.is_multi_label else torch.bincount(members, minlength=num)
    names = predictions.class_names or [str(number) for number in range(num)]
    order = counts.argsort(descending=True, stable=True)[:5].tolist()
    shown = [f"{names[place]}: {int(counts[place]):,}" for place in order if counts[place]]
    return [["most frequent", "\n".join(shown) or "no class"]]
