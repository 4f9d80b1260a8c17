"""Heads of knowledge graphs: from the embedding of a node and a relation to scores of other nodes.

Rules: written once above all backends. A triple is two questions, (head, relation, ?) and (?, relation, tail); the
second kind has the number of its relation plus the number of all relations. A head makes a query of a question and
compares it with nodes, so a score costs as much on either side. Complex numbers are rows of real parts followed by
imaginary ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Mapping, Type

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Targets
from gnnkit.errors import ConfigError
from gnnkit.nn.dropout import dropout
from gnnkit.tasks.base import Head
from gnnkit.tasks.shared_softmax import log_shares

_TABLE_NUMBERS = 1 << 22
"""Numbers that a table of distances may need at a time."""


class TripleHead(Head, ABC):
    """Base of heads that score triples. D is the width of embeddings, R the number of relations.

    Args:
        width: Width D of embeddings.
        num_relations: R, at least 1.
        reciprocal: Whether questions for heads have parameters of their own, 2R rows; else they use the inverse of
            the relation's.
        margin: What distances are taken from; products have no use for it.
        norm: Of distances, 1 or 2.
        dropout: Dropout probability on queries while training.
        is_softmax: Whether training learns from shares in a softmax where negatives are shared.
        regularization: Weight of the penalty on embeddings while training. 0: none.

    Attributes:
        relation: What is learnt of relations. Shape [R or 2R, D]; of angles [R or 2R, D / 2].
    """

    is_complex: ClassVar[bool] = False
    is_product: ClassVar[bool] = True
    has_angles: ClassVar[bool] = False

    def __init__(
        self,
        width: int,
        num_relations: int,
        *,
        reciprocal: bool = False,
        margin: float = 0.0,
        norm: int = 1,
        dropout: float = 0.0,
        is_softmax: bool = False,
        regularization: float = 0.0,
    ) -> None:
        super().__init__()
        if self.is_complex and width % 2:
            raise ConfigError(
                f"The embeddings are {width} wide, and this head reads them as complex numbers, which need an even "
                f"width. Take model.out_channels={width + 1}."
            )
        self.num_relations = num_relations
        self.reciprocal = reciprocal
        self.margin = margin
        self.norm = norm
        self.dropout = dropout
        self.is_softmax = is_softmax
        self.regularization = regularization
        rows = 2 * num_relations if reciprocal else num_relations
        self.relation = nn.Parameter(self.initial(rows, width))

    @staticmethod
    def initial(rows: int, width: int) -> Tensor:
        """First values of the relations' parameters."""
        return nn.init.xavier_uniform_(torch.empty(rows, width))

    @staticmethod
    @abstractmethod
    def inverse(weights: Tensor) -> Tensor:
        """Parameters of relations that lead the other way. Shape as received."""

    @abstractmethod
    def transform(self, h: Tensor, weights: Tensor) -> Tensor:
        """Where relations lead from nodes.

        Args:
            h: Embeddings of nodes. Shape [..., D].
            weights: The relations' parameters. Shape [..., D or D / 2].

        Returns:
            Shape [..., D].
        """

    @abstractmethod
    def match(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """How well candidates answer queries; leading dimensions broadcast. [..., D] and [..., D] to [...]."""

    def weights(self, relations: Tensor) -> Tensor:
        """Parameters for questions.

        Args:
            relations: Numbers below 2R; those from R on ask for heads. int64.
        """
        if self.reciprocal:
            return functional.embedding(relations, self.relation)
        both = torch.cat([self.relation, self.inverse(self.relation)])
        return functional.embedding(relations, both)

    def query(self, h: Tensor, relations: Tensor) -> Tensor:
        """What questions look for.

        Args:
            h: Embeddings of the nodes that are asked about. Shape [T, D].
            relations: As for :meth:`weights`. Shape [T].

        Returns:
            Shape [T, D].
        """
        return dropout(self.transform(h, self.weights(relations)), self.dropout, self.training)

    def table(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """The score of every candidate for every query.

        Args:
            queries: Shape [B, D].
            candidates: Embeddings. Shape [N, D].

        Returns:
            Shape [B, N].
        """
        size = max(1, _TABLE_NUMBERS // max(queries.numel(), 1))
        parts = [candidates[start : start + size] for start in range(0, max(len(candidates), 1), size)]
        return torch.cat([self.match(queries[:, None], part[None]) for part in parts], dim=1)

    def forward(self, h: Tensor, targets: Targets) -> Tensor:
        """Scores of answers, followed by those of their negatives, if there are any.

        Args:
            h: Embeddings. Shape [M, D].
            targets: Their ``y`` are relations as for :meth:`weights` [T], their rows "src" [T] nodes that are asked
                about, "dst" [T] answers, and "negatives" [K], shared by all, or [T, K].

        Returns:
            Shape [T, 1]; with negatives [T, 1 + K]. A shared negative that is the answer itself has minus infinity.
            With shared negatives and ``is_softmax``, logarithms of the answers' shares, [T, 1]. With negatives and
            ``regularization`` one more column, the penalty.
        """
        assert targets.y is not None, "targets of triples have relations"
        rows = targets.rows
        nodes, answers = _rows(h, rows["src"]), _rows(h, rows["dst"])
        weights = self.weights(targets.y.clamp(min=0))  # Padding has -100.
        queries = dropout(self.transform(nodes, weights), self.dropout, self.training)
        if "negatives" not in rows:
            return self.match(queries, answers)[:, None]
        # A padded batch is for a device that compiles, which takes plain operations.
        found = self._told_apart(h, queries, answers, rows, in_parts=targets.mask is None)
        if not self.regularization:
            return found
        moved = (nodes, answers) if self.has_angles else (nodes, answers, weights)
        parts = [self.moduli(each).pow(3).sum(dim=1) for each in moved]
        cubes = torch.stack(parts).sum(dim=0)
        return torch.cat([found, self.regularization * cubes[:, None]], dim=1)

    def moduli(self, values: Tensor) -> Tensor:
        """Moduli of the entries of embeddings, [T, D] to [T, D or D / 2]."""
        if not self.is_complex:
            return values.abs()
        real, imaginary = values.chunk(2, dim=-1)
        return (real * real + imaginary * imaginary).clamp(min=1e-12).sqrt()

    def _told_apart(
        self, h: Tensor, queries: Tensor, answers: Tensor, rows: Mapping[str, Tensor], *, in_parts: bool
    ) -> Tensor:
        """What :meth:`forward` gives where there are negatives, without the penalty."""
        negatives = rows["negatives"]
        if negatives.ndim == 1 and self.is_softmax and self.is_product and in_parts:
            return log_shares(queries, answers, _rows(h, negatives), rows["dst"], negatives)
        own = self.match(queries, answers)[:, None]
        if negatives.ndim == 2:
            return torch.cat([own, self.match(queries[:, None], _rows(h, negatives))], dim=1)
        others = self.table(queries, _rows(h, negatives))
        others = others.masked_fill(rows["dst"][:, None] == negatives[None], -math.inf)
        if not self.is_softmax:
            return torch.cat([own, others], dim=1)
        return own - torch.logsumexp(torch.cat([own, others], dim=1), dim=1, keepdim=True)


def _rows(h: Tensor, rows: Tensor) -> Tensor:
    return functional.embedding(rows, h)


class DistMult(TripleHead):
    """``sum(h * r * t)``: Yang et al., "Embedding entities and relations" (2015)."""

    @staticmethod
    def inverse(weights: Tensor) -> Tensor:
        """See :class:`TripleHead`: the score does not tell heads from tails."""
        return weights

    def transform(self, h: Tensor, weights: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return h * weights

    def match(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return (queries * candidates).sum(dim=-1)

    def table(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return queries @ candidates.T


class ComplEx(DistMult):
    """``Re(sum(h * r * conj(t)))``: Trouillon et al., "Complex embeddings for simple link prediction" (2016)."""

    is_complex = True

    @staticmethod
    def inverse(weights: Tensor) -> Tensor:
        """See :class:`TripleHead`: the conjugate."""
        real, imaginary = weights.chunk(2, dim=-1)
        return torch.cat([real, -imaginary], dim=-1)

    def transform(self, h: Tensor, weights: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return _product(h, *weights.chunk(2, dim=-1))


class TransE(TripleHead):
    """``margin - |h + r - t|``: Bordes et al., "Translating embeddings for modeling multi-relational data" (2013)."""

    is_product = False

    @staticmethod
    def inverse(weights: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return -weights

    def transform(self, h: Tensor, weights: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return h + weights

    def match(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        distances: Tensor = torch.linalg.vector_norm(queries - candidates, ord=self.norm, dim=-1)
        return self.margin - distances

    def table(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        exact = "donot_use_mm_for_euclid_dist"
        return self.margin - torch.cdist(queries, candidates, p=float(self.norm), compute_mode=exact)


class RotatE(TripleHead):
    """``margin - |h * exp(i r) - t|``, a sum of moduli: Sun et al., "RotatE" (2019). ``relation`` holds angles."""

    is_complex = True
    is_product = False
    has_angles = True

    @staticmethod
    def initial(rows: int, width: int) -> Tensor:
        """See :class:`TripleHead`: any angle."""
        return torch.empty(rows, width // 2).uniform_(-math.pi, math.pi)

    @staticmethod
    def inverse(weights: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return -weights

    def transform(self, h: Tensor, weights: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        return _product(h, weights.cos(), weights.sin())

    def match(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """See :class:`TripleHead`."""
        real, imaginary = (queries - candidates).chunk(2, dim=-1)
        # The root of 0 has no gradient.
        return self.margin - (real * real + imaginary * imaginary).clamp(min=1e-12).sqrt().sum(dim=-1)


def _product(h: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Complex products, as rows of real and imaginary parts."""
    x, y = h.chunk(2, dim=-1)
    return torch.cat([x * real - y * imaginary, x * imaginary + y * real], dim=-1)


TRIPLE_HEADS: Mapping[str, Type[TripleHead]] = {
    "distmult": DistMult,
    "complex": ComplEx,
    "transe": TransE,
    "rotate": RotatE,
}
"""Heads of knowledge graphs by name."""
