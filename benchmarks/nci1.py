"""NCI1 (Wale et al., 2008) in the text layout of Xu et al. (2019): 4,110 molecules, 2 classes, 37 kinds of atoms."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np

from gnnkit import Graph
from gnnkit.data import from_edge_index


def read_nci1(file: Path) -> Graph:
    """Read the molecules as one record; features are the kinds of atoms as 0/1 columns.

    Args:
        file: Number of graphs; for each a line ``n label`` and n lines ``tag m neighbour ...``.
    """
    lines = iter(np.array(line.split(), dtype=np.int64) for line in file.read_text().splitlines())
    counts: List[int] = [0]
    labels, tags, sources, destinations = [], [], [], []
    for _ in range(int(next(lines)[0])):
        num, label = next(lines)
        labels.append(label)
        for node in range(num):
            tag, degree, *neighbours = next(lines)
            tags.append(tag)
            sources += [counts[-1] + each for each in neighbours[:degree]]
            destinations += [counts[-1] + node] * degree
        counts.append(counts[-1] + num)
    kinds, codes = np.unique(tags, return_inverse=True)
    return from_edge_index(
        np.array([sources, destinations]),
        counts[-1],
        x=np.eye(len(kinds), dtype=np.float32)[codes.reshape(-1)],
        graph_ptr=np.array(counts),
        graph_y=np.array(labels),
        name="NCI1",
    )
