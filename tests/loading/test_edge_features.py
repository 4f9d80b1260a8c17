"""Edge features of blocks are the right rows: sampled, whole, padded, split, packed, and in every way of evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gnnkit
from gnnkit.backends import Backend, build_model, load_backend
from gnnkit.data import Batch, Block, Graph, from_edge_index, full_block
from gnnkit.devices import StepOptions, load_device
from gnnkit.engine.inference import JoinedLayers, make_inference
from gnnkit.errors import ConfigError, DataError
from gnnkit.loading import (
    FullGraphLoader,
    InputReduction,
    NeighborLoader,
    PadSpec,
    batch_sizes,
    pack_graphs,
    pad_graphs,
    plan_padding,
    take_graphs,
)
from gnnkit.nn import CustomModel, ModelSpec
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule, NodeClassification
from gnnkit.train.loaders import input_reduction
from tests.graphs import communities

EXAMPLES = settings(max_examples=40, derandomize=True)


@st.composite
def graphs(draw, weighted: bool = False) -> Graph:
    """Graphs with repeated edges and self-loops; features say which node and which edge they are of."""
    num_nodes = draw(st.integers(1, 10))
    ids = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(ids, ids), max_size=40))
    weight = st.lists(st.integers(0, 3), min_size=len(edges), max_size=len(edges))
    graph = from_edge_index(
        torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T,
        num_nodes,
        x=torch.arange(num_nodes)[:, None].float(),
        y=torch.zeros(num_nodes, dtype=torch.int64),
        edge_weight=torch.tensor(draw(weight)).float() if weighted or draw(st.booleans()) else None,
    )
    return replace(graph, edge_attr=numbered(graph.num_edges))


def numbered(num: int) -> Tensor:
    """Features that tell an edge from all others, and from padding."""
    return torch.stack([torch.arange(num), torch.full((num,), 7)], dim=1).float()


def check_blocks(graph: Graph, batch: Batch, *, repeats: bool = False, rescaled: bool = False) -> None:
    """Refuse a batch whose edge features are not those of its edges. Features of nodes are their ids."""
    names = batch.x[:, 0].long()
    for block in batch.blocks:
        real = torch.ones(block.num_edges, dtype=torch.bool) if block.edge_mask is None else block.edge_mask
        assert not block.edge_attr[~real].any()
        edges = block.edge_attr[real, 0].long()
        assert torch.equal(block.edge_attr[real], graph.edge_attr[edges])
        assert torch.equal(graph.indices[edges], names[block.indices[real]])
        assert torch.equal(graph.dst[edges], names[block.dst[real]])
        taken = set(zip(block.dst[real].tolist(), edges.tolist()))
        assert repeats or len(taken) == len(edges)
        if graph.edge_weight is not None and not rescaled:
            assert torch.equal(block.edge_weight[real], graph.edge_weight[edges])


@given(st.data())
@EXAMPLES
def test_sampled_blocks(data) -> None:
    options = {name: data.draw(st.booleans(), name) for name in ("replace", "weighted", "keep_self_loops", "rescale")}
    options["rescale"] &= not options["weighted"]
    graph = data.draw(graphs(weighted=options["weighted"]))
    fanouts = data.draw(st.lists(st.sampled_from([-1, 1, 2, 3]), min_size=1, max_size=3))
    sampler = NeighborSampler(graph, fanouts, seed=data.draw(st.integers(0, 9)), **options)
    batch_size = data.draw(st.integers(1, graph.num_nodes))
    nodes = torch.arange(graph.num_nodes)
    pad: Optional[PadSpec] = None
    if data.draw(st.booleans()):  # As large as the largest batch of one node: all others are split.
        sizes = [
            batch_sizes(sampler.sample([node], epoch=0, batch=i // batch_size).blocks) for i, node in enumerate(nodes)
        ]
        most = torch.tensor([each.values for each in sizes]).max(dim=0).values + 1
        levels = most[: len(fanouts) + 1].flip(0).cummax(0).values.flip(0)
        pad = PadSpec(tuple(levels.tolist()), tuple(most[len(fanouts) + 1 :].tolist()))
    loaded = {"batch_size": batch_size, "shuffle": False, "pad": pad, "num_threads": 0}
    batches = list(NeighborLoader(graph, nodes, sampler, edge_features=True, **loaded).epoch(0))
    for batch in batches:
        check_blocks(graph, batch, repeats=options["replace"], rescaled=options["rescale"])
    # The same edges as without features.
    for ours, theirs in zip(batches, NeighborLoader(graph, nodes, sampler, **loaded).epoch(0)):
        assert ours.key == theirs.key and torch.equal(ours.x, theirs.x)
        for mine, other in zip(ours.blocks, theirs.blocks):
            assert other.edge_attr is None and other.edge_ids is None
            assert torch.equal(mine.indices, other.indices) and torch.equal(mine.indptr, other.indptr)


@given(graphs(), st.booleans(), st.integers(0, 3))
@EXAMPLES
def test_ids_of_sampled_edges(graph: Graph, replace: bool, seed: int) -> None:
    sampler = NeighborSampler(graph, [2, -1], seed=seed, replace=replace)
    sampled = sampler.sample(range(graph.num_nodes), epoch=0, batch=0, edge_ids=True)
    for block in sampled.blocks:
        assert torch.equal(graph.indices[block.edge_ids], sampled.nodes[block.indices])
        assert torch.equal(graph.dst[block.edge_ids], sampled.nodes[block.dst])


@given(graphs(), st.none() | st.integers(0, 3))
@EXAMPLES
def test_whole_graphs(graph: Graph, extra: Optional[int]) -> None:
    pad = None
    if extra is not None:
        pad = PadSpec((graph.num_nodes + 1 + extra,) * 3, (graph.num_edges + 1 + extra,) * 2)
    loader = FullGraphLoader(graph, None, num_layers=2, pad=pad, edge_features=True)
    check_blocks(graph, next(iter(loader.epoch(0))))


@given(st.lists(graphs(), min_size=1, max_size=4))
@EXAMPLES
def test_packed_graphs(parts) -> None:
    counts = [graph.num_nodes for graph in parts]
    starts = torch.tensor([0, *counts]).cumsum(0)
    edges = [torch.stack([part.indices, part.dst]) + start for part, start in zip(parts, starts)]
    x = torch.arange(int(starts[-1]))[:, None].float()
    record = replace(from_edge_index(torch.cat(edges, dim=1), len(x), x=x), graph_ptr=starts)
    record = replace(record, edge_attr=numbered(record.num_edges))
    most = max(graph.num_edges for graph in parts)
    packing = pack_graphs(record, num_nodes=max(counts) + 3, num_edges=most + 2, num_graphs=3)
    for graphs_of_bin in packing.bins:
        padded = pad_graphs(take_graphs(record, graphs_of_bin), packing.spec)
        block = replace(full_block(padded.graph, edge_features=True), edge_mask=padded.edge_mask)
        check_blocks(record, Batch((block,), padded.graph.x, None, torch.arange(0)))


class Sums(nn.Module):
    """Two layers that add a neighbour's features to those of the edge, written with torch alone."""

    num_layers = 2
    reads_edges = True

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, 4), nn.Linear(4, 3)])
        self.edges = nn.ModuleList([nn.Linear(2, 4), nn.Linear(2, 3)])

    def layer(self, i: int, block: Block, h: Tensor) -> Tensor:
        messages = self.layers[i](h)[block.indices] + self.edges[i](block.edge_attr)
        if block.edge_mask is not None:
            messages = messages * block.edge_mask[:, None]
        return messages.new_zeros(block.num_dst, messages.shape[1]).index_add(0, block.dst, messages)

    def forward(self, blocks, x: Tensor) -> Tensor:
        return self.layer(1, blocks[1], self.layer(0, blocks[0], x).relu())


