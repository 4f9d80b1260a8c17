"""What ``gnnkit predict`` and ``gnnkit embed`` share: their options, how a run and its nodes or graphs are found."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple

import typer

from gnnkit.cli.options import options_of, takes
from gnnkit.cli.output import print_json, print_table
from gnnkit.cli.processes import Processes, launch
from gnnkit.errors import ConfigError
from gnnkit.options import whole_numbers
from gnnkit.paths import user_path
from gnnkit.stages import stage

if TYPE_CHECKING:
    import numpy as np

    from gnnkit.inference import NodeIds, TrainedRun
    from gnnkit.inference.graphs import Asked as GraphsAsked


@dataclass(frozen=True)
class Asked:
    """What both commands can be asked for: their options, field by field."""

    run: str = typer.Argument(..., metavar="RUN", help="The run folder.")
    nodes: Optional[str] = typer.Option(
        None,
        help="Comma-separated ids, or a .csv, .parquet, .txt or .npy file of them.  [default: all, or the new ones]",
    )
    method: Optional[str] = typer.Option(
        None,
        help="layerwise (all neighbours, bounded memory), full (one pass), sampled.  [default: layerwise; sampled if "
        "fan-outs are given]",
    )
    fanouts: Optional[str] = typer.Option(
        None, help="Number of neighbours to sample in each layer, starting at the seed nodes; -1 takes all: 20,20,20."
    )
    batch_size: Optional[int] = typer.Option(None, help="Nodes or graphs per batch.  [default: the run's]")
    backend: Optional[str] = typer.Option(None, help="Use a different graph library.  [default: the run's]")
    device: str = typer.Option("auto", help="Where to compute.")
    dataset: Optional[str] = typer.Option(
        None, help="Use different data: a data set, or a folder.  [default: the run's]"
    )
    data_dir: Optional[str] = typer.Option(None, help="Folder to search first for the data set's files.")
    graphs: Optional[str] = typer.Option(None, help="For a run about graphs: comma-separated numbers.  [default: all]")
    split: Optional[str] = typer.Option(None, help="For a run about graphs: all graphs of a split: train, valid, test.")
    smiles: Optional[List[str]] = typer.Option(
        None, help="A SMILES string (may be repeated), or a .csv, .tsv, .parquet, .txt or .smi file of them."
    )
    smiles_column: Optional[str] = typer.Option(None, help="Column of SMILES in the table.  [default: smiles]")
    skip_invalid: bool = typer.Option(False, "--skip-invalid", help="Skip SMILES that cannot be read.")
    new_nodes: Optional[Path] = typer.Option(
        None, help="Nodes to add to the data: a table with ids and features, or .npy."
    )
    new_edges: Optional[Path] = typer.Option(
        None, help="Edges to add: a table with source and target, ids of existing and new nodes."
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
        ids: The ids of all nodes; of a run about graphs none.
        nodes: Those asked for, by number. None: all.
        graphs: Of a run about graphs, those asked for.
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
    graphs: Optional[GraphsAsked] = None

    @contextmanager
    def computing(self) -> Iterator[Dict[str, Any]]:
        """What predictions and embeddings are to be computed by; a bar meanwhile, and a released device at the end."""
        from gnnkit.cli.progress import drawn

        with closing(self.run), drawn() as draw:
            yield {**self.how, "report": lambda done, total: draw("computing", done / total)}

    def report(self, output: Path, num: int, *, what: str = "nodes", **more: Any) -> Dict[str, Any]:
        """What was done, in plain values; ``num`` nodes, pairs or graphs."""
        run = self.run
        how = {} if self.graphs is not None else {"method": self.how["method"]}
        return {
            "output": str(output),
            "run": str(run.path),
            what: num,
            **more,
            **how,
            "backend": run.model.backend.name,
            "device": run.device.name,
            "differences": self.differences,
            "notes": [*self.warnings, *self.notes],
            "seconds": time.perf_counter() - self.start,
        }


def open_work(
    asked: Asked, output: Path, suffixes: Tuple[str, ...], of_nodes: Optional[Mapping[str, bool]] = None
) -> Work:
    """Open a run as the options of a command say; what cannot be written is told before anything is loaded.

    Args:
        asked: The options.
        output: Where results go.
        suffixes: What its name may end in.
        of_nodes: Options of the command that are about nodes or pairs, and whether they are given.
    """
    with stage("loading libraries"):
        from gnnkit.cli.inferring_graphs import open_graphs, refuse_graphs
        from gnnkit.inference import NodeIds, open_run, read_new_nodes, read_nodes
        from gnnkit.inference.checks import check_single
        from gnnkit.inference.writing import check_output
        from gnnkit.parallel import join_world
        from gnnkit.runs import Learned, read_run
        from gnnkit.runs.learned import GRAPHS

    start = time.perf_counter()
    check_output(user_path(output), asked.force, suffixes)
    check_single(user_path(asked.run, "The run folder"))
    manifest = read_run(asked.run).manifest
    learned = Learned.among(manifest)
    if learned is not None and learned.level == GRAPHS:
        return open_graphs(asked, manifest, of_nodes or {}, start)
    refuse_graphs(asked, manifest)
    new_nodes, new_edges, undirected = asked.new_nodes, asked.new_edges, asked.undirected
    if undirected and new_edges is None:
        raise ConfigError("--undirected needs --new-edges. Give it as well.")
    fanouts = None if asked.fanouts is None else whole_numbers(asked.fanouts, "--fanouts")
    where: Dict[str, Any] = {"dataset": asked.dataset, "data_dir": asked.data_dir, "world": join_world()}
    opened = open_run(asked.run, backend=asked.backend, device=asked.device, **where)
    names = opened.names()
    ids = NodeIds.of(opened.graph, names)
    method = asked.method or (opened.default_method if fanouts is None else "sampled")
    how = {"method": method, "fanouts": fanouts, "batch_size": asked.batch_size}
    differences, warnings, notes = opened.differences, list(opened.notes), notes_about(opened)
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


def launched(processes: Processes, asked: Asked, output: Path, suffixes: Tuple[str, ...]) -> bool:
    """Whether the command was run in several processes, because that was asked for.

    Args:
        processes: How many.
        asked: The options.
        output: Where results go.
        suffixes: What its name may end in.
    """
    from gnnkit.inference.writing import check_output

    if not processes.is_asked_for:
        return False
    check_output(user_path(output), asked.force, suffixes)
    launch(processes)
    return True


def notes_about(opened: TrainedRun) -> List[str]:
    """What the user should know of a run and the data it is used on."""
    notes = []
    if opened.differences:
        notes.append(f"these are not the data of the run; what differs: {', '.join(opened.differences)}")
    if not opened.record.is_complete:
        notes.append(f"the run is {opened.record.manifest.get('status')}: these are its best weights so far")
    return notes


def _direction_notes(opened: TrainedRun, grown: Any, undirected: bool) -> List[str]:
    from gnnkit.data import is_undirected

    if undirected or not opened.record.manifest["data"].get("undirected") or is_undirected(grown):
        return []
    return ["the data carry both directions of every edge, the new edges do not; --undirected adds them"]


def show(title: str, work: Work, report: Dict[str, Any], rows: List[List[str]], json: bool) -> None:
    """Say what was done: a table, notes, and one line of JSON if that is wanted."""
    what = next(kind for kind in ("pairs", "graphs", "nodes") if kind in report)
    table = [[what, f"{report[what]:,}"], *rows]
    if "method" in report:
        table.append(["method", report["method"]])
    table.append(["backend / device", f"{report['backend']} / {report['device']}"])
    table.append(["time", f"{report['seconds']:.1f} s"])
    print_table(title, ["", ""], table)
    for note in work.notes:
        print(f"  note:    {note}")
    print(f"  output:  {report['output']}")
    if json:
        print_json(report)
