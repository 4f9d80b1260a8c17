"""The folder of a run that made none: everything that a run folder has, but the state of the training.

Rules: a result keeps its model and the graph that it was given, and nothing else of what a training needs; the rest is
derived again when a folder is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, cast

from gnnkit.data import Graph, summarize
from gnnkit.errors import ConfigError
from gnnkit.runs.history import RunResult
from gnnkit.runs.run_folder import RunFolder
from gnnkit.train.facts import describe_job
from gnnkit.train.job import Job, prepared_graphs

BEYOND = (
    "A run folder cannot hold this model, because a run is opened by the model's specification: {reason}. Train "
    "without run_dir and resume, and keep the weights yourself with torch.save(result.model.state_dict(), file)."
)


def folder_writer(
    job: Job, graph: Graph, arrange: Callable[[Graph], Graph], config: Dict[str, Any]
) -> Callable[[Path, RunResult], None]:
    """What writes the run folder of a training that has ended.

    Args:
        job: The training.
        graph: What it was given.
        arrange: Splits such a graph for the task.
        config: The merged configuration.
    """
    facts = job.facts
    nothing = cast(Any, None)
    # Without what is large or on the device.
    small = replace(
        job, graph=graph, labelled=graph, loader=nothing, step=nothing, progress=nothing, inferences={}, keeper=None
    )
    small.callbacks = ()

    def write(path: Path, result: RunResult) -> None:
        if small.beyond_spec is not None:
            raise ConfigError(BEYOND.format(reason=small.beyond_spec))
        split = arrange(graph)
        labelled = small.task.labelled(split)
        prepared = prepared_graphs(small.model, split, labelled, small.config.precision)[0]
        again = replace(small, graph=prepared, labelled=labelled)
        told = facts or {**describe_job(again, graph), "data_summary": summarize(graph)}
        judged = prepared.links if small.task.level == "edges" else None
        folder = RunFolder(path, config, told, small.module.canonical_state, judged)
        folder.on_start(result.model, len(result.history), 0)
        for record in result.history:
            folder.on_epoch(record)
        folder.on_best(result.model, result.history[result.best_epoch - 1])
        folder.on_end(replace(result, run_dir=path))

    return write
