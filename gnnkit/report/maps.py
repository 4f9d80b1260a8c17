"""Embeddings as points in the plane: UMAP where it is installed, else t-SNE; PCA for few nodes.

Rules: a map is made of a bounded sample of nodes, the same in every layer and run, and is the same every time.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Dict, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.errors import ConfigError, NotInstalledError

METHODS: Dict[str, str] = {"umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}
"""Ways to make a map, and what people call them."""

FEW = 50
"""With fewer nodes, ``auto`` takes PCA: neighbourhoods of so few tell nothing."""

_WIDEST = 50
"""Embeddings wider than this are reduced by PCA first, as is usual before t-SNE (van der Maaten and Hinton, 2008)."""


def check_method(method: str) -> None:
    """Refuse a method that there is not.

    Raises:
        ConfigError: No such method.
        NotInstalledError: UMAP is asked for and not installed.
    """
    if method not in ("auto", *METHODS):
        raise ConfigError(f"The map is {method!r}, expected auto, {', '.join(METHODS)}.")
    if method == "umap" and not _has_umap():
        raise NotInstalledError("UMAP", "pip install 'gnnkit[umap]'")


def sample_nodes(graph: Graph, most: int) -> Tensor:
    """Draw nodes for maps, those with a label where there are some.

    Args:
        graph: The graph.
        most: Most nodes.

    Returns:
        Node ids, ascending. Shape [at most ``most``], int64. The same ones at every call.
    """
    nodes = torch.arange(graph.num_nodes)
    if graph.y is not None:
        shown = (graph.y > 0.5).any(dim=1) if graph.is_multi_label else graph.has_label
        nodes = nodes[shown] if shown is not None and bool(shown.any()) else nodes
    if nodes.numel() <= most:
        return nodes
    drawn = torch.randperm(nodes.numel(), generator=torch.Generator().manual_seed(0))[:most]
    return nodes[drawn].sort().values


def project(vectors: Tensor, method: str = "auto") -> Tuple[np.ndarray, str]:
    """Put vectors into the plane.

    Args:
        vectors: Embeddings. Shape [M, D].
        method: "umap" (McInnes et al., 2018), "tsne" (van der Maaten and Hinton, 2008), "pca", or "auto".

    Returns:
        Points, shape [M, 2], and the method that was taken: vectors that are all alike, or at most two wide, have
        nothing to be unfolded.

    Raises:
        ConfigError: Values are not finite.
    """
    values = vectors.detach().float().numpy()
    if not np.isfinite(values).all():
        raise ConfigError("the embeddings have values that are not finite, so there is no map of them.")
    if method == "auto":
        method = "pca" if len(values) < FEW else "umap" if _has_umap() else "tsne"
    # Neighbours at a distance of 0 alone, or fewer than three nodes, have no map but this one.
    if values.shape[1] <= 2 or len(values) < 4 or not np.ptp(values, axis=0).any():
        method = "pca"
    if method == "umap":
        return _umap(values), method
    if method == "tsne":
        return _tsne(values), method
    return _pca(values, 2), method


def _pca(values: np.ndarray, width: int) -> np.ndarray:
    """The coordinates of largest variance, with columns of zeros where there are too few."""
    from sklearn.decomposition import PCA

    possible = min(width, *values.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Vectors that are all alike have no variance to explain.
        points = PCA(possible, random_state=0).fit_transform(values)
    return np.pad(points, ((0, 0), (0, width - possible)))


def _tsne(values: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    if values.shape[1] > _WIDEST:
        values = _pca(values, _WIDEST)
    perplexity = min(30.0, (len(values) - 1) / 3)
    points: np.ndarray = TSNE(init="pca", learning_rate="auto", perplexity=perplexity, random_state=0).fit_transform(
        values
    )
    return points


def _umap(values: np.ndarray) -> np.ndarray:
    from umap import UMAP

    neighbours = min(15, len(values) - 1)
    points: np.ndarray = UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1).fit_transform(values)
    return points


def _has_umap() -> bool:
    """Whether umap-learn is there; another package has the name umap, too."""
    return importlib.util.find_spec("umap") is not None and importlib.util.find_spec("pynndescent") is not None
