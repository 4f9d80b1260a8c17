"""Link prediction: pairs that have an edge are told from pairs that have none.

Rules: message edges never contain a pair that is judged, and the blocks of a batch never one that it learns. Negatives
that are judged are fixed with the data; those that are learnt from are drawn anew in every epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Graph, Targets, with_negatives
from gnnkit.errors import ConfigError, DataError, UnknownNameError
from gnnkit.loading import LinkDraw
from gnnkit.registry import API_VERSION
from gnnkit.sampling import shuffle_order
from gnnkit.sampling.known_pairs import KnownPairs, known_pairs
from gnnkit.sampling.negatives import NegativeSampler
from gnnkit.tasks.base import SCORES, Head, Judged
from gnnkit.tasks.metrics import Metric
from gnnkit.tasks.pair_heads import PairHead
from gnnkit.tasks.pair_losses import PAIR_LOSSES, mean_over_pairs, negative_weights
from gnnkit.tasks.pair_metrics import chosen_pair_metrics, rank_metric
from gnnkit.tasks.pairs import PairOptions, PairTask, check_splits, links_of, numbered, pair_relation
from gnnkit.tasks.ranking import ranks

DRAWN = ("uniform", "degree")
NEGATIVES = (*DRAWN, "in_batch", "given")
"""Where negatives of a training come from; the first ones are drawn from all nodes."""

CORRUPT = ("destination", "both")
"""Which nodes of a pair its negatives replace."""

CANDIDATES = ("negatives", "all")
"""What a pair is ranked among when it is judged."""

_MOST_MEASURED = 1 << 16
"""Pairs whose negatives are looked at to say how many are none."""


@dataclass(frozen=True)
class LinkPredictionOptions(PairOptions):
    """Options of the task ``link_prediction``, besides those of all tasks about pairs.

    Attributes:
        negatives: Where the negatives of a training come from: "uniform" or "degree" (drawn from all nodes, alike or in
            proportion to in-degree^0.75), "in_batch" (destinations of the batch's other pairs) or "given" (the data's).
        num_negatives: Negatives of each pair.
        corrupt: Which nodes they replace: "destination", or "both".
        filtered: Whether negatives that are drawn are no known training pairs. None: yes, where they are drawn.
        hard: Draw so many candidates for each pair, and learn from the ``num_negatives`` that score highest. 0: no.
        adversarial: Temperature with which negatives that score higher count more (Sun et al. 2019). 0: all alike.
        loss: "bce" (binary cross-entropy), "margin", "bpr" (Rendle et al. 2009) or "softmax" (over a pair and its
            negatives).
        margin: Of the loss "margin".
        candidates: What a pair is ranked among when it is judged: "negatives", fixed with the data, or "all" nodes as
            destinations but those that the source has another known pair with (Bordes et al. 2013).
        metrics: Names of the metrics, the one that picks the best model first: "auc", "average_precision", "mrr",
            "hits@K". Nothing: those that fit the data.
        metric: The metric that picks the best model, among these or besides them.
    """

    negatives: str = "uniform"
    num_negatives: int = 1
    corrupt: str = "destination"
    filtered: Optional[bool] = None
    hard: int = 0
    adversarial: float = 0.0
    loss: str = "bce"
    margin: float = 1.0
    candidates: str = "negatives"
    metrics: Optional[List[str]] = None
    metric: Optional[str] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("negatives", NEGATIVES), ("corrupt", CORRUPT), ("candidates", CANDIDATES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}.")
        if self.loss not in PAIR_LOSSES:
            raise UnknownNameError("loss of task 'link_prediction':", self.loss, PAIR_LOSSES)
        for name, least in (("num_negatives", 1), ("hard", 0), ("adversarial", 0), ("margin", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}.")
        if self.hard and self.hard <= self.num_negatives:
            raise ConfigError(
                f"hard is {self.hard}, expected more candidates than num_negatives ({self.num_negatives}), which are "
                "the highest scored of them; 0 takes those that are drawn."
            )
        self._check_effects()

    def _check_effects(self) -> None:
        """Refuse options that would change nothing."""
        is_drawn, not_drawn = self.negatives in DRAWN, f"negatives are {self.negatives!r} and not drawn"
        for name, is_idle, why in (
            ("filtered", self.filtered is not None and not is_drawn, not_drawn),
            ("corrupt", self.corrupt != "destination" and not is_drawn, not_drawn),
            ("margin", self.margin != 1.0 and self.loss != "margin", f"the loss is {self.loss!r}"),
            ("adversarial", self.adversarial > 0 and self.num_negatives == 1, "each pair has one negative"),
        ):
            if is_idle:
                raise ConfigError(f"Option {name!r} of task 'link_prediction' has no effect: {why}.")

    @property
    def num_candidates(self) -> int:
        """How many negatives are drawn for each pair."""
        return max(self.hard, self.num_negatives)


class LinkPrediction(PairTask):
    """Learn which pairs of nodes have an edge.

    Args:
        options: The settings.
        undirected: Whether (u, v) and (v, u) are the same pair.
        metrics: How pairs are judged, by name. None: the usual ones.
        known: All pairs that are known, for ``candidates="all"``.
        ranked: The nodes that pairs are ranked among, where these are of one type. Ascending, int64. None: all.
    """

    name: ClassVar[str] = "link_prediction"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "Which pairs of nodes have an edge."
    options_class = LinkPredictionOptions
    outputs = SCORES

    def __init__(
        self,
        options: Optional[LinkPredictionOptions] = None,
        *,
        undirected: bool = False,
        metrics: Optional[Mapping[str, Metric]] = None,
        known: Optional[KnownPairs] = None,
        ranked: Optional[Tensor] = None,
    ) -> None:
        super().__init__(options, undirected=undirected)
        self._known = known
        self._ranked = ranked
        self.metrics = _metrics(self.options) if metrics is None else metrics

    @classmethod
    def arrange(cls, graph: Graph, options: LinkPredictionOptions, seed: int) -> Graph:
        """See :class:`Task`: pairs by split, and the negatives that are judged."""
        graph = super().arrange(graph, options, seed)
        if options.candidates == "all":
            return graph
        return with_negatives(graph, seed if options.split_seed is None else options.split_seed)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[LinkPredictionOptions] = None) -> LinkPrediction:
        """The task on a graph's pairs.

        Raises:
            DataError: A split is missing, or negatives that are to be given.
            ConfigError: A metric does not fit the data.
        """
        links = check_splits(graph)
        options = LinkPredictionOptions() if options is None else options
        if options.negatives == "given" and "train" not in links.negative_destinations:
            raise DataError(
                "links.negative_destinations",
                "there are none for 'train', which negatives='given' learns from.",
                fix="Have them drawn: negatives='uniform'.",
            )
        return cls(
            options,
            undirected=links.undirected,
            metrics=_metrics(options, graph.metric, graph.evaluator),
            known=known_pairs(graph) if options.candidates == "all" else None,
            ranked=_ranked(graph),
        )

    def draw(self, graph: Graph, seed: int) -> LinkDraw:
        """The pairs of a batch with their negatives; the batch does not see the pairs."""
        links, options = links_of(graph), self.options
        sampler = None
        if options.negatives in DRAWN:
            filtered = options.filtered is not False
            known = known_pairs(graph, splits=("train",)) if filtered else None
            types = None if graph.typed is None else graph.typed.node_type
            num, by = options.num_candidates, options.negatives
            sampler = NegativeSampler(graph, num, by=by, known=known, seed=seed, types=types)
        return LinkDraw(
            links.pairs["train"],
            undirected=links.undirected,
            seed=seed,
            negatives=sampler,
            both=options.corrupt == "both",
            in_batch=options.num_candidates if options.negatives == "in_batch" else 0,
            given=links.negative_destinations["train"] if options.negatives == "given" else None,
            relation=pair_relation(graph),
        )

    def facts(self, graph: Graph, seed: int) -> Dict[str, Any]:
        """The share of the first epoch's negatives that are pairs of some split after all."""
        draw, num = self.draw(graph, seed), len(links_of(graph).pairs["train"])
        drawn = draw(shuffle_order(num, seed=seed, epoch=1)[:_MOST_MEASURED], slice(None), 1, 0)
        nodes = {name: drawn.seeds[row.numpy()] for name, row in drawn.targets.rows.items()}
        negatives = nodes["negatives"]
        sources = nodes.get("negative_sources", np.repeat(nodes["src"][:, None], negatives.shape[1], axis=1))
        is_known = known_pairs(graph).contains(sources.ravel(), negatives.ravel())
        return {"negatives": {"kind": self.options.negatives, "false_rate": float(is_known.mean())}}

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean over pairs of the loss that the options name.

        Args:
            outputs: Scores of pairs and of their negatives. Shape [T, 1 + K].
            targets: Of the batch.
        """
        return mean_over_pairs(self._losses(outputs[:, :1], outputs[:, 1:]), targets.mask)

    def _losses(self, positive: Tensor, negative: Tensor) -> Tensor:
        options: LinkPredictionOptions = self.options
        if options.hard and negative.shape[1] > options.num_negatives:
            negative = negative.topk(options.num_negatives, dim=1).values
        weights = negative_weights(negative, options.adversarial)
        return PAIR_LOSSES[options.loss](positive, negative, weights, options.margin)

    def judged(self, graph: Graph, split: str) -> Judged:
        """The nodes of a split's pairs and of their negatives; all nodes, where pairs are ranked among these."""
        links = links_of(graph)
        pairs = links.pairs[split]
        if self.options.candidates == "all":
            rows = {"src": pairs[:, 0], "dst": pairs[:, 1]}
            return Judged(torch.arange(graph.num_nodes), Targets(None, rows, num=len(pairs)))
        if split in links.negative_destinations:
            both = torch.cat([pairs, links.negative_destinations[split]], dim=1)
            nodes, rows_of = numbered(both, graph.num_nodes)
            rows = {"src": rows_of[:, 0], "dst": rows_of[:, 1], "negatives": rows_of[:, 2:]}
            return Judged(nodes, Targets(None, rows, num=len(pairs)))
        negatives = links.negatives[split]
        nodes, rows_of = numbered(torch.cat([pairs, negatives]), graph.num_nodes)
        y = torch.cat([torch.ones(len(pairs)), torch.zeros(len(negatives))])
        return Judged(nodes, Targets(y, {"src": rows_of[:, 0], "dst": rows_of[:, 1]}, num=len(pairs)))

    def score(self, head: Head, h: Tensor, targets: Targets) -> Tensor:
        """See :class:`Task`.

        Returns:
            Scores of pairs and negatives, [n + m, 1] where ``targets.y`` says which is which, or [n, 1 + K]. Ranks
            [n, 3] where pairs are ranked among all nodes: see :func:`gnnkit.tasks.ranking.ranks`.
        """
        if self.options.candidates != "all":
            return super().score(head, h, targets)
        assert isinstance(head, PairHead) and self._known is not None
        pairs = torch.stack([targets.rows["src"], targets.rows["dst"]], dim=1)
        if self.undirected:
            pairs = torch.cat([pairs, pairs.flip(1)])
        if self._ranked is None:
            return ranks(head.table, h, pairs, self._known)
        local = torch.stack([pairs[:, 0], torch.searchsorted(self._ranked, pairs[:, 1].contiguous())], dim=1)
        return ranks(head.table, h[self._ranked], local, self._known.among(self._ranked.numpy()), starts=h)

    def judge(self, scores: Tensor, targets: Targets) -> Dict[str, float]:
        """See :class:`Task`."""
        if self.options.candidates == "all":
            return {name: rank_metric(metric, scores) for name, metric in self.metrics.items()}
        positive, negative = told_apart(scores, targets)
        return {name: metric(positive, negative) for name, metric in self.metrics.items()}

    def validation_loss(self, scores: Tensor, targets: Targets) -> Tensor:
        """The loss of the pairs that are judged; where these are ranked among all nodes, their cross-entropy."""
        if self.options.candidates == "all":
            return -scores[:, 2].mean()
        positive, negative = told_apart(scores, targets)
        if negative.ndim == 1:  # Each pair gets one of those that all are told from.
            negative = negative[torch.arange(len(positive)) % len(negative), None]
        return self._losses(positive[:, None], negative).mean()


