"""The harness of ``make bench``: sides do equal work, unequal work is told, no row asks for what is not there.

Nothing here is a timed test: no assertion looks at a measured time.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Tuple

import pytest
import torch

from benchmarks import accuracy, cold, report, results, run
from benchmarks.contests import Row, ours
from benchmarks.graphs import GraphSpec, open_graph, prepare
from benchmarks.paired import SideResult, difference, ratio, run_contest
from benchmarks.process import NotMeasuredError
from benchmarks.rows import ARXIV, contests, cuda_contests, quick
from benchmarks.sides.base import covered, initial_weights, model_settings, sage_accuracy, with_seeds
from benchmarks.sides.floor import FloorSide
from benchmarks.sides.ours import count_batches, make_loader
from benchmarks.sides.ranking import ProductSide, RankingSide
from benchmarks.work import Work
from benchmarks.worker import SIDES
from gnnkit import Graph, Trainer, build_model, load_dataset
from gnnkit.data import check_graph, split_edges
from gnnkit.testing.graphs import many_graphs
from gnnkit.train import TrainConfig

TINY = GraphSpec("chunked", nodes=3000, edges=30_000, features=8, classes=5, dtype="float16", noise=1.0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Graphs and results go elsewhere."""
    monkeypatch.setenv("GNNKIT_BENCH", str(tmp_path / "graphs"))
    for folder in ("BUILD", "PUBLISHED"):
        monkeypatch.setattr(results, folder, tmp_path / folder.lower())
    return tmp_path


@pytest.mark.skipif(find_spec("dgl") is None, reason="the peer is DGL, which is not installed")
@pytest.mark.parametrize("more", [(), pytest.param(("startup-help",), marks=pytest.mark.long)], ids=["one", "two"])
def test_quick_rows(more: Tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    records = {record.name: record for record in run.main(["--quick", "--rows", "4-4-pyg", *more])}
    assert set(records) == {"4-4-pyg", *more}
    # Empty: both sides sampled as many nodes and edges, and their losses are near each other.
    assert records["4-4-pyg"].figures["problem"] == ""
    assert records["4-4-pyg"].figures["rounds"] == 2
    assert "round 2 of 2" in capsys.readouterr().out
    assert not results.BUILD.exists() and not results.PUBLISHED.exists()


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux says what comes from the disk")
def test_quick_cold_batches(capsys: pytest.CaptureFixture[str]) -> None:
    cases = cold.main(["--quick"])
    assert [case.is_large for case in cases] == [True, False]
    for case in cases:
        assert 0 < case.rows <= 6 * 64
        assert len(case.ahead.seconds) == len(case.plain.seconds) == 1
    assert "ratio" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux says what comes from the disk")
def test_quick_batches_of_features_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold, "memory_limit", lambda: 100_000)  # To set a control group's takes an administrator.
    (case,) = cold.main(["--quick"])
    assert case.cells()[1] == "larger than all of it, 0.0 GB"
    assert len(case.ahead.seconds) == len(case.plain.seconds) == 1


def test_quick_results_are_never_written() -> None:
    with pytest.raises(SystemExit):
        run.main(["--quick", "--write"])


def test_rows_are_complete() -> None:
    everything = [*contests(), *cuda_contests(), accuracy.CONTEST]
    names = [row.name for contest in everything for row in contest.rows]
    assert len(set(names)) == len(names)
    titles = [contest.title for contest in everything]
    assert len(set(titles)) == len(titles)
    for contest in everything:
        assert {side.runs for side in contest.sides.values()} <= set(SIDES)
        for row in contest.rows:
            assert {row.ours, row.theirs} <= set(contest.sides)
            assert contest.sides[row.ours].runs.startswith("gnnkit")


def test_only_the_sides_of_selected_rows_take_part() -> None:
    first = contests()[0]
    selected = first.only(["5-10-15-pyg-floor"])
    assert selected is not None
    assert set(selected.sides) == {"ours-pyg", "floor"}
    assert first.only(["cora*"]) is None


def side(seconds: list[float], loss: float | None = 1.0, edges: float = 100.0) -> SideResult:
    return SideResult("a side", True, seconds, [loss] * len(seconds), {"nodes": 10.0, "edges": edges}, peak=10**9)


