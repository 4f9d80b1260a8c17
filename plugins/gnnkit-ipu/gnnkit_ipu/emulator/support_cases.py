"""One small use of every PyG layer in the documented table, for comparing the emulator's judgement with it.

Rules: a case is a function that builds the layer and the names of its arguments in :data:`INPUTS`; sizes that fixed
shapes need (``dim_size`` and its kin) are given, as the table asks for.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, NamedTuple, Tuple

import torch
from torch import Tensor, nn

_G = torch.Generator().manual_seed(0)
_EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2, 4, 1], [1, 2, 3, 4, 5, 0, 3, 5, 1, 4]])

#: Arguments by name: 6 nodes with 8 features, 10 edges with 4, 2 graphs, 3-dimensional positions.
INPUTS: Dict[str, Any] = {
    "x": torch.randn(6, 8, generator=_G),
    "edge_index": _EDGES,
    "edge_weight": torch.rand(10, generator=_G),
    "edge_attr": torch.rand(10, 4, generator=_G),
    "pseudo": torch.rand(10, 3, generator=_G),
    "edge_type": torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0, 1]),
    "type_zero": torch.zeros(10, dtype=torch.long),
    "node_type": torch.tensor([0, 1, 0, 1, 0, 1]),
    "pos": torch.randn(6, 3, generator=_G),
    "normal": torch.randn(6, 3, generator=_G),
    "batch": torch.tensor([0, 0, 0, 1, 1, 1]),
    "ptr": torch.tensor([0, 3, 6]),
    "history": torch.randn(6, 2, 8, generator=_G),
    "dense": torch.randn(2, 3, 8, generator=_G),
    "adj": torch.ones(2, 3, 3),
    "assign": torch.randn(2, 3, 2, generator=_G),
    "colour": torch.tensor([0, 1, 2, 0, 1, 2]),
    "value": torch.rand(6, generator=_G),
    "head": torch.tensor([0, 1, 2]),
    "rel": torch.tensor([0, 1, 0]),
    "tail": torch.tensor([3, 4, 5]),
    "x_dict": {"a": torch.randn(6, 8, generator=_G), "b": torch.randn(6, 8, generator=_G)},
    "edge_dict": {("a", "to", "b"): _EDGES, ("b", "to", "a"): _EDGES},
}
_METADATA = (["a", "b"], [("a", "to", "b"), ("b", "to", "a")])


class Case(NamedTuple):
    """One use of a layer.

    Attributes:
        make: Builds the layer or takes the function.
        inputs: Names of its tensors in :data:`INPUTS`.
        settings: Further arguments by name.
    """

    make: Callable[[Any], Any]
    inputs: Tuple[str, ...]
    settings: Dict[str, Any]


def _lin(width: int = 8, out: int = 4) -> nn.Module:
    return nn.Linear(width, out)


_G2, _LOOP = ("x", "edge_index"), {"add_self_loops": False}
_AGGR, _SIZE = ("x", "batch"), {"dim_size": 2}
_PAD = {"dim_size": 2, "max_num_elements": 3}


def _case(make: Callable[[Any], Any], inputs: Any = _G2, **settings: Any) -> Case:
    return Case(make, tuple(inputs), settings)


def _plain(name: str, *args: Any, inputs: Any = _G2, call: Any = None, **kwargs: Any) -> Case:
    return Case(lambda g: getattr(g, name)(*args, **kwargs), tuple(inputs), call or {})


CASES: Dict[str, Case] = {
    "Linear": _plain("Linear", 8, 4, inputs=["x"]),
    "HeteroLinear": _plain("HeteroLinear", 8, 4, 2, inputs=["x", "node_type"]),
    "Sequential": _case(lambda g: g.Sequential("x, e", [(g.SAGEConv(8, 4), "x, e -> x")])),
    "SimpleConv": _plain("SimpleConv"),
    "ChebConv": _plain("ChebConv", 8, 4, K=2),
    "SAGEConv": _plain("SAGEConv", 8, 4),
    "GraphConv": _plain("GraphConv", 8, 4),
    "GatedGraphConv": _plain("GatedGraphConv", 8, 2),
    "ResGatedGraphConv": _plain("ResGatedGraphConv", 8, 4),
    "TransformerConv": _plain("TransformerConv", 8, 4),
    "TAGConv": _plain("TAGConv", 8, 4),
    "GINConv": _case(lambda g: g.GINConv(_lin())),
    "GINEConv": _case(lambda g: g.GINEConv(_lin(), edge_dim=4), [*_G2, "edge_attr"]),
    "ARMAConv": _plain("ARMAConv", 8, 4),
    "APPNP": _plain("APPNP", 2, 0.1, **_LOOP),
    "MFConv": _plain("MFConv", 8, 4),
    "RGCNConv": _plain("RGCNConv", 8, 4, 2, inputs=[*_G2, "edge_type"]),
    "SplineConv": _plain("SplineConv", 8, 4, 3, 2, inputs=[*_G2, "pseudo"]),
    "NNConv": _case(lambda g: g.NNConv(8, 4, _lin(4, 32)), [*_G2, "edge_attr"]),
    "CGConv": _plain("CGConv", 8),
    "EdgeConv": _case(lambda g: g.EdgeConv(_lin(16))),
    "DynamicEdgeConv": _case(lambda g: g.DynamicEdgeConv(_lin(16), 2), ["x"]),
    "XConv": _plain("XConv", 8, 4, 3, 2, inputs=["x", "pos"]),
    "HypergraphConv": _plain("HypergraphConv", 8, 4, call={"num_edges": 6}),
    "LEConv": _plain("LEConv", 8, 4),
    "PNAConv": _case(lambda g: g.PNAConv(8, 4, ["mean", "max"], ["identity"], torch.tensor([1, 3, 2]))),
    "ClusterGCNConv": _plain("ClusterGCNConv", 8, 4),
    "PANConv": _plain("PANConv", 8, 4, 2),
    "WLConv": _case(lambda g: g.WLConv(), ["colour", "edge_index"]),
    "WLConvContinuous": _plain("WLConvContinuous"),
    "SuperGATConv": _plain("SuperGATConv", 8, 4, **_LOOP),
    "GeneralConv": _plain("GeneralConv", 8, 4),
    "HGTConv": _plain("HGTConv", 8, 4, _METADATA, inputs=["x_dict", "edge_dict"]),
    "HeteroConv": _case(lambda g: g.HeteroConv({t: g.SAGEConv(8, 4) for t in _METADATA[1]}), ["x_dict", "edge_dict"]),
    "LGConv": _plain("LGConv"),
    "PointGNNConv": _case(lambda g: g.PointGNNConv(_lin(8, 3), _lin(11), _lin(4, 8)), ["x", "pos", "edge_index"]),
    "GPSConv": _case(lambda g: g.GPSConv(8, g.SAGEConv(8, 8), heads=1)),
    "RGATConv": _plain("RGATConv", 8, 4, 2, attention_mechanism="across-relation", inputs=[*_G2, "edge_type"]),
    "FiLMConv": _plain("FiLMConv", 8, 4),
    "GCNConv": _plain("GCNConv", 8, 4, **_LOOP),
    "GravNetConv": _plain("GravNetConv", 8, 4, 3, 4, 2, inputs=["x"]),
    "GATConv": _plain("GATConv", 8, 4, **_LOOP),
    "FusedGATConv": _case(lambda g: g.FusedGATConv(8, 4, **_LOOP)),
    "GATv2Conv": _plain("GATv2Conv", 8, 4, **_LOOP),
    "AGNNConv": _plain("AGNNConv", **_LOOP),
    "SGConv": _plain("SGConv", 8, 4, **_LOOP),
    "SSGConv": _plain("SSGConv", 8, 4, alpha=0.1, **_LOOP),
    "FastRGCNConv": _plain("FastRGCNConv", 8, 4, 2, inputs=[*_G2, "edge_type"]),
    "SignedConv": _case(lambda g: _Signed(g.SignedConv(8, 4, True))),
    "DNAConv": _plain("DNAConv", 8, **_LOOP, inputs=["history", "edge_index"]),
    "PointNetConv": _case(lambda g: g.PointNetConv(_lin(11), **_LOOP), ["x", "pos", "edge_index"]),
    "GMMConv": _plain("GMMConv", 8, 4, 3, 2, inputs=[*_G2, "pseudo"]),
    "PPFConv": _case(lambda g: g.PPFConv(_lin(12), **_LOOP), ["x", "pos", "normal", "edge_index"]),
    "FeaStConv": _plain("FeaStConv", 8, 4, **_LOOP),
    "PointTransformerConv": _plain("PointTransformerConv", 8, 4, **_LOOP, inputs=["x", "pos", "edge_index"]),
    "GENConv": _plain("GENConv", 8, 4),
    "GCN2Conv": _plain("GCN2Conv", 8, 0.1, **_LOOP, inputs=["x", "x", "edge_index"]),
    "FAConv": _plain("FAConv", 8, **_LOOP, inputs=["x", "x", "edge_index"]),
    "EGConv": _plain("EGConv", 8, 8, **_LOOP),
    "PDNConv": _plain("PDNConv", 8, 4, 4, 8, **_LOOP, inputs=[*_G2, "edge_attr"]),
    "HEATConv": _plain("HEATConv", 8, 4, 2, 2, 3, 4, 4, inputs=[*_G2, "node_type", "edge_type", "edge_attr"]),
    "HANConv": _plain("HANConv", 8, 4, _METADATA, inputs=["x_dict", "edge_dict"]),
    "AntiSymmetricConv": _case(lambda g: g.AntiSymmetricConv(8, phi=g.GCNConv(8, 8, **_LOOP))),
    **{
        f"{n}Aggregation": _plain(f"{n}Aggregation", inputs=_AGGR, call=_SIZE)
        for n in ("Sum", "Mean", "Max", "Min", "Mul", "Var", "Std", "Softmax", "PowerMean", "Median")
    },
    "MultiAggregation": _plain("MultiAggregation", ["sum", "max"], inputs=_AGGR, call=_SIZE),
    "DeepSetsAggregation": _case(lambda g: g.DeepSetsAggregation(_lin(), _lin(4)), _AGGR, **_SIZE),
    "AttentionalAggregation": _case(lambda g: g.AttentionalAggregation(_lin(8, 1)), _AGGR, **_SIZE),
    "Set2Set": _plain("Set2Set", 8, 2, inputs=_AGGR, call=_SIZE),
    "DegreeScalerAggregation": _case(
        lambda g: g.DegreeScalerAggregation(["mean"], ["identity"], torch.tensor([1, 3, 2])), _AGGR, **_SIZE
    ),
    "QuantileAggregation": _plain("QuantileAggregation", 0.5, inputs=_AGGR, call=_SIZE),
    "SortAggregation": _plain("SortAggregation", 2, inputs=_AGGR, call=_PAD),
    "LSTMAggregation": _plain("LSTMAggregation", 8, 4, inputs=_AGGR, call=_PAD),
    "GRUAggregation": _plain("GRUAggregation", 8, 4, inputs=_AGGR, call=_PAD),
    "MLPAggregation": _plain("MLPAggregation", 8, 4, 3, num_layers=1, inputs=_AGGR, call=_SIZE),
    "SetTransformerAggregation": _plain("SetTransformerAggregation", 8, inputs=_AGGR, call=_PAD),
    "GraphMultisetTransformer": _plain("GraphMultisetTransformer", 8, 2, inputs=_AGGR, call=_PAD),
    "EquilibriumAggregation": _plain("EquilibriumAggregation", 8, 4, [4], inputs=_AGGR, call=_SIZE),
    "BatchNorm": _plain("BatchNorm", 8, inputs=["x"]),
    "HeteroBatchNorm": _plain("HeteroBatchNorm", 8, 2, inputs=["x", "node_type"]),
    "HeteroLayerNorm": _plain("HeteroLayerNorm", 8, 2, inputs=["x", "node_type"]),
    **{n: _plain(n, 8, inputs=_AGGR, call={"batch_size": 2}) for n in ("InstanceNorm", "GraphNorm", "LayerNorm")},
    "GraphSizeNorm": _plain("GraphSizeNorm", inputs=_AGGR, call={"batch_size": 2}),
    "PairNorm": _plain("PairNorm", inputs=_AGGR, call={"batch_size": 2}),
    "MeanSubtractionNorm": _plain("MeanSubtractionNorm", inputs=_AGGR, call=_SIZE),
    "MessageNorm": _plain("MessageNorm", inputs=["x", "x"]),
    "DiffGroupNorm": _plain("DiffGroupNorm", 8, 2, inputs=["x"]),
    **{
        n: _case(lambda g, n=n: getattr(g, n), _AGGR, size=2)  # type: ignore[misc]
        for n in ("global_add_pool", "global_mean_pool", "global_max_pool")
    },
    "TopKPooling": _plain("TopKPooling", 8),
    "PANPooling": _case(lambda g: _PanPool(g)),
    "SAGPooling": _plain("SAGPooling", 8),
    "EdgePooling": _plain("EdgePooling", 8, inputs=[*_G2, "batch"]),
    "ASAPooling": _plain("ASAPooling", 8),
    "MemPooling": _plain("MemPooling", 8, 4, 2, 2, inputs=_AGGR, call={"batch_size": 2, "max_num_nodes": 3}),
    "max_pool_x": _case(lambda g: g.max_pool_x, ["colour", "x", "batch"], batch_size=2, size=2),
    "avg_pool_x": _case(lambda g: g.avg_pool_x, ["colour", "x", "batch"], batch_size=2, size=2),
    "graclus": _case(lambda g: g.graclus, ["edge_index"]),
    "voxel_grid": _case(lambda g: g.voxel_grid, ["pos"], size=1.0, start=0.0, end=1.0),
    "fps": _case(lambda g: g.fps, ["pos"]),
    "knn": _case(lambda g: g.knn, ["pos", "pos"], k=2),
    "knn_graph": _case(lambda g: g.knn_graph, ["pos"], k=2, loop=True),
    "radius": _case(lambda g: g.radius, ["pos", "pos"], r=1.0, batch_size=1),
    "radius_graph": _case(lambda g: g.radius_graph, ["pos"], r=1.0, batch_size=1),
    "nearest": _case(lambda g: g.nearest, ["pos", "pos"]),
    "knn_interpolate": _case(lambda g: g.knn_interpolate, ["x", "pos", "pos"]),
    "consecutive_cluster": _case(lambda g: _pool("consecutive_cluster", "consecutive"), ["colour"]),
    "decimation_indices": _case(lambda g: _pool("decimation_indices", "decimation"), ["ptr"], decimation_factor=2),
    "bro": _case(lambda g: _functional("bro"), _AGGR),
    "gini": _case(lambda g: _functional("gini"), ["x"]),
    "DenseGCNConv": _plain("DenseGCNConv", 8, 4, inputs=["dense", "adj"]),
    "DenseGINConv": _case(lambda g: g.DenseGINConv(_lin()), ["dense", "adj"]),
    "DenseGraphConv": _plain("DenseGraphConv", 8, 4, inputs=["dense", "adj"]),
    "DenseSAGEConv": _plain("DenseSAGEConv", 8, 4, inputs=["dense", "adj"]),
    "DenseGATConv": _plain("DenseGATConv", 8, 4, inputs=["dense", "adj"]),
    "dense_diff_pool": _case(lambda g: g.dense_diff_pool, ["dense", "adj", "assign"]),
    "dense_mincut_pool": _case(lambda g: g.dense_mincut_pool, ["dense", "adj", "assign"]),
    "DMoNPooling": _plain("DMoNPooling", 8, 2, inputs=["dense", "adj"]),
    "PositionalEncoding": _plain("PositionalEncoding", 8, inputs=["value"]),
    "TemporalEncoding": _plain("TemporalEncoding", 8, inputs=["value"]),
    **{n: _plain(n, 6, 2, 4, inputs=["head", "rel", "tail"]) for n in ("TransE", "ComplEx", "DistMult", "RotatE")},
}


def _functional(name: str) -> Any:
    from torch_geometric.nn import functional

    return getattr(functional, name)


def _pool(name: str, module: str) -> Any:
    return getattr(importlib.import_module(f"torch_geometric.nn.pool.{module}"), name)


class _Signed(nn.Module):
    """SignedConv with the same edges for both signs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        """Call the layer."""
        return self.layer(x, edge_index, edge_index)


class _PanPool(nn.Module):
    """PANPooling after the convolution whose result it takes."""

    def __init__(self, g: Any) -> None:
        super().__init__()
        self.layer, self.pool = g.PANConv(8, 8, 2), g.PANPooling(8)

    def forward(self, x: Tensor, edge_index: Tensor) -> Any:
        """Call both."""
        return self.pool(*self.layer(x, edge_index))
