"""``gnnkit predict``: what a trained run says about nodes, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, List

import typer

from gnnkit.cli.inferring import Asked, open_work, show, takes_asked
from gnnkit.cli.output import reports_errors

if TYPE_CHECKING:
    from gnnkit.inference import Predictions

EXAMPLE = "Example: gnnkit predict runs/20240101-120000-cora-gcn-pyg --output predictions.parquet"


@reports_errors
@takes_asked
def predict(
    *,
    output: Path = typer.Option(..., help="Where predictions go: *.parquet, *.csv or *.npy."),
    top: bool = typer.Option(False, "--top", help="Leave out the probabilities of all classes."),
    asked: Asked,
) -> None:
    """Predict classes or numbers of nodes with the best model of a run."""
    from gnnkit.inference import write_predictions
    from gnnkit.inference.writing import PREDICTION_FILES

    work = open_work(asked, output, PREDICTION_FILES)
    with work.computing() as how:
        predictions = work.run.predict(work.nodes, **how)
    write_predictions(predictions, output, ids=work.ids, top=top, force=asked.force)
    report = work.report(output, len(predictions), classes=predictions.outputs.shape[1])
    show("Predictions", work, report, _counts(predictions), asked.json)


def _counts(predictions: Predictions) -> List[List[str]]:
    """The most frequent classes, or the means of numbers."""
    import torch

    num = predictions.outputs.shape[1]
    if predictions.are_numbers:
        names = predictions.class_names or [f"value_{place}" for place in range(num)]
        columns = zip(names, predictions.outputs.T)
        return [[f"mean of {name}", f"{float(values.double().mean()):,.6g}"] for name, values in columns]
    members = predictions.classes
    counts = members.sum(dim=0) if predictions.is_multi_label else torch.bincount(members, minlength=num)
    names = predictions.class_names or [str(number) for number in range(num)]
    order = counts.argsort(descending=True, stable=True)[:5].tolist()
    shown = [f"{names[place]}: {int(counts[place]):,}" for place in order if counts[place]]
    return [["most frequent", "\n".join(shown) or "no class"]]
