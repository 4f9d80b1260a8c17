"""Graphs that hurt, and small graphs that can be learnt, made in a moment.

Rules: everything is drawn from seeds of its own, so every call gives the same; edges are sorted by destination and
source, as gnnkit sorts them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Block, Graph, from_edge_index, from_typed


def draw(*shape: int, seed: int) -> Tensor:
    """Normal random numbers, float32, the same at every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


EDGE_CHANNELS = 3
"""Width of the edge features of all graphs here."""


def make_block(
    src: Tensor,
    dst: Tensor,
    num_src: int,
    num_dst: int,
    weight: Optional[Tensor] = None,
    attr: Optional[Tensor] = None,
) -> Block:
    """A block from edges in any order.

    Args:
        src: Source of every edge. Shape [E], int64.
        dst: Destination of every edge. Shape [E], int64.
        num_src: Number of sources; the first ``num_dst`` are the destinations.
        num_dst: Number of destinations.
        weight: Weight of every edge. Shape [E].
        attr: Features of every edge. Shape [E, D].
    """
    order = (dst * num_src + src).argsort(stable=True)
    indptr = functional.pad(torch.bincount(dst, minlength=num_dst).cumsum(0), (1, 0))
    return Block(
        indptr,
        src[order],
        num_src,
        edge_weight=None if weight is None else weight[order],
        edge_attr=None if attr is None else attr[order],
    )


def _block(num_dst: int, num_src: int, edges: Sequence[Tuple[int, int]], weighted: bool = True) -> Block:
    pairs = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)
    weight = torch.rand(len(pairs), generator=torch.Generator().manual_seed(1)) + 0.1 if weighted else None
    return make_block(pairs[:, 0], pairs[:, 1], num_src, num_dst, weight, draw(len(pairs), EDGE_CHANNELS, seed=2))


HARD_BLOCKS: Mapping[str, Block] = {
    "square": _block(4, 4, ((0, 1), (1, 0), (1, 2), (2, 1), (3, 0), (2, 3))),
    "unequal sides": _block(2, 5, ((0, 1), (2, 0), (3, 0), (4, 1), (3, 1))),
    "unweighted": _block(3, 4, ((0, 1), (3, 0), (3, 2), (2, 2)), weighted=False),
    "no edges": _block(3, 4, ()),
    "isolated nodes": _block(4, 4, ((0, 1), (1, 0))),
    "self-loops": _block(3, 3, ((0, 0), (1, 1), (2, 2), (0, 1))),
    "multi-edges": _block(2, 3, ((2, 0), (2, 0), (1, 0), (0, 1), (0, 1), (0, 1))),
    "one node": _block(1, 1, ()),
    "one node, self-loop": _block(1, 1, ((0, 0),)),
    "hub": _block(3, 60, tuple((u, 0) for u in range(1, 60))),
}
"""Blocks that hurt, by name."""


def _crowd(num_dst: int, degree: int, num_src: int) -> Block:
    """Destinations with so many in-edges each, from sources all over the block, with weights."""
    u = torch.arange(num_dst * degree)
    weight = torch.rand(len(u), generator=torch.Generator().manual_seed(1)) + 0.1
    attr = draw(len(u), EDGE_CHANNELS, seed=2)
    return make_block(u * 7 % num_src, u % num_dst, num_src, num_dst, weight, attr)


CROWDED_BLOCKS: Mapping[str, Block] = {
    "in-degrees of 100": _crowd(3, 100, 120),
    "5,000 edges": _crowd(100, 50, 150),
    "an in-degree of 5,000": _crowd(2, 5000, 5003),
    "an out-degree of 300": _block(300, 300, tuple((0, v) for v in range(300))),
}
"""Blocks with many edges, by what there are many of."""


def side_by_side(blocks: Sequence[Block]) -> Block:
    """Several blocks as one that falls into parts: all destinations first, then the other sources.

    Edges without weights get the weight 1.
    """
    num_dst = sum(block.num_dst for block in blocks)
    src, dst, weight = [], [], []
    seen_dst, seen_rest = 0, num_dst
    for block in blocks:
        is_dst = block.indices < block.num_dst
        src.append(torch.where(is_dst, block.indices + seen_dst, block.indices - block.num_dst + seen_rest))
        dst.append(block.dst + seen_dst)
        weight.append(torch.ones(block.num_edges) if block.edge_weight is None else block.edge_weight)
        seen_dst += block.num_dst
        seen_rest += block.num_src - block.num_dst
    attr = torch.cat([block.edge_attr for block in blocks if block.edge_attr is not None])
    return make_block(torch.cat(src), torch.cat(dst), seen_rest, num_dst, torch.cat(weight), attr)


