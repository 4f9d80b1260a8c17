"""What a page shows of runs about pairs of nodes: how pairs are told from others, and which pairs there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, List

import torch

from gnnkit.data import SPLITS
from gnnkit.report import link_figures
from gnnkit.report.collect import RunFacts
from gnnkit.report.page import Panel, Table
from gnnkit.report.words import number, percent, split_name

if TYPE_CHECKING:
    from gnnkit.report.gallery import Gallery


def link_panel(run: RunFacts, gallery: Gallery) -> Panel:
    """Curves, scores and ranks of the pairs that are judged."""
    scores = run.link_scores
    assert scores is not None, "the run has some"
    drawn = " They were drawn for this page, because the run ranked pairs among all nodes." if scores.were_drawn else ""
    panel = Panel(
        notes=[
            f"Computed for this page with the weights of the best epoch, on {scores.num_pairs:,} "
            f"{split_name(scores.split)} pairs and {scores.num_negatives:,} negatives. AUC {number(scores.auc)}, "
            f"average precision {number(scores.average_precision)}.{drawn}"
        ]
    )
    best = min(range(len(scores.ranks)), key=lambda i: scores.ranks[i][0])
    pictures = [
        ("roc", link_figures.draw_roc, f"ROC curve: area {number(scores.auc)}.", "ROC curve"),
        (
            "precision-recall",
            link_figures.draw_precision_recall,
            f"Precision over recall: mean {number(scores.average_precision)}.",
            "Precision and recall",
        ),
        (
            "link-scores",
            link_figures.draw_link_scores,
            "Histogram of the scores of pairs and of negatives.",
            "Scores of pairs and of negatives",
        ),
        (
            "ranks",
            link_figures.draw_ranks,
            f"Mean rank by the degree of the source. Best: degree {scores.degrees[best]}, {scores.ranks[best][0]:.1f}.",
            "Mean rank by the degree of the source",
        ),
    ]
    for name, draw, alt, caption in pictures:
        panel.pictures.append(
            gallery.picture(run, name, lambda theme, draw=draw: draw(scores, theme), alt, caption)  # type: ignore[misc]
        )
    rows = [[degree, f"{num:,}", f"{rank:,.1f}"] for degree, (rank, num) in zip(scores.degrees, scores.ranks)]
    panel.tables.append(Table("Ranks by degree", ["edges of the source", "pairs", "mean rank"], rows, numbers=True))
    return panel


def pair_tables(run: RunFacts) -> List[Table]:
    """Pairs and negatives by split, and pairs by class where they have some."""
    links = run.links
    assert links is not None, "the run is about pairs"
    rows = []
    for split in (split for split in SPLITS if split in links.pairs):
        negatives = "made while training" if split == "train" and not links.y else "none"
        if split in links.negatives:
            negatives = f"{len(links.negatives[split]):,} for all"
        elif split in links.negative_destinations:
            negatives = f"{links.negative_destinations[split].shape[1]:,} for each"
        rows.append([split_name(split), f"{len(links.pairs[split]):,}", negatives])
    rate = (run.record.manifest.get("negatives") or {}).get("false_rate")
    if rate is not None:
        rows.append(["negatives that are pairs", percent(float(rate)), "of those that training drew"])
    tables = [Table("Pairs, undirected" if links.undirected else "Pairs, directed", ["", "pairs", "negatives"], rows)]
    if links.y and not any(y.is_floating_point() for y in links.y.values()):
        counts = [torch.bincount(y[y >= 0], minlength=len(run.class_names)).tolist() for y in links.y.values()]
        named = [[name, *(f"{count[c]:,}" for count in counts)] for c, name in enumerate(run.class_names)]
        tables.append(Table("Pairs by class", ["class", *links.y], named, numbers=True))
    return tables