def _ranked(graph: Graph) -> Optional[Tensor]:
    """The nodes that pairs are ranked among: of the type of destinations."""
    relation = pair_relation(graph)
    if relation is None or graph.typed is None:
        return None
    return graph.typed.nodes(graph.typed.schema.node_types[relation.types[1]])


def _metrics(
    options: LinkPredictionOptions, default: Optional[str] = None, evaluator: Optional[str] = None
) -> Mapping[str, Metric]:
    """The metrics that options and data ask for; see :func:`chosen_pair_metrics`."""
    ranked = options.candidates == "all"
    names = ["mrr", "hits@1", "hits@3", "hits@10"] if ranked else ["auc", "average_precision", "mrr", "hits@10"]
    return chosen_pair_metrics(
        names, options.metrics, options.metric, default=default, evaluator=evaluator, ranked=ranked
    )


def told_apart(scores: Tensor, targets: Targets) -> Tuple[Tensor, Tensor]:
    """Scores of pairs [n], and of negatives: [m], or [n, K] where each pair has its own.

    Args:
        scores: As :meth:`LinkPrediction.score` gives them.
        targets: Theirs.
    """
    if targets.y is None:
        return scores[:, 0], scores[:, 1:]
    is_pair = targets.y == 1
    return scores[is_pair, 0], scores[~is_pair, 0]
