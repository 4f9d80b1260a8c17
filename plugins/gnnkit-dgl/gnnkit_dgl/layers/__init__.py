"""DGL's own convolutions, each in a thin module that takes gnnkit's arguments.

Rules: the library's layer is the attribute ``conv`` of its wrapper and does the work; a wrapper only hands it the edge
weights, joins attention heads, adds the bias where DGL's is another one, and chooses the dtype of messages, because
DGL's kernels take one dtype at a time and autocast does not reach into them. Layers of DGL are made for blocks with
destinations without in-neighbours, whose aggregate is 0. Where a block is reduced, there is nothing to add up: a
wrapper calls what its layer does after its sum.
"""

from __future__ import annotations

from typing import Mapping, Optional, Type

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec
from gnnkit_dgl.layers.gat import GAT
from gnnkit_dgl.layers.gatv2 import GATv2
from gnnkit_dgl.layers.gcn import GCN
from gnnkit_dgl.layers.gin import GIN
from gnnkit_dgl.layers.gine import GINE
from gnnkit_dgl.layers.sage import SAGE

LAYERS: Mapping[str, Type[NativeConv]] = {
    "gcn": GCN,
    "sage": SAGE,
    "gat": GAT,
    "gatv2": GATv2,
    "gin": GIN,
    "gine": GINE,
}
"""The wrapper of each kind of convolution that DGL has a layer for."""


def wrapper(spec: ConvSpec) -> Optional[Type[NativeConv]]:
    """The wrapper of a convolution; None where DGL has no layer that computes it.

    Its ``PNAConv`` normalises by the size of the graph and by the batch, its ``APPNPConv`` is a whole model, and its
    ``GATv2Conv`` reads no edge features.
    """
    if spec.kind == "gatv2" and spec.edge_channels is not None:
        return None
    return LAYERS.get(spec.kind)
