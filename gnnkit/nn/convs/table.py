"""The table of convolutions."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Dict, List, Mapping

from gnnkit.errors import UnknownNameError
from gnnkit.nn.convs.appnp import APPNP
from gnnkit.nn.convs.base import Convolution
from gnnkit.nn.convs.gat import GAT
from gnnkit.nn.convs.gatv2 import GATv2
from gnnkit.nn.convs.gcn import GCN
from gnnkit.nn.convs.gin import GIN
from gnnkit.nn.convs.gine import GINE
from gnnkit.nn.convs.graphconv import GraphConvolution
from gnnkit.nn.convs.hgt import HGT
from gnnkit.nn.convs.layer_class import LayerClass
from gnnkit.nn.convs.pna import PNA
from gnnkit.nn.convs.rgat import RGAT
from gnnkit.nn.convs.rgcn import RGCN
from gnnkit.nn.convs.sage import SAGE
from gnnkit.nn.convs.transformer import Transformer

CONVS: Mapping[str, Convolution] = {
    conv.name: conv
    for conv in (
        GCN(),
        SAGE(),
        GAT(),
        GATv2(),
        GIN(),
        GINE(),
        PNA(),
        Transformer(),
        GraphConvolution(),
        APPNP(),
        RGCN(),
        RGAT(),
        HGT(),
    )
}
"""The standard convolutions by name. Formulas are in docs/models.md and in each one's ``dense``."""


def convolution(kind: str) -> Convolution:
    """What is true of all convolutions of one kind.

    Args:
        kind: A key of ``CONVS``, or ``module:Class`` of a custom layer or one of a library.

    Raises:
        UnknownNameError: No such convolution.

    Example:
        >>> convolution("gat").self_loops
        True
    """
    if ":" in kind:
        return LayerClass(kind)
    if kind not in CONVS:
        raise UnknownNameError("convolution", kind, CONVS)
    return CONVS[kind]


def option_defaults(kind: str) -> Dict[str, Any]:
    """Names and defaults of a standard convolution's options; of a layer class, none are known."""
    return asdict(CONVS[kind].options_class()) if kind in CONVS else {}


def kinds_with(option: str) -> List[str]:
    """The standard convolutions that have an option of this name.

    Example:
        >>> kinds_with("aggregation")
        ['sage']
    """
    return [kind for kind, conv in CONVS.items() if option in {item.name for item in fields(conv.options_class)}]


PER_RELATION = frozenset(
    kind
    for kind, conv in CONVS.items()
    if not (conv.gcn_norm or conv.is_propagation or conv.reads_types or conv.needs_edges)
)
"""The standard convolutions of which a typed graph can have one for each relation."""

ALL_OPTIONS: Mapping[str, Any] = {
    name: value for kind in reversed(list(CONVS)) for name, value in option_defaults(kind).items()
}
"""Every option of a standard convolution, with its default, which is the same wherever the name is."""
