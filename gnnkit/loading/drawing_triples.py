"""What a batch of a knowledge graph is about: questions, their answers, and nodes that are none.

Rules: as for :mod:`gnnkit.loading.drawing`. Items are numbers of questions; those of triple i are i and i plus the
number of triples.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gnnkit.data import Targets
from gnnkit.loading.drawing import Drawn, Ids, distinct
from gnnkit.sampling.known_answers import Questions
from gnnkit.sampling.negatives import NegativeSampler, shared_nodes


class TripleDraw:
    """Targets that are questions, with negatives. Call it as any :data:`Draw`.

    The triples of a batch are hidden from it, and the same edges of relations that are declared reverses of theirs.

    Args:
        questions: Both questions of n triples.
        num_nodes: Number of nodes of the graph.
        reverses: For each of R relations, its reverse, -1 for none.
        seed: Seed of what is drawn.
        negatives: Draws some for each question. None: all share some.
        types: Type of the answer to each question, for ``negatives``. Shape [2n], int64. None: there is one type.
        asked: Row of each question's known answers, for ``negatives``. Shape [2n], int64. None: nothing is known.
        shared: How many negatives all questions of a batch share; all nodes, where it is as many.

    Example:
        >>> from gnnkit.sampling.known_answers import questions_of
        >>> asked = questions_of(torch.tensor([[5, 6], [6, 7]]), torch.tensor([0, 0]), 1)
        >>> drawn = TripleDraw(asked, 9, [-1], seed=0, shared=2)(np.array([0, 3]), slice(None), 0, 0)
        >>> drawn.targets.y.tolist(), drawn.hidden.tolist()
        ([0, 1], [[5, 6, 0], [6, 7, 0]])
    """

    def __init__(
        self,
        questions: Questions,
        num_nodes: int,
        reverses: Sequence[int],
        *,
        seed: int,
        negatives: Optional[NegativeSampler] = None,
        types: Optional[NDArray[np.int64]] = None,
        asked: Optional[NDArray[np.int64]] = None,
        shared: int = 0,
    ) -> None:
        self._nodes, self._relations, self._answers = (each.numpy() for each in questions)
        self._num_nodes = num_nodes
        self._reverses: Any = np.asarray(reverses, dtype=np.int64)
        self._seed = seed
        self._negatives = negatives
        self._types = types
        self._asked = asked
        self._shared = shared

    def __call__(self, items: Ids, part: slice, epoch: int, number: int) -> Drawn:
        """See :data:`Draw`."""
        ids = items[part]
        nodes = {"src": self._nodes[ids], "dst": self._answers[ids]}
        if self._negatives is None:
            own = distinct(self._answers[items])[0]
            where = {"seed": self._seed, "epoch": epoch, "batch": number}
            nodes["negatives"] = shared_nodes(own, self._num_nodes, self._shared, **where)
        else:
            types = None if self._types is None else self._types[ids]
            asked = None if self._asked is None else self._asked[ids]
            nodes["negatives"] = self._negatives.destinations(nodes["src"], ids, epoch=epoch, types=types, asked=asked)
        seeds, rows = distinct(np.concatenate([each.ravel() for each in nodes.values()]))
        split = np.split(rows, np.cumsum([each.size for each in nodes.values()])[:-1])
        by_name = {name: torch.from_numpy(row.reshape(nodes[name].shape)) for name, row in zip(nodes, split)}
        relations = torch.from_numpy(self._relations[ids])
        return Drawn(seeds, Targets(relations, by_name, num=len(ids)), self._hidden(items))

    def _hidden(self, items: Ids) -> Ids:
        """The batch's triples, and their reverses: source, destination and relation. Shape [H, 3]."""
        num_relations = len(self._reverses)
        relations = self._relations[items]
        heads = np.where(relations < num_relations, self._nodes[items], self._answers[items])
        tails = np.where(relations < num_relations, self._answers[items], self._nodes[items])
        relations = relations % num_relations
        back = self._reverses[relations]
        triples = np.stack([heads, tails, relations], axis=1)
        return np.concatenate([triples, np.stack([tails, heads, back], axis=1)[back >= 0]])
