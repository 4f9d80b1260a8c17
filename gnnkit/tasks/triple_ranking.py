"""Answers to a knowledge graph's questions, ranked among nodes of their type."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Typed
from gnnkit.sampling.known_answers import KnownAnswers, Questions
from gnnkit.sampling.known_pairs import KnownPairs
from gnnkit.tasks.ranking import ranks, top_k
from gnnkit.tasks.triple_heads import TripleHead

_QUERIES = 1 << 13
"""Questions whose queries are there at a time."""


def answer_types(relations: Tensor, typed: Typed) -> Tensor:
    """The node type of the answers to questions.

    Args:
        relations: Which relation, plus the number of all where heads are asked for. Shape [n], int64.
        typed: The types.

    Returns:
        Positions in ``Schema.node_types``. Shape [n], int64.
    """
    schema = typed.schema
    ends = [each.dst for each in schema.relations] + [each.src for each in schema.relations]
    return torch.tensor([schema.node_types.index(name) for name in ends])[relations]


@torch.no_grad()
def rank_answers(head: TripleHead, h: Tensor, asked: Questions, known: KnownAnswers, typed: Typed) -> Tensor:
    """Rank each answer among all nodes of its type, without other known answers of its question.

    The node of the question itself is a candidate like any other.

    Args:
        head: In host memory, evaluating.
        h: Embeddings of all nodes. Shape [N, D].
        asked: n questions.
        known: Answers that take no part, except for the ranked one itself.
        typed: The types of the graph.

    Returns:
        Shape [n, 3], float64: see :func:`gnnkit.tasks.ranking.ranks`.
    """
    found = torch.empty(len(asked.nodes), 3, dtype=torch.float64)
    types = answer_types(asked.relations, typed)
    for kind in types.unique().tolist():
        wanted = (typed.node_type == kind).nonzero()[:, 0]
        place = torch.zeros(len(h), dtype=torch.int64)
        place[wanted] = torch.arange(len(wanted))
        candidates = h if len(wanted) == len(h) else h[wanted]
        mine = (types == kind).nonzero()[:, 0]
        # Questions that are alike stand together, so that each has one query.
        keys = asked.nodes[mine] * (2 * known.num_relations) + asked.relations[mine]
        mine = mine[torch.argsort(keys, stable=True)]
        for some in mine.split(_QUERIES):
            nodes, relations, number = _once(asked.nodes[some], asked.relations[some], known.num_relations)
            queries = head.query(h[nodes], relations)
            others = known.among(known.rows(nodes.numpy(), relations.numpy()), wanted.numpy())
            pairs = torch.stack([number, place[asked.answers[some]]], dim=1)
            found[some] = ranks(head.table, candidates, pairs, others, starts=queries)
    return found


def _once(nodes: Tensor, relations: Tensor, num_relations: int) -> Tuple[Tensor, Tensor, Tensor]:
    """Each question once, as nodes and relations, and which of these every one is."""
    keys, number = torch.unique(nodes * (2 * num_relations) + relations, return_inverse=True)
    return keys // (2 * num_relations), keys % (2 * num_relations), number


@torch.no_grad()
def best_answers(
    head: TripleHead, h: Tensor, nodes: Tensor, relation: int, k: int, known: Optional[KnownAnswers], typed: Typed
) -> Tuple[Tensor, Tensor]:
    """The nodes of the answer's type that score highest as answers to questions with one relation.

    Args:
        head: In host memory, evaluating.
        h: Embeddings of all nodes. Shape [N, D].
        nodes: Who is asked about. Shape [n], int64.
        relation: Which relation, plus the number of all where heads are asked for.
        k: How many are wanted.
        known: Answers that are left out. None: none are.
        typed: The types of the graph.

    Returns:
        Ids [n, k] and scores [n, k]: see :func:`gnnkit.tasks.ranking.top_k`.
    """
    relations = torch.full_like(nodes, relation)
    kind = int(answer_types(relations[:1], typed))
    wanted = (typed.node_type == kind).nonzero()[:, 0]
    nothing = np.zeros(len(nodes) + 1, dtype=np.int64)
    others = KnownPairs(nothing, nothing[:0])
    if known is not None:
        others = known.among(known.rows(nodes.numpy(), relations.numpy()), wanted.numpy())
    ids, scores = top_k(
        head.table, h[wanted], torch.arange(len(nodes)), k, others, starts=head.query(h[nodes], relations)
    )
    return torch.where(ids < 0, ids, wanted[ids.clamp(min=0)]), scores
