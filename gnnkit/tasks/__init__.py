"""Tasks: what is learned, and how well."""

from gnnkit.tasks.base import Head, Loss, Readout, Task, check_learnable
from gnnkit.tasks.embedding import EmbeddingTask
from gnnkit.tasks.loss_module import LossModule
from gnnkit.tasks.metrics import METRICS, Metric
from gnnkit.tasks.node_classification import NodeClassification, NodeClassificationOptions
from gnnkit.tasks.node_regression import NodeRegression, NodeRegressionOptions
from gnnkit.tasks.registry import DEFAULT_TASK, Metrics, make_task, task_class, task_options, tasks
from gnnkit.tasks.units import Units
from gnnkit.tasks.unsupervised import Unsupervised, UnsupervisedOptions

__all__ = [
    "DEFAULT_TASK",
    "METRICS",
    "EmbeddingTask",
    "Head",
    "Loss",
    "LossModule",
    "Metric",
    "Metrics",
    "NodeClassification",
    "NodeClassificationOptions",
    "NodeRegression",
    "NodeRegressionOptions",
    "Readout",
    "Task",
    "Units",
    "Unsupervised",
    "UnsupervisedOptions",
    "check_learnable",
    "make_task",
    "task_class",
    "task_options",
    "tasks",
]
