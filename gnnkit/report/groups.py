"""Groups of runs on one page: those of equal data, task and metric, whose scores and losses can be compared.

Rules: nothing is ranked, and nothing is drawn into one figure, across groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from gnnkit.data import Graph, data_differences, describe_data
from gnnkit.errors import GnnkitError
from gnnkit.nn import ModelSpec

if TYPE_CHECKING:
    from gnnkit.report.collect import RunFacts


@dataclass(frozen=True)
class Group:
    """Runs that can be compared.

    Attributes:
        number: Counted from 1.
        runs: In the order in which they were given.
        title: What they have in common, such as "karate: node classification by accuracy".
        is_alone: Whether it is the only one on the page.
    """

    number: int
    runs: List[RunFacts]
    title: str
    is_alone: bool

    @property
    def heading(self) -> str:
        """What stands above its panels; nothing where it is the only group."""
        if self.is_alone:
            return ""
        return self.title if len(self.runs) > 1 else f"{self.title} ({self.runs[0].label})"

    @property
    def suffix(self) -> str:
        """What tells its figures from those of other groups, at the end of a file's name."""
        return "" if self.is_alone else f"-{self.number}"


def groups_of(runs: Sequence[RunFacts]) -> List[Group]:
    """The groups of a page, in the order of their first runs."""
    members: Dict[int, List[RunFacts]] = {}
    for run in runs:
        members.setdefault(run.group, []).append(run)
    titles = [_title(mine[0]) for mine in members.values()]
    groups = []
    for place, (number, mine) in enumerate(members.items()):
        title = titles[place]
        if titles.count(title) > 1:
            title += f", data of {mine[0].label}"
        groups.append(Group(number, mine, title, len(members) == 1))
    return groups


def group_runs(runs: Sequence[RunFacts], graphs: Sequence[Optional[Graph]]) -> None:
    """Give each run the number of its group.

    Warns of runs whose data have the name of other data, because nobody sees that otherwise.

    Args:
        runs: The runs.
        graphs: The data of each; None for data that could not be loaded.
    """
    firsts: List[int] = []
    for run in runs:
        same: Optional[int] = None
        others: List[Tuple[RunFacts, List[str]]] = []
        for number, place in enumerate(firsts, start=1):
            first = runs[place]
            if _question(first) != _question(run):
                continue
            differences = _differences(first, run, graphs[place])
            if not differences:
                same = number
                break
            others.append((first, differences))
        if same is None:
            firsts.append(list(runs).index(run))
            run.warnings += [
                f"{first.label} and {run.label} were trained on different data of the same name, {_data_name(run)}; "
                f"what differs: {', '.join(differences)}. Their scores cannot be compared."
                for first, differences in others
                if _data_name(first) == _data_name(run)
            ]
        run.group = len(firsts) if same is None else same


def _title(run: RunFacts) -> str:
    return f"{_data_name(run)}: {run.task} by {run.metric}" + (" of a probe" if run.has_probe else "")


def _data_name(run: RunFacts) -> str:
    return str(run.record.manifest["data"]["name"])


def _question(run: RunFacts) -> Tuple[str, str, str]:
    """What a score answers besides the data: task, metric, and what pairs were ranked among."""
    options: Dict[str, Any] = run.config.get("task_options") or {}
    return run.task, run.metric, str(options.get("candidates", "negatives"))


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
