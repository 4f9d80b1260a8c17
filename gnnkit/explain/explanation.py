"""What an explanation says, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which edges and features matter for what a model says of one node.

    Attributes:
        node: The node.
        output: Which output is explained: the class, or the number of the output.
        score: What the model says: the probability of the class, or the value of the output.
        edges: Source and destination of each edge within reach of the node, self-loops left out. Shape [2, E], int64.
        edge_scores: How much each edge matters; comparable within one explanation. Shape [E].
        feature_scores: How much each feature matters. Shape [F]; empty where nodes have no features that are numbers.
        fidelity_plus: How much the score falls if the best edges are taken out: large for a good explanation.
        fidelity_minus: How much it falls if only they are left: near 0 for a good one.
        sparsity: Share of the edges that are not among the best.

    Fidelity and sparsity are those of Yuan et al., "Explainability in graph neural networks: a taxonomic survey"
    (2022).
    """

    node: int
    output: int
    score: float
    edges: Tensor
    edge_scores: Tensor
    feature_scores: Tensor
    fidelity_plus: float
    fidelity_minus: float
    sparsity: float

    def top_edges(self, num: int) -> List[Dict[str, Any]]:
        """The edges that matter most, the first most, as plain values.

        Args:
            num: How many at most.
        """
        best = self.edge_scores.argsort(descending=True, stable=True)[:num]
        rows = zip(self.edges[:, best].T.tolist(), self.edge_scores[best].tolist())
        return [{"source": source, "destination": destination, "score": score} for (source, destination), score in rows]

    def summary(self, num_edges: int = 10) -> Dict[str, Any]:
        """Plain values, as ``gnnkit explain --json`` prints them."""
        return {
            "node": self.node,
            "output": self.output,
            "score": self.score,
            "num_edges": self.edges.shape[1],
            "edges": self.top_edges(num_edges),
            "features": self.feature_scores.tolist(),
            "fidelity_plus": self.fidelity_plus,
            "fidelity_minus": self.fidelity_minus,
            "sparsity": self.sparsity,
        }
