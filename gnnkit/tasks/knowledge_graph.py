"""Knowledge graphs: triples of a head, a relation and a tail, and which are true.

Rules: a triple is two questions, for its tail and for its head; what is learnt and ranked are questions. Answers are
ranked among all nodes of their type, without others that are known to be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Mapping, Optional

import torch
from torch import Tensor

from gnnkit.data import Graph, Items, Links, Targets, Typed
from gnnkit.errors import ConfigError, DataError, UnknownNameError
from gnnkit.loading.drawing_triples import TripleDraw
from gnnkit.registry import API_VERSION
from gnnkit.sampling import shuffle_order
from gnnkit.sampling.known_answers import KnownAnswers, Questions, known_answers, questions_of
from gnnkit.sampling.negatives import NegativeSampler
from gnnkit.tasks.base import SCORES, Head, Judged, Task
from gnnkit.tasks.metrics import Metric
from gnnkit.tasks.pair_losses import PAIR_LOSSES, mean_over_pairs, negative_weights
from gnnkit.tasks.pair_metrics import chosen_pair_metrics, rank_metric
from gnnkit.tasks.pairs import check_shares, check_splits, split_pairs
from gnnkit.tasks.triple_heads import TRIPLE_HEADS, TripleHead
from gnnkit.tasks.triple_ranking import rank_answers

DRAWN = ("uniform", "degree")
NEGATIVES = (*DRAWN, "shared", "all")
"""Where negatives come from: drawn for each question, shared by a batch, or all nodes."""

_METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank")

_MOST_MEASURED = 1 << 16
"""Questions whose negatives are looked at to say how many are none."""


@dataclass(frozen=True)
class KnowledgeGraphOptions:
    """Options of the task ``knowledge_graph``.

    Attributes:
        head: What scores triples: "distmult" (Yang et al. 2015), "complex" (Trouillon et al. 2016), "transe" (Bordes et
            al. 2013) or "rotate" (Sun et al. 2019).
        reciprocal: Whether questions for heads have parameters of their own for each relation. False: they use the
            inverse of the relation's.
        negatives: Where negatives come from: "uniform" or "degree" (drawn for each question), "shared" (drawn once for
            all questions of a batch, up to half of them from its own answers), or "all" nodes.
        num_negatives: How many each question has, or a batch shares.
        filtered: Whether negatives that are drawn for a question are no known answers in training. None: yes, where
            they are.
        loss: "softmax" (over the answer and its negatives), "bce" (binary cross-entropy), "margin" or "bpr".
        adversarial: Temperature with which negatives that score higher count more (Sun et al. 2019). 0: all alike.
        margin: What distances are taken from in scores of "transe" and "rotate", and the margin of the loss "margin".
        norm: Of the distances of "transe": 1 or 2.
        head_dropout: Dropout probability on queries while training.
        regularization: Weight of the cubes of the moduli of embeddings and of relations in a batch's questions (N3,
            Lacroix et al. 2018). 0: none.
        valid_share: Share of the triples that validate, where the data bring no split.
        test_share: Share of the triples that test, likewise.
        split_by: A column of times, as for tasks about pairs.
        split_seed: Seed of a random split. None: the run's.
        metrics: Names of the metrics, the one that picks the best model first: "mrr", "hits@K", "mean_rank". Nothing:
            the usual ones.
        metric: The metric that picks the best model, among these or besides them.
    """

    head: str = "distmult"
    reciprocal: bool = True
    negatives: str = "shared"
    num_negatives: int = 2048
    filtered: Optional[bool] = None
    loss: str = "softmax"
    adversarial: float = 0.0
    margin: float = 9.0
    norm: int = 1
    head_dropout: float = 0.0
    regularization: float = 0.0
    valid_share: float = 0.05
    test_share: float = 0.1
    split_by: Optional[str] = None
    split_seed: Optional[int] = None
    metrics: Optional[List[str]] = None
    metric: Optional[str] = None

    def __post_init__(self) -> None:
        if self.head not in TRIPLE_HEADS:
            raise UnknownNameError("head of triples:", self.head, TRIPLE_HEADS)
        if self.negatives not in NEGATIVES:
            raise ConfigError(f"negatives is {self.negatives!r}, expected one of {', '.join(NEGATIVES)}.")
        if self.loss not in PAIR_LOSSES:
            raise UnknownNameError("loss of task 'knowledge_graph':", self.loss, PAIR_LOSSES)
        if self.norm not in (1, 2):
            raise ConfigError(f"norm is {self.norm}, expected 1 or 2.")
        for name, least in (("num_negatives", 1), ("adversarial", 0), ("margin", 0), ("regularization", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}.")
        if not 0 <= self.head_dropout < 1:
            raise ConfigError(f"head_dropout is {self.head_dropout}, expected a probability from 0 up to below 1.")
        check_shares(self.valid_share, self.test_share)
        self._check_effects()

    def _check_effects(self) -> None:
        """Refuse options that would change nothing."""
        is_product = TRIPLE_HEADS[self.head].is_product
        for name, default, is_idle, why in (
            ("filtered", None, not self.is_drawn, f"negatives are {self.negatives!r} and not drawn for each question"),
            ("num_negatives", 2048, self.negatives == "all", "negatives are all nodes"),
            ("norm", 1, self.head != "transe", f"the head is {self.head!r}"),
            ("margin", 9.0, is_product and self.loss != "margin", f"{self.head!r} with {self.loss!r} has none"),
            ("adversarial", 0.0, self.is_shared and self.loss == "softmax", "the softmax weighs negatives by itself"),
        ):
            if is_idle and getattr(self, name) != default:
                raise ConfigError(f"Option {name!r} of task 'knowledge_graph' has no effect: {why}.")

    def make_head(self, width: int, num_relations: int) -> TripleHead:
        """The head that these options name.

        Args:
            width: How wide embeddings are.
            num_relations: How many relations there are.
        """
        return TRIPLE_HEADS[self.head](
            width,
            num_relations,
            reciprocal=self.reciprocal,
            margin=self.margin,
            norm=self.norm,
            dropout=self.head_dropout,
            is_softmax=self.is_shared and self.loss == "softmax",
            regularization=self.regularization,
        )

    @property
    def is_drawn(self) -> bool:
        """Whether each question has negatives of its own."""
        return self.negatives in DRAWN

    @property
    def is_shared(self) -> bool:
        """Whether the questions of a batch share their negatives."""
        return not self.is_drawn


class KnowledgeGraph(Task):
    """Learn which triples are true.

    Args:
        options: The settings.
        typed: The types of the graph.
        known: Answers that take no part in rankings.
        metrics: How triples are judged, by name. None: the usual ones.
    """

    name: ClassVar[str] = "knowledge_graph"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "Which triples of head, relation and tail are true."
    options_class = KnowledgeGraphOptions
    level: ClassVar[str] = "edges"
    needs_features: ClassVar[bool] = False
    needs_relations: ClassVar[bool] = True
    outputs = SCORES
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {"out_channels": 128},
        "train": {"weight_decay": 0.0},
    }

    def __init__(
        self,
        options: Optional[KnowledgeGraphOptions] = None,
        *,
        typed: Optional[Typed] = None,
        known: Optional[KnownAnswers] = None,
        metrics: Optional[Mapping[str, Metric]] = None,
    ) -> None:
        super().__init__(options)
        self._typed = typed
        self._known = known
        self.metrics = _metrics(self.options) if metrics is None else metrics

    @classmethod
    def arrange(cls, graph: Graph, options: KnowledgeGraphOptions, seed: int) -> Graph:
        """See :class:`Task`: triples to train, validate and test on."""
        _typed_of(graph)
        return split_pairs(graph, options, seed)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[KnowledgeGraphOptions] = None) -> KnowledgeGraph:
        """The task on a graph's triples.

        Raises:
            DataError: The graph has no types, or a split or relations of triples are missing.
        """
        options = KnowledgeGraphOptions() if options is None else options
        typed, links = _typed_of(graph), check_splits(graph)
        if not links.relations:
            fix = "Give Links(relations=...): a position in Schema.relations for each pair."
            raise DataError("links.relations", "it is empty, and triples need a relation for each pair.", fix=fix)
        return cls(options, typed=typed, known=known_answers(graph), metrics=_metrics(options, graph.metric))

    @property
    def num_relations(self) -> int:
        """How many relations there are."""
        assert self._typed is not None, "made for a graph"
        return len(self._typed.schema.relations)

    def items(self, graph: Graph, split: str) -> Items:
        """Both questions of a split's triples, as pairs of a node and its answer."""
        asked = self._questions(graph, split)
        return Items("edges", torch.stack([asked.nodes, asked.answers], dim=1))

    def _questions(self, graph: Graph, split: str) -> Questions:
        links = _links_of(graph)
        return questions_of(links.pairs[split], links.relations[split], self.num_relations)

    def draw(self, graph: Graph, seed: int) -> TripleDraw:
        """The questions of a batch with their negatives; the batch does not see its triples."""
        options: KnowledgeGraphOptions = self.options
        typed, asked = _typed_of(graph), self._questions(graph, "train")
        negatives, known_rows = None, None
        if options.is_drawn:
            known = None
            if options.filtered is not False:
                found = known_answers(graph, splits=("train",))
                known, known_rows = found.all_pairs, found.rows(asked.nodes.numpy(), asked.relations.numpy())
            number, by = options.num_negatives, options.negatives
            negatives = NegativeSampler(graph, number, by=by, known=known, seed=seed, types=typed.node_type)
        return TripleDraw(
            asked,
            graph.num_nodes,
            [-1 if each.reverse is None else each.reverse for each in typed.schema.relations],
            seed=seed,
            negatives=negatives,
            types=typed.node_type.long().numpy()[asked.answers.numpy()],
            asked=known_rows,
            shared=graph.num_nodes if options.negatives == "all" else min(options.num_negatives, graph.num_nodes),
        )

    def facts(self, graph: Graph, seed: int) -> Dict[str, Any]:
        """The share of the first epoch's negatives that are answers of some split after all, where they are drawn."""
        if not self.options.is_drawn:
            return {"negatives": {"kind": self.options.negatives}}
        assert self._known is not None
        draw, num = self.draw(graph, seed), len(self.items(graph, "train").ids)
        drawn = draw(shuffle_order(num, seed=seed, epoch=1)[:_MOST_MEASURED], slice(None), 1, 0)
        nodes = {name: drawn.seeds[row.numpy()] for name, row in drawn.targets.rows.items()}
        assert drawn.targets.y is not None
        is_known = self._known.contains(nodes["src"], drawn.targets.y.numpy(), nodes["negatives"])
        return {"negatives": {"kind": self.options.negatives, "false_rate": float(is_known.mean())}}

    def head(self, width: int) -> Head:
        """What scores triples."""
        options: KnowledgeGraphOptions = self.options
        return options.make_head(width, self.num_relations)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean over questions of the loss that the options name.

        Args:
            outputs: What :meth:`gnnkit.tasks.TripleHead.forward` gives.
            targets: Of the batch.
        """
        options: KnowledgeGraphOptions = self.options
        penalty: Any = 0.0
        if options.regularization:
            penalty, outputs = outputs[:, -1], outputs[:, :-1]
        if options.is_shared and options.loss == "softmax":
            losses = -outputs[:, 0]
        else:
            positive, negative = outputs[:, :1], outputs[:, 1:]
            weights = negative_weights(negative, options.adversarial)
            losses = PAIR_LOSSES[options.loss](positive, negative, weights, options.margin)
        return mean_over_pairs(losses + penalty, targets.mask)

    def judged(self, graph: Graph, split: str) -> Judged:
        """All nodes, and the questions of a split."""
        asked = self._questions(graph, split)
        rows = {"src": asked.nodes, "dst": asked.answers}
        return Judged(torch.arange(graph.num_nodes), Targets(asked.relations, rows, num=len(asked.nodes)))

    def score(self, head: Head, h: Tensor, targets: Targets) -> Tensor:
        """See :class:`Task`.

        Returns:
            Ranks of the questions' answers, [2n, 3]: see :func:`gnnkit.tasks.ranking.ranks`.
        """
        assert isinstance(head, TripleHead) and self._known is not None and self._typed is not None
        assert targets.y is not None
        asked = Questions(targets.rows["src"], targets.y, targets.rows["dst"])
        return rank_answers(head, h, asked, self._known, self._typed)

    def judge(self, scores: Tensor, targets: Targets) -> Dict[str, float]:
        """See :class:`Task`."""
        return {name: rank_metric(metric, scores) for name, metric in self.metrics.items()}

    def validation_loss(self, scores: Tensor, targets: Targets) -> Tensor:
        """Cross-entropy of the answers among all nodes of their type."""
        return -scores[:, 2].mean()


def _metrics(options: KnowledgeGraphOptions, default: Optional[str] = None) -> Mapping[str, Metric]:
    return chosen_pair_metrics(_METRICS, options.metrics, options.metric, default=default, ranked=True)


def _typed_of(graph: Graph) -> Typed:
    if graph.typed is None:
        raise DataError(
            "typed",
            "the graph has no relations, and triples need some.",
            fix="Give typed data, or take --task link_prediction for pairs.",
        )
    return graph.typed


def num_relations(graph: Graph) -> int:
    """How many relations a typed graph has.

    Raises:
        DataError: It has no types.
    """
    return len(_typed_of(graph).schema.relations)


def _links_of(graph: Graph) -> Links:
    assert graph.links is not None, "the task has arranged it"
    return graph.links
