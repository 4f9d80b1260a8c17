"""Pairs ranked among all nodes, and the product of matrices that every such ranking needs.

Each of ``batch_size`` sources has one pair; its destination is ranked among all nodes by dot products of random
embeddings. gnnkit leaves out what is known of a source, as the filtered ranking asks, and keeps no scores. The other
side computes the scores in one line of torch, and does nothing with them.
"""

from __future__ import annotations

from typing import Any, Optional

import torch

from benchmarks.sides.base import Absent, Answer, TurnSide
from gnnkit.sampling.known_pairs import known_pairs
from gnnkit.tasks.pair_heads import DotHead
from gnnkit.tasks.ranking import ranks


class RankingSide(TurnSide):
    """gnnkit's ranking."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if self.work.device != "cpu":
            raise Absent("pairs are ranked on the CPU")
        assert self.graph.links is not None
        pairs = self.graph.links.pairs["valid"]
        sources = torch.unique(pairs[:, 0])[: self.work.batch_size]
        first = torch.stack([(pairs[:, 0] == source).nonzero()[0, 0] for source in sources])
        self.pairs = pairs[first]
        generator = torch.Generator().manual_seed(self.work.seed)
        self.h = torch.randn(self.graph.num_nodes, self.work.out, generator=generator)
        self.known = known_pairs(self.graph)

    def turn(self) -> Optional[float]:
        """As many rankings as a turn has batches."""
        for _ in range(self.work.batches):
            self.rank()
        return None

    def rank(self) -> Any:
        """Once."""
        return ranks(DotHead().table, self.h, self.pairs, self.known)

    def count(self) -> Answer:
        """The mean rank, which must be the same on both sides."""
        return {"rank": float(self.rank()[:, 1].mean())}


class ProductSide(RankingSide):
    """The scores alone."""

    def rank(self) -> Any:
        """Once."""
        return self.h[self.pairs[:, 0]] @ self.h.T

    def count(self) -> Answer:
        """The mean rank, from these scores, one pair after another."""
        total, indptr, known = 0, self.known.indptr, self.known.indices
        for scores, (source, destination) in zip(self.rank(), self.pairs.tolist()):
            own = scores[destination].item()
            scores[source] = -torch.inf
            scores[torch.from_numpy(known[indptr[source] : indptr[source + 1]])] = -torch.inf
            total += 1 + int((scores >= own).sum())
        return {"rank": total / len(self.pairs)}
