"""A small typed graph: the built-in data set for tasks on several kinds of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from gnnkit.data import Graph, from_typed, random_split
from gnnkit.datasets.base import Dataset, check_option

_TOPICS = ("biology", "chemistry", "physics")
_NUM_AUTHORS, _NUM_VENUES = 0.4, 0.05
_LOYALTY = 0.85
"""With this probability an edge goes where its relation wants it; else anywhere."""


@dataclass(frozen=True)
class Publications(Dataset):
    """Papers of three topics, their authors and the venues where they appear: three types, five relations.

    Needs no files. Papers are to be told apart by topic. An author writes papers of one topic (``writes``, with the
    declared reverse ``written_by``) and a venue publishes one (``appears_in``); a paper ``cites`` papers of its topic,
    and ``disputes`` those of the topic after its own: who takes both for the same relation learns little from either.
    15 % of all edges are drawn at random. Papers and venues have features, of different widths, with noise that hides
    the topic of a single paper; authors have none. Papers are split 60/20/20 by the seed.

    Attributes:
        num_papers: Number of papers. There are 0.4 times as many authors and 0.05 times as many venues.
        feature_noise: Standard deviation of the noise on features, whose centres are standard normal.
    """

    name = "publications"
    summary = "Typed: papers, authors and venues, 5 relations, 3 topics; computed from the seed."

    num_papers: int = 400
    feature_noise: float = 3.0

    def __post_init__(self) -> None:
        check_option(self.requested, "num_papers", self.num_papers, self.num_papers >= 60, "at least 60")
        check_option(self.requested, "feature_noise", self.feature_noise, self.feature_noise >= 0, "at least 0")

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Compute the graph."""
        random = np.random.Generator(np.random.Philox(key=self.seed))
        sizes = (self.num_papers, round(self.num_papers * _NUM_AUTHORS), round(self.num_papers * _NUM_VENUES))
        papers, authors, venues = (random.permutation(size) % len(_TOPICS) for size in sizes)
        written = _edges(random, papers, papers, authors, 2)
        return from_typed(
            {
                ("author", "writes", "paper"): written[::-1],
                ("paper", "written_by", "author"): written,
                ("paper", "cites", "paper"): _edges(random, papers, papers, papers, 3),
                ("paper", "disputes", "paper"): _edges(random, papers, (papers + 1) % len(_TOPICS), papers, 3),
                ("paper", "appears_in", "venue"): _edges(random, papers, papers, venues, 1),
            },
            num_nodes=dict(zip(("paper", "author", "venue"), sizes)),
            x={"paper": self._features(random, papers, 16), "venue": self._features(random, venues, 4)},
            y={"paper": papers},
            class_names={"paper": _TOPICS},
            reverses={"writes": "written_by"},
        )

    def split(self, graph: Graph) -> Graph:
        """Split the papers by the seed."""
        return random_split(graph, 0.6, 0.2, seed=self.seed, node_type="paper")

    def _features(self, random: np.random.Generator, topics: np.ndarray, width: int) -> np.ndarray:
        centres = random.standard_normal((len(_TOPICS), width), dtype=np.float32)
        noise = random.standard_normal((len(topics), width), dtype=np.float32)
        features: np.ndarray = centres[topics] + np.float32(self.feature_noise) * noise
        return features


def _edges(
    random: np.random.Generator, sources: np.ndarray, wanted: np.ndarray, others: np.ndarray, count: int
) -> np.ndarray:
    """So many different edges from each source, most of them to others of the topic that it wants. Shape [2, E]."""
    homes = [np.flatnonzero(others == topic) for topic in range(len(_TOPICS))]
    ends = []
    for topic in wanted:
        is_loyal = random.random(count) < _LOYALTY
        inside, anywhere = random.choice(homes[topic], count), random.integers(len(others), size=count)
        ends.append(np.where(is_loyal, inside, anywhere))
    pairs = np.stack([np.repeat(np.arange(len(sources)), count), np.concatenate(ends)])
    different: np.ndarray = np.unique(pairs, axis=1)
    return different
