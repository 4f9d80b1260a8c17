"""``gnnkit data``: bringing a user's own data into the form that training reads, and checking data."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import typer

from gnnkit.cli.configuring import SETTINGS, run_config, takes_flags
from gnnkit.cli.output import print_json, print_summary, print_table, reports_errors
from gnnkit.errors import ConfigError

CHECK_EXAMPLE = "Example: gnnkit data check path/to/folder dataset.options.undirected=true"
EXAMPLE = "Example: gnnkit data import edges.csv.gz --features x.npy --labels y.npy --undirected --output papers"
PARTITION_EXAMPLE = "Example: gnnkit data partition facebook_large --parts 2 --out parts"

app = typer.Typer(no_args_is_help=True, help="Convert your own data, and check data.")


@app.callback()
def data() -> None:
    """Convert your own data, and check data."""


@app.command("import", epilog=EXAMPLE)
@reports_errors
def import_data(
    edges: List[Path] = typer.Argument(
        ...,
        help="Edge lists: *.csv, *.tsv, *.txt (also *.gz), *.npy, *.parquet. Or a folder with one for each "
        "relation of a typed graph: edges/SOURCE__NAME__DESTINATION.csv.",
    ),
    output: Path = typer.Option(..., help="The folder to write, for 'gnnkit run --dataset FOLDER'."),
    num_nodes: Optional[int] = typer.Option(
        None, help="Number of nodes.  [default: from features or labels, else the largest id plus 1]"
    ),
    features: Optional[Path] = typer.Option(None, help="*.npy of shape [N, F], floating point."),
    labels: Optional[Path] = typer.Option(None, help="*.npy, or a table with a column 'label' and optionally 'id'."),
    train: Optional[Path] = typer.Option(None, help="*.npy: ids of the training nodes, or a mask."),
    valid: Optional[Path] = typer.Option(None, help="The same for validation nodes."),
    test: Optional[Path] = typer.Option(None, help="The same for test nodes."),
    undirected: bool = typer.Option(False, "--undirected", help="Add the reverse of every edge that has none."),
    add_reverses: bool = typer.Option(False, "--add-reverses", help="Typed: add a reverse to every relation."),
    dedup: bool = typer.Option(False, "--dedup", help="Keep one of each set of duplicate edges."),
    column: Optional[List[str]] = typer.Option(
        None, help="A column with a different name: source=, target=, id= or label=NAME. May be repeated."
    ),
    missing: Optional[List[str]] = typer.Option(
        None, help="A marker for missing labels, instead of the usual ones. May be repeated."
    ),
    number_classes: bool = typer.Option(
        False, "--number-classes", help="Labels are class codes: number them in ascending order."
    ),
    memory: float = typer.Option(2.0, help="Gigabytes that sorting may take."),
    force: bool = typer.Option(False, "--force", help="Replace an existing graph."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Convert edge lists, with features, labels and splits, to a folder that training opens memory-mapped.

    Nodes are whole numbers from 0. Larger graphs than memory can be converted: edges are sorted on disk.
    """
    from gnnkit.cli.progress import drawn
    from gnnkit.data import summarize
    from gnnkit.datasets import import_folder, import_graph

    if not 0 < memory < math.inf:
        raise ConfigError(f"--memory is {memory}, expected a number of gigabytes, such as 2.")
    splits = {name: file for name, file in (("train", train), ("valid", valid), ("test", test)) if file is not None}
    of_one_type: Dict[str, Any] = {"num-nodes": num_nodes, "features": features, "labels": labels, **splits}
    of_one_type["undirected"] = undirected
    is_typed = len(edges) == 1 and edges[0].is_dir()
    shared: Dict[str, Any] = {
        "dedup": dedup,
        "memory": int(memory * 1e9),
        "force": force,
        "columns": _columns(column or []),
        "number_classes": number_classes,
        "missing": [_mark(text) for text in missing] if missing else None,
    }
    for name, value in of_one_type.items() if is_typed else (("add-reverses", add_reverses),):
        if value:
            where = "a folder, whose files say it by type" if is_typed else "edges of one kind"
            raise ConfigError(f"--{name} has no effect on {where}. Leave it out.")
    with drawn() as report:
        if is_typed:
            graph = import_folder(edges[0], output, add_reverses=add_reverses, report=report, **shared)
        else:
            nodes: Dict[str, Any] = {"num_nodes": num_nodes, "features": features, "labels": labels, "splits": splits}
            graph = import_graph(edges, output, undirected=undirected, report=report, **nodes, **shared)
    found: Dict[str, Any] = {
        "num_nodes": graph.num_nodes,
        "num_edges": graph.num_edges,
        "num_features": graph.num_features,
        "num_classes": graph.num_classes,
        **{name: ids.numel() for name, ids in graph.splits.items()},
    }
    if graph.typed is not None:
        found["types"] = {"nodes": dict(graph.typed.num_nodes), "edges": dict(graph.typed.num_edges)}
    summary = summarize(graph)
    if json:
        print_json({"output": str(output), **found, "data": summary})
    else:
        print_summary("Imported", summary)
        model = "sage" if graph.typed is None else "rgcn"
        print(f"  train on it:  gnnkit run --dataset {output} --model {model} --fanouts 10,10")


