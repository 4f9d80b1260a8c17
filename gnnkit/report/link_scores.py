"""How well a run tells pairs from pairs that are none; scikit-learn draws the curves.

Rules: of very many negatives some are taken, the same ones every time, and the page says how many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Graph, Links, message_graph, with_negatives
from gnnkit.inference import TrainedRun

_MOST_NEGATIVES = 1 << 20
"""Negatives that are scored for a page."""

_MOST_POINTS = 400
"""Points of a curve."""

_MOST_BINS = 40


@dataclass(frozen=True)
class LinkScores:
    """Scores of a split's pairs and of their negatives.

    Attributes:
        split: "test" or "valid".
        num_pairs: How many pairs were scored.
        num_negatives: How many negatives.
        were_drawn: Whether negatives were drawn for the page, because the run ranked pairs among all nodes.
        auc: Area under the ROC curve.
        average_precision: Mean precision over the recalls.
        roc: Share of negatives and of pairs above each threshold, ascending. Shape [2, points].
        precision_recall: Recall and precision at each threshold. Shape [2, points].
        bins: Bounds of the histogram. Shape [B + 1].
        histogram: Share of pairs and of negatives in each bin. Shape [2, B].
        num_ranked: Negatives that each pair is ranked among.
        degrees: Ranges of degrees of the source, as text.
        ranks: For each, the mean rank of its pairs, from 1, and how many they are.
    """

    split: str
    num_pairs: int
    num_negatives: int
    were_drawn: bool
    auc: float
    average_precision: float
    roc: np.ndarray
    precision_recall: np.ndarray
    bins: np.ndarray
    histogram: np.ndarray
    num_ranked: int
    degrees: List[str]
    ranks: List[Tuple[float, int]]


def score_links(trained: TrainedRun, links: Links) -> LinkScores:
    """Score the test pairs of a run and their negatives, those of validation where there are none to test.

    Args:
        trained: The run.
        links: Of its data.
    """
    split = "test" if "test" in links.pairs else "valid"
    were_drawn = split not in links.negatives and split not in links.negative_destinations
    if were_drawn:
        drawn = with_negatives(trained.graph, trained.config.seed).links
        assert drawn is not None, "the graph has links"
        links = drawn
    pairs, negatives, own = _judged(links, split)
    scores = trained.predict_pairs(torch.cat([pairs, negatives])).outputs[:, 0].double().numpy()
    positive, negative = scores[: len(pairs)], scores[len(pairs) :]
    ranks = _ranks(positive, negative, own)
    graph = message_graph(trained.graph, split)
    degrees, by_degree = _by_degree(graph, pairs, ranks, both=links.undirected and not own)
    auc, average_precision, roc, precision_recall = _curves(positive, negative)
    bins = np.histogram_bin_edges(scores, bins=int(np.clip(2 * np.sqrt(len(scores)), 8, _MOST_BINS)))
    histogram = np.stack([np.histogram(some, bins)[0] / len(some) for some in (positive, negative)])
    return LinkScores(
        split,
        len(pairs),
        len(negative),
        were_drawn,
        auc,
        average_precision,
        roc,
        precision_recall,
        bins,
        histogram,
        len(negative) // len(pairs) if own else len(negative),
        degrees,
        by_degree,
    )


def _judged(links: Links, split: str) -> Tuple[Tensor, Tensor, bool]:
    """Pairs, negatives as pairs, and whether each pair has its own, as many as the others."""
    pairs = links.pairs[split]
    draw = torch.Generator().manual_seed(0)
    if split in links.negatives:
        negatives = links.negatives[split]
        if len(negatives) > _MOST_NEGATIVES:
            negatives = negatives[torch.randperm(len(negatives), generator=draw)[:_MOST_NEGATIVES]]
        return pairs, negatives, False
    destinations = links.negative_destinations[split]
    most = max(1, _MOST_NEGATIVES // destinations.shape[1])
    if len(pairs) > most:
        some = torch.randperm(len(pairs), generator=draw)[:most]
        pairs, destinations = pairs[some], destinations[some]
    sources = pairs[:, :1].expand_as(destinations)
    return pairs, torch.stack([sources.reshape(-1), destinations.reshape(-1)], dim=1), True


def _ranks(positive: np.ndarray, negative: np.ndarray, own: bool) -> np.ndarray:
    """Rank of each pair among its negatives, from 1; of equals, the middle."""
    if own:
        table = negative.reshape(len(positive), -1)
        above = (table > positive[:, None]).sum(axis=1)
        equal = (table == positive[:, None]).sum(axis=1)
    else:
        ordered = np.sort(negative)
        below, up_to = (np.searchsorted(ordered, positive, side) for side in ("left", "right"))
        above, equal = len(ordered) - up_to, up_to - below
    ranks: np.ndarray = 1 + above + equal / 2
    return ranks


def _by_degree(graph: Graph, pairs: Tensor, ranks: np.ndarray, both: bool) -> Tuple[List[str], List[Tuple[float, int]]]:
    """Mean ranks in ranges of degrees, each twice as wide as the one before; of undirected pairs by both ends."""
    degrees = torch.bincount(graph.indices, minlength=graph.num_nodes).numpy()
    ends = [pairs[:, 0].numpy(), pairs[:, 1].numpy()] if both else [pairs[:, 0].numpy()]
    found = np.concatenate([degrees[end] for end in ends])
    ranks = np.concatenate([ranks] * len(ends))
    classes = np.where(found > 0, np.floor(np.log2(np.maximum(found, 1))).astype(int) + 1, 0)
    names, rows = [], []
    for i in np.unique(classes):
        low, high = (0, 0) if i == 0 else (1 << (i - 1), (1 << i) - 1)
        names.append(f"{low:,}" if low == high else f"{low:,} to {high:,}")
        rows.append((float(ranks[classes == i].mean()), int((classes == i).sum())))
    return names, rows


def _curves(positive: np.ndarray, negative: np.ndarray) -> Tuple[float, float, np.ndarray, np.ndarray]:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    true = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    scores = np.concatenate([positive, negative])
    false_rate, true_rate, _ = roc_curve(true, scores)
    precision, recall, _ = precision_recall_curve(true, scores)
    curves = (np.stack([false_rate, true_rate]), np.stack([recall, precision])[:, ::-1])
    thinned = [curve[:, np.unique(np.linspace(0, curve.shape[1] - 1, _MOST_POINTS).astype(int))] for curve in curves]
    return float(roc_auc_score(true, scores)), float(average_precision_score(true, scores)), thinned[0], thinned[1]
