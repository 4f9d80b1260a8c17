"""Answers that are known of a knowledge graph's questions.

Rules: a triple (head, relation, tail) is two questions: the head and the relation ask for the tail, and the tail and
the number of the relation plus that of all relations ask for the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import SPLITS, Graph
from gnnkit.sampling.known_pairs import KnownPairs


class Questions(NamedTuple):
    """Both questions of n triples: those for tails first, then those for heads.

    Attributes:
        nodes: Who is asked about. Shape [2n], int64.
        relations: Which relation, below 2R. Shape [2n], int64.
        answers: The other node. Shape [2n], int64.
    """

    nodes: Tensor
    relations: Tensor
    answers: Tensor


def questions_of(pairs: Tensor, relations: Tensor, num_relations: int) -> Questions:
    """The questions of triples.

    Args:
        pairs: Head and tail. Shape [n, 2], int64.
        relations: Shape [n], int64.
        num_relations: Number of relations R.

    Example:
        >>> [each.tolist() for each in questions_of(torch.tensor([[7, 9]]), torch.tensor([1]), 3)]
        [[7, 9], [1, 4], [9, 7]]
    """
    nodes, answers = torch.cat([pairs, pairs.flip(1)]).T
    return Questions(nodes.contiguous(), torch.cat([relations, relations + num_relations]), answers.contiguous())


@dataclass(frozen=True, eq=False)
class KnownAnswers:
    """For each question that has known answers, these.

    Attributes:
        num_relations: Number of relations R.
        keys: The Q questions as numbers, node * 2R + relation. Shape [Q], int64, ascending.
        indptr: Offsets by question. Shape [Q + 1], int64.
        indices: Answers of each question. int64, ascending within a question and without repeats.
    """

    num_relations: int
    keys: NDArray[np.int64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]

    def rows(self, nodes: NDArray[np.int64], relations: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where questions stand among those with known answers, -1 where they do not. Shape as received."""
        keys = nodes * (2 * self.num_relations) + relations
        places = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        found = self.keys[places] == keys if len(self.keys) else np.zeros(len(keys), dtype=bool)
        return np.where(found, places, -1)

    @property
    def all_pairs(self) -> KnownPairs:
        """The same, questions being the sources of pairs."""
        return KnownPairs(self.indptr, self.indices)

    def contains(
        self, nodes: NDArray[np.int64], relations: NDArray[np.int64], answers: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which answers are known.

        Args:
            nodes: Shape [n], int64.
            relations: Which relation, below 2R. Shape [n], int64.
            answers: Some for each question. Shape [n, K], int64.

        Returns:
            Shape [n, K], bool.
        """
        rows = self.rows(nodes, relations)
        each = np.repeat(np.maximum(rows, 0), answers.shape[1])
        found = self.all_pairs.contains(each, answers.ravel()).reshape(answers.shape)
        return found & (rows >= 0)[:, None]

    def among(self, rows: NDArray[np.int64], wanted: NDArray[np.int64]) -> KnownPairs:
        """Known answers of some questions, by their position there; answers by their position among wanted nodes.

        Args:
            rows: As :meth:`rows` gives them. Shape [n].
            wanted: Node ids, ascending; other answers are left out. Shape [m], int64.
        """
        counts = np.where(rows < 0, 0, self.indptr[rows + 1] - self.indptr[rows])
        starts = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(np.where(rows < 0, 0, self.indptr[rows]) - starts, counts)
        answers = self.indices[places]
        local = np.minimum(np.searchsorted(wanted, answers), max(len(wanted) - 1, 0))
        kept = wanted[local] == answers
        before = np.concatenate([[0], np.cumsum(kept)])
        return KnownPairs(before[np.concatenate([[0], np.cumsum(counts)])], local[kept])


def known_answers(graph: Graph, splits: Sequence[str] = SPLITS) -> KnownAnswers:
    """What the edges of a typed graph and the triples of its links say.

    Args:
        graph: With types, and with links that have relations.
        splits: Splits whose triples are known.

    Example:
        >>> from gnnkit.data import Links, Relation, Schema, Typed
        >>> schema = Schema(("a",), (Relation("a", "knows", "a"),))
        >>> links = Links({"train": torch.tensor([[0, 1]])}, False, relations={"train": torch.tensor([0])})
        >>> nothing = torch.empty(0, dtype=torch.int16)
        >>> typed = Typed(schema, torch.zeros(2, dtype=torch.int16), nothing)
        >>> known = known_answers(Graph(torch.zeros(3, dtype=torch.int64), nothing.long(), typed=typed, links=links))
        >>> known.keys.tolist(), known.indices.tolist()
        ([0, 3], [1, 0])
    """
    links, typed = graph.links, graph.typed
    assert links is not None and typed is not None, "the caller has looked"
    parts = [(torch.stack([graph.indices, graph.dst], dim=1), typed.edge_type.long())]
    parts += [(links.pairs[split], links.relations[split]) for split in splits if split in links.pairs]
    num_relations = len(typed.schema.relations)
    asked = questions_of(torch.cat([pairs for pairs, _ in parts]), torch.cat([of for _, of in parts]), num_relations)
    keys, answers = (asked.nodes * (2 * num_relations) + asked.relations).numpy(), asked.answers.numpy()
    order = np.lexsort((answers, keys))
    keys, answers = keys[order], answers[order]
    is_new = np.ones(len(keys), dtype=bool)
    is_new[1:] = (keys[1:] != keys[:-1]) | (answers[1:] != answers[:-1])
    keys, answers = keys[is_new], answers[is_new]
    found, starts = np.unique(keys, return_index=True)
    return KnownAnswers(num_relations, found, np.append(starts, len(keys)).astype(np.int64), answers)
