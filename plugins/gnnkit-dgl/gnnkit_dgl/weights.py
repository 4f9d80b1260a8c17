"""The state of DGL's own layers, as users of the library have it in their models.

Rules: what a layer lacks against the standard one is 0 where that is exact; whatever it has beyond it is refused with
the reason. Heads are joined by the user's own code in DGL: concatenated between layers, averaged at the output. Layers
run on a graph with self-loops where the standard layer has them, as DGL demands of its users.

DGL's biases of attention are others than the standard ones. GATConv has one per head, also where heads are averaged:
the average's bias is the mean of them. GATv2Conv has none after the sum, but attention adds up to 1, so a bias there is
the same as one of every source; taken back from every destination it leaves the scores as they were.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.backends import LayerState, attention_spec, read_gin
from gnnkit.data import Graph, add_self_loops
from gnnkit.nn import ConvSpec, mlp_width
from gnnkit_dgl.compat import import_dgl
from gnnkit_dgl.convert import to_dgl
from gnnkit_dgl.layers import LAYERS

_CLASSES = {"gcn": "GraphConv", "sage": "SAGEConv", "gat": "GATConv", "gatv2": "GATv2Conv", "gin": "GINConv"}
_RESIDUAL = "it has a residual connection of its own"


def read(
    kind: str, state: Mapping[str, Tensor], concat: bool, aggregation: Optional[str]
) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    """See :meth:`gnnkit.backends.Backend.read_layer`."""
    layer = LayerState(state, f"a {_CLASSES[kind]} of DGL")
    layer.refuse("res_fc.weight", _RESIDUAL)
    spec, values = _READERS[kind](layer, concat, aggregation)
    layer.finish()
    return spec, values


def _gcn(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    weight = layer.take("weight", 2).t()
    spec = ConvSpec("gcn", weight.shape[1], weight.shape[0])
    return spec, {"lin.weight": weight, "bias": layer.take_or_zeros("bias", spec.out_channels)}


def _sage(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    layer.refuse("lstm.weight_ih_l0", "it aggregates with an LSTM, the standard layer with mean or max-pool")
    if "fc_self.weight" not in layer:
        raise layer.refusal("it has no 'fc_self': its aggregator 'gcn' takes a node for one of its own neighbours")
    weight, own = layer.take("fc_neigh.weight", 2), layer.take("fc_self.weight", 2)
    is_pool = "fc_pool.weight" in layer
    if aggregation is not None and (aggregation == "max") != is_pool:
        raise layer.refusal(f"its aggregator is {'pool' if is_pool else 'mean'!r}, but {aggregation!r} was asked for")
    spec = ConvSpec("sage", weight.shape[1], weight.shape[0], {"aggregation": "max" if is_pool else "mean"})
    bias = "bias" if "bias" in layer else "fc_self.bias"  # Releases before 2.0 keep it on its own.
    values = {
        "lin_neigh.weight": weight,
        "lin_self.weight": own,
        "bias": layer.take_or_zeros(bias, spec.out_channels),
    }
    if is_pool:
        values["lin_pool.weight"], values["lin_pool.bias"] = layer.take("fc_pool.weight", 2), layer.take("fc_pool.bias")
    return spec, values


def _gat(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    layer.refuse("fc_src.weight", "it has one matrix for sources and another for destinations")
    weight, att = layer.take("fc.weight", 2), layer.take("attn_l", 3)[0]
    spec = attention_spec("gat", weight.shape[1], att.shape[1], att.shape[0], concat)
    bias = layer.take_or_zeros("bias", weight.shape[0])
    return spec, {
        "lin.weight": weight,
        "att_src": att,
        "att_dst": layer.take("attn_r", 3)[0],
        "bias": bias if concat else bias.reshape(spec.heads, -1).mean(0),
    }


def _gatv2(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    src, att = layer.take("fc_src.weight", 2), layer.take("attn", 3)[0]
    spec = attention_spec("gatv2", src.shape[1], att.shape[1], att.shape[0], concat)
    return spec, {
        "lin_src.weight": src,
        "lin_src.bias": layer.take_or_zeros("fc_src.bias", src.shape[0]),
        "lin_dst.weight": layer.take("fc_dst.weight", 2),
        "lin_dst.bias": layer.take_or_zeros("fc_dst.bias", src.shape[0]),
        "att": att,
        "bias": torch.zeros(spec.out_width),
    }


def _gin(layer: LayerState, concat: bool, aggregation: Optional[str]) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    return read_gin(layer, "apply_func")


_Reader = Callable[[LayerState, bool, Optional[str]], Tuple[ConvSpec, Dict[str, Tensor]]]
_READERS: Mapping[str, _Reader] = {"gcn": _gcn, "sage": _sage, "gat": _gat, "gatv2": _gatv2, "gin": _gin}


def write(spec: ConvSpec, values: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """See :meth:`gnnkit.backends.Backend.write_layer`."""
    values = dict(values)
    if spec.kind == "gatv2":
        bias = _per_head(spec, values["bias"])
        values["lin_src.bias"] = values["lin_src.bias"] + bias
        values["lin_dst.bias"] = values["lin_dst.bias"] - bias
    wrapper = LAYERS[spec.kind](spec)
    places = wrapper.parameter_map(spec)
    written = {place.name: place.to_native(values[name]) for name, place in places.items()}
    state = {name: written.get(name, value).detach().clone() for name, value in wrapper.state_dict().items()}
    own = {name[len("conv.") :]: value for name, value in state.items() if name.startswith("conv.")}
    if spec.kind == "gat":
        own["bias"] = _per_head(spec, values["bias"]).detach().clone()
    return own


def _per_head(spec: ConvSpec, bias: Tensor) -> Tensor:
    """A bias of the joined heads as one of each head. Shape [out_width] to [heads * out_channels]."""
    return bias if spec.concat else bias.repeat(spec.heads)


def apply(spec: ConvSpec, state: Mapping[str, Tensor], graph: Graph, h: Tensor) -> Tensor:
    """See :meth:`gnnkit.backends.Backend.apply_layer`."""
    native = to_dgl(add_self_loops(graph) if spec.convolution.self_loops else graph)
    if spec.kind == "sage" and "bias" in state:  # As releases before 2.0 have it.
        state = {"fc_self.bias" if name == "bias" else name: value for name, value in state.items()}
    layer = _layer(spec, state).to(h.dtype)
    layer.load_state_dict(dict(state))
    layer.eval()
    with torch.no_grad():
        out: Tensor = layer(native, h)
    if spec.has_heads:
        out = out.flatten(1) if spec.concat else out.mean(1)
    return out


def _layer(spec: ConvSpec, state: Mapping[str, Tensor]) -> nn.Module:
    import_dgl()
    import dgl.nn

    sizes = spec.in_channels, spec.out_channels
    layer: Any
    if spec.kind == "gcn":
        layer = dgl.nn.GraphConv(*sizes, norm="both", bias="bias" in state)
    elif spec.kind == "sage":
        aggregator = {"mean": "mean", "max": "pool"}[spec.options.aggregation]
        layer = dgl.nn.SAGEConv(*sizes, aggregator, bias="fc_self.bias" in state)
    elif spec.kind == "gin":
        first = nn.Linear(spec.in_channels, mlp_width(spec), bias="apply_func.0.bias" in state)
        last = nn.Linear(mlp_width(spec), spec.out_channels, bias="apply_func.2.bias" in state)
        layer = dgl.nn.GINConv(nn.Sequential(first, nn.ReLU(), last), "sum")
    elif spec.kind == "gat":
        layer = dgl.nn.GATConv(*sizes, spec.heads, bias="bias" in state)
    else:
        layer = dgl.nn.GATv2Conv(*sizes, spec.heads, bias="fc_src.bias" in state)
    module: nn.Module = layer
    return module
