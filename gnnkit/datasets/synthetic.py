"""Planted communities of any size: the data set for measurements and tests.

Rules: everything comes from the seed, through one random stream for each purpose; arrays are made by NumPy in chunks,
so that memory stays near that of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from gnnkit.data import Graph, from_edge_index, random_split
from gnnkit.datasets.base import Dataset, check_option
from gnnkit.datasets.edges import sorted_unique
from gnnkit.errors import ConfigError

_CHUNK = 1 << 22
_LABELS, _EDGES, _CENTRES, _NOISE = range(4)


@dataclass(frozen=True)
class Synthetic(Dataset):
    """Communities with heavy-tailed degrees and noisy features, for example as large as ogbn-arxiv.

    Needs no files. Every node belongs to one of ``num_classes`` communities of equal size. An edge starts at a node
    drawn by its popularity, which follows a power law, and ends, with probability ``homophily``, in the same community
    and otherwise in another, again by popularity: a degree-corrected stochastic block model after Karrer and Newman,
    2011. Features are the community's centre (standard normal) plus noise.

    Attributes:
        num_nodes: Number of nodes N.
        num_edges: Number of undirected edges; the graph has exactly twice as many directed ones, without self-loops
            and repeats.
        num_features: Width of the features.
        num_classes: Number of communities, at least 2.
        homophily: Probability that both ends of an edge are in one community, 0 to 1.
        feature_noise: Standard deviation of the noise on the features. At 0 the features tell the classes.
        degree_exponent: Exponent of the popularity's power law, above 1. Smaller is heavier.
        multi_label: Whether each node has, besides its own community, every other one as a label with probability 0.1.
            Features are then the mean of the centres, labels 0/1 of shape [N, num_classes], the metric ROC-AUC.
        train: Share of the nodes for training. What is left is halved into validation and test.
    """

    name = "synthetic"
    summary = "Planted communities with heavy-tailed degrees, of any size; computed from the seed."

    num_nodes: int = 2000
    num_edges: int = 10_000
    num_features: int = 64
    num_classes: int = 8
    homophily: float = 0.8
    feature_noise: float = 4.0
    degree_exponent: float = 2.5
    multi_label: bool = False
    train: float = 0.6

    def __post_init__(self) -> None:
        pairs = self.num_nodes * (self.num_nodes - 1) // 2
        for key, good, expected in (
            ("num_classes", self.num_classes >= 2, "at least 2"),
            ("num_nodes", self.num_nodes >= self.num_classes, f"at least num_classes, {self.num_classes}"),
            ("num_edges", 0 <= self.num_edges <= pairs, f"0 to {pairs}, the pairs of {self.num_nodes} nodes"),
            ("num_features", self.num_features >= 1, "at least 1"),
            ("homophily", 0 <= self.homophily <= 1, "0 to 1"),
            ("feature_noise", self.feature_noise >= 0, "at least 0"),
            ("degree_exponent", self.degree_exponent > 1, "above 1"),
            ("train", 0 < self.train < 1, "a share between 0 and 1"),
        ):
            check_option(self.requested, key, getattr(self, key), good, expected)

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Compute the graph."""
        communities = self._random(_LABELS).permutation(self.num_nodes) % self.num_classes
        labels = self._labels(communities)
        return from_edge_index(
            self._edges(communities),
            self.num_nodes,
            x=self._features(communities, labels),
            y=labels,
            metric="rocauc" if self.multi_label else "accuracy",
        )

    def split(self, graph: Graph) -> Graph:
        """Split by the seed."""
        return random_split(graph, self.train, (1 - self.train) / 2, seed=self.seed)

    def _random(self, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, purpose])))

    def _labels(self, communities: np.ndarray) -> np.ndarray:
        if not self.multi_label:
            return communities
        draws = self._random(_LABELS).random((self.num_nodes, self.num_classes), dtype=np.float32)
        labels = (draws < 0.1).astype(np.float32)
        labels[np.arange(self.num_nodes), communities] = 1
        return labels

    def _features(self, communities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        centres = self._random(_CENTRES).standard_normal((self.num_classes, self.num_features), dtype=np.float32)
        noise = self._random(_NOISE)
        features = np.empty((self.num_nodes, self.num_features), dtype=np.float32)
        rows = max(1, _CHUNK // self.num_features)
        for start in range(0, self.num_nodes, rows):
            part = features[start : start + rows]
            noise.standard_normal(dtype=np.float32, out=part)
            part *= np.float32(self.feature_noise)
            if self.multi_label:
                mine = labels[start : start + rows]
                part += mine @ centres / mine.sum(axis=1, keepdims=True)
            else:
                part += centres[communities[start : start + rows]]
        return features

    def _edges(self, communities: np.ndarray) -> np.ndarray:
        """Draw edges until there are enough different ones. Shape [2, 2 * num_edges], int64."""
        random = self._random(_EDGES)
        sampler = _EndSampler(communities, self.num_classes, self.degree_exponent, random)
        keys = np.empty(0, dtype=np.int64)
        # Some pairs are drawn over and over when the graph is dense, so the last few may be hard to come by.
        for _ in range(200):
            missing = self.num_edges - len(keys)
            if missing <= 0:
                break
            drawn = [keys]
            for start in range(0, missing, _CHUNK):
                drawn.append(sampler.draw(min(_CHUNK, missing - start), self.homophily))
            keys = sorted_unique(np.concatenate(drawn))
        else:
            problem = f"{self.num_edges} edges are too many for {self.num_nodes} nodes with homophily {self.homophily}"
            raise ConfigError(f"{problem}: only {len(keys)} were found. Lower num_edges or raise degree_exponent.")
        low, high = keys // self.num_nodes, keys % self.num_nodes
        return np.stack([np.concatenate([low, high]), np.concatenate([high, low])])


class _EndSampler:
    """Draws edges by popularity.

    Nodes are put in order of their community, so that each community is an interval of the running sum of
    popularities, and a uniform number in that interval names a node by bisection.
    """

    def __init__(self, communities: np.ndarray, num_classes: int, exponent: float, random: np.random.Generator) -> None:
        nodes = len(communities)
        # No node should draw more than about the square root of all edge ends.
        popularity = np.minimum((1 - random.random(nodes)) ** (-1 / (exponent - 1)), max(1.0, nodes**0.5))
        self.random = random
        self.order = np.argsort(communities, kind="stable")
        self.community = communities[self.order]
        self.sums = np.cumsum(popularity[self.order])
        ends = np.searchsorted(self.community, np.arange(num_classes), side="right")
        self.stop = self.sums[ends - 1]
        self.start = np.concatenate([[0.0], self.stop[:-1]])

    def draw(self, count: int, homophily: float) -> np.ndarray:
        """Draw edges as ``lower node * N + higher node``; self-loops are left out, so there may be fewer."""
        total = self.sums[-1]
        first = self._node(self.random.random(count) * total)
        start, stop = self.start[self.community[first]], self.stop[self.community[first]]
        inside = start + self.random.random(count) * (stop - start)
        outside = self.random.random(count) * (total - (stop - start))
        outside += np.where(outside >= start, stop - start, 0)
        is_inside = self.random.random(count) < homophily
        second = self._node(np.where(is_inside, inside, outside))
        one, other = self.order[first], self.order[second]
        low, high = np.minimum(one, other), np.maximum(one, other)
        keys: np.ndarray = (low * len(self.order) + high)[low != high]
        return keys

    def _node(self, values: np.ndarray) -> np.ndarray:
        return np.minimum(np.searchsorted(self.sums, values, side="right"), len(self.sums) - 1)
