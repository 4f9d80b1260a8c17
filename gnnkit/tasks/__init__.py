"""Tasks: what is learned, and how well."""

from gnnkit.tasks.base import Head, Judged, Loss, Readout, Task, check_learnable
from gnnkit.tasks.edge_classification import EdgeClassification, EdgeClassificationOptions
from gnnkit.tasks.edge_regression import EdgeRegression, EdgeRegressionOptions
from gnnkit.tasks.embedding import EmbeddingTask
from gnnkit.tasks.knowledge_graph import KnowledgeGraph, KnowledgeGraphOptions
from gnnkit.tasks.link_prediction import LinkPrediction, LinkPredictionOptions
from gnnkit.tasks.loss_module import LossModule
from gnnkit.tasks.metrics import METRICS, Metric
from gnnkit.tasks.node_classification import NodeClassification, NodeClassificationOptions
from gnnkit.tasks.node_regression import NodeRegression, NodeRegressionOptions
from gnnkit.tasks.pair_heads import HEADS, PairHead
from gnnkit.tasks.pairs import PairOptions, PairTask
from gnnkit.tasks.registry import DEFAULT_TASK, Metrics, arranged, make_task, task_class, task_options, tasks
from gnnkit.tasks.triple_heads import TRIPLE_HEADS, TripleHead
from gnnkit.tasks.units import Units
from gnnkit.tasks.unsupervised import Unsupervised, UnsupervisedOptions

__all__ = [
    "DEFAULT_TASK",
    "HEADS",
    "METRICS",
    "TRIPLE_HEADS",
    "EdgeClassification",
    "EdgeClassificationOptions",
    "EdgeRegression",
    "EdgeRegressionOptions",
    "EmbeddingTask",
    "Head",
    "Judged",
    "KnowledgeGraph",
    "KnowledgeGraphOptions",
    "LinkPrediction",
    "LinkPredictionOptions",
    "Loss",
    "LossModule",
    "Metric",
    "Metrics",
    "NodeClassification",
    "NodeClassificationOptions",
    "NodeRegression",
    "NodeRegressionOptions",
    "PairHead",
    "PairOptions",
    "PairTask",
    "Readout",
    "Task",
    "TripleHead",
    "Units",
    "Unsupervised",
    "UnsupervisedOptions",
    "arranged",
    "check_learnable",
    "make_task",
    "task_class",
    "task_options",
    "tasks",
]
