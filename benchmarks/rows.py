"""The table: what is measured against what, and what is asked of it.

Rules: rows that share graph, model and fan-outs share a contest, in which all their sides take turns. A row is data;
how it is measured is in the modules beside this one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List

from benchmarks.contests import Contest, Row, ours
from benchmarks.graphs import GraphSpec
from benchmarks.typed_rows import typed_contests
from benchmarks.work import SideSpec, Work

ARXIV = GraphSpec("synthetic", nodes=169_343, edges=2 * 1_166_243, features=128, classes=40)
LARGE = GraphSpec("chunked", nodes=10_000_000, edges=100_000_000, features=128, classes=40, dtype="float16")
MEDIUM = replace(LARGE, nodes=1_000_000, edges=10_000_000)
CORA = GraphSpec("cora")
FACEBOOK = GraphSpec("facebook_large")
NCI1 = GraphSpec("GIN-NCI1")

PRODUCTS = (
    (50_000, 128, 256),
    (14_000, 256, 256),
    (10_000, 512, 128),
    (4000, 64, 64),
    (2708, 1433, 16),
    (1000, 256, 40),
)
"""Rows, inputs and outputs of linear layers: of large and small batches, of wide features, of a whole small graph."""

SAGE = Work(ARXIV)
FUSED = {"precision": "bfloat16", "fuse_first_layer": "always"}

DGL = SideSpec("dgl", "DGL's tutorial loop")
DGL_KEEPING = SideSpec("dgl", "DGL's loop, freed memory kept", keep_memory=True)
DGL_LINKS = SideSpec("dgl-links", "DGL's loop for link prediction")
DGL_LINKS_KEEPING = SideSpec("dgl-links", "DGL's loop for link prediction, freed memory kept", keep_memory=True)
PYG = SideSpec("pyg", "PyG's NeighborLoader loop", same_work=False)
FLOOR = SideSpec("floor", "the floor of torch's products", same_work=False)
FASTEST = SideSpec("floor", "the floor of the fastest products", {"fastest": True}, keep_memory=True, same_work=False)


def _fanouts(*fanouts: int) -> Contest:
    numbers = ",".join(str(each) for each in fanouts)
    name, what = numbers.replace(",", "-"), f"SAGE 3 x 256, fan-outs {numbers}"
    f32, bf16 = f"{what}, float32", f"{what}, bfloat16, fused"
    keeping = "the same, freed memory kept as gnnkit does"
    sides = {
        "dgl": DGL,
        "dgl-keeping": DGL_KEEPING,
        "ours-pyg-torch": ours("pyg", ", torch's products", device_options={"products": "torch"}),
        "floor": FLOOR,
        "fastest": FASTEST,
    }
    rows = []
    for backend in ("pyg", "dgl"):
        mine, rounded = f"ours-{backend}", f"ours-{backend}-bf16"
        sides[mine], sides[rounded] = ours(backend), ours(backend, ", bfloat16, fused", **FUSED)
        float32, bfloat16 = f"{f32}, `{backend}`", f"{bf16}, `{backend}`"
        rows += [
            Row(f"{name}-{backend}", float32, DGL.label, mine, "dgl", at_least=2.0),
            Row(f"{name}-{backend}-bf16", bfloat16, DGL.label, rounded, "dgl", at_least=3.0),
            Row(f"{name}-{backend}-keeping", float32, keeping, mine, "dgl-keeping", at_least=1.2),
            Row(f"{name}-{backend}-bf16-keeping", bfloat16, keeping, rounded, "dgl-keeping", at_least=2.0),
            Row(f"{name}-{backend}-fastest", float32, FASTEST.label, mine, "fastest", at_most=1.35),
        ]
    by_torch = f"{f32} by torch's own products, `pyg`"
    rows += [
        Row(f"{name}-pyg-torch", by_torch, keeping, "ours-pyg-torch", "dgl-keeping"),
        Row(f"{name}-pyg-floor", f"{f32}, `pyg`", FLOOR.label, "ours-pyg", "floor", at_most=1.6),
    ]
    return Contest(what, replace(SAGE, fanouts=fanouts), sides, rows)


def _neighbor_loader() -> Contest:
    what = "SAGE 3 x 256, fan-outs 15,10,5, float32"
    row = Row("15-10-5-neighbor-loader", f"{what}, `pyg`", PYG.label, "ours-pyg", "pyg", at_least=20)
    # So many batches that losses have come to rest: in the first steps they depend on the order of the seeds.
    work = replace(SAGE, fanouts=(15, 10, 5), batches=20)
    return Contest(f"{what}, beside PyG", work, {"pyg": PYG, "ours-pyg": ours("pyg")}, [row], rounds=5)


def _small_fanouts() -> Contest:
    what = "SAGE 2 x 128, fan-outs 4,4, float32"
    return Contest(
        what,
        replace(SAGE, fanouts=(4, 4), hidden=128, layers=2, batches=60),
        {"dgl": DGL, "ours-pyg": ours("pyg"), "ours-dgl": ours("dgl")},
        [
            Row("4-4-pyg", f"{what}, `pyg`", DGL.label, "ours-pyg", "dgl", at_least=1.5),
            Row("4-4-dgl", f"{what}, `dgl`", DGL.label, "ours-dgl", "dgl", at_least=1.5),
        ],
    )


def _loading(cores: int, *fanouts: int) -> Contest:
    text = ",".join(map(str, fanouts))
    thread = "one thread" if cores == 1 else f"{cores} threads"
    what = f"sampling and gathering alone, fan-outs {text}, {thread}"
    peer = "DGL's NeighborSampler with features"
    sides = {
        "dgl": SideSpec("dgl-loading", f"{peer}, {thread}", cores=cores),
        "ours": SideSpec("gnnkit-loading", f"gnnkit's loader, {thread}", {"num_threads": cores}, cores=cores),
    }
    name = f"loading-{text.replace(',', '-')}-{cores}"
    return Contest(
        what, replace(SAGE, fanouts=fanouts, batches=40), sides, [Row(name, what, peer, "ours", "dgl", at_least=4)]
    )


def _cora() -> Contest:
    what = "full-batch GCN on cora, 200 epochs"
    work = Work(CORA, "gcn", 16, layers=2, dropout=0.5, batches=200, lr=0.01, weight_decay=5e-4)
    sides = {
        "pyg": SideSpec("pyg-full", "hand-written PyG"),
        "dgl": SideSpec("dgl-full", "hand-written DGL"),
        "ours-pyg": ours("pyg"),
        "ours-dgl": ours("dgl"),
    }
    rows = [
        Row("cora-pyg", f"{what}, `pyg`", "a hand-written PyG loop", "ours-pyg", "pyg", at_most=0.9),
        Row("cora-dgl", f"{what}, `dgl`", "a hand-written DGL loop", "ours-dgl", "dgl", at_most=0.9),
    ]
    return Contest(what, work, sides, rows)


def _products(rows: int, inputs: int, outputs: int) -> Contest:
    what = f"a linear layer of {rows:,} rows, {inputs} to {outputs}, with its gradients"
    work = Work(replace(ARXIV, nodes=1000, edges=4000), batches=max(2, round(2e10 / (6 * rows * inputs * outputs))))
    size = {"rows": rows, "inputs": inputs, "outputs": outputs}
    label = "torch's own products"
    sides = {
        "auto": SideSpec("gnnkit-products", "gnnkit's choice", size),
        "torch": SideSpec("gnnkit-products", label, within="auto"),
    }
    return Contest(
        what, work, sides, [Row(f"products-{rows}-{inputs}-{outputs}", what, label, "auto", "torch", at_most=1.02)]
    )


def _links(name: str, graph: GraphSpec, words: str) -> Contest:
    what = f"link prediction on {words}, SAGE 2 x 128, fan-outs 10,5, 1,024 pairs, float32"
    work = Work(graph, task="link_prediction", hidden=128, out=64, layers=2, fanouts=(10, 5))
    sides = {"dgl": DGL_LINKS, "dgl-keeping": DGL_LINKS_KEEPING, "ours-pyg": ours("pyg"), "ours-dgl": ours("dgl")}
    keeping = "the same, freed memory kept as gnnkit does"
    rows = []
    for backend in ("pyg", "dgl"):
        mine = f"{what}, `{backend}`"
        rows += [
            Row(f"links-{name}-{backend}", mine, DGL_LINKS.label, f"ours-{backend}", "dgl", at_least=1.5),
            Row(f"links-{name}-{backend}-keeping", mine, keeping, f"ours-{backend}", "dgl-keeping"),
        ]
    return Contest(what, work, sides, rows)


def _ranking() -> Contest:
    what = "1,000 pairs, each ranked among the nodes of the arxiv-sized graph, filtered, 64 numbers a node"
    work = Work(ARXIV, task="ranking", out=64, batch_size=1000, batches=5)
    plain, keeping = "the plain product of embeddings", "the same, freed memory kept as gnnkit does"
    sides = {
        "ours": SideSpec("gnnkit-ranking", "gnnkit's ranking", keep_memory=True),
        "product": SideSpec("product", plain),
        "product-keeping": SideSpec("product", f"{plain}, freed memory kept", keep_memory=True),
    }
    rows = [
        Row("ranking", what, plain, "ours", "product", at_most=1.3),
        Row("ranking-keeping", what, keeping, "ours", "product-keeping", at_most=1.3),
    ]
    return Contest(what, work, sides, rows)


def _graphs() -> Contest:
    what = "whole graphs of NCI1, GIN 4 x 64, sum pooling, 128 graphs, float32"
    # So low a learning rate that mean losses hardly depend on the order of the graphs, which each side draws by itself.
    work = Work(NCI1, "gin", 64, layers=4, batch_size=128, batches=25, lr=3e-5, task="graph_classification")
    sides = {"ours-pyg": ours("pyg"), "ours-dgl": ours("dgl")}
    rows = []
    for name, label, at_least in (("pyg", "PyG's DataLoader loop", 1.5), ("dgl", "DGL's GraphDataLoader loop", 2.0)):
        sides[name] = SideSpec(f"{name}-graphs", label)
        sides[f"{name}-keeping"] = SideSpec(f"{name}-graphs", f"{label}, freed memory kept", keep_memory=True)
        mine = f"{what}, `{name}`"
        keeping = f"{label}, freed memory kept as gnnkit does"
        rows += [
            Row(f"graphs-nci1-{name}", mine, label, f"ours-{name}", name, at_least=at_least),
            Row(f"graphs-nci1-{name}-keeping", mine, keeping, f"ours-{name}", f"{name}-keeping"),
        ]
    return Contest(what, work, sides, rows)


def _scale() -> Contest:
    what = "10 M nodes, 100 M edges, features in float16 on disk, 15,10,5"
    large, medium = (replace(SAGE, graph=graph, fanouts=(15, 10, 5), batches=100) for graph in (LARGE, MEDIUM))
    sides = {
        "large": replace(ours("pyg", ", 10 M nodes"), work=large, same_work=False),
        "medium": replace(ours("pyg", ", 1 M nodes"), work=medium, same_work=False),
    }
    row = Row("scale", what, "itself at 1 M nodes, 10 M edges", "large", "medium", at_most=1.5, memory_below=8 * 10**9)
    return Contest(what, large, sides, [row], rounds=3)


def contests() -> List[Contest]:
    """Everything that is measured by turns on a CPU."""
    loading = [_loading(cores, *fanouts) for cores in (1, 2) for fanouts in ((5, 10, 15), (15, 10, 5))]
    products = [_products(*size) for size in PRODUCTS]
    nodes = [
        _fanouts(5, 10, 15),
        _fanouts(15, 10, 5),
        _neighbor_loader(),
        _small_fanouts(),
        *loading,
        _cora(),
        _scale(),
    ]
    nodes += products
    links = [
        _links("facebook", FACEBOOK, "facebook_large"),
        _links("arxiv", ARXIV, "the arxiv-sized graph"),
        _ranking(),
    ]
    return [*nodes, *links, _graphs(), *typed_contests()]


def cuda_contests() -> List[Contest]:
    """The same trainings on a GPU: gnnkit's `pyg`, PyG's own loader, and DGL's where it was built with CUDA."""
    results = []
    for fanouts in ((5, 10, 15), (15, 10, 5)):
        text, name = ",".join(map(str, fanouts)), "-".join(map(str, fanouts))
        what = f"SAGE 3 x 256, fan-outs {text}"
        sides = {
            "pyg": PYG,
            "dgl": DGL,
            "ours-pyg": ours("pyg"),
            "ours-pyg-bf16": ours("pyg", ", bfloat16, fused", **FUSED),
        }
        rows = [
            Row(f"cuda-{name}-pyg", f"{what}, float32, `pyg`", PYG.label, "ours-pyg", "pyg"),
            Row(f"cuda-{name}-dgl", f"{what}, float32, `pyg`", DGL.label, "ours-pyg", "dgl"),
            Row(f"cuda-{name}-bf16", f"{what}, bfloat16, fused, `pyg`", PYG.label, "ours-pyg-bf16", "pyg"),
        ]
        work = replace(SAGE, fanouts=fanouts, batches=60, device="cuda")
        results.append(Contest(f"{what}, CUDA", work, sides, rows))
    return results


def quick(contest: Contest) -> Contest:
    """The same contest at a size that shows that it works and measures nothing."""

    def small(work: Work) -> Work:
        graph = work.graph
        if graph.nodes:
            share = max(1, graph.nodes // ARXIV.nodes)
            graph = replace(graph, nodes=1000 * share, edges=8000 * share, features=16, classes=5, noise=1.0)
        batches, size = min(work.batches, 2), work.batch_size // 16
        return replace(work, graph=graph, hidden=16, batch_size=size, batches=batches)

    def one_core(side: SideSpec) -> SideSpec:
        return replace(side, cores=1, work=None if side.work is None else small(side.work))

    sides: Dict[str, SideSpec] = {key: one_core(side) for key, side in contest.sides.items()}
    return replace(contest, work=small(contest.work), sides=sides, rounds=2)
