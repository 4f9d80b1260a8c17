"""``gnnkit info``: what a data set is like, before anything is trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from gnnkit.cli.configuring import SETTINGS, run_config, takes_flags
from gnnkit.cli.output import print_json, print_summary, print_table, reports_errors

if TYPE_CHECKING:
    from gnnkit.data.statistics import DataStatistics

EXAMPLE = "Example: gnnkit info cora"


@reports_errors
@takes_flags("data_dir", "task", "seed")
def info(
    *,
    dataset: str = typer.Argument(..., help="A name from 'gnnkit datasets', or a folder."),
    settings: Optional[List[str]] = SETTINGS,
    flags: Dict[str, Any],
    json: bool = typer.Option(False, "--json", help="Print one line of JSON instead."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Show sizes, splits, degrees, homophily, components and memory of a data set."""
    from gnnkit.data import summarize
    from gnnkit.data.statistics import describe_graph, num_bytes, num_components
    from gnnkit.train.assembling import load_data

    flags["dataset"]["name"] = dataset
    graph = load_data(run_config(settings, flags))
    found = describe_graph(graph)
    components, largest = num_components(graph)
    summary = summarize(graph)
    if json:
        print_json({**_values(found), "components": components, "bytes": num_bytes(graph), "data": summary})
        return
    print_summary(graph.name, summary)
    degrees = f"mean {found.mean_degree:.2f}, median {found.median_degree:,}, largest {found.max_degree:,}"
    rows = [
        ["in-degrees", degrees],
        ["self-loops", f"{found.sizes['self-loops']:,}"],
        ["nodes without an edge to them", f"{found.sizes['nodes without an edge to them']:,}"],
        ["components", f"{components:,}, the largest of {largest:,} nodes"],
        *_homophily(found),
        ["memory", f"{num_bytes(graph) / 2**20:,.1f} MiB"],
    ]
    print_table("Structure", ["", ""], rows)


def _values(found: DataStatistics) -> Dict[str, Any]:
    same = found.homophily
    return {
        **{name.replace(" ", "_").replace("-", "_"): size for name, size in found.sizes.items()},
        "undirected": found.undirected,
        "degrees": {"mean": found.mean_degree, "median": found.median_degree, "largest": found.max_degree},
        "homophily": None if same is None else {"edge": same.edge, "chance": same.chance, "adjusted": same.adjusted},
    }


def _homophily(found: DataStatistics) -> List[List[str]]:
    """Rows about whether neighbours are of one class."""
    same = found.homophily
    if same is None:
        return []
    words = f"{100 * same.edge:.1f}% of edges join nodes of one class, {100 * same.chance:.1f}% by chance"
    return [["homophily", f"{words}; adjusted {same.adjusted:.3f}"]]
