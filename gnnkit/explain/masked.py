"""A model whose messages are multiplied by a mask, written once above all backends.

Rules: convolutions are those of the reference form on the backend's own primitives, so a mask reaches every message of
every kind, and the numbers are the backend's. A mask has a value for each edge and is the same in every layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.backends import Backend
from gnnkit.data import Block, Graph
from gnnkit.errors import CapabilityError
from gnnkit.nn import GNN, ConvSpec, MessageOps, NativeParameter


class MaskedOps(MessageOps):
    """Primitives of a backend, with every message multiplied by the mask of its edge before messages are reduced.

    Args:
        ops: The backend's.

    Attributes:
        mask: One factor per edge, shape [E]. None: messages stay as they are.
    """

    def __init__(self, ops: MessageOps) -> None:
        self._ops = ops
        self.mask: Optional[Tensor] = None

    def gather_src(self, lowered: Any, h_src: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return self._ops.gather_src(lowered, h_src)

    def gather_dst(self, lowered: Any, h_dst: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return self._ops.gather_dst(lowered, h_dst)

    def scatter(self, lowered: Any, messages: Tensor, reduce: str) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        if self.mask is not None:
            messages = messages * self.mask.reshape((-1,) + (1,) * (messages.ndim - 1))
        return self._ops.scatter(lowered, messages, reduce)

    def edge_weight(self, lowered: Any) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return self._ops.edge_weight(lowered)

    def edge_attr(self, lowered: Any) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return self._ops.edge_attr(lowered)

    def edge_softmax(self, lowered: Any, scores: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`; attention itself is not masked, only what it weighs."""
        return self._ops.edge_softmax(lowered, scores)


class _MaskedLibrary:
    """What a model needs of a backend, on masked primitives."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name = backend.name
        self.layer_module = backend.layer_module
        self.capabilities = backend.capabilities
        self.masked = MaskedOps(backend.ops())

    def lower(self, block: Block) -> Any:
        return self._backend.lower(block)

    def conv(self, spec: ConvSpec) -> nn.Module:
        return spec.convolution.reference(spec, self.masked)

    def parameter_map(self, spec: ConvSpec) -> Mapping[str, NativeParameter]:
        return {name: NativeParameter(name) for name in spec.parameters}

    def ops(self) -> MessageOps:
        return self.masked

    def library_layer(self, spec: ConvSpec) -> nn.Module:
        raise CapabilityError(
            f"A model with the layer {spec.kind!r} cannot be explained: its messages are made inside the library. "
            "Take a convolution of gnnkit, or a custom layer."
        )


def on_masked_primitives(model: GNN) -> Tuple[GNN, MaskedOps]:
    """A copy of a model in its reference form, and the primitives that it runs on, which take the mask.

    Args:
        model: The model. It is left as it is.

    Raises:
        CapabilityError: A layer of the library, or a backend without primitives.
    """
    library = _MaskedLibrary(model.backend)  # type: ignore[arg-type]
    copy = GNN(model.spec, library, model.seed).eval()  # type: ignore[arg-type]
    copy.load_canonical(model.canonical_state())
    return copy.requires_grad_(False), library.masked


class MaskedModel:
    """A trained model on the neighbourhood of one node, with masks.

    Args:
        model: From :func:`on_masked_primitives`.
        ops: Likewise.
        graph: Prepared for the model.
        node: The node.

    Attributes:
        block: All edges that can reach the node through the layers.
        nodes: Numbers of the block's nodes in the graph, the node itself first. Shape [n], int64.
        x: Their features. Shape [n, F].
        is_free: Which edges a mask may change: all but self-loops. Shape [E], bool.
    """

    def __init__(self, model: GNN, ops: MaskedOps, graph: Graph, node: int) -> None:
        self._model = model
        self._ops = ops
        self.block, self.nodes = neighbourhood(graph, node, model.num_layers)
        if model.spec.reads_edges:
            assert graph.edge_attr is not None and self.block.edge_ids is not None, "the model's features were checked"
            self.block = replace(self.block, edge_attr=graph.edge_attr[self.block.edge_ids])
        if model.spec.num_embeddings is not None:
            self.x = self.nodes[:, None]
        else:
            assert graph.x is not None, "the model's inputs were checked"
            self.x = graph.x[self.nodes]
        self.is_free = self.block.indices != self.block.dst

    @property
    def edges(self) -> Tensor:
        """Source and destination in the graph of each edge. Shape [2, E], int64."""
        return self.nodes[torch.stack([self.block.indices, self.block.dst])]

    @property
    def reads_features(self) -> bool:
        """Whether nodes have features that are numbers, so that they can be explained, too."""
        return self.x.is_floating_point()

    def outputs(self, edge_mask: Optional[Tensor] = None, x: Optional[Tensor] = None) -> Tensor:
        """Outputs of the node.

        Args:
            edge_mask: One factor per edge, of which those of self-loops count as 1. Shape [E]. None: all are 1.
            x: Features in place of the graph's. Shape [n, F].

        Returns:
            Shape [out_channels].
        """
        if edge_mask is not None:
            edge_mask = torch.where(self.is_free, edge_mask, torch.ones_like(edge_mask))
        self._ops.mask = edge_mask
        try:
            blocks = [self.block] * self._model.num_layers
            out: Tensor = self._model(blocks, self.x if x is None else x)[0]
            return out
        finally:
            self._ops.mask = None


def neighbourhood(graph: Graph, node: int, num_layers: int) -> Tuple[Block, Tensor]:
    """All edges through which a node hears of others in so many layers, as one block.

    Args:
        graph: The graph.
        node: The node.
        num_layers: How many.

    Returns:
        The block, with ids of its edges, whose sources are all its destinations: those that are too far away have no
        edges. And the numbers of its nodes, the node itself first. Shape [n], int64.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> block, nodes = neighbourhood(from_edge_index([[0, 1, 2], [1, 2, 3]]), 2, 1)
        >>> nodes.tolist(), block.num_edges
        ([2, 1], 1)
    """
    place = torch.full((graph.num_nodes,), -1, dtype=torch.int64)
    place[node] = 0
    nodes, inner, edge_ids = torch.tensor([node]), 0, []
    counts = []
    for _ in range(num_layers):
        reached = nodes[inner:]
        inner = nodes.numel()
        degrees = graph.in_degrees[reached]
        counts.append(degrees)
        starts = torch.repeat_interleave(graph.indptr[reached] - degrees.cumsum(0) + degrees, degrees)
        ids = starts + torch.arange(int(degrees.sum()))
        edge_ids.append(ids)
        sources = torch.unique(graph.indices[ids])
        new = sources[place[sources] < 0]
        place[new] = nodes.numel() + torch.arange(new.numel())
        nodes = torch.cat([nodes, new])
    ids = torch.cat(edge_ids)
    degrees = torch.cat([*counts, torch.zeros(nodes.numel() - inner, dtype=torch.int64)])
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    weight = None if graph.edge_weight is None else graph.edge_weight[ids]
    return Block(indptr, place[graph.indices[ids]], nodes.numel(), weight, edge_ids=ids), nodes
