"""The state of PyTorch Geometric's own layers, as users of the library have it in their models.

Rules: what a layer lacks against the standard one is 0 where that is exact (no bias, no root weight); whatever it has
beyond it is refused with the reason. Layers run with the library's defaults: GCN and
attention add their own self-loops.
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from gnnkit.backends import LayerState, attention_spec, read_gin
from gnnkit.data import Graph
from gnnkit.nn import ConvSpec, mlp_width
from gnnkit_pyg.layers import LAYERS

_CLASSES = {"gcn": "GCNConv", "sage": "SAGEConv", "gat": "GATConv", "gatv2": "GATv2Conv", "gin": "GINConv"}
_EDGES = "it reads edge features, the standard layer does not"
_RESIDUAL = "it has a residual connection of its own"


def read(
    kind: str, state: Mapping[str, Tensor], concat: bool, aggregation: Optional[str]
) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    """See :meth:`gnnkit.backends.Backend.read_layer`."""
    layer = LayerState(state, f"a {_CLASSES[kind]} of PyTorch Geometric")
    for name, reason in (("lin_edge.weight", _EDGES), ("att_edge", _EDGES), ("res.weight", _RESIDUAL)):
        layer.refuse(name, reason)
    spec, values = _READERS[kind](layer, concat, aggregation)
    layer.finish()
    return spec, values


def _gcn(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    weight = layer.take("lin.weight", 2)
    spec = ConvSpec("gcn", weight.shape[1], weight.shape[0])
    return spec, {"lin.weight": weight, "bias": layer.take_or_zeros("bias", spec.out_channels)}


def _sage(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    weight = layer.take("lin_l.weight", 2)
    spec = ConvSpec("sage", weight.shape[1], weight.shape[0], {"aggregation": aggregation or "mean"})
    own = layer.take_if_there("lin_r.weight")
    values = {
        "lin_neigh.weight": weight,
        "lin_self.weight": torch.zeros_like(weight) if own is None else own,
        "bias": layer.take_or_zeros("lin_l.bias", spec.out_channels),
    }
    if spec.options.aggregation == "max":
        if "lin.weight" not in layer:
            raise layer.refusal(
                "it takes the maximum without the projection (project=True) that max-pool has before it"
            )
        values["lin_pool.weight"] = layer.take("lin.weight", 2)
        values["lin_pool.bias"] = layer.take("lin.bias", 1)
    layer.refuse("lin.weight", "it projects its neighbours, which the standard layer does for aggregation 'max' alone")
    return spec, values


def _attention_spec(kind: str, att: Tensor, width: int, bias: Optional[Tensor], concat: bool) -> ConvSpec:
    heads, out = att.shape[-2:]
    if bias is not None and heads > 1:
        concat = bias.numel() == heads * out
    return attention_spec(kind, width, out, heads, concat)


def _gat(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    # Before release 2.6 both sides had names of their own for one matrix.
    name = "lin.weight" if "lin.weight" in layer else "lin_src.weight"
    weight, att, bias = layer.take(name, 2), layer.take("att_src", 3), layer.take_if_there("bias")
    other = layer.take_if_there("lin_dst.weight")
    if other is not None and not torch.equal(other, weight):
        raise layer.refusal("it has one matrix for sources and another for destinations")
    spec = _attention_spec("gat", att, weight.shape[1], bias, concat)
    return spec, {
        "lin.weight": weight,
        "att_src": att[0],
        "att_dst": layer.take("att_dst", 3)[0],
        "bias": _or_zeros(bias, spec.out_width),
    }


def _gatv2(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    att, bias, src = layer.take("att", 3), layer.take_if_there("bias"), layer.take("lin_l.weight", 2)
    spec = _attention_spec("gatv2", att, src.shape[1], bias, concat)
    return spec, {
        "lin_src.weight": src,
        "lin_src.bias": layer.take_or_zeros("lin_l.bias", src.shape[0]),
        "lin_dst.weight": layer.take("lin_r.weight", 2),
        "lin_dst.bias": layer.take_or_zeros("lin_r.bias", src.shape[0]),
        "att": att[0],
        "bias": _or_zeros(bias, spec.out_width),
    }


def _gin(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    return read_gin(layer, "nn")


_Reader = Callable[[LayerState, bool, Optional[str]], Tuple[ConvSpec, Dict[str, Tensor]]]
_READERS: Mapping[str, _Reader] = {"gcn": _gcn, "sage": _sage, "gat": _gat, "gatv2": _gatv2, "gin": _gin}


def _or_zeros(value: Optional[Tensor], width: int) -> Tensor:
    return torch.zeros(width) if value is None else value


def write(spec: ConvSpec, values: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """See :meth:`gnnkit.backends.Backend.write_layer`."""
    wrapper = LAYERS[spec.kind](spec).to(next(iter(values.values())).dtype)
    places = wrapper.parameter_map(spec)
    assert set(places) == set(spec.parameters), "every parameter has a place"
    state = wrapper.state_dict()
    for name, place in places.items():
        state[place.name].copy_(
            place.to_native(values[name])
        )  # In place: older GATConv have one matrix under two names.
    return {name[len("conv.") :]: value.detach().clone() for name, value in state.items()}


def apply(spec: ConvSpec, state: Mapping[str, Tensor], graph: Graph, h: Tensor) -> Tensor:
    """See :meth:`gnnkit.backends.Backend.apply_layer`."""
    layer = _layer(spec, state).to(h.dtype)
    layer.load_state_dict(dict(state))
    layer.eval()
    with torch.no_grad():
        if spec.kind == "gcn":
            out: Tensor = layer(h, graph.edge_index, graph.edge_weight)
        else:
            out = layer(h, graph.edge_index)
    return out


def _layer(spec: ConvSpec, state: Mapping[str, Tensor]) -> nn.Module:
    sizes, has_bias = (spec.in_channels, spec.out_channels), "bias" in state
    if spec.kind == "gcn":
        return pyg.GCNConv(*sizes, bias=has_bias)  # type: ignore[no-any-return]
    if spec.kind == "sage":
        return pyg.SAGEConv(  # type: ignore[no-any-return]
            *sizes,
            aggr=spec.options.aggregation,
            project="lin.weight" in state,
            root_weight="lin_r.weight" in state,
            bias="lin_l.bias" in state,
        )
    if spec.kind == "gin":
        has_biases = "nn.0.bias" in state, "nn.2.bias" in state
        first = nn.Linear(spec.in_channels, mlp_width(spec), bias=has_biases[0])
        last = nn.Linear(mlp_width(spec), spec.out_channels, bias=has_biases[1])
        return pyg.GINConv(nn.Sequential(first, nn.ReLU(), last))  # type: ignore[no-any-return]
    cls = pyg.GATConv if spec.kind == "gat" else pyg.GATv2Conv
    return cls(*sizes, heads=spec.heads, concat=spec.concat, bias=has_bias)  # type: ignore[no-any-return]
