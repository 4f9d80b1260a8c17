"""PyTorch Geometric's own convolutions, each in a thin module that takes gnnkit's arguments.

Rules: the library's layer is the attribute ``conv`` of its wrapper and does the work; a wrapper hands it the block in
the form that suits it and chooses the dtype of messages. Matrices are multiplied in bfloat16 where autocast says so:

- fed a sparse matrix, messages have the dtype of the products, because torch takes one dtype at a time there and adds
  bfloat16 up in float32;
- fed a list of edges, messages have the dtype of the weights, because adding bfloat16 to bfloat16 one message at a
  time would lose all but the first few hundred neighbours of a node.

Where a block is reduced, there is nothing to add up: a wrapper calls what its layer does after its sum.
"""

from __future__ import annotations

from typing import Mapping, Type

from gnnkit.backends import NativeConv
from gnnkit_pyg.layers.gat import GAT
from gnnkit_pyg.layers.gatv2 import GATv2
from gnnkit_pyg.layers.gcn import GCN
from gnnkit_pyg.layers.gin import GIN
from gnnkit_pyg.layers.gine import GINE
from gnnkit_pyg.layers.graphconv import GraphConvolution
from gnnkit_pyg.layers.pna import PNA
from gnnkit_pyg.layers.sage import SAGE
from gnnkit_pyg.layers.transformer import Transformer

LAYERS: Mapping[str, Type[NativeConv]] = {
    "gcn": GCN,
    "sage": SAGE,
    "gat": GAT,
    "gatv2": GATv2,
    "gin": GIN,
    "gine": GINE,
    "pna": PNA,
    "transformer": Transformer,
    "graphconv": GraphConvolution,
}
"""The wrapper of each kind of convolution that PyTorch Geometric has a layer for; its APPNP is a whole model."""
