"""What a manifest says about a training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

from gnnkit.data import Graph, describe_data
from gnnkit.nn import CustomModel, frozen_parameters
from gnnkit.runs.learned import learned_from
from gnnkit.train.job import Job
from gnnkit.train.processes import LAUNCHERS

MASKS = "dropout_masks"
"""Who draws masks of dropout on the host. Runs of gnnkit 0.1.0 do not say, and have torch's."""


def describe_job(job: Job, graph: Graph) -> Dict[str, Any]:
    """What a manifest says about this training."""
    frozen = frozen_parameters(job.model)
    # Preparation turns categories of edges into columns; what is learned of is the data as they came.
    named = replace(job.graph, edge_categories=graph.edge_categories if job.model.spec.reads_edges else ())
    return {
        "backend": {"name": job.backend.name, **job.backend.versions()},
        "device": {"name": job.device.name, **job.device.describe()},
        "data": describe_data(job.graph),
        "learned": learned_from(named, job.task).to_dict(),
        "model": job.model.spec.to_dict(),
        "portable": job.model.spec.is_portable,
        "task": job.task.name,
        "metric": {"name": job.task.metric, "higher_is_better": job.task.higher_is_better},
        "optimizer": job.optimizer,
        "average": job.config.average,
        "seed": job.seed,
        MASKS: "kernel",
        **job.task.facts(job.labelled, job.seed),
        **({"sparse_embeddings": True} if job.config.sparse_embeddings else {}),
        **({"custom_model": True} if isinstance(job.model, CustomModel) else {}),
        **({"frozen": frozen} if frozen else {}),
        **({} if graph.remote is None else {"sampling": graph.remote.neighbors.sampling}),
        **({"processes": job.world.size} if job.world.size > 1 else {}),
        **({LAUNCHERS: sorted(job.world.launchers)} if job.world.launchers else {}),
    }
