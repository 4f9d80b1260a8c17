"""Loaders whose batches are whole: graphs of a record, or parts of a graph with all their edges."""

from __future__ import annotations

import logging
from typing import Optional

from torch import Tensor

from gnnkit.backends import load_backend
from gnnkit.data import Graph
from gnnkit.errors import BrokenPluginError, CapabilityError, NotInstalledError, UnavailableError
from gnnkit.loading import (
    ClusterLoader,
    GraphLoader,
    PadSpec,
    Transfer,
    graph_sizes,
    grown_parts,
    largest_batch,
    propose_bins,
)
from gnnkit.loading.base import identity
from gnnkit.nn import ModelSpec
from gnnkit.train.settings import TrainConfig

_LOG = logging.getLogger(__name__)


def cluster_loader(
    graph: Graph,
    nodes: Tensor,
    spec: ModelSpec,
    config: TrainConfig,
    seed: int,
    *,
    transfer: Transfer = identity,
    pad: Optional[PadSpec] = None,
    overlap: bool = True,
) -> ClusterLoader:
    """The loader of parts of the graph for a training.

    Args:
        graph: The prepared graph.
        nodes: The training nodes.
        spec: The model.
        config: Resolved settings.
        seed: Seed of the order.
        transfer: What to do with a batch last.
        pad: Sizes to bring batches to.
        overlap: Whether batches are prepared while others are in use.
    """
    assert config.clusters is not None
    return ClusterLoader(
        graph,
        nodes,
        parts_of(graph, config.clusters),
        num_layers=spec.num_layers,
        per_batch=config.clusters_per_batch,
        shuffle=config.shuffle,
        seed=seed,
        rescale=spec.gcn_norm,
        num_threads=_num_threads(config, overlap),
        prefetch=config.prefetch,
        transfer=transfer,
        pad=pad,
        edge_features=spec.reads_edges,
    )


def parts_of(graph: Graph, num_parts: int) -> Tensor:
    """The part of every node: by METIS where a backend has it, else by :func:`gnnkit.loading.grown_parts`.

    Which one it was is logged.

    Args:
        graph: The graph.
        num_parts: How many.
    """
    try:
        parts = load_backend("dgl").partition(graph, num_parts)
    except (NotInstalledError, BrokenPluginError, UnavailableError, CapabilityError):
        _LOG.info("The graph is cut by gnnkit's own method: METIS comes with DGL, which cannot be used here.")
        return grown_parts(graph, num_parts)
    _LOG.info("The graph is cut by METIS.")
    return parts


def graph_loader(
    graph: Graph,
    graphs: Tensor,
    spec: ModelSpec,
    config: TrainConfig,
    seed: int,
    *,
    transfer: Transfer = identity,
    overlap: bool = True,
    static_shapes: bool = False,
) -> GraphLoader:
    """The loader of whole graphs for a training.

    Args:
        graph: The prepared record.
        graphs: Numbers of the graphs to load.
        spec: The model.
        config: Resolved settings.
        seed: Seed of the order.
        transfer: What to do with a batch last.
        overlap: Whether batches are prepared while others are in use.
        static_shapes: Whether batches are brought to one size.
    """
    assert config.batch_size is not None
    sizes = graph_sizes(graph)[graphs.numpy()]
    packing = propose_bins(sizes, config.batch_size) if config.packing == "always" else None
    pad = None
    if static_shapes:
        pad = largest_batch(sizes, config.batch_size) if packing is None else packing.spec
    return GraphLoader(
        graph,
        graphs,
        num_layers=spec.num_layers,
        batch_size=config.batch_size,
        shuffle=config.shuffle,
        drop_last=config.drop_last,
        seed=seed,
        packing=packing,
        num_threads=_num_threads(config, overlap),
        prefetch=config.prefetch,
        transfer=transfer,
        pad=None if pad is None else pad.repeated(spec.num_layers),
        edge_features=spec.reads_edges,
    )


def _num_threads(config: TrainConfig, overlap: bool) -> int:
    """Threads that prepare batches, which take little: on a device that needs all cores they would only disturb."""
    if config.num_threads is not None:
        return config.num_threads
    return 1 if overlap else 0