def test_a_side_is_measured_in_the_process_of_another() -> None:
    contest = next(each for each in contests() if each.rows[0].name == "products-1000-256-40")
    work = replace(contest.work, batches=4)
    prepare(work.graph)
    sizes = {"rows": 64, "inputs": 8, "outputs": 4}
    found = run_contest(
        work, {**contest.sides, "auto": replace(contest.sides["auto"], settings=sizes)}, rounds=2, say=str
    )
    auto, plain = found["auto"], found["torch"]
    assert isinstance(auto, SideResult) and isinstance(plain, SideResult)
    assert len(auto.seconds) == len(plain.seconds) == 2 and min(auto.seconds + plain.seconds) > 0
    assert difference(auto, plain) == "" and auto.peak == plain.peak > 0
    broken = run_contest(
        work, {**contest.sides, "auto": replace(contest.sides["auto"], settings={})}, rounds=1, say=str
    )
    assert all(isinstance(each, NotMeasuredError) for each in broken.values())


def test_ratio_is_taken_within_rounds() -> None:
    # The machine became ten times slower in the second round: the ratio of means would be another.
    found = ratio(side([2.0, 20.0, 3.0]), side([1.0, 10.0, 1.0]))
    assert (found.median, found.low, found.high, found.problem) == (2.0, 2.0, 3.0, "")


def test_unequal_work_is_told_and_not_met() -> None:
    row = Row("name", "work", "against", "ours", "theirs", at_least=1.5)
    equal = ratio(side([2.0]), side([1.0]))
    assert report.compared(row, equal, side([1.0]), "today").met is True
    for other in (side([1.0], loss=2.0), side([1.0], edges=90.0)):
        unequal = ratio(side([2.0]), other)
        record = report.compared(row, unequal, other, "today")
        assert record.met is False
        assert unequal.problem and unequal.problem in record.measured
    assert difference(side([1.0], loss=None), side([1.0], loss=None)) == ""


def test_limits() -> None:
    row = Row("name", "work", "against", "ours", "theirs", at_most=1.5, memory_below=2 * 10**9)
    slow, fast = side([2.0]), side([1.4])
    assert report.compared(row, ratio(fast, side([1.0])), fast, "today").met is True
    assert report.compared(row, ratio(slow, side([1.0])), slow, "today").met is False
    assert report.compared(row, ratio(fast, side([1.0])), replace(fast, peak=3 * 10**9), "today").met is False


def test_absence_is_no_failure() -> None:
    row = report.empty(contests()[0].rows[0])
    absent = report.missing(row, NotMeasuredError("needs torch-sparse", is_absent=True), "today")
    failed = report.missing(row, NotMeasuredError("ValueError: no", is_absent=False), "today")
    assert (absent.met, absent.measured) == (None, "not measured: needs torch-sparse")
    assert (failed.met, failed.measured) == (False, "failed: ValueError: no")


