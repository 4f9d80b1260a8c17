"""Whether layers give one row for each destination, which a whole graph cannot tell.

Rules: on a whole graph every node is source and destination, so a layer that gives a row for each source looks right;
a block of three sources and two destinations shows it. Layers are tried as copies, so that nothing of it stays.
"""

from __future__ import annotations

import copy
from typing import Any, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Block
from gnnkit.errors import ConfigError
from gnnkit.nn.failures import OUT_OF_MEMORY
from gnnkit.nn.generator import forked_generator
from gnnkit.nn.gnn import GNN
from gnnkit.nn.message_passing import MessagePassing


def check_layers(model: GNN, *, weighted: bool, sampled: bool) -> None:
    """Refuse custom layers that do not give one row for each destination.

    Args:
        model: With layers of whatever kind.
        weighted: Whether edges will have weights.
        sampled: Whether blocks will have fewer destinations than sources. Only then is a layer refused that runs on a
            whole graph alone.

    Raises:
        ConfigError: A layer is refused.
    """
    for i, layer in enumerate(model.convs):
        spec = model.spec.conv_spec(i)
        name = f"Layer {i} ({type(layer).__module__}:{type(layer).__qualname__})"
        error, out = _tried(model, layer, spec.in_channels, 2, weighted)
        if error is not None:
            if sampled and _tried(model, layer, spec.in_channels, 3, weighted)[0] is None:
                raise ConfigError(
                    f"{name} fails where there are fewer destinations than sources, as in sampled batches: "
                    f"{type(error).__name__}: {error}. h_src has a row for each source, and h_dst one for each "
                    "destination; return one row for each destination."
                ) from error
            continue
        received = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        # The width of a layer that was put in by hand is a matter between it and its neighbours.
        is_known = isinstance(layer, MessagePassing)
        if not isinstance(received, list) or received[:1] != [2] or (is_known and received[1:] != [spec.out_width]):
            raise ConfigError(
                f"{name} gives {received} for a block of 3 sources and 2 destinations, expected "
                f"{[2, spec.out_width]}: one row for each destination. Destinations come first among the sources, and "
                "h_dst has their features."
            )


def _tried(model: GNN, layer: nn.Module, width: int, num_dst: int, weighted: bool) -> Tuple[Any, Any]:
    """The error or the output of a layer on three nodes, of which the first are destinations."""
    first = next(model.parameters(), torch.empty(0))
    indptr = torch.tensor([0, 3, 5, 6], device=first.device)[: num_dst + 1]
    edges = torch.tensor([0, 1, 2, 1, 2, 2], device=first.device)[: int(indptr[-1])]
    weight = torch.ones(len(edges), dtype=first.dtype, device=first.device) if weighted else None
    attr = None
    if model.spec.edge_channels is not None:
        attr = torch.ones(len(edges), model.spec.edge_channels, dtype=first.dtype, device=first.device)
    block = Block(indptr, edges, 3, weight, edge_attr=attr)
    h = torch.linspace(0.5, 1.5, 3 * width, dtype=first.dtype, device=first.device).reshape(3, width)
    with torch.no_grad(), forked_generator():
        try:
            return None, copy.deepcopy(layer).eval()(model.backend.lower(block), h, h[:num_dst])
        except OUT_OF_MEMORY:
            raise
        except Exception as error:  # A custom layer may fail in any way.
            return error, None
