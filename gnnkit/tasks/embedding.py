"""Tasks whose outputs are embeddings, judged by a linear probe.

Rules: no label has a part in the loss. The probe is a logistic regression that is fitted to the training nodes'
embeddings and labels.
"""

from __future__ import annotations

from typing import Any, ClassVar, Optional, Type, TypeVar

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Graph, Targets
from gnnkit.errors import DataError
from gnnkit.tasks.base import EMBEDDINGS, Readout, Task, check_learnable
from gnnkit.tasks.node_classification import NodeClassification

E = TypeVar("E", bound="EmbeddingTask")

_SMALLEST_SHARE = 1e-9
"""Probability below which the probe's says nothing; that of a class that no training node has."""


class EmbeddingTask(Task):
    """Base of tasks that learn embeddings; what is left to write is how they learn.

    Args:
        options: The settings.
        judge: Judges the probe's scores.
    """

    needs_training_outputs: ClassVar[bool] = True
    outputs = EMBEDDINGS

    def __init__(self, options: Any = None, judge: Optional[NodeClassification] = None) -> None:
        super().__init__(options)
        self._judge = judge or NodeClassification()
        self.metrics = self._judge.metrics

    @classmethod
    def for_graph(cls: Type[E], graph: Graph, options: Any = None) -> E:
        """See :class:`Task`. Labels and splits are needed for the probe.

        Raises:
            DataError: As for node classification; also multi-label data, or training nodes of one class alone.
        """
        check_learnable(graph, f"the linear probe of task {cls.name!r}", graph.has_label)
        judge = NodeClassification.for_graph(graph)
        if graph.is_multi_label:
            raise DataError("y", "holds several labels per node, the linear probe takes one class per node.")
        assert graph.y is not None
        classes = set(graph.y[graph.splits["train"]].tolist()) - {IGNORED_LABEL}
        if len(classes) < 2:
            raise DataError("y", "the training nodes are all of one class, the linear probe needs two at least.")
        return cls(options, judge)

    def readout(self, outputs: Tensor, y: Tensor) -> Readout:
        """Fit the linear probe: scikit-learn's logistic regression on standardised embeddings.

        Args:
            outputs: Embeddings of the training nodes. Shape [N, D].
            y: Their classes, -100 for none. Shape [N].

        Returns:
            From embeddings [M, D] to logarithms of class probabilities, [M, C]; C is 1 + the largest class.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        kept = y != IGNORED_LABEL
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        probe.fit(outputs[kept].double().numpy(), y[kept].numpy())

        def read(embeddings: Tensor) -> Tensor:
            found = probe.predict_proba(embeddings.double().numpy())
            shares = np.full((len(found), int(probe.classes_.max()) + 1), _SMALLEST_SHARE)
            shares[:, probe.classes_] = found.clip(min=_SMALLEST_SHARE)
            return torch.from_numpy(shares).log()

        return read

    def validation_loss(self, scores: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy of the probe."""
        return self._judge.loss(scores, targets)
