"""Unsupervised GraphSAGE: nodes that random walks join get like embeddings, others unlike ones.

Rules: no label has a part in the loss; embeddings are judged by a linear probe, a logistic regression that is fitted to
the training nodes' embeddings and labels. Hamilton, Ying and Leskovec, "Inductive representation learning on large
graphs" (2017), section 3.2.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import IGNORED_LABEL, Graph, Targets
from gnnkit.errors import ConfigError, DataError
from gnnkit.loading import Draw, paired
from gnnkit.sampling import PairSampler
from gnnkit.tasks.base import Readout, Task, check_learnable
from gnnkit.tasks.node_classification import NodeClassification

_SMALLEST_SHARE = 1e-9
"""Probability below which the probe's says nothing; that of a class that no training node has."""


class Unsupervised(Task):
    """Learn embeddings from the graph alone.

    An epoch goes through all nodes. Each is paired with a node that a random walk from it meets, and all pairs of a
    batch share negatives drawn in proportion to degree^0.75. Any convolution can learn so.

    Args:
        walk_length: Steps of a walk.
        num_negatives: How many negatives the pairs of a batch share.
        negative_weight: Weight of their mean: Q of the paper.
        judge: Judges the probe's scores.

    Raises:
        ConfigError: A length or a number below 1, or a weight below 0.
    """

    name: ClassVar[str] = "unsupervised"
    settings: ClassVar[Tuple[str, ...]] = ("walk_length", "num_negatives", "negative_weight")
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {"out_channels": 128, "dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0},
        "train": {"batch_size": 512, "epochs": 30, "lr": 0.003, "weight_decay": 0.0},
    }
    needs_batches: ClassVar[bool] = True
    needs_training_outputs: ClassVar[bool] = True

    def __init__(
        self,
        *,
        walk_length: int = 5,
        num_negatives: int = 100,
        negative_weight: float = 1.0,
        judge: Optional[NodeClassification] = None,
    ) -> None:
        for name, value, least in (
            ("walk_length", walk_length, 1),
            ("num_negatives", num_negatives, 1),
            ("negative_weight", negative_weight, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} is {value}, expected at least {least}.")
        self.walk_length = walk_length
        self.num_negatives = num_negatives
        self.negative_weight = negative_weight
        self._judge = judge or NodeClassification()
        self.metric = self._judge.metric

    @classmethod
    def for_graph(cls, graph: Graph, **settings: Any) -> Unsupervised:
        """See :class:`Task`. Labels and splits are needed for the probe.

        Raises:
            DataError: As for node classification; also multi-label data, or training nodes of one class alone.
        """
        check_learnable(graph, "the linear probe of unsupervised learning")
        if graph.is_multi_label:
            raise DataError("y", "holds several labels per node, the linear probe takes one class per node.")
        assert graph.y is not None
        classes = set(graph.y[graph.splits["train"]].tolist()) - {IGNORED_LABEL}
        if len(classes) < 2:
            raise DataError("y", "the training nodes are all of one class, the linear probe needs two at least.")
        return cls(judge=NodeClassification.for_graph(graph), **settings)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean over pairs (u, v) of ``-log s(z_u . z_v) - Q mean over negatives n of log s(-z_u . z_n)``.

        s is the sigmoid, and z are the embeddings brought to unit length, as in algorithm 1 of the paper.

        Args:
            outputs: Embeddings of any length. Shape [N, D].
            targets: Their rows "src", "dst" and "negatives" are those of u, v and n among the outputs; the negatives
                are shared by all pairs.
        """
        z = functional.normalize(outputs, dim=1)
        sources, partners, negatives = (z[targets.rows[name]] for name in ("src", "dst", "negatives"))
        near = functional.softplus(-(sources * partners).sum(dim=1))
        far = functional.softplus(sources @ negatives.T).mean(dim=1)
        losses = near + self.negative_weight * far
        if targets.mask is None:
            return losses.sum() / max(len(losses), 1)
        return (losses * targets.mask).sum() / targets.mask.sum().clamp(min=1)

    def training_nodes(self, graph: Graph) -> Tensor:
        """All nodes: nothing of their labels is used."""
        return torch.arange(graph.num_nodes)

    def draw(self, graph: Graph, seed: int) -> Optional[Draw]:
        """Pairs and negatives; see :func:`gnnkit.loading.paired`."""
        sampler = PairSampler(graph, walk_length=self.walk_length, num_negatives=self.num_negatives, seed=seed)
        return paired(sampler)

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

    def validation_loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of the probe."""
        return self._judge.validation_loss(scores, y)

    def evaluate(self, scores: Tensor, y: Tensor) -> float:
        """See :class:`Task`."""
        return self._judge.evaluate(scores, y)

    def evaluate_all(self, scores: Tensor, y: Tensor) -> Dict[str, float]:
        """See :class:`Task`."""
        return self._judge.evaluate_all(scores, y)
