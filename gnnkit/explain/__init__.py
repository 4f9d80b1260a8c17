"""Why a model says what it says of a node: which edges and features matter."""

from gnnkit.explain.explaining import METHODS, explain_nodes
from gnnkit.explain.explanation import Explanation

__all__ = ["METHODS", "Explanation", "explain_nodes"]
