"""How well a run answers the questions of a knowledge graph, relation by relation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Tuple

import torch
from torch import Tensor

from gnnkit.data import Links
from gnnkit.inference import TrainedRun
from gnnkit.report.page import Panel, Table
from gnnkit.report.words import number, split_name

if TYPE_CHECKING:
    from gnnkit.report.collect import RunFacts

HEADER = ["relation", "triples", "MRR of tails", "MRR of heads", "Hits@1", "Hits@10"]
"""Columns of the table."""


@dataclass(frozen=True)
class TripleScores:
    """Ranks of answers by relation.

    Attributes:
        split: "test" or "valid".
        num_triples: How many triples were judged.
        rows: For each relation that they have, the one with most triples first: its name, how many triples, the mean
            reciprocal ranks of tails and of heads, and the shares of both that are ranked first and among ten.
    """

    split: str
    num_triples: int
    rows: List[Tuple[str, int, float, float, float, float]]


def score_relations(trained: TrainedRun, links: Links) -> TripleScores:
    """Rank the answers of the test triples of a run, those of validation where there are none to test.

    Args:
        trained: The run.
        links: Of its data.
    """
    split = "test" if "test" in links.pairs else "valid"
    ranks = trained.rank_triples(links.pairs[split], links.relations[split])
    relations = links.relations[split]
    assert trained.graph.typed is not None, "the run learned relations"
    names = [str(each) for each in trained.graph.typed.schema.relations]
    counts = torch.bincount(relations, minlength=len(names))
    order = [int(each) for each in counts.argsort(descending=True, stable=True) if counts[each]]
    rows = [(names[each], int(counts[each]), *_measures(ranks[relations == each])) for each in order]
    return TripleScores(split, len(relations), rows)


def _measures(ranks: Tensor) -> Tuple[float, float, float, float]:
    """From ranks of tails and heads, [n, 2]."""
    tails, heads = (1 / ranks).mean(dim=0).tolist()
    return tails, heads, float((ranks <= 1).double().mean()), float((ranks <= 10).double().mean())


def triple_panel(run: RunFacts) -> Panel:
    """A table of relations."""
    scores = run.triple_scores
    assert scores is not None, "the run has some"
    where = f"{scores.num_triples:,} {split_name(scores.split)} triples"
    panel = Panel(
        notes=[
            f"Computed for this page with the weights of the best epoch, on {where}: each answer is ranked among all "
            "nodes of its type, without other known ones."
        ]
    )
    rows = [[name, f"{count:,}", *(number(value) for value in values)] for name, count, *values in scores.rows]
    panel.tables.append(Table("Ranks by relation", HEADER, rows, numbers=True))
    return panel
