"""Tasks: what is learned, and how well."""

from gnnkit.tasks.loss_module import LossModule
from gnnkit.tasks.metrics import METRICS
from gnnkit.tasks.node_classification import NodeClassification

__all__ = ["METRICS", "LossModule", "NodeClassification"]
