"""Unsupervised GraphSAGE: nodes that random walks join get like embeddings, others unlike ones.

Rules: no label has a part in the loss; embeddings are judged by a linear probe. Hamilton, Ying and Leskovec, "Inductive
representation learning on large graphs" (2017), section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Mapping, Optional

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Graph, Items, Targets
from gnnkit.errors import ConfigError
from gnnkit.loading import Draw, paired
from gnnkit.registry import API_VERSION
from gnnkit.sampling import PairSampler
from gnnkit.tasks.embedding import EmbeddingTask


@dataclass(frozen=True)
class UnsupervisedOptions:
    """Options of the task ``unsupervised``.

    Attributes:
        walk_length: Steps of the random walks that pair nodes.
        num_negatives: Nodes drawn at random that the pairs of a batch are told from.
        negative_weight: Weight of their mean in the loss: Q of the paper.
    """

    walk_length: int = 5
    num_negatives: int = 100
    negative_weight: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("walk_length", 1), ("num_negatives", 1), ("negative_weight", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}.")


class Unsupervised(EmbeddingTask):
    """Learn embeddings from the graph alone.

    An epoch goes through all nodes. Each is paired with a node that a random walk from it meets, and all pairs of a
    batch share negatives drawn in proportion to degree^0.75. Any convolution can learn so.
    """

    name: ClassVar[str] = "unsupervised"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "Embeddings from the graph alone, judged by a linear probe."
    options_class = UnsupervisedOptions
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {"out_channels": 128, "dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0},
        "train": {"batch_size": 512, "epochs": 30, "lr": 0.003, "weight_decay": 0.0},
    }
    needs_batches: ClassVar[bool] = True

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
        weight: float = self.options.negative_weight
        losses: Tensor = near + weight * far
        if targets.mask is None:
            return losses.sum() / max(len(losses), 1)
        return (losses * targets.mask).sum() / targets.mask.sum().clamp(min=1)

    def items(self, graph: Graph, split: str) -> Items:
        """All nodes to train on: nothing of their labels is used."""
        return Items("nodes", torch.arange(graph.num_nodes)) if split == "train" else super().items(graph, split)

    def draw(self, graph: Graph, seed: int) -> Optional[Draw]:
        """Pairs and negatives; see :func:`gnnkit.loading.paired`."""
        length, num = self.options.walk_length, self.options.num_negatives
        return paired(PairSampler(graph, walk_length=length, num_negatives=num, seed=seed))
