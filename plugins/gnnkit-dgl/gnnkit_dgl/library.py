"""Any layer of DGL by its name, for models that need not run elsewhere.

Rules: a layer gets a graph and features, and edge weights if it asks for them. Layers that refuse nodes without
in-neighbours have an argument against it, ``allow_zero_in_degree``, which users give in ``conv_options``.
"""

from __future__ import annotations

from torch import Tensor

from gnnkit.backends import LibraryLayer
from gnnkit.nn import ConvSpec
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.compat import import_dgl


class DglLayer(LibraryLayer):
    """A layer of ``dgl.nn``."""

    def __init__(self, spec: ConvSpec) -> None:
        import_dgl()
        import dgl.nn

        super().__init__(spec, dgl.nn, home="dgl.nn.pytorch.conv.")

    def compute(self, lowered: DglBlock, h: Tensor) -> Tensor:
        """See :class:`gnnkit.backends.LibraryLayer`."""
        import dgl

        block = lowered.block
        square = dgl.graph((block.indices, block.dst), num_nodes=block.num_src)
        is_weighted = self.takes_weights and block.edge_weight is not None
        weights = {"edge_weight": block.edge_weight} if is_weighted else {}
        out: Tensor = self.layer(square, h, **weights)
        return out
