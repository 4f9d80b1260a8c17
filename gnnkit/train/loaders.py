"""The loader that a configuration asks for. Training and planning use the same one."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional

import torch
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.devices import Device
from gnnkit.errors import ConfigError
from gnnkit.loading import (
    FullGraphLoader,
    FullGraphPairLoader,
    InputReduction,
    Loader,
    NeighborLoader,
    PadSpec,
    Transfer,
)
from gnnkit.loading.base import WHOLE, Share, identity
from gnnkit.nn import ModelSpec, node_ids_as_features
from gnnkit.sampling import Fanouts, NeighborSampler, RemoteSampler, Sampler
from gnnkit.tasks import Task
from gnnkit.train.settings import TrainConfig
from gnnkit.train.whole_loaders import cluster_loader, graph_loader

_LOG = logging.getLogger(__name__)


def in_precision(graph: Graph, precision: str, *, edge_features: bool = False) -> Graph:
    """The graph with features in a type that a precision computes in; edge weights follow the features.

    Half precision stays, because loaders widen it; float64, which NumPy makes of any number, becomes float32. Node ids
    stay as well.

    Args:
        graph: With features.
        precision: As :class:`gnnkit.train.TrainConfig` has it.
        edge_features: Whether edge features are read, which follow too.
    """
    if graph.remote is not None:
        return graph
    changed: Dict[str, Any] = {}
    if graph.x is not None:
        changed["x"] = _in_precision(graph.x, precision)
    elif graph.typed is not None:
        tables = {name: _in_precision(x, precision) for name, x in graph.typed.x.items()}
        changed["typed"] = replace(graph.typed, x=tables)
    if edge_features and graph.edge_attr is not None:
        changed["edge_attr"] = _in_precision(graph.edge_attr, precision)
    return replace(graph, **changed)


def _in_precision(features: Tensor, precision: str) -> Tensor:
    if not features.is_floating_point():
        return features
    if precision == "float64":
        return features.double()
    return features.float() if features.dtype == torch.float64 else features


def computed_graph(graph: Graph, prepared: Graph, spec: ModelSpec, precision: str) -> Graph:
    """What a model computes on: the prepared graph, in float64 with a normalisation that is float64 from the start.

    Features of edges are there if the model reads them. Features of nodes are their ids if it learns embeddings.

    Args:
        graph: As loaded.
        prepared: What :func:`gnnkit.data.prepare_graph` made of it, in float32, as the manifest of a run describes it.
        spec: The model.
        precision: As :class:`gnnkit.train.TrainConfig` has it.
    """
    if precision == "float64" and spec.gcn_norm:
        prepared = spec.prepare(graph, torch.float64)
    if spec.num_embeddings is not None:
        prepared = node_ids_as_features(prepared)
    return in_precision(prepared, precision, edge_features=spec.reads_edges)


def make_sampler(
    graph: Graph, spec: ModelSpec, config: TrainConfig, fanouts: Optional[Fanouts], seed: int
) -> Optional[Sampler]:
    """The sampler with these fan-outs; None without fan-outs.

    Args:
        graph: The prepared graph.
        spec: The model.
        config: Resolved settings.
        fanouts: Neighbours per layer, seeds first.
        seed: Seed of the samples.
    """
    if fanouts is None:
        return None
    if graph.remote is not None:
        assert not isinstance(fanouts, Mapping), "graphs in parts have no types"
        return RemoteSampler(
            graph, fanouts, replace=config.replace, keep_self_loops=spec.self_loops, weighted=spec.gcn_norm
        )
    return NeighborSampler(
        graph,
        fanouts,
        seed=seed,
        replace=config.replace,
        weighted=config.weighted,
        keep_self_loops=spec.self_loops,
        rescale=spec.gcn_norm,
    )


def training_loader(
    graph: Graph,
    spec: ModelSpec,
    task: Task,
    config: TrainConfig,
    seed: int,
    *,
    transfer: Transfer = identity,
    pad: Optional[PadSpec] = None,
    overlap: bool = True,
    static_shapes: bool = False,
    share: Share = WHOLE,
    dropout_keys: bool = False,
) -> Loader:
    """The loader of the training items: the full graph, sampled batches, or batches of whole graphs.

    Args:
        graph: The prepared graph, from :meth:`gnnkit.tasks.Task.labelled`.
        spec: The model.
        task: Says which nodes these are, and what is learned at them.
        config: Resolved settings.
        seed: Seed of order and samples.
        transfer: What to do with a batch last.
        pad: Sizes to bring batches to, but those of whole graphs.
        overlap: Whether batches are prepared while others are in use.
        static_shapes: Whether batches are brought to one size, those of whole graphs here, others by ``pad``.
        share: Which process this is, and of how many.
        dropout_keys: Whether dropout of sampled batches is drawn by node, so that it is the same in every share.
    """
    items = task.items(graph, "train")
    if items.level == "graphs":
        settings: Dict[str, Any] = {
            "transfer": transfer,
            "overlap": overlap,
            "static_shapes": static_shapes,
            "share": share,
        }
        return graph_loader(graph, items.ids, spec, config, seed, **settings)
    ids = items.ids if items.level == "nodes" else torch.arange(len(items.ids))
    if config.is_clustered:
        if items.level != "nodes" or task.draw(graph, seed) is not None:
            raise ConfigError(f"Task {task.name!r} does not learn from parts of the graph. Leave train.clusters out.")
        return cluster_loader(graph, ids, spec, config, seed, transfer=transfer, pad=pad, overlap=overlap)
    sampler, draw = make_sampler(graph, spec, config, config.fanouts, seed), task.draw(graph, seed)
    if sampler is None:
        whole: Dict[str, Any] = {
            "num_layers": spec.num_layers,
            "transfer": transfer,
            "pad": pad,
            "edge_features": spec.reads_edges,
        }
        if draw is None:
            return FullGraphLoader(graph, ids, **whole)
        loops = spec.self_loops
        return FullGraphPairLoader(graph, ids, draw, keep_self_loops=loops, shuffle=config.shuffle, seed=seed, **whole)
    assert config.batch_size is not None
    return NeighborLoader(
        graph,
        ids,
        sampler,
        batch_size=config.batch_size,
        shuffle=config.shuffle,
        drop_last=config.drop_last,
        seed=seed,
        num_threads=config.num_threads,
        prefetch=config.prefetch,
        overlap=overlap,
        transfer=transfer,
        pad=pad,
        overflow=config.overflow,
        reduction=input_reduction(
            spec, config.fuse_first_layer, task, precision=config.precision, static_shapes=static_shapes
        ),
        draw=draw,
        edge_features=spec.reads_edges,
        share=share,
        dropout_keys=dropout_keys,
    )


def input_reduction(
    spec: ModelSpec,
    fuse: str,
    task: Optional[Task] = None,
    *,
    precision: str = "float32",
    static_shapes: bool = False,
) -> Optional[InputReduction]:
    """What of the first layer can be done while loading, if it is to be.

    Args:
        spec: The model.
        fuse: "auto" (where it can be), "always" (it must be possible) or "never".
        task: What is trained. None: nothing.
        precision: In which it computes. In bfloat16, features come rounded where the layer does nothing but multiply
            them, which would round them as well.
        static_shapes: Whether batches are to have fixed shapes.

    Raises:
        ConfigError: "always", and the model does not allow it.
    """
    reason = None
    if task is not None and task.changes_inputs:
        reason = f"the task {task.name!r} changes features before the encoder reads them"
    elif spec.reads_edges:
        reason = "it reads edge features, which a sum over neighbours would lose"
    elif spec.num_embeddings is not None:
        reason = "it learns embeddings of nodes, which change with every update"
    elif spec.typed is not None and static_shapes:
        reason = "the device needs fixed shapes, and the number of relations that a node has neighbours by is not"
    elif spec.typed is not None and spec.reduces_first is None:
        reason = "it does not begin with a mean over each relation's neighbours whose features are numbers"
    elif spec.input_dropout:
        reason = f"its input dropout of {spec.input_dropout} comes before the sum"
    elif spec.reduces_first is None:
        reason = f"the convolution {spec.kinds[0]!r} does not begin with a sum or mean over neighbours"
    if fuse == "always" and reason is not None:
        raise ConfigError(f"fuse_first_layer is 'always', but this model's first layer cannot be fused: {reason}.")
    if fuse == "never" or reason is not None or (fuse == "auto" and _is_wide(spec)):
        return None
    assert spec.reduces_first is not None
    first = spec.conv_spec(0)
    reads_own = first.convolution.reads_own
    is_affine = first.convolution.is_affine(first.options)
    # Features of types are multiplied by the linear layers of these, whatever comes next.
    only_multiplied = spec.typed is not None or (not spec.residual and (is_affine or not reads_own))
    rounded = precision == "bfloat16" and only_multiplied
    return InputReduction(spec.reduces_first, keep_own=reads_own or spec.residual, rounded=rounded)


def evaluation_reduction(spec: ModelSpec, config: TrainConfig, device: Device) -> Optional[InputReduction]:
    """What of the first layer is done while loading the samples of an evaluation; None where it takes no samples.

    Args:
        spec: The model.
        config: Resolved settings.
        device: Where it runs.

    Raises:
        ConfigError: As :func:`input_reduction`.
    """
    if config.evaluation != "sampled":
        return None
    static_shapes = device.capabilities.static_shapes
    return input_reduction(spec, config.fuse_first_layer, precision=config.precision, static_shapes=static_shapes)


def _is_wide(spec: ModelSpec) -> bool:
    """Whether features by type are so wide that it pays to project them before there are more of them."""
    if spec.typed is None:
        return False
    return any(width is not None and width > 2 * spec.encoded_channels for width in spec.typed.channels)