ALL_HARD = side_by_side(list(HARD_BLOCKS.values()))
"""All of ``HARD_BLOCKS`` as one block: for devices that compile a program for every shape."""


def reverse_edges_of_each_node(block: Block) -> Block:
    """The same edges, those of every destination in opposite order."""
    order = (block.dst * (block.num_edges + 1) - torch.arange(block.num_edges)).argsort()
    weight = None if block.edge_weight is None else block.edge_weight[order]
    attr = None if block.edge_attr is None else block.edge_attr[order]
    return replace(block, indices=block.indices[order], edge_weight=weight, edge_attr=attr)


def renumber(block: Block, seed: int = 0) -> Tuple[Block, Tensor]:
    """The same block with its nodes in another order.

    Returns:
        The block, and the new number of every source; destinations stay in front. Shape [num_src], int64.
    """
    generator = torch.Generator().manual_seed(seed)
    others = block.num_src - block.num_dst
    dst = torch.randperm(block.num_dst, generator=generator)
    number = torch.cat([dst, block.num_dst + torch.randperm(others, generator=generator)])
    ends = number[block.indices], number[block.dst]
    return make_block(*ends, block.num_src, block.num_dst, block.edge_weight, block.edge_attr), number


def communities(num_nodes: int = 240, num_classes: int = 3, seed: int = 0, *, strangers: float = 0.15) -> Graph:
    """Planted communities whose features say little alone and much together with the neighbours'; edges' say nothing.

    Args:
        num_nodes: Number of nodes; half of them train.
        num_classes: Number of communities.
        seed: Seed of everything.
        strangers: Share of the edges between communities that are kept; all within one are.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, num_classes, (num_nodes,), generator=generator)
    edges = torch.randint(0, num_nodes, (2, num_nodes * 10), generator=generator)
    kept = (y[edges[0]] == y[edges[1]]) | (torch.rand(edges.shape[1], generator=generator) < strangers)
    x = torch.randn(num_nodes, 8, generator=generator) + functional.one_hot(y, 8)
    order = torch.randperm(num_nodes, generator=generator)
    half, three_quarters = num_nodes // 2, 3 * num_nodes // 4
    splits = {"train": order[:half], "valid": order[half:three_quarters], "test": order[three_quarters:]}
    attr = draw(int(kept.sum()), EDGE_CHANNELS, seed=seed)
    return from_edge_index(edges[:, kept], num_nodes, x=x, y=y, edge_attr=attr, splits=splits, name="communities")


def triples(num_people: int = 160, num_places: int = 80, num_groups: int = 4, seed: int = 0) -> Graph:
    """A typed graph whose triples can be learnt: people know people of their group, and visit places of the next one.

    No two triples are between the same two nodes.

    Args:
        num_people: Number of people.
        num_places: Number of places.
        num_groups: Number of groups.
        seed: Seed of everything.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = {"person": num_people, "place": num_places}
    groups = {name: torch.randint(0, num_groups, (size,), generator=generator) for name, size in sizes.items()}
    knows = groups["person"][:, None] == groups["person"]
    visits = (groups["person"][:, None] + 1) % num_groups == groups["place"]
    is_kept = [torch.rand(pairs.shape, generator=generator) < 0.2 for pairs in (knows, visits)]
    return from_typed(
        {
            "person:knows:person": (knows & is_kept[0]).triu(1).nonzero().T,
            "person:visits:place": (visits & is_kept[1]).nonzero().T,
        },
        num_nodes=sizes,
        x={
            name: torch.randn(len(group), 8, generator=generator) + functional.one_hot(group, 8)
            for name, group in groups.items()
        },
        name="triples",
    )


