"""Means of each relation made while loading change nothing but rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gnnkit
from gnnkit.data import Batch, Graph, TypedInputs, from_typed
from gnnkit.errors import ConfigError
from gnnkit.loading import InputReduction, NeighborLoader, PadSpec
from gnnkit.nn import GNN
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule, NodeClassification
from gnnkit.tasks.node_types import with_labels_of_type
from gnnkit.train.loaders import input_reduction
from tests.conftest import installed_backends
from tests.typed_graphs import papers

BACKENDS = [name for name in installed_backends("rgcn", "float64") if name != "ipu"]
WIDTHS = {"item": 3, "person": 5, "ghost": 2}
RELATIONS = ("item:cites:item", "person:makes:item", "item:made_by:person", "ghost:haunts:item", "ghost:sees:ghost")
MODELS = {
    "rgcn": {"conv": "rgcn"},
    "bases": {"conv": "rgcn", "num_bases": 2},
    "sum": {"conv": "sage", "relational": "sum"},
    "mean": {"conv": "sage", "relational": "mean", "bias": False},
    "attention": {"conv": "sage", "relational": "attention"},
    "residual": {"conv": "sage", "relational": "sum", "residual": True},
}


def make_graph(counts: dict[str, int], num_edges: int, seed: int, dtype: torch.dtype = torch.float64) -> Graph:
    """Any edges, repeated ones and edges of a node to itself among them."""
    random = torch.Generator().manual_seed(seed)

    def edges(relation: str) -> Tensor:
        src, _, dst = relation.split(":")
        num = num_edges if counts[src] and counts[dst] else 0
        return torch.stack([torch.randint(0, max(counts[end], 1), (num,), generator=random) for end in (src, dst)])

    return from_typed(
        {relation: edges(relation) for relation in RELATIONS},
        num_nodes=counts,
        x={
            name: torch.randn(counts[name], width, generator=random, dtype=torch.float64).to(dtype)
            for name, width in WIDTHS.items()
        },
        y={"item": torch.randint(0, 3, (counts["item"],), generator=random)},
    )


def loader_of(graph: Graph, reduction: InputReduction | None, **options: Any) -> NeighborLoader:
    """Batches of all items."""
    learned = with_labels_of_type(graph, "item")
    assert graph.typed is not None
    nodes = (graph.typed.node_type == 0).nonzero().flatten()
    settings = {"batch_size": 7, "shuffle": True, "num_threads": 0, "reduction": reduction, **options}
    return NeighborLoader(learned, nodes, NeighborSampler(learned, [3, 2]), **settings)


def pairs(graph: Graph, **options: Any) -> Iterator[tuple[Batch, Batch]]:
    """Batches as they are, and reduced."""
    plain, reduced = (loader_of(graph, reduction, **options) for reduction in (None, InputReduction("mean")))
    return zip(plain.epoch(1), reduced.epoch(1))


def results(model: GNN, batch: Batch) -> list[Tensor]:
    """Loss, outputs and gradients."""
    loss, outputs = LossModule(model, NodeClassification()).eval()(batch)
    return [loss, outputs, *torch.autograd.grad(loss, list(model.parameters()), allow_unused=False)]


@pytest.mark.in_turn
@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("backend", BACKENDS)
def test_fused_steps_equal_the_others(backend: str, name: str) -> None:
    whole = {"hidden_channels": 4, "dropout": 0.0, "backend": backend, **MODELS[name]}
    model = gnnkit.build_model(whole.pop("conv"), make_graph({"item": 3, "person": 2, "ghost": 0}, 3, 0), **whole)
    model = model.double()

    @settings(max_examples=6)
    @given(st.integers(1, 20), st.integers(0, 9), st.integers(0, 2), st.integers(0, 40), st.integers(0, 1000))
    def check(items: int, persons: int, ghosts: int, num_edges: int, seed: int) -> None:
        graph = make_graph({"item": items, "person": persons, "ghost": ghosts}, num_edges, seed)
        for plain, reduced in pairs(graph):
            for got, wanted in zip(results(model, reduced), results(model, plain)):
                torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)

    check()


def test_sources_are_the_destinations_and_the_means_of_their_relations() -> None:
    """Against sums in plain Python."""
    graph = make_graph({"item": 30, "person": 20, "ghost": 4}, 90, seed=1)
    for plain, reduced in pairs(graph):
        block, first = plain.blocks[0], reduced.blocks[0]
        assert isinstance(plain.x, TypedInputs) and isinstance(reduced.x, TypedInputs)
        assert first.is_reduced and first.num_dst == block.num_dst and reduced.x.num_nodes == first.num_src
        features, made = rows_of(plain.x), rows_of(reduced.x)
        assert all(torch.equal(a, b) for a, b in zip(made[: block.num_dst], features))
        found = {}
        for edge in range(first.num_edges):
            key = (int(first.dst[edge]), int(first.edge_type[edge]))
            assert key not in found
            found[key] = made[int(first.indices[edge])]
        expected: dict[tuple[int, int], list[Tensor]] = {}
        for edge in range(block.num_edges):
            key = (int(block.dst[edge]), int(block.edge_type[edge]))
            expected.setdefault(key, []).append(features[int(block.indices[edge])])
        assert found.keys() == expected.keys() and len(found) == first.num_src - first.num_dst
        for key, parts in expected.items():
            torch.testing.assert_close(found[key], torch.stack(parts).mean(0), rtol=1e-12, atol=1e-12)


def rows_of(x: TypedInputs) -> list[Tensor]:
    """The features of each node."""
    rows = [row for table in x.tables for row in table]
    return [rows[int(row)] for row in x.rows]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_in_bfloat16_features_come_rounded(dtype: torch.dtype) -> None:
    graph = make_graph({"item": 60, "person": 40, "ghost": 3}, 300, seed=2, dtype=dtype)
    model = gnnkit.build_model("sage", graph, relational="sum", hidden_channels=4, dropout=0.0, backend="reference")
    rounded, wide = (loader_of(graph, InputReduction("mean", rounded=each)).epoch(1) for each in (True, False))
    for batch, expected in zip(rounded, wide):
        for table, other in zip(batch.x.tables, expected.x.tables):
            assert torch.equal(table, other.bfloat16())
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            assert torch.equal(model(batch.blocks, batch.x), model(expected.blocks, expected.x))


def test_memory_mapped_features_and_threads_change_nothing(tmp_path: Any) -> None:
    graph = make_graph({"item": 60, "person": 40, "ghost": 3}, 300, seed=2, dtype=torch.float32)
    mapped = {}
    for name, x in graph.typed.x.items():
        np.save(tmp_path / f"{name}.npy", x.numpy())
        # A memory mapping of no bytes cannot be.
        mapped[name] = torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c" if len(x) else None))
    other = replace(graph, typed=replace(graph.typed, x=mapped))
    expected = list(loader_of(graph, InputReduction("mean")).epoch(1))
    for batch, wanted in zip(loader_of(other, InputReduction("mean"), num_threads=2).epoch(1), expected):
        assert all(torch.equal(a, b) for a, b in zip(batch.x.tensors, wanted.x.tensors))


def test_the_model_decides() -> None:
    graph = make_graph({"item": 9, "person": 4, "ghost": 2}, 20, seed=0)

    def found(name: str, fuse: str = "auto", graph: Graph = graph, **options: Any) -> InputReduction | None:
        static_shapes = options.pop("static_shapes", False)
        spec = gnnkit.build_model(name, graph, **{"hidden_channels": 8, "backend": "reference", **options}).spec
        return input_reduction(spec, fuse, static_shapes=static_shapes)

    assert found("rgcn") == found("sage", relational="sum") == InputReduction("mean")
    assert found("sage", relational="sum", hidden_channels=2) is None, "features are more than twice as wide"
    assert found("sage", "always", relational="sum", hidden_channels=2) is not None
    for name, options, reason in (
        ("hgt", {"heads": 2}, "does not begin with a mean over each relation"),
        ("graphconv", {"relational": "sum"}, "does not begin with a mean over each relation"),
        ("sage", {}, "does not begin with a mean over each relation"),
        ("rgcn", {"input_dropout": 0.5}, "input dropout of 0.5"),
        ("rgcn", {"graph": papers()}, "whose features are numbers"),
        ("rgcn", {"static_shapes": True}, "the device needs fixed shapes"),
    ):
        assert found(name, **options) is None
        with pytest.raises(ConfigError, match=reason):
            found(name, "always", **options)


def test_what_cannot_be_reduced_is_refused() -> None:
    graph = make_graph({"item": 9, "person": 4, "ghost": 2}, 20, seed=0)
    for reduction in (InputReduction("sum"), InputReduction("mean", keep_own=False)):
        with pytest.raises(ConfigError, match="by the mean of each relation alone"):
            loader_of(graph, reduction)
    with pytest.raises(ConfigError, match="reduction and pad exclude each other"):
        loader_of(graph, InputReduction("mean"), pad=PadSpec((64, 32, 16), (64, 32), num_inputs=(32, 32, 32)))


@pytest.mark.in_turn
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_training_is_the_same_with_it(backend: str) -> None:
    """Also where evaluation takes samples."""
    graph = make_graph({"item": 60, "person": 40, "ghost": 3}, 300, seed=2, dtype=torch.float32)
    graph = replace(
        graph,
        typed=replace(
            graph.typed,
            splits={"item": {"train": torch.arange(30), "valid": torch.arange(30, 45), "test": torch.arange(45, 60)}},
        ),
    )
    curves = []
    for fuse in ("never", "always"):
        model = gnnkit.build_model("sage", graph, backend=backend, relational="sum", hidden_channels=8, dropout=0.5)
        trainer = gnnkit.Trainer(
            backend,
            "cpu",
            epochs=4,
            fanouts=[3, 2],
            batch_size=8,
            evaluation="sampled",
            fuse_first_layer=fuse,
            lr=0.01,
            progress=False,
        )
        result = trainer.fit(model, graph)
        curves.append([loss for record in result.history for loss in (record.train_loss, record.valid_loss)])
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
