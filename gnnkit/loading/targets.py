"""What the seeds of a sampled batch are, and what is to be learnt at them.

Rules: targets are a function of (nodes, epoch, batch), where nodes are the part of an epoch's order that the batch is
about. Of nodes in two parts, each draws the same as in the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.sampling import PairSampler

SOURCE, PARTNER, NEGATIVE = 0, 1, 2
"""What a seed of a batch of pairs is, as ``Batch.y`` has it. Source i and partner i belong together."""


@dataclass(frozen=True, eq=False)
class Targets:
    """The seeds of a batch with what is to be learnt at them.

    Attributes:
        seeds: Node ids; one may come several times. Shape [B], int64.
        y: As ``Batch.y``, [B]. None: the seeds' labels, where the graph has any.
        num_targets: How many of them are targets; counted in the labels where ``y`` is None.
    """

    seeds: NDArray[np.int64]
    y: Optional[Tensor] = None
    num_targets: int = 0


MakeTargets = Callable[[NDArray[np.int64], int, int], Targets]
"""From the nodes of a batch, the epoch and the number of the batch to its targets."""


def paired(sampler: PairSampler) -> MakeTargets:
    """Targets that are pairs: sources, then their partners in the same order, then negatives, marked so in ``y``.

    Args:
        sampler: Draws the pairs.

    Example:
        >>> import gnnkit
        >>> make = paired(PairSampler(gnnkit.load_dataset("karate"), num_negatives=3))
        >>> make(np.array([0, 33]), 1, 0).y.tolist()
        [0, 0, 1, 1, 2, 2, 2]
    """

    def make(nodes: NDArray[np.int64], epoch: int, batch: int) -> Targets:
        drawn = sampler.sample(nodes, epoch=epoch, batch=batch)
        parts = (drawn.sources, drawn.partners, drawn.negatives)
        y = torch.from_numpy(np.repeat(np.array([SOURCE, PARTNER, NEGATIVE]), [len(part) for part in parts]))
        return Targets(np.concatenate(parts), y, len(drawn.sources))

    return make
