"""Explaining single nodes: gradients, integrated gradients, and the masks of GNNExplainer.

Rules: what is explained is what the model computes on all edges within reach, exactly. Everything is deterministic:
masks start from random numbers of the seed and the node, so explanations are the same on every backend up to rounding.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Graph, check_graph
from gnnkit.data.fingerprint import is_undirected
from gnnkit.errors import ConfigError
from gnnkit.explain.explanation import Explanation
from gnnkit.explain.masked import MaskedModel, on_masked_primitives
from gnnkit.nn import GNN, check_edge_features, check_node_inputs
from gnnkit.nn.parameters import name_seed
from gnnkit.sampling.neighbor import check_node_ids

_STEPS = 50
"""Points on the path of integrated gradients."""
_EPOCHS = 100
_LR = 0.1
_EDGE_SIZE, _EDGE_ENTROPY, _FEATURE_SIZE, _FEATURE_ENTROPY = 0.005, 1.0, 1.0, 0.1
"""How much GNNExplainer's masks pay for what they keep, and for being undecided. All are its authors' values."""

Score = Callable[[Tensor], Tensor]
"""From a node's outputs, [out_channels], to the number that is explained."""


def explain_nodes(
    model: GNN,
    graph: Graph,
    nodes: Sequence[int],
    method: str = "gnn_explainer",
    *,
    output: Optional[int] = None,
    is_class: bool = True,
    num_edges: int = 10,
    seed: int = 0,
) -> List[Explanation]:
    """Say which edges and features matter for what a model says of some nodes.

    Args:
        model: Trained, of nodes, with convolutions of gnnkit or custom layers.
        graph: As loaded, not prepared.
        nodes: Which nodes.
        method: "gradient" (of the log-probability with respect to a mask of ones), "integrated_gradients" (Sundararajan
            et al., 2017, from no edges and features of 0), or "gnn_explainer" (Ying et al., 2019: masks that keep the
            prediction with few edges).
        output: Which output is explained. None: the class that the model predicts, or output 0.
        is_class: Whether outputs are classes, of which a node has one. Otherwise the output itself is explained.
        num_edges: How many of the best edges fidelity and sparsity are about.
        seed: Seed of the first masks of "gnn_explainer".

    Returns:
        One explanation for each node. In an undirected graph without edge features, both directions of an edge have
        the same score, that of the direction which matters more.

    Raises:
        ConfigError: No such method or output, or a model that cannot be explained.
        CapabilityError: A layer of the library, or a backend without primitives.
        DataError: A node that is not there, or a graph that the model does not read.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> (found,) = explain_nodes(gnnkit.build_model("gcn", graph), graph, [0], "gradient")
        >>> found.edges.shape[1], found.top_edges(1)[0]["destination"] in range(34)
        (85, True)
    """
    if method not in METHODS:
        raise ConfigError(f"The method is {method!r}, expected one of {', '.join(METHODS)}.")
    if num_edges < 1:
        raise ConfigError(f"num_edges is {num_edges}, expected at least 1.")
    _check_model(model, output)
    check_graph(graph)
    check_node_inputs(model.spec, graph)
    check_edge_features(model.spec, graph)
    ids = check_node_ids(list(nodes), graph.num_nodes, "nodes")
    prepared = model.spec.prepare(graph)
    copy, ops = on_masked_primitives(model)
    masked = (MaskedModel(copy, ops, prepared, int(node)) for node in ids)
    by_pair = not model.spec.reads_edges and is_undirected(graph)
    return [_explained(each, METHODS[method], output, is_class, num_edges, seed, by_pair) for each in masked]


def _check_model(model: GNN, output: Optional[int]) -> None:
    if not isinstance(model, GNN) or (not model.spec.is_portable and not model.spec.has_layer_classes):
        raise ConfigError(f"Received a {type(model).__qualname__}, expected a model of gnnkit.build_model or open_run.")
    if model.spec.pooling != "none":
        raise ConfigError("The model gives outputs of whole graphs; only those of nodes can be explained.")
    if output is not None and not 0 <= output < model.spec.out_channels:
        raise ConfigError(f"The output is {output}, expected 0 to {model.spec.out_channels - 1}.")


def _explained(
    masked: MaskedModel,
    method: Method,
    output: Optional[int],
    is_class: bool,
    num_edges: int,
    seed: int,
    by_pair: bool,
) -> Explanation:
    node = int(masked.nodes[0])
    with torch.no_grad():
        out = masked.outputs()
    chosen = output if output is not None else int(out.argmax()) if is_class else 0

    def score(outputs: Tensor) -> Tensor:
        return functional.log_softmax(outputs, dim=-1)[chosen] if is_class else outputs[chosen]

    edge_scores, feature_scores = method(masked, score, is_class, name_seed(f"explain.{node}", seed))
    if by_pair:
        edge_scores = _same_both_ways(masked, edge_scores)
    free = masked.is_free
    kept = torch.zeros_like(edge_scores)
    ranked = torch.where(free, edge_scores, torch.full_like(edge_scores, -torch.inf))
    best = ranked.argsort(descending=True, stable=True)[: min(num_edges, int(free.sum()))]
    kept[best] = 1.0

    def value(mask: Optional[Tensor]) -> float:
        with torch.no_grad():
            found = score(masked.outputs(mask))
        return float(found.exp() if is_class else found)

    whole = value(None)
    return Explanation(
        node=node,
        output=chosen,
        score=whole,
        edges=masked.edges[:, free],
        edge_scores=edge_scores[free],
        feature_scores=feature_scores,
        fidelity_plus=whole - value(1.0 - kept),
        fidelity_minus=whole - value(kept),
        sparsity=1.0 - best.numel() / max(int(free.sum()), 1),
    )


