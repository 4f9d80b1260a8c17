"""Whether runs on one page have the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from gnnkit.data import Graph, data_differences, describe_data
from gnnkit.errors import GnnkitError
from gnnkit.nn import ModelSpec

if TYPE_CHECKING:
    from gnnkit.report.collect import RunFacts


def compare_data(runs: Sequence[RunFacts], graphs: Sequence[Optional[Graph]]) -> None:
    """Warn of runs whose data are not those of the first."""
    first = runs[0]
    for run in runs[1:]:
        differences = _differences(first, run, graphs[0])
        run.is_comparable = not differences
        if differences:
            names = first.record.manifest["data"]["name"], run.record.manifest["data"]["name"]
            run.warnings.append(
                f"The runs have different data: {first.label} was trained on {names[0]}, {run.label} on {names[1]}; "
                f"what differs: {', '.join(differences)}. Their scores cannot be compared."
            )


def _differences(first: RunFacts, other: RunFacts, graph: Optional[Graph]) -> List[str]:
    """In what the data of two runs differ, before their models prepared them."""
    mine, theirs = (run.record.manifest["data"] for run in (first, other))
    specs = [_spec(run) for run in (first, other)]
    if specs[0] is None or specs[1] is None:
        return data_differences(mine, theirs)
    if (specs[0].self_loops, specs[0].gcn_norm) == (specs[1].self_loops, specs[1].gcn_norm):
        return data_differences(mine, theirs)
    if graph is not None and not _changed(graph, mine, specs[0]):
        return _changed(graph, theirs, specs[1])
    # Without the data, edges that were prepared in different ways cannot be compared; their ends can be counted.
    different = [part for part in data_differences(mine, theirs) if not part.startswith("edge")]
    return different + (["number of nodes"] if mine["num_nodes"] != theirs["num_nodes"] else [])


def _spec(run: RunFacts) -> Optional[ModelSpec]:
    """The run's model; None for one with a custom layer that nobody has defined here."""
    try:
        return ModelSpec.from_dict(run.record.manifest["model"])
    except GnnkitError:
        return None


def _changed(graph: Graph, recorded: Dict[str, Any], spec: ModelSpec) -> List[str]:
    """In what a graph, prepared for a model, differs from recorded data."""
    return data_differences(recorded, describe_data(spec.prepare(graph)))
