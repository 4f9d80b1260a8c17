"""What the seeds of a sampled batch are, and what is to be learnt at them.

Rules: what is drawn is a function of (nodes, epoch, number), where nodes are the part of an epoch's order that the
batch is about. Of nodes in two parts, each draws the same as in the whole.
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
import torch
from numpy.typing import NDArray

from gnnkit.data import Targets
from gnnkit.sampling import PairSampler

Draw = Callable[[NDArray[np.int64], int, int], Tuple[NDArray[np.int64], Targets]]
"""From the nodes of a batch, the epoch and the number of the batch to its seeds, node ids [B] of which one may come
several times, and its targets, whose rows are positions among the seeds."""


def paired(sampler: PairSampler) -> Draw:
    """Targets that are pairs. Seeds are sources, then their partners in the same order, then negatives.

    Args:
        sampler: Draws the pairs.

    Example:
        >>> import gnnkit
        >>> draw = paired(PairSampler(gnnkit.load_dataset("karate"), num_negatives=3))
        >>> seeds, targets = draw(np.array([0, 33]), 1, 0)
        >>> {name: row.tolist() for name, row in targets.rows.items()}
        {'src': [0, 1], 'dst': [2, 3], 'negatives': [4, 5, 6]}
    """

    def draw(nodes: NDArray[np.int64], epoch: int, number: int) -> Tuple[NDArray[np.int64], Targets]:
        drawn = sampler.sample(nodes, epoch=epoch, batch=number)
        seeds = np.concatenate([drawn.sources, drawn.partners, drawn.negatives])
        num = len(drawn.sources)
        rows = torch.arange(len(seeds))
        return seeds, Targets(
            rows={"src": rows[:num], "dst": rows[num : 2 * num], "negatives": rows[2 * num :]}, num=num
        )

    return draw
