"""Any layer of PyTorch Geometric by its name, for models that need not run elsewhere.

Rules: a layer gets features and a list of edges, and edge weights if it asks for them; what it adds to the graph by
itself (self-loops, normalisation) is its own affair and is computed from the block alone.
"""

from __future__ import annotations

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import LibraryLayer
from gnnkit.nn import ConvSpec
from gnnkit_pyg.block import PygBlock


class PygLayer(LibraryLayer):
    """A layer of ``torch_geometric.nn``."""

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec, pyg, home="torch_geometric.nn.conv.")

    def compute(self, lowered: PygBlock, h: Tensor) -> Tensor:
        """See :class:`gnnkit.backends.LibraryLayer`."""
        is_weighted = self.takes_weights and lowered.block.edge_weight is not None
        weights = {"edge_weight": lowered.block.edge_weight} if is_weighted else {}
        out: Tensor = self.layer(h, lowered.edge_index, **weights)
        return out
