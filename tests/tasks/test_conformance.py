"""gnnkit's own tasks pass the checks of a task, with their options, too."""

from __future__ import annotations

from gnnkit.testing import TaskSuite
from tests.graphs import multi_label


class TestNodeClassification(TaskSuite):
    name = "node_classification"


class TestWeightedClasses(TaskSuite):
    name = "node_classification"
    options = {"class_weights": [1.0, 2.0, 5.0], "label_smoothing": 0.1}


class TestSeveralLabels(TaskSuite):
    name = "node_classification"
    options = {"positive_weights": "balanced"}

    def graph(self):
        return multi_label()


class TestNodeRegression(TaskSuite):
    name = "node_regression"
    options = {"loss": "huber"}


class TestUnsupervised(TaskSuite):
    name = "unsupervised"
    options = {"num_negatives": 20}


class TestKnowledgeGraph(TaskSuite):
    name = "knowledge_graph"


class TestDrawnNegatives(TaskSuite):
    name = "knowledge_graph"
    options = {"head": "rotate", "negatives": "uniform", "num_negatives": 8, "loss": "margin", "metrics": ["mean_rank"]}
