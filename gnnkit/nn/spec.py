"""What a whole model is, without saying which library computes it.

Rules: a specification is frozen and holds plain values only, because it is stored in checkpoints. What is common to all
models is a field of its own; what belongs to one kind of convolution is one of its ``conv_options``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch

from gnnkit.data import Graph, Schema, categories_as_columns, prepare_graph
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.nn.activations import ACTIVATIONS
from gnnkit.nn.convs import ALL_OPTIONS, CONVS, Convolution, ConvSpec, convolution, option_defaults
from gnnkit.nn.kinds import Kinds, conv_kinds, conv_name, is_library_layer, place_options
from gnnkit.nn.pooling import POOLINGS
from gnnkit.nn.together import check_together
from gnnkit.nn.typed import RELATIONAL, TypedSpec, plain_typed, typed_spec
from gnnkit.options import check_types, plain_value


@dataclass(frozen=True)
class ModelSpec:
    """A whole model: a stack of convolutions with what stands between them.

    Attributes:
        conv: Kind of convolution: a key of ``CONVS``, or ``module:Class`` of a custom layer or one of a library; or a
            sequence with one kind for each layer, from the input on.
        in_channels: Width of the node features, or of the embeddings.
        out_channels: Number of outputs per node.
        hidden_channels: Width between layers; for attention, of one head.
        num_layers: Number of convolutions, at least 1.
        dropout: Dropout probability between layers while training.
        input_dropout: Dropout probability on the input features while training.
        activation: "relu" or "elu", between layers.
        norm: "none", "batch" or "layer", before each activation.
        residual: Whether each layer adds its own input (through a linear layer where widths differ).
        jumping_knowledge: "none", or "cat" or "max" over the outputs of all layers before a linear head.
        edge_channels: Width of the edge features that convolutions read. None: none are read.
        num_embeddings: Number of nodes, each of which has a learnt embedding instead of features. None: features are
            read.
        node_categories: Number of categories of each column of the features; each has embeddings, which are added up.
            Empty: features are numbers.
        encoder_channels: Width to which features are brought before the first convolution: by a linear layer, or by the
            embeddings of categories. None: features are read as they are, categories as wide as ``hidden_channels``.
        pooling: "none" for a model of nodes; "sum", "mean", "max" or "attention" over the nodes of each graph for one
            of graphs. Every convolution is then followed by normalisation and activation, and a head reads what is
            pooled. With ``jumping_knowledge`` all layers are pooled.
        virtual_node: Whether every graph has a node that is joined to all others. Layers must be equally wide, the
            encoder's too.
        head_layers: Number of linear layers in the head, with normalisation and activation between them.
        relational: "none", or for a typed graph how the outputs of one convolution for each relation become one: "sum",
            "mean" or "attention".
        typed: The types of a typed graph, each of which is brought to ``encoded_channels`` before the first
            convolution. None for a homogeneous graph.
        conv_options: Options of the convolutions by name; where layers are of several kinds, each takes those that it
            has. Layers of a library take theirs as arguments, lists where they want tensors.

    Raises:
        UnknownNameError: No such convolution or option.
        ConfigError: A value cannot be used, or the kinds of the layers ask for different graphs.

    Example:
        >>> spec = ModelSpec(("gat", "gcn"), 34, 4, conv_options={"heads": 8})
        >>> [spec.conv_spec(layer).out_width for layer in range(2)]
        [512, 4]
    """

    conv: Kinds
    in_channels: int
    out_channels: int
    hidden_channels: int = 64
    num_layers: int = 2
    dropout: float = 0.5
    input_dropout: float = 0.0
    activation: str = "relu"
    norm: str = "none"
    residual: bool = False
    jumping_knowledge: str = "none"
    edge_channels: Optional[int] = None
    num_embeddings: Optional[int] = None
    node_categories: Tuple[int, ...] = ()
    encoder_channels: Optional[int] = None
    pooling: str = "none"
    virtual_node: bool = False
    head_layers: int = 1
    relational: str = "none"
    typed: Optional[TypedSpec] = None
    conv_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, plain_value(getattr(self, item.name)))
        object.__setattr__(self, "conv", conv_kinds(self.conv))
        object.__setattr__(self, "node_categories", tuple(self.node_categories))
        object.__setattr__(self, "typed", typed_spec(self.typed))
        check_types(self)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1.")
        for name in ("dropout", "input_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a probability from 0 up to below 1.")
        if not isinstance(self.conv, str) and len(self.conv) != self.num_layers:
            raise ConfigError(
                f"num_layers is {self.num_layers}, but conv names {len(self.conv)} kinds: {self.name}. Name one for "
                "each layer, or one for all."
            )
        object.__setattr__(self, "conv_options", self._checked_options())
        check_together(self)

    def _checked_options(self) -> Dict[str, Any]:
        """All options of the convolutions, defaults included, so that they outlast another default."""
        given = dict(self.conv_options)
        kinds = dict.fromkeys(self.kinds)
        known = {name for kind in kinds for name in option_defaults(kind)}
        found: Dict[str, Any] = {}
        for kind in kinds:
            own = option_defaults(kind)
            if own:
                values = {name: plain_value(value) for name, value in given.items() if name in own}
                found.update(asdict(convolution(kind).make_options(values)))
        for name in given:
            if name in known:
                continue
            if not any(is_library_layer(kind) for kind in kinds):
                if not known:
                    raise ConfigError(f"conv_options has {name!r}, but model {self.name!r} has no options.")
                raise UnknownNameError(f"option of model {self.name!r}:", name, known)
            found[name] = given[name]
        return found

    @property
    def kinds(self) -> Tuple[str, ...]:
        """The kind of every layer, from the input on."""
        return (self.conv,) * self.num_layers if isinstance(self.conv, str) else self.conv

    @property
    def name(self) -> str:
        """The kinds as text: ``"gcn"``, or ``"gat,gcn"``."""
        return conv_name(self.conv)

    @property
    def convolutions(self) -> List[Convolution]:
        """What is true of each kind of convolution in the model, each kind once."""
        return [convolution(kind) for kind in dict.fromkeys(self.kinds)]

    @property
    def schema(self) -> Optional[Schema]:
        """The types of a typed graph; None for a homogeneous one."""
        return None if self.typed is None else self.typed.schema

    @property
    def self_loops(self) -> bool:
        """Whether every node of the graph gets a self-loop, which belongs to no relation of a typed graph."""
        return self.relational == "none" and any(conv.self_loops for conv in self.convolutions)

    @property
    def gcn_norm(self) -> bool:
        """Whether edges carry the symmetric normalisation of GCN as weights."""
        return any(conv.gcn_norm for conv in self.convolutions)

    @property
    def reads_weights(self) -> bool:
        """Whether a layer multiplies by edge weights, or may."""
        return any(conv.reads_weights for conv in self.convolutions)

    @property
    def reads_edges(self) -> bool:
        """Whether a layer reads edge features."""
        return self.edge_channels is not None

    @property
    def dropouts(self) -> List[str]:
        """Names of the options that are dropout probabilities."""
        return list(dict.fromkeys(name for conv in self.convolutions for name in conv.dropouts))

    @cached_property
    def is_propagation(self) -> bool:
        """Whether the layers are steps of one propagation, with nothing between them."""
        return any(conv.is_propagation for conv in self.convolutions)

    @property
    def has_layer_classes(self) -> bool:
        """Whether a layer is a class by name, custom or of a library, that brings its own parameters."""
        return any(":" in kind for kind in self.kinds)

    @property
    def is_portable(self) -> bool:
        """Whether other backends can run the model too; a library layer exists in that library alone."""
        return not any(is_library_layer(kind) for kind in self.kinds)

    @property
    def reduces_first(self) -> Optional[str]:
        """How the first layer reduces neighbours before its first parameter; None if a parameter comes before.

        Of a typed graph, "mean" is of each relation: it passes through the linear layer of a type, as no sum does.
        """
        if self.has_encoder:
            return None
        first = self.conv_spec(0)
        how = first.convolution.reduces_first(first.options)
        if self.typed is None:
            return how
        is_by_relation = self.relational != "none" or first.convolution.reads_types
        return how if how == "mean" and is_by_relation and self.typed.is_linear else None

    @property
    def has_head(self) -> bool:
        """Whether a head follows the convolutions."""
        return self.jumping_knowledge != "none" or self.pooling != "none"

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder comes before the convolutions."""
        return self.typed is None and (self.encoder_channels is not None or bool(self.node_categories))

    @property
    def encoded_channels(self) -> int:
        """Width of what the first convolution reads."""
        if self.encoder_channels is not None:
            return self.encoder_channels
        return self.hidden_channels if self.node_categories or self.typed is not None else self.in_channels

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
        if self.reads_edges:
            graph = categories_as_columns(graph)
        return prepare_graph(
            graph,
            self_loops=self.self_loops,
            gcn_norm=self.gcn_norm,
            dtype=dtype,
            edge_fill="mean" if self.reads_edges else "zeros",
        )

    def for_graph(self, graph: Graph) -> ModelSpec:
        """The model with those options that the data decide, where the user left them open.

        Args:
            graph: The whole graph of the training, as loaded.
        """
        options = dict(self.conv_options)
        for conv in self.convolutions:
            own = option_defaults(conv.name)
            if own:
                values = conv.make_options({name: options[name] for name in own})
                options.update(asdict(conv.from_graph(values, lambda: self.prepare(graph))))
        return replace(self, conv_options=options)

    def without_dropout(self) -> ModelSpec:
        """The same model with every dropout probability 0."""
        options = {**self.conv_options, **dict.fromkeys(self.dropouts, 0.0)}
        return replace(self, dropout=0.0, input_dropout=0.0, conv_options=options)

    def conv_spec(self, layer: int) -> ConvSpec:
        """The convolution of one layer, counted from the input."""
        kind = self.kinds[layer]
        conv = convolution(kind)
        is_output = layer == self.num_layers - 1 and not self.has_head
        return ConvSpec(
            kind=kind,
            in_channels=self.encoded_channels if layer == 0 else self.conv_spec(layer - 1).out_width,
            out_channels=self.out_channels if is_output or conv.is_propagation else self.hidden_channels,
            options=conv.layer_options(conv.make_options(self._options_of(kind)), self.hidden_channels),
            is_output=is_output,
            is_input=layer == 0,
            edge_channels=self.edge_channels if conv.reads_edges else None,
            schema=self.schema if conv.reads_types or self.relational != "none" else None,
            relational=self.relational,
        )

    def _options_of(self, kind: str) -> Dict[str, Any]:
        own = option_defaults(kind)
        if kind in CONVS:
            return {name: self.conv_options[name] for name in own}
        # What no standard kind of the model knows is for its library's layers.
        known = {name for other in self.kinds for name in option_defaults(other)}
        return {name: value for name, value in self.conv_options.items() if name not in known}

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for checkpoints and manifests."""
        values = {**asdict(self), "conv": self.conv if isinstance(self.conv, str) else list(self.conv)}
        typed: Dict[str, Any] = {} if self.typed is None else {"typed": plain_typed(self.typed)}
        if self.relational != "none":
            typed["relational"] = self.relational
        return {**{name: value for name, value in values.items() if name not in _OF_TYPES}, **typed}

    def flat(self) -> Dict[str, Any]:
        """Fields and options of the convolutions side by side, for comparing."""
        values = self.to_dict()
        return {**values, **values.pop("conv_options")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """The inverse of :meth:`to_dict`, which also takes options of convolutions among the fields.

        Options that the model's convolutions do not have are left out: releases up to 0.1 recorded all of them for
        every model.

        Raises:
            UnknownNameError: A name that is neither a field nor an option of any convolution.
        """
        known = [item.name for item in fields(cls)]
        for name in values:
            if name not in known and name not in ALL_OPTIONS:
                fix = "Settings of training, such as lr, go to the Trainer."
                raise UnknownNameError("model setting", name, [*known, *ALL_OPTIONS], fix)
        kinds = conv_kinds(values["conv"])
        placed = place_options(values, kinds)
        if not isinstance(kinds, str):
            placed.setdefault("num_layers", len(kinds))
        return cls(**placed)


_OF_TYPES = ("typed", "relational")
"""Fields that are written down for typed graphs alone."""

_COUNTS = (
    "in_channels",
    "out_channels",
    "hidden_channels",
    "num_layers",
    "edge_channels",
    "num_embeddings",
    "encoder_channels",
    "head_layers",
)
_CHOICES: Mapping[str, Tuple[str, ...]] = {
    "activation": ACTIVATIONS,
    "norm": ("none", "batch", "layer"),
    "jumping_knowledge": ("none", "cat", "max"),
    "pooling": POOLINGS,
    "relational": RELATIONAL,
}