class InLayers(CustomModel):
    """The same, layer by layer."""

    def layer(self, i: int, block: Block, h: Tensor) -> Tensor:
        out = self.module.layer(i, block, h)
        return out.relu() if i == 0 else out


@pytest.fixture
def graph() -> Graph:
    graph = communities(60)
    attr = torch.randn(graph.num_edges, 2, generator=torch.Generator().manual_seed(1))
    return replace(graph, edge_attr=attr.half())  # Stored in half precision, loaded in float32.


def expected(module: Sums, graph: Graph) -> Tensor:
    block = replace(full_block(graph), edge_attr=graph.edge_attr.float())
    with torch.no_grad():
        return module((block, block), graph.x)


@pytest.mark.parametrize("method", ["full", "layerwise", "sampled"])
def test_every_evaluation_reads_them(method: str, graph: Graph) -> None:
    torch.manual_seed(0)
    module, device = Sums(), load_device("cpu")
    spec = ModelSpec("custom:Sums", 8, 3, edge_channels=2)
    model = JoinedLayers(InLayers(module, spec, load_backend("reference")), [1, 2])
    sampler = NeighborSampler(graph, [-1, -1])
    inference = make_inference(method, model, graph, device, StepOptions(), batch_size=16, sampler=sampler)
    nodes = torch.tensor([5, 0, 59, 5])
    out = inference.layers(nodes)[2] if method == "layerwise" else inference.outputs(nodes)[:, -3:]
    torch.testing.assert_close(out, expected(module, graph)[nodes])