@app.command("check", epilog=CHECK_EXAMPLE)
@reports_errors
@takes_flags("data_dir", "seed")
def check_data(
    *,
    dataset: str = typer.Argument(..., help="A name from 'gnnkit datasets', or a folder."),
    settings: Optional[List[str]] = SETTINGS,
    flags: Dict[str, Any],
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Load and describe a data set, and refuse it if evaluation pairs carry messages."""
    from gnnkit.data import check_graph, check_leaks, summarize
    from gnnkit.train.assembling import load_data

    flags["dataset"]["name"] = dataset
    graph = load_data(run_config(settings, flags))
    check_graph(graph)
    num_pairs = check_leaks(graph)
    summary = summarize(graph)
    if json:
        counts = {"num_nodes": graph.num_nodes, "num_edges": graph.num_edges}
        print_json({"dataset": dataset, **counts, "num_pairs_checked": num_pairs, "num_leaks": 0, "data": summary})
        return
    print_summary(graph.name, summary)
    looked_up = f"none of {num_pairs:,} pairs of valid and test is among {graph.num_edges:,} edges."
    print("  no leaks:", looked_up if graph.links is not None else "there are no pairs to judge.")


@app.command("partition", epilog=PARTITION_EXAMPLE)
@reports_errors
@takes_flags("data_dir", "task", "seed")
def partition_data(
    *,
    dataset: str = typer.Argument(..., help="A name from 'gnnkit datasets', or a folder."),
    settings: Optional[List[str]] = SETTINGS,
    flags: Dict[str, Any],
    parts: int = typer.Option(..., help="Number of parts, one for each machine."),
    out: Path = typer.Option(..., help="The folder to write, for 'gnnkit run --parts FOLDER'."),
    graph_store: str = typer.Option("dgl", help="Library that partitions the graph and serves the parts."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Partition a graph, one part for each machine, with few edges between the parts."""
    from gnnkit.paths import user_path
    from gnnkit.train.assembling import load_data
    from gnnkit.train.parts import check_cut, cut

    flags["dataset"]["name"] = dataset
    config, folder = run_config(settings, flags), user_path(out, "--out")
    check_cut(config, graph_store, parts, folder)
    graph = load_data(config)
    sizes = cut(graph, config, graph_store, parts, folder)
    if json:
        found = {"num_nodes": graph.num_nodes, "num_edges": graph.num_edges, "parts": [asdict(each) for each in sizes]}
        print_json({"output": str(out), "dataset": dataset, **found})
        return
    columns = ["part", "nodes", "edges", "stored nodes", "stored edges", "bytes"]
    rows = [[f"{value:,}" for value in (number, *asdict(each).values())] for number, each in enumerate(sizes)]
    print_table(f"{graph.name} in {parts} parts", columns, rows)
    nodes = f" --nodes {parts} --node-rank ... --rendezvous HOST:PORT" if parts > 1 else ""
    print(f"  train on it:  gnnkit run --parts {out} --backend dgl --model sage --fanouts 10,10{nodes}")


def _columns(pairs: List[str]) -> Dict[str, str]:
    """Names of columns by what they hold."""
    columns = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not (role and equals and name):
            raise ConfigError(f"--column is {pair!r}, expected a role and a column name, such as label=kind.")
        columns[role] = name
    return columns


def _mark(text: str) -> Union[str, float]:
    """A mark of a missing value, as a number where it is one."""
    try:
        return float(text)
    except ValueError:
        return text
