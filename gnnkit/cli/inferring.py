"""What ``gnnkit predict`` and ``gnnkit embed`` share: their options, and how a run and its nodes are found."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

import typer

from gnnkit.cli.options import options_of, takes
from gnnkit.cli.output import print_json, print_table
from gnnkit.errors import ConfigError
from gnnkit.options import whole_numbers
from gnnkit.paths import user_path

if TYPE_CHECKING:
    import numpy as np

    from gnnkit.inference import NodeIds, TrainedRun


@dataclass(frozen=True)
class Asked:
    """What both commands can be asked for: their options, field by field."""

    run: str = typer.Argument(..., metavar="RUN", help="The run folder.")
    nodes: Optional[str] = typer.Option(
        None, help="Ids with commas, or a .csv, .parquet, .txt or .npy file of them.  [default: all; the new ones]"
    )
    method: Optional[str] = typer.Option(
        None,
        help="layerwise (all neighbours, bounded memory), full (one pass), sampled.  [default: layerwise; sampled if "
        "fan-outs are given]",
    )
    fanouts: Optional[str] = typer.Option(
        None, help="Sample so many neighbours per layer, seeds first, -1 for all: 20,20,20."
    )
    batch_size: Optional[int] = typer.Option(None, help="Nodes per batch.  [default: the run's]")
    backend: Optional[str] = typer.Option(None, help="Another graph library than the run's.")
    device: str = typer.Option("auto", help="Where to compute.")
    data_dir: Optional[str] = typer.Option(None, help="Where the data set's files are looked for first.")
    new_nodes: Optional[Path] = typer.Option(
        None, help="Nodes to add to the data: a table with ids and features, or .npy."
    )
    new_edges: Optional[Path] = typer.Option(
        None, help="Edges to add: a table of source and target, ids of old and new nodes."
    )
    undirected: bool = typer.Option(False, "--undirected", help="Add the reverse of every new edge.")
    force: bool = typer.Option(False, "--force", help="Replace the output if it exists.")
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end.")
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")


takes_asked = takes("asked", options_of(Asked), Asked)
"""Makes a command whose parameter ``asked`` is the record of these options."""


@dataclass
class Work:
    """A run, opened for the nodes that were asked for.

    Attributes:
        run: With the new nodes, if there are any.
        ids: The ids of all nodes.
        nodes: Those asked for, by number. None: all.
        how: Method, fan-outs and batch size, as the run takes them.
        differences: In what the data, without new nodes, differ from the run's.
        warnings: What the user should know and was told on the standard error stream already.
        notes: What else the user should know.
        start: When work began, by ``time.perf_counter``.
    """

    run: TrainedRun
    ids: NodeIds
    nodes: Optional[np.ndarray]
    how: Dict[str, Any]
    differences: List[str]
    warnings: List[str]
    notes: List[str]
    start: float

    @contextmanager
    def computing(self) -> Iterator[Dict[str, Any]]:
        """What predictions and embeddings are to be computed by; a bar meanwhile, and a released device at the end."""
        from gnnkit.cli.progress import drawn

        with closing(self.run), drawn() as draw:
            yield {**self.how, "report": lambda done, total: draw("computing", done / total)}

    def report(self, output: Path, num: int, *, what: str = "nodes", **more: Any) -> Dict[str, Any]:
        """What was done, in plain values; ``num`` nodes or pairs."""
        run = self.run
        return {
            "output": str(output),
            "run": str(run.path),
            what: num,
            **more,
            "method": self.how["method"],
            "backend": run.model.backend.name,
            "device": run.device.name,
            "differences": self.differences,
            "notes": [*self.warnings, *self.notes],
            "seconds": time.perf_counter() - self.start,
        }


def open_work(asked: Asked, output: Path, suffixes: Tuple[str, ...]) -> Work:
    """Open a run as the options of a command say; what cannot be written is told before anything is loaded."""
    from gnnkit.inference import NodeIds, open_run, read_new_nodes, read_nodes
    from gnnkit.inference.writing import check_output

    start = time.perf_counter()
    check_output(user_path(output), asked.force, suffixes)
    new_nodes, new_edges, undirected = asked.new_nodes, asked.new_edges, asked.undirected
    if undirected and new_edges is None:
        raise ConfigError("--undirected is for new edges. Give --new-edges as well.")
    fanouts = None if asked.fanouts is None else whole_numbers(asked.fanouts, "--fanouts")
    opened = open_run(asked.run, backend=asked.backend, device=asked.device, data_dir=asked.data_dir)
    names = opened.names()
    ids = NodeIds.of(opened.graph, names)
    method = asked.method or (opened.default_method if fanouts is None else "sampled")
    how = {"method": method, "fanouts": fanouts, "batch_size": asked.batch_size}
    differences, warnings, notes = opened.differences, list(opened.notes), []
    if differences:
        notes.append(f"these are not the data of the run; what differs: {', '.join(differences)}")
    if not opened.record.is_complete:
        notes.append(f"the run is {opened.record.manifest.get('status')}: these are its best weights so far")
    first = 0
    if new_nodes is not None or new_edges is not None:
        first = len(ids) if new_nodes is not None else 0
        features = list(opened.graph.feature_names or names.features or ())
        read = opened.graph if opened.model.spec.reads_edges else replace(opened.graph, edge_attr=None)
        graph, ids = read_new_nodes(read, ids, new_nodes, new_edges, features=features, undirected=undirected)
        notes += _direction_notes(opened, graph, undirected)
        opened = opened.on(graph)
    wanted = None
    if asked.nodes is not None:
        wanted = read_nodes(asked.nodes, ids)
    elif first:
        import numpy as np

        wanted = np.arange(first, len(ids))
    return Work(opened, ids, wanted, how, differences, warnings, notes, start)


def _direction_notes(opened: TrainedRun, grown: Any, undirected: bool) -> List[str]:
    from gnnkit.data import is_undirected

    if undirected or not opened.record.manifest["data"].get("undirected") or is_undirected(grown):
        return []
    return ["the data carry both directions of every edge, the new edges do not; --undirected adds them"]


def show(title: str, work: Work, report: Dict[str, Any], rows: List[List[str]], json: bool) -> None:
    """Say what was done: a table, notes, and one line of JSON if that is wanted."""
    what = "pairs" if "pairs" in report else "nodes"
    table = [[what, f"{report[what]:,}"], *rows]
    table += [["method", report["method"]], ["backend / device", f"{report['backend']} / {report['device']}"]]
    table.append(["time", f"{report['seconds']:.1f} s"])
    print_table(title, ["", ""], table)
    for note in work.notes:
        print(f"  note:    {note}")
    print(f"  output:  {report['output']}")
    if json:
        print_json(report)
