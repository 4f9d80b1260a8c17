"""The typed graph that is measured on: four node types, twelve relations, labels on the first type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

import numpy as np

if TYPE_CHECKING:
    from benchmarks.graphs import GraphSpec
    from gnnkit import Graph

TYPES = ("item", "person", "place", "topic")
_SHARES = (0.4, 0.3, 0.2, 0.1)
RELATIONS = (
    ("item", "cites", "item"),
    ("person", "makes", "item"),
    ("topic", "covers", "item"),
    ("place", "holds", "item"),
    ("person", "knows", "person"),
    ("item", "made_by", "person"),
    ("place", "houses", "person"),
    ("place", "near", "place"),
    ("person", "visits", "place"),
    ("item", "held_by", "place"),
    ("topic", "above", "topic"),
    ("item", "about", "topic"),
)


def typed_graph(spec: GraphSpec, seed: int = 0) -> Graph:
    """Make the graph.

    A relation has edges in proportion to its destinations. Sources are drawn with a power law, half of them from
    the destination's class. Features are centres of the classes with noise; the types' widths go from
    ``spec.features`` in equal steps down to half of that.

    Args:
        spec: Numbers of nodes, edges and classes, width of the features, noise.
        seed: Of everything that is drawn.
    """
    from gnnkit.data import from_typed

    random = np.random.default_rng(seed)
    counts = {name: int(share * spec.nodes) for name, share in zip(TYPES, _SHARES)}
    rows = np.array([counts[dst] for _, _, dst in RELATIONS])
    ends = np.rint(np.cumsum(rows) * spec.edges / rows.sum()).astype(np.int64)
    edges = {}
    for relation, num in zip(RELATIONS, np.diff(ends, prepend=0)):
        src, _, dst = relation
        into = random.integers(counts[dst], size=num)
        sources = (counts[src] * random.random(num) ** 2).astype(np.int64)
        own = sources - sources % spec.classes + into % spec.classes
        sources = np.where((random.random(num) < 0.5) & (own < counts[src]), own, sources)
        edges[relation] = np.stack([sources, into])
    x: Dict[str, np.ndarray] = {}
    for number, name in enumerate(TYPES):
        width = spec.features - number * spec.features // 2 // (len(TYPES) - 1)
        centres = random.standard_normal((spec.classes, width), dtype=np.float32)
        noise = random.standard_normal((counts[name], width), dtype=np.float32)
        x[name] = centres[np.arange(counts[name]) % spec.classes] + np.float32(spec.noise) * noise
    order, num = random.permutation(counts["item"]), counts["item"]
    cuts = [0, int(0.6 * num), int(0.8 * num), num]
    splits = {name: order[low:high] for name, low, high in zip(("train", "valid", "test"), cuts, cuts[1:])}
    labels = np.arange(num) % spec.classes
    return from_typed(edges, num_nodes=counts, x=x, y={"item": labels}, splits={"item": splits}, name=spec.kind)