def many_graphs(num_graphs: int = 120, num_classes: int = 3, seed: int = 0) -> Graph:
    """Small graphs of a class each, about which every node says little and all together much; edges say nothing.

    Among them are graphs without edges, of one node, and of none.

    Args:
        num_graphs: Number of graphs; half of them train.
        num_classes: Number of classes.
        seed: Seed of everything.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, num_classes, (num_graphs,), generator=generator)
    sizes = torch.randint(3, 11, (num_graphs,), generator=generator)
    sizes[:3] = torch.tensor([0, 1, 4])
    pointer = functional.pad(sizes.cumsum(0), (1, 0))
    home = torch.repeat_interleave(torch.arange(num_graphs), sizes)
    others = torch.rand(len(home), 2, generator=generator) * sizes[home, None]
    ends = pointer[home, None] + others.long()
    edges = torch.stack([ends.T.flatten(), torch.arange(len(home)).repeat(2)])
    edges = edges[:, home[edges[1]] > 2]
    x = torch.randn(len(home), 8, generator=generator) + functional.one_hot(y, 8)[home]
    order = torch.randperm(num_graphs, generator=generator)
    half, three_quarters = num_graphs // 2, 3 * num_graphs // 4
    splits = {"train": order[:half], "valid": order[half:three_quarters], "test": order[three_quarters:]}
    return from_edge_index(
        edges,
        len(home),
        x=x,
        edge_attr=draw(edges.shape[1], EDGE_CHANNELS, seed=seed),
        graph_ptr=pointer,
        graph_y=y,
        graph_splits=splits,
        name="many graphs",
    )


def graph_flow(sizes: Sequence[int]) -> Block:
    """The message flow from nodes to graphs of these sizes, as ``Batch.graphs`` has it."""
    pointer = functional.pad(torch.tensor(list(sizes), dtype=torch.int64).cumsum(0), (1, 0))
    return Block(pointer, torch.arange(int(pointer[-1])), int(pointer[-1]))


FLOWS: Mapping[str, Block] = {
    "graphs": graph_flow((3, 1, 5, 2)),
    "graphs without nodes": graph_flow((0, 3, 0, 0, 1, 0)),
    "more graphs than nodes": graph_flow((0, 1, 0, 0, 1, 0, 0)),
    "no nodes": graph_flow((0, 0)),
    "a large graph": graph_flow((2, 3000, 1)),
}
"""Message flows from nodes to graphs, whose destinations are not among the sources."""


def full_record() -> Graph:
    """Three small graphs in one record with every field filled: repeated edges, self-loops, an isolated node.

    Of the edge weights one is 0 and some are negative.
    """
    src, dst = [0, 0, 1, 2, 2, 2, 4, 5, 6, 6], [1, 1, 0, 2, 0, 1, 5, 4, 7, 6]
    num_edges, num_nodes = len(src), 9
    return from_edge_index(
        [src, dst],
        num_nodes,
        x=draw(num_nodes, 3, seed=0),
        y=torch.arange(num_nodes) % 2,
        edge_weight=draw(num_edges, seed=1) * (torch.arange(num_edges) != 3),
        edge_attr=draw(num_edges, 2, seed=2),
        splits={"train": [0, 4, 6], "valid": [1, 5], "test": [2, 7]},
        node_data={"year": torch.arange(num_nodes)},
        edge_data={"kind": torch.arange(num_edges)},
        graph_ptr=[0, 4, 6, 9],
        graph_y=[1, 0, 1],
        class_names=["left", "right"],
        name="full record",
        metric="macro_f1",
        feature_names=["width", "height", "depth"],
        graph_splits={"train": [2], "valid": [0], "test": [1]},
        graph_data={"fold": torch.tensor([3, 1, 2]), "charge": draw(3, 2, seed=3)},
        graph_names=["first", "second", "third"],
    )


def coded_record() -> Graph:
    """The graphs of :func:`full_record` and one without nodes, with codes of categories for features."""
    graph = full_record()
    x, edge_attr = torch.arange(graph.num_nodes)[:, None] % 4, torch.arange(graph.num_edges * 2).reshape(-1, 2) % 3
    return from_edge_index(
        graph.edge_index,
        graph.num_nodes,
        x=x,
        edge_attr=edge_attr,
        node_categories=[7],
        edge_categories=[3, 4],
        graph_ptr=[0, 4, 4, 6, 9],
        graph_y=draw(4, 2, seed=3),
        name="coded record",
    )
