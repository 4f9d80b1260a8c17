"""Tasks: what is learned, and how well."""

from typing import Mapping, Type

from gnnkit.tasks.base import Readout, Task
from gnnkit.tasks.loss_module import LossModule
from gnnkit.tasks.metrics import METRICS
from gnnkit.tasks.node_classification import NodeClassification
from gnnkit.tasks.unsupervised import Unsupervised

TASKS: Mapping[str, Type[Task]] = {task.name: task for task in (NodeClassification, Unsupervised)}
"""All tasks by name."""

__all__ = ["METRICS", "TASKS", "LossModule", "NodeClassification", "Readout", "Task", "Unsupervised"]
