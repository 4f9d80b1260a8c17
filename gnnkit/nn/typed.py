"""What a model knows of a typed graph, and how it brings features of all node types to one width.

Rules: a model belongs to one schema. Types come in its order, also those without nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from gnnkit.data import Graph, Relation, Schema, TypedInputs
from gnnkit.errors import ConfigError
from gnnkit.nn.convs import ParameterSpec
from gnnkit.nn.encoder import make_encoder

RELATIONAL = ("none", "sum", "mean", "attention")
"""How the outputs of a convolution of each relation become one."""


@dataclass(frozen=True)
class TypedSpec:
    """The types that a model reads.

    Attributes:
        schema: Node types and relations.
        channels: Width of the features of each node type; None for a type whose nodes have learnt embeddings.
        num_nodes: Number of nodes of each type that has embeddings; None for others.
        categories: For each type, the numbers of categories of its features' columns; () where features are numbers.
    """

    schema: Schema
    channels: Tuple[Optional[int], ...]
    num_nodes: Tuple[Optional[int], ...]
    categories: Tuple[Tuple[int, ...], ...] = ()

    def categories_of(self, number: int) -> Tuple[int, ...]:
        """Numbers of categories of the features of a type; () where they are numbers."""
        return self.categories[number] if self.categories else ()

    @property
    def is_linear(self) -> bool:
        """Whether features of every type are numbers, which a linear layer brings to one width."""
        return None not in self.channels and not any(self.categories)

    @classmethod
    def of(cls, graph: Graph) -> TypedSpec:
        """The types of a typed graph. Types that have no features get embeddings."""
        typed = graph.typed
        assert typed is not None, "the graph is typed"
        names = typed.schema.node_types
        channels = tuple(int(typed.x[name].shape[1]) if name in typed.x else None for name in names)
        counts = typed.num_nodes
        num_nodes = tuple(None if name in typed.x else counts[name] for name in names)
        categories = tuple(tuple(typed.node_categories.get(name, ())) for name in names)
        return cls(typed.schema, channels, num_nodes, categories if any(categories) else ())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TypedSpec:
        """From plain values, as ``dataclasses.asdict`` gives them."""
        schema = values["schema"]
        relations = tuple(Relation(**relation) for relation in schema["relations"])
        return cls(
            Schema(tuple(schema["node_types"]), relations),
            tuple(values["channels"]),
            tuple(values["num_nodes"]),
            tuple(tuple(sizes) for sizes in values.get("categories", ())),
        )

    def check(self, graph: Graph, model: str) -> None:
        """Refuse a graph of other types.

        Args:
            graph: What a model is to compute on.
            model: What messages call the model.

        Raises:
            ConfigError: Types, relations, widths, or numbers of nodes with embeddings differ.
        """
        if graph.typed is None:
            raise ConfigError(
                f"The model of {model!r} reads {len(self.schema.node_types)} node types, graph {graph.name!r} has "
                "none. Give a typed graph, or build the model for this graph."
            )
        ours, theirs = set(map(str, self.schema.relations)), set(map(str, graph.typed.schema.relations))
        if self.schema != graph.typed.schema:
            only = sorted(ours ^ theirs) or sorted(set(self.schema.node_types) ^ set(graph.typed.schema.node_types))
            differ = f"they differ in {', '.join(only[:3])}" if only else "their order or their reverses differ"
            raise ConfigError(
                f"The model is of other types than graph {graph.name!r}: {differ}. Build the model for this graph."
            )
        other = TypedSpec.of(graph)
        for i, name in enumerate(self.schema.node_types):
            if self.channels[i] != other.channels[i]:
                words = [
                    "learnt embeddings" if n is None else f"{n} features" for n in (self.channels[i], other.channels[i])
                ]
                raise ConfigError(
                    f"The model reads {words[0]} of nodes of type {name!r}, graph {graph.name!r} has {words[1]}. Build "
                    "the model for this graph; for a trained one give the data that it was trained on."
                )
            if self.categories_of(i) != other.categories_of(i):
                given, wanted = (list(each.categories_of(i)) or "no categories" for each in (other, self))
                raise ConfigError(
                    f"The model reads node_categories {wanted} of type {name!r}, graph {graph.name!r} has {given}. "
                    "Build the model for this graph; for a trained one give data with the categories of its training."
                )
            if self.num_nodes[i] != other.num_nodes[i]:
                raise ConfigError(
                    f"The model has embeddings of {self.num_nodes[i]:,} nodes of type {name!r}, graph {graph.name!r} "
                    f"has {other.num_nodes[i]:,}. Embeddings belong to the nodes of the data that the model was "
                    "trained on: give those data. For other nodes, train a model on features."
                )


class TypedInput(nn.Module):
    """Features of all node types at one width: a linear layer for each type, or embeddings of its categories or nodes.

    Args:
        spec: The types.
        width: Of the result.

    Example:
        >>> schema = Schema(("paper", "author"), ())
        >>> inputs = TypedInput(TypedSpec(schema, (3, None), (None, 5)), 4)
        >>> x = TypedInputs((torch.ones(1, 3), torch.tensor([[4], [0]])), torch.tensor([2, 0, 1]))
        >>> inputs(x).shape
        torch.Size([3, 4])
    """

    def __init__(self, spec: TypedSpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        layers: List[nn.Module] = []
        for number, (channels, num) in enumerate(zip(spec.channels, spec.num_nodes)):
            if channels is None:
                # One row at least, which padding of devices with fixed shapes reads.
                layers.append(skip_init(nn.Embedding, max(num or 0, 1), width))  # type: ignore[no-untyped-call]
            else:
                layers.append(make_encoder(channels, spec.categories_of(number), width))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: TypedInputs) -> Tensor:
        """Project and embed.

        Args:
            x: Features by type.

        Returns:
            Shape [x.num_nodes, width].

        Raises:
            ConfigError: One matrix comes instead.
        """
        if not isinstance(x, TypedInputs):
            raise ConfigError(
                "The model reads features by node type, received one matrix. Give it a batch's x, or "
                "gnnkit.loading.whole_inputs(graph.typed)."
            )
        parts = [
            layer(table.squeeze(1)) if isinstance(layer, nn.Embedding) else layer(table)
            for layer, table in zip(self.layers, x.tables)
        ]
        if x.is_permutation:
            reordered: Tensor = _Reordered.apply(torch.cat(parts), x.rows)  # type: ignore[no-untyped-call]
            return reordered
        return torch.cat(parts).index_select(0, x.rows)

    def canonical_name(self, key: str) -> str:
        """The canonical name of a parameter, from its name within this module."""
        _, number, kind = key.split(".")
        kind = "embedding" if self.spec.channels[int(number)] is None else kind
        return f"{self.spec.schema.node_types[int(number)]}.{kind}"

    def parameter_specs(self) -> Iterator[Tuple[str, ParameterSpec]]:
        """The parameters by canonical name within this module."""
        for key, value in self.named_parameters():
            yield (
                self.canonical_name(key),
                ParameterSpec(tuple(value.shape), "zeros" if key.endswith("bias") else "glorot"),
            )


class _Reordered(torch.autograd.Function):
    """All rows in another order. Its gradient is the same with the inverse order, where that of a choice adds up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        return grad.index_select(0, inverse), None


def typed_spec(value: Any) -> Optional[TypedSpec]:
    """A specification of types from plain values, or as it is."""
    return TypedSpec.from_dict(value) if isinstance(value, Mapping) else value


def plain_typed(spec: TypedSpec) -> Dict[str, Any]:
    """A specification of types as plain values, for files."""
    relations = [{"src": r.src, "name": r.name, "dst": r.dst, "reverse": r.reverse} for r in spec.schema.relations]
    return {
        "schema": {"node_types": list(spec.schema.node_types), "relations": relations},
        "channels": list(spec.channels),
        "num_nodes": list(spec.num_nodes),
        **({"categories": [list(sizes) for sizes in spec.categories]} if spec.categories else {}),
    }
