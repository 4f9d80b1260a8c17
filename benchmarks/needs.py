"""What a graph needs on disk, in memory and of the network: ``python -m benchmarks.needs``, for docs/scale.md.

Rules: sizes follow from what is stored; what depends on how a graph is cut is taken from a measurement, and said so.
``--write`` brings the page up to date; a test holds it to this file, and this file to graphs that are stored.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
HALO_NODES, HALO_EDGES = 27_035 / 22_470, 356_026 / 341_646
"""Nodes and edges that two parts of facebook_large store, over those that the graph has."""
DENSE = 1 << 28
"""Nodes up to which a sampler has a number for each of them in every thread."""
SEEDS, FANOUTS, HIDDEN, CLASSES = 1024, (15, 10, 5), 256, 172


@dataclass(frozen=True)
class Data:
    """A graph, by its sizes.

    Attributes:
        name: Name.
        nodes: Number of nodes.
        edges: Number of stored, directed edges.
        features: Width of the features.
        labelled: Nodes in one of the splits.
    """

    name: str
    nodes: int
    edges: int
    features: int
    labelled: int


PAPERS = Data("ogbn-papers100M", 111_059_956, 1_615_685_872, 128, 1_546_782)
TENFOLD = Data("ten times that", 1_110_599_560, 16_156_858_720, 128, 15_467_820)


def saved(data: Data, feature_bytes: int = 4) -> Dict[str, int]:
    """Bytes of a saved graph, which every machine maps: by array."""
    return {
        "edges": 8 * data.edges + 8 * (data.nodes + 1),
        "features": feature_bytes * data.features * data.nodes,
        "labels and splits": 8 * data.nodes + 8 * data.labelled,
    }


def derived(data: Data, convolution: str) -> int:
    """Bytes of what is prepared for a convolution, one copy a machine: self-loops, and the weights of GCN."""
    if convolution not in ("gcn", "gat"):
        return 0
    edges = data.edges + data.nodes
    return 8 * edges + 8 * (data.nodes + 1) + (4 * edges if convolution == "gcn" else 0)


def of_thread(data: Data) -> int:
    """Bytes that a thread which samples has, besides its batch; beyond ``DENSE`` nodes it grows with the batch."""
    return 4 * data.nodes if data.nodes <= DENSE else 0


def evaluated(data: Data, width: int = HIDDEN) -> int:
    """Bytes of the two layers that layer-wise evaluation keeps a machine, in memory or in a temporary file."""
    return 2 * 4 * width * data.nodes


def of_part(data: Data, machines: int) -> int:
    """Bytes of DGL's shared memory on each of so many machines, with the halo that was measured."""
    nodes, edges = HALO_NODES * data.nodes / machines, HALO_EDGES * data.edges / machines
    return int(29 * edges + 17 * nodes + (4 * data.features + 4) * data.nodes / machines)


def inputs() -> int:
    """Nodes whose features a batch reads at most: none is drawn twice."""
    found, layer = SEEDS, SEEDS
    for fanout in FANOUTS:
        layer *= fanout
        found += layer
    return found


def parameters(features: int) -> int:
    """Parameters of GraphSAGE with as many layers as fan-outs."""
    widths = [features, *[HIDDEN] * (len(FANOUTS) - 1), CLASSES]
    return sum(2 * a * b + b for a, b in zip(widths, widths[1:]))


def gradients(data: Data, processes: int) -> int:
    """Bytes that each process sends for a batch: the sum of gradients, in a ring."""
    return int(2 * (processes - 1) / processes * 4 * parameters(data.features))


def fetched(data: Data, machines: int) -> int:
    """Bytes that a machine fetches from the parts of others for a whole batch, at most, where nodes lie at random."""
    return int((1 - 1 / machines) * inputs() * (4 * data.features + 16))


def table(data: Sequence[Data]) -> str:
    """The table of the page."""
    rows: Dict[str, List[str]] = {}

    def row(what: str, *values: int) -> None:
        rows[what] = [_size(value) if value else "grows with the batch" for value in values]

    for name in ("edges", "features", "labels and splits"):
        row(f"disk: {name}", *(saved(each)[name] for each in data))
    row("disk: all", *(sum(saved(each).values()) for each in data))
    row("disk: all, features of float16", *(sum(saved(each, 2).values()) for each in data))
    for name in ("gat", "gcn"):
        row(
            f"once a machine, for `{name}`: self-loops{' and weights' if name == 'gcn' else ''}",
            *(derived(each, name) for each in data),
        )
    row("each thread that samples", *(of_thread(each) for each in data))
    row(f"layer-wise evaluation, width {HIDDEN}: once a machine", *(evaluated(each) for each in data))
    for machines in (4, 16):
        row(f"`--graph-store dgl`: memory of each of {machines} machines", *(of_part(each, machines) for each in data))
    row("network: gradients a batch, each of 4 processes", *(gradients(each, 4) for each in data))
    row("network: `--graph-store dgl`, 4 machines, a batch at most", *(fetched(each, 4) for each in data))
    head = ["what", *(each.name for each in data)]
    lines = [head, ["---"] * len(head), *([what, *values] for what, values in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def updated(text: str) -> str:
    """The page with a new table."""
    new = f"<!-- needs -->\n\n{table([PAPERS, TENFOLD])}\n\n<!-- end of needs -->"
    return re.sub(r"<!-- needs -->.*?<!-- end of needs -->", lambda _: new, text, flags=re.DOTALL)


def _size(num: int) -> str:
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if num >= factor:
            return f"{num / factor:.3g} {unit}"
    return f"{num / 1000:.3g} kB"


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.needs", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/scale.md")
    if parser.parse_args().write:
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table([PAPERS, TENFOLD]))


if __name__ == "__main__":
    main()
