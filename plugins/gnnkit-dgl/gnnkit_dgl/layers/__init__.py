"""DGL's own convolutions, each in a thin module that takes gnnkit's arguments.

Rules: the library's layer is the attribute ``conv`` of its wrapper and does the work; a wrapper only hands it the edge
weights, joins attention heads, adds the bias where DGL's is another one, and chooses the dtype of messages, because
DGL's kernels take one dtype at a time and autocast does not reach into them. Layers of DGL are made for blocks with
destinations without in-neighbours, whose aggregate is 0. Where a block is reduced, there is nothing to add up: a
wrapper calls what its layer does after its sum.
"""

from __future__ import annotations

from typing import Mapping, Type

from gnnkit.backends import NativeConv
from gnnkit_dgl.layers.gat import GAT
from gnnkit_dgl.layers.gatv2 import GATv2
from gnnkit_dgl.layers.gcn import GCN
from gnnkit_dgl.layers.gin import GIN
from gnnkit_dgl.layers.sage import SAGE

LAYERS: Mapping[str, Type[NativeConv]] = {"gcn": GCN, "sage": SAGE, "gat": GAT, "gatv2": GATv2, "gin": GIN}
"""The wrapper of each kind of convolution."""