def test_page_has_a_table_for_each_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, original = tmp_path / "page.md", report.PAGE.read_text(encoding="utf-8")
    page.write_text(original, encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    rows = run._all()["cpu"]
    for processor, times in (("Alpha 1", 2), ("Beta (family 2)", 3)):
        measured = replace(rows[times], measured=f"{times}.00 times faster", met=True, date="2000-01-01")
        machine = {**report.machine(), "processor": processor}
        kept = results.load(processor)
        kept["machines"]["cpu"], kept["records"][measured.name] = machine, vars(measured)
        results.save(processor, kept)
        assert results.load(processor) == kept
        results.save(processor, kept, publish=True)
    results.write_page("cpu", rows)
    text = page.read_text(encoding="utf-8")
    section = text.partition("<!-- benchmarks: cpu -->")[2].partition("<!-- end of benchmarks -->")[0]
    alpha, beta = section.split("### Beta (family 2), ")
    assert "### Alpha 1, " in alpha and "| 2.00 times faster | yes | 2000-01-01 |" in alpha
    assert "| 3.00 times faster | yes | 2000-01-01 |" in beta and "2.00" not in beta
    sections = original.count("<!-- benchmarks: ")
    assert text.count("<!-- benchmarks: ") == text.count("<!-- end of benchmarks -->") == sections


def test_chunked_graph_keeps_the_rules_of_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.graphs._CHUNK_NODES", 700)
    prepare(TINY)
    graph = open_graph(TINY)
    check_graph(graph)
    assert (graph.num_nodes, graph.num_edges, graph.num_classes) == (3000, 30_000, 5)
    assert graph.x is not None and graph.x.dtype == torch.float16
    assert graph.in_degrees.max() > 5 * graph.in_degrees.float().mean()
    assert sum(ids.numel() for ids in graph.splits.values()) == 3000
    assert graph.y is not None
    same = graph.y[graph.indices] == graph.y[graph.dst]
    assert 0.75 < float(same.float().mean()) < 0.95


def test_seeds_are_the_same_for_every_side() -> None:
    prepare(TINY)
    graph, work = open_graph(TINY), Work(TINY, fanouts=(2, 2), batch_size=50, batches=3)
    seeds = with_seeds(graph, work).splits["train"]
    assert seeds.tolist() == with_seeds(graph, work).splits["train"].tolist()
    assert len(seeds) == 150
    assert set(seeds.tolist()) <= set(graph.splits["train"].tolist())
    with pytest.raises(ValueError, match="1800 training nodes"):
        with_seeds(graph, replace(work, batches=100))


def test_pairs_of_a_turn_leave_the_others_edges_in_place() -> None:
    graph = load_dataset("karate")
    work = Work(GraphSpec("karate"), task="link_prediction", layers=2, fanouts=(3, 2), batch_size=10, batches=2)
    found = with_seeds(graph, work)
    assert found.links is not None and len(found.links.pairs["train"]) == 20
    every = split_edges(graph, seed=work.seed)
    assert every.links is not None and len(every.links.pairs["train"]) > 20
    assert torch.equal(found.indices, every.indices)
    mine = {tuple(pair) for pair in found.links.pairs["train"].tolist()}
    assert mine == {tuple(pair) for pair in with_seeds(graph, work).links.pairs["train"].tolist()}  # type: ignore[union-attr]
    assert mine < {tuple(pair) for pair in every.links.pairs["train"].tolist()}


@pytest.mark.skipif(find_spec("dgl") is None, reason="the peer is DGL, which is not installed")
def test_the_peers_edges_of_pairs() -> None:
    from benchmarks.sides.dgl_links import edge_numbers

    graph = split_edges(load_dataset("karate"), seed=0)
    assert graph.links is not None
    edges, reverses = edge_numbers(graph)
    ends = torch.stack([graph.indices, graph.dst], dim=1)
    assert torch.equal(ends[edges], graph.links.pairs["train"])
    assert torch.equal(ends[reverses], ends.flip(1))


@pytest.mark.skipif(find_spec("dgl") is None, reason="the peer is DGL, which is not installed")
def test_the_peers_batches_of_pairs_are_as_large_as_ours() -> None:
    from benchmarks.sides.dgl_links import LinkSide

    graph = load_dataset("synthetic", num_nodes=1000, num_edges=4000, num_features=16, num_classes=5)
    work = Work(ARXIV, task="link_prediction", hidden=16, out=8, layers=2, fanouts=(3, 2), batch_size=64, batches=20)
    seeded = with_seeds(graph, work)
    peer = LinkSide(work, seeded, {})
    mine, theirs = count_batches(make_loader(peer)), peer.count()
    assert mine["nodes"] == pytest.approx(theirs["nodes"], rel=0.1)
    # DGL draws among all neighbours and then leaves out those that are hidden, so it takes fewer.
    assert 0.85 * mine["edges"] < theirs["edges"] < mine["edges"]
    assert peer.turn() is not None


def test_ranks_that_are_timed_are_those_of_the_product() -> None:
    graph = load_dataset("synthetic", num_nodes=300, num_edges=2000, num_features=4, num_classes=5)
    work = Work(ARXIV, task="ranking", out=8, batch_size=40, batches=1)
    mine, theirs = (side(work, with_seeds(graph, work), {}) for side in (RankingSide, ProductSide))
    assert len(mine.pairs) == 40 and mine.turn() is theirs.turn() is None
    assert 1 < mine.count()["rank"] == theirs.count()["rank"]


def test_accuracy_is_that_of_the_model() -> None:
    graph = load_dataset("karate")
    work = Work(GraphSpec("karate"), hidden=8, layers=2)
    model = build_model("sage", graph, hidden_channels=8, num_layers=2, dropout=0.0, seed=0).eval()
    from gnnkit.data.batch import full_block

    with torch.no_grad():
        outputs = model([full_block(graph)] * 2, graph.x)
    nodes = torch.arange(graph.num_nodes)
    expected = float((outputs.argmax(dim=1) == graph.y).float().mean())
    assert sage_accuracy(initial_weights(work, graph), graph, nodes) == pytest.approx(expected)


def molecules() -> Graph:
    """A few graphs of two classes, as the contest of whole graphs has them."""
    return many_graphs(40, num_classes=2)


GRAPHS = Work(GraphSpec("GIN-NCI1"), "gin", 8, layers=2, batch_size=5, batches=4, task="graph_classification")


@pytest.mark.parametrize("library", ["pyg", "dgl"])
def test_the_peers_learn_the_same_from_the_same_graphs(library: str) -> None:
    pytest.importorskip({"pyg": "torch_geometric", "dgl": "dgl"}[library])
    make = import_module(f"benchmarks.sides.{library}_graphs").GraphSide
    graph = with_seeds(molecules(), GRAPHS)
    assert len(graph.graph_splits["train"]) == 20
    peer = make(replace(GRAPHS, batch_size=20, batches=1), graph, {})
    for name, value in initial_weights(GRAPHS, graph).items():
        assert torch.equal(peer.weights()[name], value), name
    mine, theirs = count_batches(make_loader(peer)), peer.count()
    assert mine == pytest.approx(theirs)
    # One batch of all graphs, whose order has no part in the loss: three updates.
    model = build_model("gin", graph, backend="reference", seed=GRAPHS.seed, **model_settings(GRAPHS))
    how = {"batch_size": 20, "epochs": 3, "lr": GRAPHS.lr, "schedule": "constant"}
    trainer = Trainer("reference", "cpu", task=GRAPHS.task, progress=False, **how)
    expected = [record.train_loss for record in trainer.fit(model, graph).history]
    assert [peer.turn() for _ in range(3)] == pytest.approx(expected, rel=1e-4)


def test_molecules_are_kept_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "NCI1"
    folder.mkdir()
    ring = ["3 0", "4 2 1 2", "7 2 0 2", "4 2 0 1"]
    (folder / "NCI1.txt").write_text("\n".join(["20", *(ring + ["1 1", "7 0"]) * 10]) + "\n")
    monkeypatch.setenv("GNNKIT_DATA", str(tmp_path))
    prepare(GRAPHS.graph)
    graph = open_graph(GRAPHS.graph)
    check_graph(graph)
    assert (graph.num_graphs, graph.num_nodes, graph.num_edges, graph.num_features) == (20, 40, 60, 2)
    assert graph.graph_y.tolist() == [0, 1] * 10 and list(graph.graph_splits) == ["train", "valid", "test"]
    assert graph.x[:4].argmax(1).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("fastest", [False, True])
def test_floor_counts_the_products_of_a_step(fastest: bool) -> None:
    prepare(TINY)
    graph, work = open_graph(TINY), Work(TINY, hidden=16, layers=2, fanouts=(3, 3), batch_size=40, batches=2)
    floor = FloorSide(work, with_seeds(graph, work), {"fastest": fastest})
    results = [product() for product in floor._products]
    shapes = [tuple((result[0] if isinstance(result, tuple) else result).shape) for result in results]
    rows = shapes[0][0]
    # Two products each: outputs, gradients of matrices, and after the first layer gradients of inputs.
    first = [(rows, 16)] * 2 + [(16, 8)] * 2
    second = [(40, 5)] * 2 + [(5, 16)] * 2 + [(40, 16)] * 2
    assert shapes == first + second
    assert floor._operations == 4 * 2 * rows * 8 * 16 + 6 * 2 * 40 * 16 * 5
    assert floor.turn() is None


def test_union_of_intervals() -> None:
    assert covered([(0.0, 1.0), (0.5, 2.0), (3.0, 4.0), (3.2, 3.4)]) == pytest.approx(3.0)
    assert covered([]) == 0


def test_quick_is_small() -> None:
    for contest in contests():
        small = quick(contest)
        for work in (small.work, *(s.work for s in small.sides.values() if s.work)):
            assert work.graph.nodes <= 100_000
            assert work.batches <= 2


def test_settings_of_plain_rows_exist() -> None:
    known = {*TrainConfig.__dataclass_fields__, "backend"}
    assert set(ours("pyg").settings) <= known


def test_slope_of_proportional_cost_is_one() -> None:
    from benchmarks.scaling import Point, slope

    points = [Point("", 1, edges, 0.002 * edges) for edges in (10.0, 100.0, 5000.0)]
    assert slope(points) == pytest.approx(1.0)
    assert slope([replace(p, milliseconds=p.edges**2) for p in points]) == pytest.approx(2.0)
    grown = [replace(p, nodes=n) for p, n in zip(points, (1000, 2000, 4000))]
    assert slope(grown, "nodes", "nanoseconds_an_edge") == pytest.approx(0.0, abs=1e-9)
