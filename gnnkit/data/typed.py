"""Typed graphs: kinds of nodes, relations between them, and the arrays that differ from kind to kind.

Rules: a typed graph is one :class:`gnnkit.Graph`: nodes of all types share one numbering, edges of all relations one
structure. What has a type stands in ``Graph.typed``. Every type and relation of the schema is always there, in its
order, also where it has no nodes or edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.errors import UnknownNameError


@dataclass(frozen=True)
class Relation:
    """A kind of edge.

    Attributes:
        src: Type of its source nodes.
        name: What it is called, such as "cites".
        dst: Type of its destination nodes.
        reverse: Position in ``Schema.relations`` of the relation with the same edges in the other direction. A relation
            that holds both directions is the reverse of itself. None if there is none.

    Example:
        >>> str(Relation("author", "writes", "paper"))
        'author:writes:paper'
    """

    src: str
    name: str
    dst: str
    reverse: Optional[int] = None

    def __str__(self) -> str:
        return f"{self.src}:{self.name}:{self.dst}"


@dataclass(frozen=True)
class Schema:
    """The types of a typed graph; hashable, and equal for graphs that one model can read.

    Attributes:
        node_types: Names of the node types. A node's type is its position here.
        relations: The relations. An edge's type is its position here.

    Example:
        >>> cites = Relation("paper", "cites", "paper")
        >>> Schema(("paper", "author"), (cites,)).relation("cites")
        0
    """

    node_types: Tuple[str, ...]
    relations: Tuple[Relation, ...]

    def node_type(self, name: str) -> int:
        """Position of a node type.

        Raises:
            UnknownNameError: There is no such type.
        """
        if name not in self.node_types:
            raise UnknownNameError("node type", name, self.node_types)
        return self.node_types.index(name)

    def relation(self, name: str) -> int:
        """Position of a relation.

        Args:
            name: ``src:name:dst``, or the name alone where only one relation has it.

        Raises:
            UnknownNameError: There is none of that name, or several.
        """
        labels = [str(each) for each in self.relations]
        if name in labels:
            return labels.index(name)
        found = [i for i, each in enumerate(self.relations) if each.name == name]
        if len(found) != 1:
            raise UnknownNameError("relation", name, [labels[i] for i in found] or labels)
        return found[0]


@dataclass(frozen=True, eq=False)
class Typed:
    """What has a type in a typed graph of N nodes and E edges.

    Arrays of a type have a row for each of its nodes, in ascending order of node numbers. Arrays of a relation have a
    row for each of its edges, in the order of ``Graph.indices``.

    Attributes:
        schema: The types.
        node_type: Type of each node. Shape [N], int16.
        edge_type: Relation of each edge, ascending within a destination. Shape [E], int16.
        x: Features by node type. Each [N_t, F_t], floating point; int64 codes if they are categories. A model learns an
            embedding of every node of a type that has none.
        y: Labels or numbers by node type, as ``Graph.y`` has them.
        class_names: Names of the classes by node type.
        splits: For each node type, its rows by split name. Each int64, one-dimensional, without repeats.
        node_data: For each node type, any other arrays by name. Each of first dimension N_t.
        edge_attr: Edge features by relation (``str(relation)``). Each [E_r, D_r], floating point.
        edge_data: For each relation (``str(relation)``), any other arrays by name. Each of first dimension E_r.
        feature_names: Names of the columns of ``x`` by node type.
        node_categories: For each node type whose features are categories, the number of categories of each column.
    """

    schema: Schema
    node_type: Tensor
    edge_type: Tensor
    x: Mapping[str, Tensor] = field(default_factory=dict)
    y: Mapping[str, Tensor] = field(default_factory=dict)
    class_names: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    node_data: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    edge_attr: Mapping[str, Tensor] = field(default_factory=dict)
    edge_data: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    feature_names: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    node_categories: Mapping[str, Tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def num_nodes(self) -> Dict[str, int]:
        """Number of nodes of each type, in the schema's order."""
        counts = torch.bincount(self.node_type.long(), minlength=len(self.schema.node_types))
        return dict(zip(self.schema.node_types, counts.tolist()))

    @cached_property
    def num_edges(self) -> Dict[str, int]:
        """Number of edges of each relation (``str(relation)``), in the schema's order."""
        counts = torch.bincount(self.edge_type.long(), minlength=len(self.schema.relations))
        return dict(zip(map(str, self.schema.relations), counts.tolist()))

    @cached_property
    def rows(self) -> Tensor:
        """Row of each node among those of its type. Shape [N], int64."""
        rows = torch.empty(self.node_type.numel(), dtype=torch.int64)
        for number, count in enumerate(self.num_nodes.values()):
            rows[self.node_type == number] = torch.arange(count)
        return rows

    def nodes(self, node_type: str) -> Tensor:
        """Numbers of the nodes of a type, ascending. Shape [N_t], int64.

        Raises:
            UnknownNameError: There is no such type.
        """
        return (self.node_type == self.schema.node_type(node_type)).nonzero().flatten()
