"""What a kind of convolution is: options, what it asks of the data, parameters, formula, reference form.

Rules: specifications are frozen, hold plain values only (they are stored in checkpoints), and name every parameter of
a convolution with its shape and its initial distribution. These canonical names are the same on all backends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Callable, ClassVar, Dict, FrozenSet, Mapping, Optional, Tuple, Type

import torch
from torch import Tensor, nn

from gnnkit.data import Block, Graph, Schema
from gnnkit.errors import ConfigError
from gnnkit.nn.message_passing import MessageOps, MessagePassing
from gnnkit.options import NoOptions, check_types, make_options


@dataclass(frozen=True)
class ParameterSpec:
    """Shape and initial distribution of one canonical parameter.

    Attributes:
        shape: Shape under the canonical layout; matrices are [out, in].
        init: "glorot" (uniform, Glorot and Bengio 2010, over the last two dimensions), "zeros" or "ones".
    """

    shape: Tuple[int, ...]
    init: str = "glorot"


@dataclass(frozen=True)
class ConvSpec:
    """One convolution.

    Attributes:
        kind: A key of ``gnnkit.nn.CONVS``; ``module:Class`` for a custom layer or one of a library.
        in_channels: Width of the source and destination features.
        out_channels: Width of the output; for attention, of one head.
        options: The kind's own: an instance of its ``options_class``, for which a mapping may be given. For a library's
            layer its further arguments by name, plain values.
        is_output: Whether this is the last layer of a model without a head after it. Attention then has
            ``options.out_heads`` heads and averages them; elsewhere it has ``options.heads`` and concatenates.
        is_input: Whether this is the first layer of a model.
        edge_channels: Width of the edge features. None: the convolution reads none.
        schema: Types of nodes and edges, for kinds that read them. None: one relation and one type.
        relational: How the outputs of one such convolution for each relation become one: "sum", "mean" or "attention".
            "none": it is one convolution of all edges.

    Raises:
        UnknownNameError: The kind has no such option.
        ConfigError: An option has a value that cannot be used.

    Example:
        >>> spec = ConvSpec("gat", 6, 4, {"heads": 3})
        >>> spec.out_width, spec.options.attention_dropout
        (12, 0.0)
    """

    kind: str
    in_channels: int
    out_channels: int
    options: Any = None
    is_output: bool = False
    is_input: bool = True
    edge_channels: Optional[int] = None
    schema: Optional[Schema] = None
    relational: str = "none"

    def __post_init__(self) -> None:
        options = {} if self.options is None else self.options
        if isinstance(options, Mapping):
            object.__setattr__(self, "options", self.convolution.make_options(options))

    @property
    def convolution(self) -> Convolution:
        """What is true of all convolutions of this kind."""
        from gnnkit.nn.convs.table import convolution  # The table of kinds is made of what this module defines.

        return convolution(self.kind)

    @property
    def num_relations(self) -> int:
        """Number of relations, 1 without a schema."""
        return 1 if self.schema is None else len(self.schema.relations)

    @property
    def num_types(self) -> int:
        """Number of node types, 1 without a schema."""
        return 1 if self.schema is None else len(self.schema.node_types)

    @property
    def has_heads(self) -> bool:
        """Whether the convolution has attention heads."""
        return self.convolution.has_heads

    @property
    def heads(self) -> int:
        """Number of attention heads, 1 where there are none."""
        if not self.has_heads:
            return 1
        return self.options.out_heads if self.is_output else self.options.heads  # type: ignore[no-any-return]

    @property
    def concat(self) -> bool:
        """Whether attention heads are concatenated, else averaged."""
        return not self.is_output

    @property
    def out_width(self) -> int:
        """Width of the output with all heads."""
        return self.convolution.out_width(self)

    @property
    def parameters(self) -> Dict[str, ParameterSpec]:
        """The canonical parameters by name.

        Example:
            >>> sorted(ConvSpec("gcn", 4, 2).parameters)
            ['bias', 'lin.weight']
        """
        if self.relational != "none":
            return relational_parameters(self)
        return self.convolution.parameters(self)

    @property
    def of_relation(self) -> ConvSpec:
        """The convolution of one relation, where there is one for each."""
        return replace(self, relational="none", schema=None)


def relational_parameters(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    """The parameters of one convolution for each relation: ``relations.NUMBER.NAME``, and those of attention."""
    own = spec.of_relation.parameters
    found = {f"relations.{i}.{name}": each for i in range(spec.num_relations) for name, each in own.items()}
    if spec.relational == "attention":
        found["attention.weight"] = ParameterSpec((spec.out_width, spec.out_width))
        found["attention.bias"] = ParameterSpec((spec.out_width,), "zeros")
        found["attention.query"] = ParameterSpec((1, spec.out_width))
    return found


class Convolution(ABC):
    """A kind of convolution. Subclass it in a module of its own and add an instance to ``CONVS``.

    Attributes:
        name: What users call it.
        options_class: A frozen dataclass of its options, all with defaults, checked when it is made.
        self_loops: Whether a self-loop is added to every node of the graph before training.
        gcn_norm: Whether edges carry the symmetric normalisation of GCN as weights.
        reads_weights: Whether it multiplies by edge weights; others ignore them.
        reads_own: Whether a destination's own features are read, besides those of its in-neighbours.
        reads_edges: Whether it reads edge features where the data have them.
        reads_types: Whether it reads relations of edges, or types of nodes.
        needs_edges: Whether it cannot do without edge features.
        has_heads: Whether it has attention heads; its options are a :class:`HeadOptions` then.
        is_propagation: Whether a stack of layers is one propagation whose layers are its steps: each has the width of
            the model's outputs, and nothing stands between them.
        dropouts: Names of the options that are dropout probabilities.
        on_sources: Names of the matrices that cannot be applied after the sum over neighbours, so that every source
            is multiplied by them. See :mod:`gnnkit.measure.floor`.
    """

    name: ClassVar[str]
    options_class: ClassVar[Type[Any]] = NoOptions
    self_loops: bool = False
    gcn_norm: bool = False
    reads_weights: bool = False
    reads_own: ClassVar[bool] = True
    reads_edges: ClassVar[bool] = False
    needs_edges: ClassVar[bool] = False
    reads_types: ClassVar[bool] = False
    has_heads: ClassVar[bool] = False
    is_propagation: ClassVar[bool] = False
    dropouts: ClassVar[Tuple[str, ...]] = ()
    on_sources: ClassVar[FrozenSet[str]] = frozenset()

    def make_options(self, values: Mapping[str, Any]) -> Any:
        """The record of the options; see :func:`gnnkit.options.make_options` for what is raised."""
        return make_options(self.options_class, values, f"model {self.name!r}")

    def layer_options(self, options: Any, hidden_channels: int) -> Any:
        """The options of one layer from those of a model.

        Args:
            options: As the model has them.
            hidden_channels: Width between the layers of the model.
        """
        return options

    def from_graph(self, options: Any, prepared: Callable[[], Graph]) -> Any:
        """The options with what the data decide.

        Args:
            options: As the user gave them.
            prepared: Makes the whole graph of the training, prepared; called only where it is needed.
        """
        return options

    def reduces_first(self, options: Any) -> Optional[str]:
        """How neighbours' features are reduced before the first parameter.

        Returns:
            "sum", "weighted_sum" (by edge weights) or "mean"; of each relation by itself, where types are read. None:
            a parameter comes before.
        """
        return None

    def is_affine(self, options: Any) -> bool:
        """Whether the output is W_self h_v plus W_neigh times the sum or mean of neighbours plus b, if there is one.

        Its parameters are ``lin_self.weight``, ``lin_neigh.weight`` and ``bias`` then, and :meth:`reduces_first` says
        which of the two it is. Convolutions of several relations are computed together where this is so.
        """
        return False

    def behind_parameters(self, options: Any) -> FrozenSet[str]:
        """Names of the matrices whose input depends on other parameters, so that it has a gradient in every layer."""
        return frozenset()

    def out_width(self, spec: ConvSpec) -> int:
        """Width of the output."""
        return spec.out_channels

    @abstractmethod
    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """The canonical parameters by name."""

    @abstractmethod
    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """The formula on dense matrices, which every backend is held to; clarity comes before speed.

        Args:
            spec: The convolution.
            p: Its canonical parameters, float64.
            block: Its message flow, not padded.
            h: Features of the sources. Shape [num_src, in_channels], float64.

        Returns:
            Shape [num_dst, out_width], float64; gradients flow to ``p`` and ``h``.
        """

    @abstractmethod
    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """The module on message-passing primitives whose parameters have the canonical names."""


class ReferenceConv(MessagePassing):
    """A standard convolution; its submodules make its parameters' names the canonical ones.

    Args:
        spec: The convolution.
        ops: The primitives of a backend.
    """

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(ops)
        self.spec = spec

    def reduced_product(
        self, lowered: Any, h_src: Tensor, h_dst: Tensor, lin: nn.Linear, how: str, weight: Optional[Tensor] = None
    ) -> Tensor:
        """``lin`` of the sum or mean over neighbours, multiplied first where that makes messages narrower for free.

        It costs nothing on a block whose destinations are all of its sources.
        """
        if h_src.shape[0] == h_dst.shape[0] and lin.out_features < lin.in_features:
            return self.ops.aggregate(lowered, lin(h_src), how, weight)
        out: Tensor = lin(self.ops.aggregate(lowered, h_src, how, weight))
        return out

    def make_parameters(self) -> None:
        """Make the canonical parameters that no submodule has, without values."""
        for name, parameter in self.spec.parameters.items():
            if "." not in name and name not in self._parameters:
                self.register_parameter(name, nn.Parameter(torch.empty(parameter.shape)))


@dataclass(frozen=True)
class HeadOptions:
    """Options of all convolutions with attention heads.

    Attributes:
        heads: Attention heads of every layer but the last.
        out_heads: Attention heads of the last layer, which are averaged.
        attention_dropout: Dropout probability on attention coefficients while training.
    """

    heads: int = 1
    out_heads: int = 1
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        check_at_least_one(self, "heads", "out_heads")
        check_probability(self, "attention_dropout")


def check_at_least_one(record: Any, *names: str) -> None:
    """Refuse numbers below 1; None is none.

    Raises:
        ConfigError: One is.
    """
    for name in names:
        value = getattr(record, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, expected at least 1.")


def check_probability(record: Any, *names: str) -> None:
    """Refuse dropout probabilities that are none.

    Raises:
        ConfigError: One is.
    """
    for name in names:
        if not 0.0 <= getattr(record, name) < 1.0:
            raise ConfigError(f"{name} is {getattr(record, name)}, expected a probability from 0 up to below 1.")


def check_one_of(record: Any, name: str, allowed: Tuple[str, ...]) -> None:
    """Refuse a word that is not one of those allowed.

    Raises:
        ConfigError: It is not.
    """
    if getattr(record, name) not in allowed:
        raise ConfigError(f"{name} is {getattr(record, name)!r}, expected one of {', '.join(allowed)}.")