@pytest.mark.parametrize("conv", ["gine", "gatv2"])
def test_evaluations_of_convolutions_agree(backend: Backend, conv: str, graph: Graph) -> None:
    if conv not in backend.capabilities.edge_convs:
        pytest.skip(f"backend {backend.name} declares no edge features of {conv}")
    model = build_model(conv, graph, backend=backend).eval()
    prepared, nodes = model.spec.prepare(graph), torch.arange(60)
    sampler = NeighborSampler(prepared, [-1, -1])
    device, module = load_device("cpu"), LossModule(model, NodeClassification())
    full, *others = (
        make_inference(method, module, prepared, device, StepOptions(), batch_size=16, sampler=sampler).outputs(nodes)
        for method in ("full", "layerwise", "sampled")
    )
    for other in others:
        torch.testing.assert_close(other, full, rtol=1e-5, atol=1e-5)
    shuffled = replace(prepared, edge_attr=prepared.edge_attr.flip(0))
    moved = make_inference("full", module, shuffled, device, StepOptions(), batch_size=16).outputs(nodes)
    assert not torch.allclose(moved, full, atol=1e-3)


@pytest.mark.parametrize("how", [{}, {"fanouts": [-1, -1], "batch_size": 16}], ids=["full", "sampled"])
def test_a_custom_module_that_reads_them_is_trained(how: dict, graph: Graph, tmp_path) -> None:
    torch.manual_seed(0)
    trainer = gnnkit.Trainer(device="cpu", progress=False, epochs=3, lr=0.01, run_dir=tmp_path / "run", **how)
    result = trainer.fit(Sums(), graph)
    opened = gnnkit.open_run(tmp_path / "run", graph=graph, model=Sums(), device="cpu")
    out = opened.predict(graph.splits["test"]).outputs
    torch.testing.assert_close(out, expected(result.model.module, graph)[graph.splits["test"]])
    with pytest.raises(ConfigError, match="reads_edges = True, and the graph has no edge features"):
        gnnkit.Trainer(device="cpu").fit(Sums(), replace(graph, edge_attr=None))


def test_planned_sizes_count_them(graph: Graph) -> None:
    def loader(pad: Optional[PadSpec] = None) -> NeighborLoader:
        sampler = NeighborSampler(graph, [3, 2])
        return NeighborLoader(graph, torch.arange(60), sampler, batch_size=8, shuffle=True, pad=pad, edge_features=True)

    plan = plan_padding(loader(), num_batches=8)
    batch = next(iter(loader(plan.spec).epoch(0)))
    assert plan.bytes_per_batch == sum(tensor.nbytes for tensor in batch.flatten())
    again = batch.layout.unflatten(batch.flatten())
    assert torch.equal(again.blocks[1].edge_attr, batch.blocks[1].edge_attr)


def test_what_cannot_be_is_refused(graph: Graph) -> None:
    plain = replace(graph, edge_attr=None)
    nodes, options = torch.arange(60), {"batch_size": 8, "shuffle": False, "edge_features": True}
    with pytest.raises(DataError, match="has no edge features, and the model reads them"):
        NeighborLoader(plain, nodes, NeighborSampler(plain, [2]), **options)
    with pytest.raises(DataError, match="has no edge features, and the model reads them"):
        FullGraphLoader(plain, nodes, num_layers=1, edge_features=True)
    with pytest.raises(ConfigError, match="exclude each other"):
        NeighborLoader(graph, nodes, NeighborSampler(graph, [2]), reduction=InputReduction("mean"), **options)
    spec = ModelSpec("gine", 8, 3, edge_channels=2)
    assert input_reduction(spec, "auto") is None
    with pytest.raises(ConfigError, match="reads edge features"):
        input_reduction(spec, "always")
