"""The standard convolutions, a module a kind."""

from gnnkit.nn.convs.base import Convolution, ConvSpec, HeadOptions, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.mlp import make_mlp, mlp_places, mlp_width
from gnnkit.nn.convs.pna import delta_of
from gnnkit.nn.convs.sage import AGGREGATIONS
from gnnkit.nn.convs.table import ALL_OPTIONS, CONVS, PER_RELATION, convolution, kinds_with, option_defaults

__all__ = [
    "AGGREGATIONS",
    "ALL_OPTIONS",
    "CONVS",
    "PER_RELATION",
    "ConvSpec",
    "Convolution",
    "HeadOptions",
    "ParameterSpec",
    "ReferenceConv",
    "convolution",
    "delta_of",
    "kinds_with",
    "make_mlp",
    "mlp_places",
    "mlp_width",
    "option_defaults",
]
