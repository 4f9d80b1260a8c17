"""``gnnkit predict``: what a trained run says about nodes, pairs of nodes or graphs, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

import typer

from gnnkit.cli.inferring import Asked, Work, launched, open_work, show, takes_asked
from gnnkit.cli.launched import is_first
from gnnkit.cli.output import reports_errors
from gnnkit.cli.processes import Processes, takes_processes_here
from gnnkit.errors import ConfigError

if TYPE_CHECKING:
    from gnnkit.inference import PairPredictions, Predictions

EXAMPLE = "Example: gnnkit predict runs/20240101-120000-cora-gcn-pyg --output predictions.parquet"


@reports_errors
@takes_asked
@takes_processes_here
def predict(
    *,
    output: Path = typer.Option(..., help="File for the predictions: *.parquet, *.csv or *.npy."),
    pairs: Optional[Path] = typer.Option(
        None, help="Pairs of nodes to score, for a run about pairs: a table with source and target, or .npy."
    ),
    top: Optional[int] = typer.Option(
        None, metavar="N", help="For link prediction: the N best destinations that a node has no edge to."
    ),
    relation: Optional[str] = typer.Option(
        None, help="For knowledge graphs: the relation for --top, or for all --pairs."
    ),
    heads: bool = typer.Option(
        False, "--heads", help="With --top and --relation: find the best heads, with the nodes as tails."
    ),
    classes_only: bool = typer.Option(False, "--classes-only", help="Omit the class probabilities."),
    asked: Asked,
    processes: Processes,
) -> None:
    """Predict classes, numbers or links with the best model of a run."""
    from gnnkit.inference.writing import PREDICTION_FILES

    _check_together(asked, pairs, top, classes_only)
    _check_relation(pairs, top, relation, heads)
    of_nodes = {"--pairs": pairs is not None, "--top": top is not None}
    if launched(processes, asked, output, PREDICTION_FILES):
        return
    work = open_work(asked, output, PREDICTION_FILES, of_nodes)
    if work.graphs is not None:
        _predict_graphs(work, output, classes_only, asked)
    elif top is not None:
        _recommend(work, output, top, asked, {"relation": relation, "heads": heads})
    else:
        _predict(work, output, pairs, classes_only, asked, relation)


def _check_together(asked: Asked, pairs: Optional[Path], top: Optional[int], classes_only: bool) -> None:
    """Refuse options that exclude each other."""
    given = {"--pairs": pairs is not None, "--top": top is not None, "--nodes": asked.nodes is not None}
    given["--classes-only"] = classes_only
    why = {
        ("--pairs", "--top"): "one scores the pairs of a file, the other searches for the best pairs",
        ("--pairs", "--nodes"): "the file of pairs already names the nodes",
        ("--top", "--classes-only"): "recommendations have no classes",
    }
    for (first, second), reason in why.items():
        if given[first] and given[second]:
            raise ConfigError(f"{first} and {second} exclude each other: {reason}. Leave one of them out.")
    if top is not None and top < 1:
        raise ConfigError(f"--top is {top}, expected a whole number of destinations, at least 1.")


def _check_relation(pairs: Optional[Path], top: Optional[int], relation: Optional[str], heads: bool) -> None:
    """Refuse a relation where nothing is asked about one."""
    if relation is not None and pairs is None and top is None:
        raise ConfigError("--relation is for --pairs and --top. Give one of them.")
    if heads and (top is None or relation is None):
        raise ConfigError("--heads is for --top with --relation: it finds the best heads of that relation. Give both.")


def _predict(
    work: Work, output: Path, pairs: Optional[Path], classes_only: bool, asked: Asked, relation: Optional[str]
) -> None:
    from gnnkit.inference import read_pairs, write_predictions
    from gnnkit.inference.ids import read_relations

    predictions: Union[Predictions, PairPredictions]
    with work.computing() as how:
        if pairs is None:
            predictions = work.run.predict(work.nodes, **how)
        else:
            relations = read_relations(pairs) if relation is None and work.run.is_about_triples else relation
            predictions = work.run.predict_pairs(read_pairs(pairs, work.ids), relations=relations, **how)
    if not is_first():
        return
    write_predictions(predictions, output, ids=work.ids, top=classes_only, force=asked.force)
    what = "nodes" if pairs is None else "pairs"
    report = work.report(output, len(predictions), what=what, classes=predictions.outputs.shape[1])
    show("Predictions", work, report, _counts(predictions), asked.json)


def _predict_graphs(work: Work, output: Path, classes_only: bool, asked: Asked) -> None:
    from gnnkit.cli.inferring_graphs import tell_skipped
    from gnnkit.inference import write_predictions
    from gnnkit.inference.graphs import predict_graphs

    assert work.graphs is not None
    with work.computing() as how:
        predictions = predict_graphs(work.run, work.graphs, how["report"])
    if not is_first():
        return
    write_predictions(predictions, output, top=classes_only, force=asked.force)
    skipped = tell_skipped(work, predictions.skipped)
    report = work.report(output, len(predictions), what="graphs", classes=predictions.outputs.shape[1], **skipped)
    show("Predictions", work, report, _counts(predictions), asked.json)


def _recommend(work: Work, output: Path, top: int, asked: Asked, about: Dict[str, Any]) -> None:
    from gnnkit.inference import write_recommendations

    with work.computing() as how:
        found = work.run.recommend(work.nodes, top, **about, **how)
    if not is_first():
        return
    write_recommendations(found, output, ids=work.ids, force=asked.force)
    num = int((found.ids >= 0).sum())
    report = work.report(output, len(found), top=top, recommendations=num)
    show("Recommendations", work, report, [["recommendations", f"{num:,}"]], asked.json)


def _counts(predictions: Union[Predictions, PairPredictions]) -> List[List[str]]:
    """The most frequent classes, or the means of numbers; of scores, how many are high."""
    import torch

    num = predictions.outputs.shape[1]
    if predictions.are_numbers:
        names = predictions.class_names or [f"value_{place}" for place in range(num)]
        columns = zip(names, predictions.outputs.T)
        return [[f"mean of {name}", f"{float(values.double().mean()):,.6g}"] for name, values in columns]
    if getattr(predictions, "are_scores", False):
        likely = int((predictions.outputs >= 0).sum())
        return [["likely", f"{likely:,} have a probability of 0.5 or more"]]
    members = predictions.classes
    counts = members.sum(dim=0) if predictions.is_multi_label else torch.bincount(members, minlength=num)
    names = predictions.class_names or [str(number) for number in range(num)]
    order = counts.argsort(descending=True, stable=True)[:5].tolist()
    shown = [f"{names[place]}: {int(counts[place]):,}" for place in order if counts[place]]
    return [["most frequent", "\n".join(shown) or "no class"]]