def _same_both_ways(masked: MaskedModel, scores: Tensor) -> Tensor:
    """The highest score of the edges between the same two nodes, for each edge. [E] to [E].

    Often only one direction reaches the node in time; a mean would rank such an edge below one without a reverse.
    """
    ends = torch.stack([masked.block.indices, masked.block.dst])
    pairs = ends.amin(dim=0) * masked.nodes.numel() + ends.amax(dim=0)
    kept, pair = torch.unique(pairs, return_inverse=True)
    highest = torch.full((kept.numel(),), -torch.inf).scatter_reduce(0, pair, scores, "amax")
    return highest[pair]


def _gradient(masked: MaskedModel, score: Score, is_class: bool, seed: int) -> Tuple[Tensor, Tensor]:
    """Size of the gradient at the graph itself."""
    edges, features = _gradients(masked, score, 1.0)
    return edges.abs(), features.abs().sum(dim=0)


def _integrated(masked: MaskedModel, score: Score, is_class: bool, seed: int) -> Tuple[Tensor, Tensor]:
    """The mean gradient on the straight path from no edges and features of 0, times what lies between."""
    edges = torch.zeros(masked.block.num_edges)
    features = torch.zeros_like(masked.x) if masked.reads_features else torch.zeros(0, 0)
    for step in range(_STEPS):
        found = _gradients(masked, score, (step + 0.5) / _STEPS)
        edges, features = edges + found[0] / _STEPS, features + found[1] / _STEPS
    return edges, (features * masked.x if masked.reads_features else features).sum(dim=0)


def _gradients(masked: MaskedModel, score: Score, share: float) -> Tuple[Tensor, Tensor]:
    """Gradients with respect to edge masks and features that are a share of the whole."""
    mask = torch.full((masked.block.num_edges,), share, requires_grad=True)
    if not masked.reads_features:
        (edges,) = torch.autograd.grad(score(masked.outputs(mask)), [mask])
        return edges, torch.zeros(0, 0)
    x = (masked.x * share).requires_grad_()
    edges, features = torch.autograd.grad(score(masked.outputs(mask, x)), [mask, x])
    return edges, features


def _gnn_explainer(masked: MaskedModel, score: Score, is_class: bool, seed: int) -> Tuple[Tensor, Tensor]:
    """Masks of edges and of features that keep the prediction and cost little."""
    random = torch.Generator().manual_seed(seed)
    spread = 2.0 / (2 * masked.nodes.numel()) ** 0.5
    edges = (torch.randn(masked.block.num_edges, generator=random) * spread).requires_grad_()
    width = masked.x.shape[1] if masked.reads_features else 0
    features = (torch.randn(width, generator=random) * 0.1).requires_grad_()
    with torch.no_grad():
        whole = score(masked.outputs())
    optimizer = torch.optim.Adam([edges, features], lr=_LR)
    for _ in range(_EPOCHS):
        optimizer.zero_grad()
        edge_mask, feature_mask = edges.sigmoid(), features.sigmoid()
        x = masked.x * feature_mask if width else None
        found = score(masked.outputs(edge_mask, x))
        loss = -found if is_class else (found - whole) ** 2
        free = edge_mask[masked.is_free]
        loss = loss + _EDGE_SIZE * free.sum() + _EDGE_ENTROPY * _entropy(free)
        if width:
            loss = loss + _FEATURE_SIZE * feature_mask.mean() + _FEATURE_ENTROPY * _entropy(feature_mask)
        loss.backward()
        optimizer.step()
    return edges.detach().sigmoid(), features.detach().sigmoid()


def _entropy(mask: Tensor) -> Tensor:
    """Mean entropy of values between 0 and 1; 0 for none."""
    if not mask.numel():
        return mask.sum()
    tiny = 1e-15
    return (-mask * (mask + tiny).log() - (1 - mask) * (1 - mask + tiny).log()).mean()


Method = Callable[[MaskedModel, Score, bool, int], Tuple[Tensor, Tensor]]
METHODS: Dict[str, Method] = {
    "gradient": _gradient,
    "integrated_gradients": _integrated,
    "gnn_explainer": _gnn_explainer,
}
"""How nodes are explained, by name."""
