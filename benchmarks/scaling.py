"""``make bench-scaling``: does the cost of a batch grow faster than its edges?

gnnkit with `pyg` trains over fan-outs, batch sizes and graph sizes. Over fan-outs and batch sizes, milliseconds a batch
are drawn over the edges that it holds: on logarithmic axes a cost in proportion is a line of slope 1. A batch of a
larger graph of the same degree holds nearly as many edges, so over graph sizes the cost of an edge is drawn.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from benchmarks import report
from benchmarks.contests import Contest, ours
from benchmarks.graphs import prepare
from benchmarks.process import Participant
from benchmarks.rows import MEDIUM, SAGE, quick
from benchmarks.work import Work

PICTURE = Path(__file__).parent.parent / "docs" / "img" / "scaling.png"
ROUNDS = 5
GRAPHS = "nodes of the graph"


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        label: What was varied to.
        nodes: Of the graph.
        edges: Edges a batch, all layers together.
        milliseconds: A batch, median of the rounds.
    """

    label: str
    nodes: int
    edges: float
    milliseconds: float

    @property
    def nanoseconds_an_edge(self) -> float:
        """Cost of an edge with all that comes with it."""
        return 1e6 * self.milliseconds / self.edges


def series() -> Dict[str, Dict[str, Work]]:
    """The works of every series by label."""
    base = replace(SAGE, fanouts=(15, 10, 5), batches=10)
    fanouts = [(2, 2, 2), (5, 5, 5), (5, 10, 15), (10, 10, 10), (15, 10, 5), (15, 15, 15), (20, 20, 20)]
    sizes = [50_000, 200_000, 800_000, 3_200_000]
    graphs = {n: replace(MEDIUM, nodes=n, edges=10 * n) for n in sizes}
    return {
        "fan-outs": {",".join(map(str, f)): replace(base, fanouts=f) for f in fanouts},
        "batch size": {f"{size:,}": replace(base, batch_size=size) for size in (128, 256, 512, 1024, 2048, 4096)},
        GRAPHS: {f"{n:,}": replace(base, graph=graph) for n, graph in graphs.items()},
    }


def measure(label: str, contest: Contest) -> Point:
    """One point: the only side of a contest."""
    work, (side,) = contest.work, contest.sides.values()
    prepare(work.graph)
    with Participant(work, side) as participant:
        participant.ready()
        seconds = [participant.ask({"do": "turn"})["seconds"] / work.batches for _ in range(contest.rounds + 1)]
        edges = participant.ask({"do": "count"})["edges"]
    return Point(label, work.graph.nodes, edges, 1000 * statistics.median(seconds[1:]))


def slope(points: Sequence[Point], x: str = "edges", y: str = "milliseconds") -> float:
    """Slope of a line through the points on logarithmic axes, by least squares; by default of time over edges."""
    across, up = (np.log([getattr(point, name) for point in points]) for name in (x, y))
    return float(np.polyfit(across, up, 1)[0])


def draw(measured: Dict[str, List[Point]], file: Path) -> None:
    """All series as a PNG: time over edges on the left, cost of an edge over the graph's size on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    over_edges = {name: points for name, points in measured.items() if name != GRAPHS}
    for (name, points), marker in zip(over_edges.items(), "os"):
        _plot(left, points, "edges", "milliseconds", marker, f"{name}: slope {slope(points):.2f}")
    everything = [point for points in over_edges.values() for point in points]
    ends = np.array([min(p.edges for p in everything), max(p.edges for p in everything)])
    typical = statistics.geometric_mean(p.milliseconds / p.edges for p in everything)
    left.plot(ends, typical * ends, color="0.6", linestyle="--", linewidth=1, label="in proportion: slope 1")
    left.set(xlabel="edges a batch, all layers", ylabel="milliseconds a batch")
    _plot(
        right, measured[GRAPHS], "nodes", "nanoseconds_an_edge", "^", f"nodes to the power of {_growth(measured):.2f}"
    )
    right.set(xlabel="nodes of the graph", ylabel="nanoseconds an edge")
    right.set_ylim(0, 1.3 * max(point.nanoseconds_an_edge for point in measured[GRAPHS]))
    figure.suptitle("Training SAGE 3 x 256 with sampling, float32, gnnkit with pyg", fontsize=11)
    FigureCanvasAgg(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png", dpi=120)


def _plot(axes: Any, points: Sequence[Point], x: str, y: str, marker: str, label: str) -> None:
    ordered = sorted(points, key=lambda point: getattr(point, x))
    across, up = [getattr(p, x) for p in ordered], [getattr(p, y) for p in ordered]
    axes.plot(across, up, marker=marker, label=label, alpha=0.85)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if y == "milliseconds":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.margins(0.12)
    axes.grid(alpha=0.3, which="both")
    for i, offset, align in ((0, (6, -13), "left"), (-1, (-6, 9), "right")):
        where = (across[i], up[i])
        text = {"xytext": offset, "textcoords": "offset points", "ha": align, "fontsize": 8, "color": "0.35"}
        axes.annotate(ordered[i].label, where, **text)
    axes.legend(frameon=False, loc="upper left")


def _growth(measured: Dict[str, List[Point]]) -> float:
    return slope(measured[GRAPHS], "nodes", "nanoseconds_an_edge")


def main(arguments: Sequence[str] = ()) -> Dict[str, List[Point]]:
    """Measure all series, print them, and on request draw them into the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    parser.add_argument("--write", action="store_true", help="draw docs/img/scaling.png and name it in the page")
    parser.add_argument("--picture", type=Path, help="draw to this file as well")
    options = parser.parse_args(list(arguments))
    if options.quick and options.write:
        parser.error("--quick measures nothing that could be written")
    measured: Dict[str, List[Point]] = {}
    for name, works in series().items():
        if options.quick:
            works = dict(list(works.items())[:: len(works) - 1])
        measured[name] = []
        for label, work in works.items():
            contest = Contest(name, work, {"ours": ours("pyg")}, [], ROUNDS)
            point = measure(label, quick(contest) if options.quick else contest)
            measured[name].append(point)
            print(f"{name} {label}: {point.edges:,.0f} edges, {point.milliseconds:.4g} ms a batch", flush=True)
    print(_slopes(measured), flush=True)
    if options.picture:
        draw(measured, options.picture)
    if options.write:
        draw(measured, PICTURE)
        report.write_section("scaling", _text(measured))
    return measured


def _slopes(measured: Dict[str, List[Point]]) -> str:
    over_edges = [f"{slope(points):.2f} over {name}" for name, points in measured.items() if name != GRAPHS]
    cost = f"the cost of an edge grows with the nodes of the graph to the power of {_growth(measured):.2f}"
    return f"Slope of time over edges: {', '.join(over_edges)}; {cost}."


def _text(measured: Dict[str, List[Point]]) -> str:
    place = PICTURE.relative_to(report.PAGE.parent).as_posix()
    picture = f"![Milliseconds a batch over its edges, and cost of an edge over nodes of the graph]({place})"
    today, machine = datetime.date.today().isoformat(), report.machine()
    return f"{picture}\n\n{today}, {machine['processor']}, {machine['cores']} cores. {_slopes(measured)}"


if __name__ == "__main__":
    main(sys.argv[1:])
