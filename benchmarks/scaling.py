"""``make bench-scaling``: does the cost of a batch grow faster than its edges?

gnnkit with `pyg` trains over fan-outs, batch sizes and graph sizes; each point is the median time of a batch over the
edges that it holds. On logarithmic axes a cost in proportion to the edges is a line of slope 1.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from benchmarks import report
from benchmarks.graphs import prepare
from benchmarks.process import Participant
from benchmarks.rows import MEDIUM, SAGE, Contest, ours, quick
from benchmarks.work import Work

PICTURE = Path(__file__).parent.parent / "docs" / "img" / "scaling.png"
ROUNDS = 5


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        label: What was varied to.
        edges: Edges a batch, all layers together.
        milliseconds: A batch, median of the rounds.
    """

    label: str
    edges: float
    milliseconds: float


def series() -> Dict[str, Dict[str, Work]]:
    """The works of every series by label."""
    base = replace(SAGE, fanouts=(15, 10, 5), batches=10)
    fanouts = [(2, 2, 2), (5, 5, 5), (5, 10, 15), (10, 10, 10), (15, 10, 5), (15, 15, 15), (20, 20, 20)]
    sizes = [50_000, 200_000, 800_000, 3_200_000]
    graphs = {n: replace(MEDIUM, nodes=n, edges=10 * n) for n in sizes}
    return {
        "fan-outs": {",".join(map(str, f)): replace(base, fanouts=f) for f in fanouts},
        "batch size": {f"{size:,}": replace(base, batch_size=size) for size in (128, 256, 512, 1024, 2048, 4096)},
        "nodes of the graph": {f"{n:,}": replace(base, graph=graph) for n, graph in graphs.items()},
    }


def measure(label: str, work: Work, rounds: int) -> Point:
    """One point."""
    prepare(work.graph)
    with Participant(work, ours("pyg")) as participant:
        participant.ready()
        seconds = [participant.ask({"do": "turn"})["seconds"] / work.batches for _ in range(rounds + 1)]
        edges = participant.ask({"do": "count"})["edges"]
    return Point(label, edges, 1000 * statistics.median(seconds[1:]))


def slope(points: Sequence[Point]) -> float:
    """Slope of a line through the points on logarithmic axes, by least squares."""
    edges, times = (np.log([getattr(point, name) for point in points]) for name in ("edges", "milliseconds"))
    return float(np.polyfit(edges, times, 1)[0])


def draw(measured: Dict[str, List[Point]], file: Path) -> None:
    """All series as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    for (name, points), marker in zip(measured.items(), "os^"):
        ordered = sorted(points, key=lambda point: point.edges)
        x, y = [p.edges for p in ordered], [p.milliseconds for p in ordered]
        axes.plot(x, y, marker=marker, label=f"{name}: slope {slope(points):.2f}", alpha=0.85)
        for point, offset in ((ordered[0], (6, -12)), (ordered[-1], (-6, 8))):
            align = "left" if offset[0] > 0 else "right"
            where = (point.edges, point.milliseconds)
            axes.annotate(point.label, where, offset, textcoords="offset points", ha=align, fontsize=8, color="0.35")
    everything = [point for points in measured.values() for point in points]
    x = np.array([min(p.edges for p in everything), max(p.edges for p in everything)])
    constant = np.exp(statistics.mean(np.log(p.milliseconds / p.edges) for p in everything))
    axes.plot(x, constant * x, color="0.6", linestyle="--", linewidth=1, label="in proportion to edges: slope 1")
    axes.set(xscale="log", yscale="log", xlabel="edges a batch, all layers", ylabel="milliseconds a batch")
    axes.set_title("A training step of SAGE 3 x 256 with its sampling, float32, gnnkit with pyg", fontsize=10)
    axes.margins(0.12)
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="png", dpi=120)


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
            works = {label: quick(Contest("", work, {}, [])).work for label, work in list(works.items())[:2]}
        measured[name] = []
        for label, work in works.items():
            point = measure(label, work, 1 if options.quick else ROUNDS)
            measured[name].append(point)
            print(f"{name} {label}: {point.edges:,.0f} edges, {point.milliseconds:.4g} ms a batch", flush=True)
        print(f"{name}: slope {slope(measured[name]):.2f}", flush=True)
    if options.picture:
        draw(measured, options.picture)
    if options.write:
        draw(measured, PICTURE)
        report.write_section("scaling", _text(measured))
    return measured


def _text(measured: Dict[str, List[Point]]) -> str:
    slopes = ", ".join(f"{slope(points):.2f} over {name}" for name, points in measured.items())
    place = PICTURE.relative_to(report.PAGE.parent).as_posix()
    today = datetime.date.today().isoformat()
    picture = f"![Milliseconds a batch over edges a batch, on logarithmic axes]({place})"
    return f"{picture}\n\nSlopes on {today}, {report.machine()['processor']}: {slopes}."


if __name__ == "__main__":
    main(sys.argv[1:])
