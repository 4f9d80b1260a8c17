"""Masked feature reconstruction: Hou et al., "GraphMAE: self-supervised masked graph autoencoders" (KDD 2022).

Rules: which nodes are hidden depends on seed, epoch and node alone; no label has a part in the loss. The paper's
decoder is a graph layer on embeddings that are hidden once more; a head sees no edges, so this one is a perceptron.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Graph, Items, Targets
from gnnkit.errors import ConfigError
from gnnkit.loading import Draw, Drawn
from gnnkit.sampling import uniform_by_id
from gnnkit.tasks import EmbeddingTask, Head


@dataclass(frozen=True)
class MaskedFeaturesOptions:
    """Options of the task ``masked-features``.

    Attributes:
        mask_rate: Share of the nodes whose features are hidden.
        gamma: Power of the scaled cosine error; larger ones let what is nearly right count less.
    """

    mask_rate: float = 0.5
    gamma: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.mask_rate < 1:
            raise ConfigError(f"mask_rate is {self.mask_rate}, expected a share between 0 and 1.")
        if self.gamma < 1:
            raise ConfigError(f"gamma is {self.gamma}, expected at least 1.")


class Reconstruction(Head):
    """A learned token in the place of hidden features, and a decoder from embeddings to features.

    Args:
        width: Of the embeddings.
        num_features: How many features there are to reconstruct.
    """

    def __init__(self, width: int, num_features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(num_features))
        self.decoder = nn.Sequential(nn.Linear(width, width), nn.PReLU(), nn.Linear(width, num_features))

    def inputs(self, x: Tensor, targets: Targets) -> Tensor:
        """Hide the features of the targets. Padding points at a row that may be real, and hides nothing."""
        rows = targets.rows["hidden"]
        weight = torch.ones_like(rows, dtype=x.dtype) if targets.mask is None else targets.mask.to(x.dtype)
        hidden = torch.zeros_like(x[:, 0]).scatter_add(0, rows, weight).unsqueeze(1)
        return x * (1 - hidden) + self.token * hidden

    def forward(self, h: Tensor, targets: Targets) -> Tensor:
        """Reconstructed features, [num_dst, F]."""
        found: Tensor = self.decoder(h)
        return found


class MaskedFeatures(EmbeddingTask):
    """Learn embeddings from which the features of hidden nodes can be told."""

    name: ClassVar[str] = "masked-features"
    api_version: ClassVar[int] = 1
    summary: ClassVar[str] = "Embeddings that tell the features of hidden nodes (GraphMAE), judged by a linear probe."
    options_class = MaskedFeaturesOptions
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {"out_channels": 128, "dropout": 0.2, "input_dropout": 0.0},
        "train": {"batch_size": 512, "epochs": 30, "lr": 0.003, "weight_decay": 0.0},
    }
    needs_batches: ClassVar[bool] = True
    changes_inputs: ClassVar[bool] = True
    num_features = 0

    @classmethod
    def for_graph(cls, graph: Graph, options: Any = None) -> MaskedFeatures:
        """See :class:`gnnkit.tasks.Task`."""
        task = super().for_graph(graph, options)
        task.num_features = graph.num_features
        return task

    def items(self, graph: Graph, split: str) -> Items:
        """All nodes to train on."""
        return Items("nodes", torch.arange(graph.num_nodes)) if split == "train" else super().items(graph, split)

    def draw(self, graph: Graph, seed: int) -> Draw:
        """Hide some of the batch's nodes; what is to be reconstructed are their features."""

        def draw(items: NDArray[np.int64], part: slice, epoch: int, _number: int) -> Drawn:
            nodes = items[part]
            hidden = np.flatnonzero(uniform_by_id(nodes, seed, epoch) <= self.options.mask_rate)
            assert graph.x is not None, "a graph without features is refused"
            y = graph.x[torch.from_numpy(nodes[hidden])].float()
            return Drawn(nodes, Targets(y, {"hidden": torch.from_numpy(hidden)}, num=len(hidden)))

        return draw

    def head(self, width: int) -> Head:
        """Token and decoder."""
        return Reconstruction(width, self.num_features)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean over hidden nodes of ``(1 - cos(reconstructed, true)) ^ gamma``, the paper's scaled cosine error."""
        assert targets.y is not None
        found = outputs.index_select(0, targets.rows["hidden"])
        likeness = functional.cosine_similarity(found, targets.y.to(found.dtype), dim=1)
        errors: Tensor = (1 - likeness).clamp(min=0) ** self.options.gamma
        if targets.mask is None:
            return errors.sum() / max(len(errors), 1)
        return torch.where(targets.mask, errors, torch.zeros_like(errors)).sum() / targets.mask.sum().clamp(min=1)
