"""Loaders whose batches are whole: graphs of a record, or parts of a graph with all their edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from torch import Tensor

from gnnkit.backends import load_backend
from gnnkit.data import Graph
from gnnkit.errors import BrokenPluginError, CapabilityError, ConfigError, NotInstalledError, UnavailableError
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
from gnnkit.loading.base import WHOLE, Share, identity
from gnnkit.nn import ModelSpec
from gnnkit.train.settings import TrainConfig

_HAS_METIS = "dgl"
"""The backend whose library brings METIS along."""


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
        parts_of(graph, config.clusters, config.partition),
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


def parts_of(graph: Graph, num_parts: int, partition: str) -> Tensor:
    """The part of every node. Shape [N], int64.

    Args:
        graph: The graph.
        num_parts: How many.
        partition: "grown" or "metis"; one never stands in for the other, because a run is to be repeated elsewhere.

    Raises:
        ConfigError: METIS cannot be used here, or there are fewer nodes than parts.
    """
    if partition == "grown":
        return grown_parts(graph, num_parts)
    try:
        return load_backend(_HAS_METIS).partition(graph, num_parts)
    except (NotInstalledError, BrokenPluginError, UnavailableError, CapabilityError) as error:
        raise ConfigError(
            f"train.partition is 'metis', which comes with backend {_HAS_METIS!r}. Take 'grown', or see to it: {error}"
        ) from error


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
    share: Share = WHOLE,
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
        share: Which process this is, and of how many.
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
        pad=None if pad is None else _repeated(pad, spec),
        edge_features=spec.reads_edges,
        share=share,
    )


def _repeated(pad: PadSpec, spec: ModelSpec) -> PadSpec:
    """Sizes for every layer. All nodes of a batch may be of one type, so each type has room for them."""
    types = 0 if spec.schema is None else len(spec.schema.node_types)
    return replace(pad.repeated(spec.num_layers), num_inputs=pad.num_nodes[:1] * types)


def _num_threads(config: TrainConfig, overlap: bool) -> int:
    """Threads that prepare batches, which take little: on a device that needs all cores they would only disturb."""
    if config.num_threads is not None:
        return config.num_threads
    return 1 if overlap else 0
