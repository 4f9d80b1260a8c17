"""Layers of PyG whose own forward has shapes that depend on data, in a form of fixed shape.

Rules: each function computes what the layer's own forward computes, on the layer's own parameters. PopTorch Geometric
swaps the same layers.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

import torch
from torch import Tensor


def _hetero_linear(layer: Any, x: Tensor, type_vec: Tensor) -> Tensor:
    """Every type's product for every row; each row keeps its own type's."""
    out = torch.einsum("ni,tio->nto", x, layer.weight)
    if layer.bias is not None:
        out = out + layer.bias
    index = type_vec.view(-1, 1, 1).expand(-1, 1, out.size(-1))
    return out.gather(1, index).squeeze(1)


def _mf_conv(layer: Any, x: Any, edge_index: Tensor, size: Any = None) -> Tensor:
    """Every degree's product for every node; each node keeps its own degree's."""
    x = (x, x) if isinstance(x, Tensor) else x
    source, target = x
    num_nodes = (target if target is not None else source).size(0)
    index = edge_index[1 if layer.flow == "source_to_target" else 0]
    degree = torch.zeros(num_nodes, dtype=torch.long, device=index.device)
    degree = degree.scatter_add(0, index, torch.ones_like(index)).clamp(max=layer.max_degree)
    neighbours = layer.propagate(edge_index, x=x, size=size if size is not None else (source.size(0), num_nodes))
    out = torch.stack([left(neighbours) for left in layer.lins_l], dim=1)
    if target is not None:
        out = out + torch.stack([right(target) for right in layer.lins_r], dim=1)
    return out.gather(1, degree.view(-1, 1, 1).expand(-1, 1, out.size(-1))).squeeze(1)


def _cluster_gcn_conv(layer: Any, x: Tensor, edge_index: Tensor) -> Tensor:
    """Existing self-loops get weight 0 and one self-loop per node is appended."""
    num_nodes = x.size(0)
    row, col = edge_index[0], edge_index[1]
    kept = torch.ones(row.size(0), dtype=x.dtype, device=x.device)
    if layer.add_self_loops:
        kept = torch.where(row == col, torch.zeros_like(kept), kept)
        loops = torch.arange(num_nodes, device=row.device)
        row, col = torch.cat([row, loops]), torch.cat([col, loops])
        edge_index = torch.stack([row, col])
        kept = torch.cat([kept, torch.ones(num_nodes, dtype=x.dtype, device=x.device)])
    degree = torch.zeros(num_nodes, dtype=x.dtype, device=x.device).scatter_add(0, col, kept)
    inverse = 1.0 / degree.clamp(min=1.0)
    weight = inverse[col] * kept
    weight = torch.where(row == col, weight + layer.diag_lambda * inverse[col] * kept, weight)
    out: Tensor = layer.lin_out(layer.propagate(edge_index, x=x, edge_weight=weight, size=None))
    root: Tensor = layer.lin_root(x)
    return out + root


def _forwards() -> Dict[Any, Callable[..., Any]]:
    from torch_geometric.nn import ClusterGCNConv, HeteroLinear, MFConv

    return {HeteroLinear: _hetero_linear, MFConv: _mf_conv, ClusterGCNConv: _cluster_gcn_conv}


@contextmanager
def replaced_layers() -> Iterator[None]:
    """Let the layers above run in their form of fixed shape."""
    forwards = _forwards()
    own = {kind: kind.forward for kind in forwards}
    for kind, forward in forwards.items():
        kind.forward = forward
    try:
        yield
    finally:
        for kind, forward in own.items():
            kind.forward = forward
