"""Specifications: what a convolution and a model are, without saying which library computes them.

Rules: specifications are frozen, hold plain values only (they are stored in checkpoints), and name every parameter of
a convolution with its shape and its initial distribution. These canonical names are the same on all backends.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch

from gnnkit.data import Graph, prepare_graph
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.nn.message_passing import is_own_layer, own_layer
from gnnkit.options import check_types, plain_value

AGGREGATIONS = ("mean", "max")
"""How "sage" can reduce its neighbours."""


@dataclass(frozen=True)
class ConvSpec:
    """One convolution.

    Attributes:
        kind: "gcn", "sage", "gat", "gatv2" or "gin"; ``module:Class`` for a layer of one's own or of a library.
        in_channels: Width of the source and destination features.
        out_channels: Width of the output; for attention, of one head.
        aggregation: How "sage" reduces its neighbours: "mean" or "max" (max-pool with a linear layer before it).
        heads: Number of attention heads.
        concat: Whether heads are concatenated (else averaged).
        attention_dropout: Dropout probability on attention coefficients while training.
        negative_slope: Slope of the leaky ReLU in attention scores.
        eps: The epsilon of "gin".
        mlp_channels: Width inside the MLP of "gin". None means ``out_channels``.
        options: Arguments of a library's layer, plain values.
    """

    kind: str
    in_channels: int
    out_channels: int
    aggregation: str = "mean"
    heads: int = 1
    concat: bool = True
    attention_dropout: float = 0.0
    negative_slope: float = 0.2
    eps: float = 0.0
    mlp_channels: Optional[int] = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mlp_width(self) -> int:
        """Width inside the MLP of "gin"."""
        return self.out_channels if self.mlp_channels is None else self.mlp_channels

    @property
    def out_width(self) -> int:
        """Width of the output with all heads."""
        return self.out_channels * self.heads if self.is_attention and self.concat else self.out_channels

    @property
    def is_attention(self) -> bool:
        """Whether the convolution has attention heads."""
        return self.kind in ("gat", "gatv2")


@dataclass(frozen=True)
class ParameterSpec:
    """Shape and initial distribution of one canonical parameter.

    Attributes:
        shape: Shape under the canonical layout; matrices are [out, in].
        init: "glorot" (uniform, Glorot and Bengio 2010, over the last two dimensions), "zeros" or "ones".
    """

    shape: Tuple[int, ...]
    init: str = "glorot"


def _gcn(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    return {
        "lin.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
        "bias": ParameterSpec((spec.out_channels,), "zeros"),
    }


def _sage(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    parameters = {
        "lin_self.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
        "lin_neigh.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
        "bias": ParameterSpec((spec.out_channels,), "zeros"),
    }
    if spec.aggregation == "max":
        parameters["lin_pool.weight"] = ParameterSpec((spec.in_channels, spec.in_channels))
        parameters["lin_pool.bias"] = ParameterSpec((spec.in_channels,), "zeros")
    return parameters


def _gat(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    return {
        "lin.weight": ParameterSpec((spec.heads * spec.out_channels, spec.in_channels)),
        "att_src": ParameterSpec((spec.heads, spec.out_channels)),
        "att_dst": ParameterSpec((spec.heads, spec.out_channels)),
        "bias": ParameterSpec((spec.out_width,), "zeros"),
    }


def _gatv2(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    width = spec.heads * spec.out_channels
    return {
        "lin_src.weight": ParameterSpec((width, spec.in_channels)),
        "lin_src.bias": ParameterSpec((width,), "zeros"),
        "lin_dst.weight": ParameterSpec((width, spec.in_channels)),
        "lin_dst.bias": ParameterSpec((width,), "zeros"),
        "att": ParameterSpec((spec.heads, spec.out_channels)),
        "bias": ParameterSpec((spec.out_width,), "zeros"),
    }


def _gin(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    return {
        "mlp.0.weight": ParameterSpec((spec.mlp_width, spec.in_channels)),
        "mlp.0.bias": ParameterSpec((spec.mlp_width,), "zeros"),
        "mlp.2.weight": ParameterSpec((spec.out_channels, spec.mlp_width)),
        "mlp.2.bias": ParameterSpec((spec.out_channels,), "zeros"),
    }


@dataclass(frozen=True)
class ConvKind:
    """What is true of all convolutions of one kind.

    Attributes:
        parameters: Canonical parameters of a convolution of this kind.
        self_loops: Whether a self-loop is added to every node of the graph before training.
        gcn_norm: Whether edges carry the symmetric normalisation of GCN as weights.
        reduces_first: How neighbours' features are reduced before the first parameter: "sum", "weighted_sum" (by edge
            weights) or "mean" (for "sage" with its aggregation "mean" only). None: a parameter comes before.
        reads_own: Whether a destination's own features are read, besides those of its in-neighbours.
    """

    parameters: Callable[[ConvSpec], Dict[str, ParameterSpec]]
    self_loops: bool = False
    gcn_norm: bool = False
    reduces_first: Optional[str] = None
    reads_own: bool = True


CONV_KINDS: Mapping[str, ConvKind] = {
    "gcn": ConvKind(_gcn, self_loops=True, gcn_norm=True, reduces_first="weighted_sum", reads_own=False),
    "sage": ConvKind(_sage, reduces_first="mean"),
    "gat": ConvKind(_gat, self_loops=True),
    "gatv2": ConvKind(_gatv2, self_loops=True),
    "gin": ConvKind(_gin, reduces_first="sum"),
}
"""The standard convolutions. Formulas are in docs/models.md and in ``gnnkit.backends.reference``."""


def conv_kind(conv: str) -> ConvKind:
    """What is true of all convolutions of one kind.

    Args:
        conv: A key of ``CONV_KINDS``, or ``module:Class`` of a layer of one's own or of a library, whose parameters are
            its own affair. Whether there is such a class is asked when the model is built.

    Raises:
        UnknownNameError: No such convolution.
    """
    if is_own_layer(conv):
        layer = own_layer(conv)
        return ConvKind(lambda spec: {}, self_loops=layer.self_loops, gcn_norm=layer.gcn_norm)
    if ":" in conv:
        return ConvKind(lambda spec: {})
    if conv not in CONV_KINDS:
        raise UnknownNameError("convolution", conv, CONV_KINDS)
    return CONV_KINDS[conv]


def conv_parameters(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    """The canonical parameters of a standard convolution.

    Example:
        >>> sorted(conv_parameters(ConvSpec("gcn", 4, 2)))
        ['bias', 'lin.weight']
    """
    return CONV_KINDS[spec.kind].parameters(spec)


@dataclass(frozen=True)
class ModelSpec:
    """A whole model: a stack of convolutions with what stands between them.

    Attributes:
        conv: Kind of convolution, a key of ``CONV_KINDS``, or ``module:Class`` of a layer of one's own or of a library.
        in_channels: Width of the node features.
        out_channels: Number of outputs per node.
        hidden_channels: Width between layers; for attention, of one head.
        num_layers: Number of convolutions, at least 1.
        aggregation: See :class:`ConvSpec`.
        heads: Attention heads of every layer but the last.
        out_heads: Attention heads of the last layer, which are averaged.
        dropout: Dropout probability between layers while training.
        input_dropout: Dropout probability on the input features while training.
        attention_dropout: Dropout probability on attention coefficients while training.
        activation: "relu" or "elu", between layers.
        norm: "none", "batch" or "layer", before each activation.
        residual: Whether each layer adds its own input (through a linear layer where widths differ).
        jumping_knowledge: "none", or "cat" or "max" over the outputs of all layers before a linear head.
        edge_channels: Width of the edge features that layers read. None: none are read.
        conv_options: Arguments of a library's layer besides its widths, plain values; lists where it wants tensors.
    """

    conv: str
    in_channels: int
    out_channels: int
    hidden_channels: int = 64
    num_layers: int = 2
    aggregation: str = "mean"
    heads: int = 1
    out_heads: int = 1
    dropout: float = 0.5
    input_dropout: float = 0.0
    attention_dropout: float = 0.0
    activation: str = "relu"
    norm: str = "none"
    residual: bool = False
    jumping_knowledge: str = "none"
    edge_channels: Optional[int] = None
    conv_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, plain_value(getattr(self, item.name)))
        check_types(self)
        conv_kind(self.conv)  # Unknown names are refused here.
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name in ("in_channels", "out_channels", "hidden_channels", "num_layers", "heads", "out_heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")
        for name in ("dropout", "input_dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a probability from 0 up to below 1.")
        if self.conv_options and (":" not in self.conv or is_own_layer(self.conv)):
            raise ConfigError(f"conv_options are for layers of a library by name, {self.conv!r} is none.")

    @property
    def kind(self) -> ConvKind:
        """What is true of this model's convolutions."""
        return conv_kind(self.conv)

    @property
    def has_named_layers(self) -> bool:
        """Whether the convolution is a class by name, of one's own or of a library, that brings its own parameters."""
        return ":" in self.conv

    @property
    def is_portable(self) -> bool:
        """Whether other backends can run the model too; a library's layer by name exists in that library alone."""
        return ":" not in self.conv or is_own_layer(self.conv)

    @property
    def reads_edges(self) -> bool:
        """Whether a layer reads edge features."""
        return self.edge_channels is not None

    def prepare(self, graph: Graph, dtype: Optional[torch.dtype] = torch.float32) -> Graph:
        """A graph with what this model's convolutions ask for: self-loops, edge weights.

        Args:
            graph: As loaded.
            dtype: Of weights that are computed; see :func:`gnnkit.data.prepare_graph`.

        Example:
            >>> import gnnkit
            >>> graph = gnnkit.load_dataset("karate")
            >>> ModelSpec("gat", 34, 4).prepare(graph).num_edges - graph.num_edges
            34
        """
        return prepare_graph(
            graph,
            self_loops=self.kind.self_loops,
            gcn_norm=self.kind.gcn_norm,
            dtype=dtype,
            edge_fill="mean" if self.reads_edges else "zeros",
        )

    def conv_spec(self, layer: int) -> ConvSpec:
        """The convolution of one layer, counted from the input."""
        last = layer == self.num_layers - 1
        is_output = last and self.jumping_knowledge == "none"
        return ConvSpec(
            kind=self.conv,
            in_channels=self.in_channels if layer == 0 else self.conv_spec(layer - 1).out_width,
            out_channels=self.out_channels if is_output else self.hidden_channels,
            aggregation=self.aggregation,
            heads=self.out_heads if is_output else self.heads,
            concat=not is_output,
            attention_dropout=self.attention_dropout,
            mlp_channels=self.hidden_channels,
            options=self.conv_options,
        )

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for checkpoints and manifests."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """The inverse of :meth:`to_dict`."""
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise UnknownNameError("model setting", name, known)
        return cls(**values)


_CHOICES: Mapping[str, Tuple[str, ...]] = {
    "aggregation": AGGREGATIONS,
    "activation": ("relu", "elu"),
    "norm": ("none", "batch", "layer"),
    "jumping_knowledge": ("none", "cat", "max"),
}
