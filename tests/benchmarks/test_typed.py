"""The contests on typed graphs: the peers compute what gnnkit computes, on graphs of the kind that is said."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import torch

from benchmarks import run
from benchmarks.graphs import GraphSpec, open_graph, prepare
from benchmarks.sides import typed
from benchmarks.sides.base import with_seeds
from benchmarks.sides.ours import LoadingSide, TrainerSide, count_batches, make_loader
from benchmarks.typed_graphs import RELATIONS, TYPES
from benchmarks.work import Work
from gnnkit.data import check_graph

SPEC = GraphSpec("typed", nodes=1000, edges=8000, features=16, classes=5, noise=1.0)
WORK = Work(SPEC, hidden=8, layers=2, fanouts=(4, 3), batch_size=32, batches=2, relational="sum", lr=1e-4)
RGCN = replace(WORK, conv="rgcn", relational="none", num_bases=3)

SIDES = [
    ("pyg_typed:HeteroSide", WORK, {}),
    ("dgl_typed:HeteroSide", replace(WORK, relational="mean"), {}),
    ("pyg_typed:RgcnSide", RGCN, {"layer": "RGCNConv"}),
    ("pyg_typed:RgcnSide", replace(RGCN, num_bases=0), {"layer": "FastRGCNConv"}),
    ("dgl_typed:RelGraphConvSide", RGCN, {}),
    ("dgl_typed:RelGraphConvSide", replace(RGCN, fanouts=(), num_bases=0), {}),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs go elsewhere."""
    monkeypatch.setenv("GNNKIT_BENCH", str(tmp_path))


def make(name: str, work: Work, settings: Dict[str, Any]) -> Any:
    """A side that is ready, or a skipped test."""
    library = {"pyg": "torch_geometric", "dgl": "dgl"}[name[:3]]
    if find_spec(library) is None:
        pytest.skip(f"the peer is {library}, which is not installed")
    module, side = name.split(":")
    prepare(work.graph)
    graph = with_seeds(open_graph(work.graph), work)
    return getattr(import_module(f"benchmarks.sides.{module}"), side)(work, graph, settings)


def test_the_graph_has_all_types_and_relations() -> None:
    prepare(SPEC)
    graph = open_graph(SPEC)
    check_graph(graph)
    found = graph.typed
    assert found is not None and (graph.num_nodes, graph.num_edges) == (1000, 8000)
    assert found.schema.node_types == TYPES and min(found.num_edges.values()) > 0
    assert [(each.src, each.name, each.dst) for each in found.schema.relations] == list(RELATIONS)
    assert [found.x[name].shape[1] for name in TYPES] == [16, 14, 11, 8]
    assert set(found.y) == {"item"} and sum(map(len, found.splits["item"].values())) == 400


@pytest.mark.parametrize(("name", "work", "settings"), SIDES)
def test_peers_compute_what_gnnkit_computes(name: str, work: Work, settings: Dict[str, Any]) -> None:
    side = make(name, work, settings)  # Which compares outputs.
    before = {key: value.clone() for key, value in side.model.state_dict().items()}
    assert 0 < side.turn() < 50
    assert any(not torch.equal(value, before[key]) for key, value in side.model.state_dict().items())


@pytest.mark.parametrize(("name", "work", "settings"), SIDES[:3])
def test_other_outputs_are_refused(
    name: str, work: Work, settings: Dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = typed.initial_weights

    def others(*args: Any) -> Any:
        return {key: 1.01 * value for key, value in weights(*args).items()}

    monkeypatch.setattr(typed, "initial_weights", others)
    with pytest.raises(ValueError, match="outputs differ from gnnkit's by"):
        make(name, work, settings)


def test_the_peers_batches_are_as_large_as_ours() -> None:
    peer = make("dgl_typed:LoadingSide", WORK, {})
    mine, theirs = LoadingSide(WORK, peer.graph, {}), peer.count()
    assert mine.turn() is peer.turn() is None
    assert mine.count() == pytest.approx(theirs, rel=0.05)
    # A batch has up to so many edges of every relation: more than of one list for all.
    one = replace(WORK, graph=replace(SPEC, kind="synthetic"))
    assert theirs["edges"] > 1.2 * count_batches(make_loader(TrainerSide(one, peer.graph, {})))["edges"]


@pytest.mark.skipif(find_spec("dgl") is None, reason="the peer is DGL, which is not installed")
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("loading-typed",), marks=pytest.mark.long),
        pytest.param(("sage-typed-*", "rgcn-typed-*"), marks=pytest.mark.long),
        pytest.param(("rgcn-aifb-*",), marks=pytest.mark.long),
    ],
    ids=["loading", "sampled", "aifb"],
)
def test_quick_rows(names: Tuple[str, ...]) -> None:
    records = run.main(["--quick", "--rows", *names])
    assert len(records) >= len(names)
    assert all(record.figures["problem"] == "" for record in records)
