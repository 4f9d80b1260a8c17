"""What the seeds of a sampled batch are, and what is to be learnt at them.

Rules: targets are a function of (nodes, epoch, number of the batch), where nodes are the part of an epoch's order that
the batch is about. Of nodes in two parts, each draws the same as in the whole.
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
import torch
from numpy.typing import NDArray

from gnnkit.data import Targets
from gnnkit.sampling import PairSampler

Draw = Callable[[NDArray[np.int64], int, int], Tuple[NDArray[np.int64], Targets]]
"""From the nodes of a batch, the epoch and the number of the batch to its seeds, node ids of shape [B] of which one may
come several times, and its targets, whose rows are positions among the seeds."""


def paired(sampler: PairSampler) -> Draw:
    """Targets that are pairs: seeds are sources, then their partners in the same order, then negatives that all share.

    Args:
        sampler: Draws the pairs.

    Example:
        >>> import gnnkit
        >>> draw = paired(PairSampler(gnnkit.load_dataset("karate"), num_negatives=3))
        >>> seeds, targets = draw(np.array([0, 33]), 1, 0)
        >>> {name: rows.tolist() for name, rows in targets.rows.items()}
        {'src': [0, 1], 'dst': [2, 3], 'negatives': [4, 5, 6]}
    """

    def draw(nodes: NDArray[np.int64], epoch: int, batch: int) -> Tuple[NDArray[np.int64], Targets]:
        drawn = sampler.sample(nodes, epoch=epoch, batch=batch)
        num, places = len(drawn.sources), torch.arange(2 * len(drawn.sources) + len(drawn.negatives))
        rows = {"src": places[:num], "dst": places[num : 2 * num], "negatives": places[2 * num :]}
        return np.concatenate([drawn.sources, drawn.partners, drawn.negatives]), Targets(rows=rows, num=num)

    return draw
