"""The part of the table about typed graphs; see :mod:`benchmarks.rows`."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List

from benchmarks.contests import Contest, Row, ours
from benchmarks.graphs import GraphSpec
from benchmarks.work import SideSpec, Work

AIFB = GraphSpec("aifb")
TYPED = GraphSpec("typed", nodes=100_000, edges=1_000_000, features=128, classes=16)

# So low a learning rate that mean losses hardly depend on the order of the seeds.
_SAMPLED = Work(TYPED, hidden=64, layers=2, fanouts=(10, 5), batches=10, lr=1e-4)
_BACKENDS = ("pyg", "dgl")


def _aifb() -> Contest:
    what = "R-GCN 2 x 16, 30 bases, on aifb, full graph"
    work = Work(AIFB, "rgcn", 16, layers=2, num_bases=30, batches=2, lr=0.01)
    return _rgcn("aifb", what, work)


def _sampled_rgcn() -> Contest:
    what = "R-GCN 2 x 64 on the typed graph, fan-outs 10,5 of each relation, float32"
    return _rgcn("typed", what, replace(_SAMPLED, conv="rgcn"))


def _rgcn(name: str, what: str, work: Work) -> Contest:
    peers = {
        "rgcnconv": SideSpec("pyg-rgcn", "PyG's RGCNConv loop", {"layer": "RGCNConv"}),
        "fastrgcnconv": SideSpec("pyg-rgcn", "PyG's FastRGCNConv loop", {"layer": "FastRGCNConv"}),
        "relgraphconv": SideSpec("dgl-rgcn", "DGL's RelGraphConv loop"),
    }
    rows = [
        Row(
            f"rgcn-{name}-{backend}-{key}",
            f"{what}, `{backend}`",
            peer.label,
            f"ours-{backend}",
            key,
            at_least=None if key == "rgcnconv" else 1.0,
        )
        for backend in _BACKENDS
        for key, peer in peers.items()
    ]
    return Contest(what, work, {**peers, **_ours()}, rows)


def _sampled_sage() -> Contest:
    what = "SAGE 2 x 64 for each relation, added up, on the typed graph, fan-outs 10,5 of each relation, float32"
    return _sage("typed", what, _SAMPLED)


def _sage_on_aifb() -> Contest:
    what = "SAGE 2 x 16 for each of 90 relations, added up, on aifb, fan-outs 10,5 of each relation, float32"
    return _sage("aifb", what, replace(_SAMPLED, graph=AIFB, hidden=16, batch_size=56, batches=2))


def _sage(name: str, what: str, work: Work) -> Contest:
    peers = {
        "heteroconv": SideSpec("pyg-hetero", "PyG's HeteroConv loop, batches made before"),
        "heterographconv": SideSpec("dgl-hetero", "DGL's HeteroGraphConv loop"),
    }
    rows = [
        Row(f"sage-{name}-{backend}-{key}", f"{what}, `{backend}`", peer.label, f"ours-{backend}", key, at_least=2.0)
        for backend in _BACKENDS
        for key, peer in peers.items()
    ]
    alone = "PyG's HeteroConv, steps alone on batches made before, freed memory kept by both"
    steps = {
        f"steps-{backend}": SideSpec(
            "gnnkit-steps", f"gnnkit `{backend}`, steps alone", {"backend": backend}, keep_memory=True
        )
        for backend in _BACKENDS
    }
    keeping = replace(peers["heteroconv"], label=f"{peers['heteroconv'].label}, freed memory kept", keep_memory=True)
    rows += [
        Row(f"sage-{name}-{backend}-steps", f"{what}, `{backend}`", alone, f"steps-{backend}", "keeping", at_least=2.0)
        for backend in _BACKENDS
    ]
    sides = {**peers, "keeping": keeping, **_ours(), **steps}
    return Contest(what, replace(work, relational="sum"), sides, rows)


def _loading() -> Contest:
    what = "batches of the typed graph alone, fan-outs 10,5 of each relation, one thread"
    peer = "DGL's NeighborSampler with features"
    sides = {
        "dgl": SideSpec("dgl-typed-loading", f"{peer}, one thread", cores=1),
        "ours": SideSpec("gnnkit-loading", "gnnkit's loader, one thread", {"num_threads": 1}, cores=1),
    }
    row = Row("loading-typed", what, peer, "ours", "dgl", at_least=3.0)
    return Contest(what, _SAMPLED, sides, [row])


def _ours() -> Dict[str, SideSpec]:
    return {f"ours-{backend}": ours(backend) for backend in _BACKENDS}


def typed_contests() -> List[Contest]:
    """Everything that is measured on typed graphs."""
    return [_aifb(), _sampled_rgcn(), _sage_on_aifb(), _sampled_sage(), _loading()]
