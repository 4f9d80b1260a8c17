"""Edges of undirected data.

Rule: an undirected graph holds every edge in both directions, once, and no self-loops.
"""

from __future__ import annotations

import numpy as np


def undirected(edges: np.ndarray) -> np.ndarray:
    """Give every edge both directions, once; drop self-loops and repeated edges.

    Args:
        edges: Node ids, a row of one end and a row of the other. Shape [2, E], int64, from 0.

    Returns:
        Shape [2, 2 * E'], int64, for E' different pairs of different nodes.
    """
    low, high = edges.min(axis=0), edges.max(axis=0)
    base = int(high.max()) + 1 if high.size else 1
    keys = sorted_unique((low * base + high)[low != high])
    low, high = keys // base, keys % base
    return np.stack([np.concatenate([low, high]), np.concatenate([high, low])])


def sorted_unique(keys: np.ndarray) -> np.ndarray:
    """The different values of an array, ascending; the array given may be sorted in place.

    ``numpy.unique`` builds a hash table since NumPy 2.3, which takes ten times as long on millions of keys.
    """
    keys.sort()
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = keys[1:] != keys[:-1]
    unique: np.ndarray = keys[is_first]
    return unique
