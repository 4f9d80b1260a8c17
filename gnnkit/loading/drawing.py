"""What the seeds of a batch are, what is to be learnt at them, and which edges must not be seen meanwhile.

Rules: what is drawn is a function of (items, epoch, number), where items are the part of an epoch's order that the
batch is about. A batch in two parts draws for each part the same as for the whole.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Targets
from gnnkit.data.targets import count_targets
from gnnkit.errors import ConfigError
from gnnkit.jit import kernel
from gnnkit.sampling import PairSampler
from gnnkit.sampling.kernels import slot_of
from gnnkit.sampling.negatives import NegativeSampler, flipped, shifts

Ids = NDArray[np.int64]


class Drawn(NamedTuple):
    """What a batch, or a part of one, is about.

    Attributes:
        seeds: Node ids whose outputs are wanted. Shape [S], int64.
        targets: What is to be predicted; rows are positions among the seeds.
        hidden: Pairs of source and destination between which no message may run. Shape [H, 2], int64; [H, 3] with the
            relation that is meant. None: any may.
    """

    seeds: Ids
    targets: Targets
    hidden: Optional[Ids] = None


Draw = Callable[[Ids, slice, int, int], Drawn]
"""From the items of a batch, the part of them that is wanted, the epoch and the number of the batch to what that part
is about. Items are node ids, or numbers of pairs."""


def item_ids(items: Tensor) -> Ids:
    """Numbers of items as arrays of NumPy.

    Raises:
        ConfigError: There are none.
    """
    if not len(items):
        raise ConfigError("No items: there is nothing to load. Give at least one.")
    return np.ascontiguousarray(items.numpy(), dtype=np.int64)


def paired(sampler: PairSampler) -> Draw:
    """Targets that are pairs of near nodes. Seeds are sources, then their partners in the same order, then negatives.

    Args:
        sampler: Draws the pairs.

    Example:
        >>> import gnnkit
        >>> draw = paired(PairSampler(gnnkit.load_dataset("karate"), num_negatives=3))
        >>> drawn = draw(np.array([0, 33]), slice(None), 1, 0)
        >>> {name: row.tolist() for name, row in drawn.targets.rows.items()}
        {'src': [0, 1], 'dst': [2, 3], 'negatives': [4, 5, 6]}
    """

    def draw(nodes: Ids, part: slice, epoch: int, number: int) -> Drawn:
        found = sampler.sample(nodes[part], epoch=epoch, batch=number)
        seeds = np.concatenate([found.sources, found.partners, found.negatives])
        num = len(found.sources)
        rows = torch.arange(len(seeds))
        return Drawn(
            seeds, Targets(rows={"src": rows[:num], "dst": rows[num : 2 * num], "negatives": rows[2 * num :]}, num=num)
        )

    return draw


class PairRelation(NamedTuple):
    """The relation that pairs of a typed graph are of.

    Attributes:
        number: Its position in the schema.
        reverse: That of its declared reverse; None if it has none.
        types: Positions of the types of its sources and of its destinations.
    """

    number: int
    reverse: Optional[int]
    types: Tuple[int, int]


class LinkDraw:
    """Targets that are given pairs, with negatives. Call it as any :data:`Draw`; items are numbers of pairs.

    The pairs of a batch are hidden from it, and their reverses where pairs are undirected or their relation has one. Of
    an undirected pair either
    node is the source, by the seed and the epoch.

    Args:
        pairs: Source and destination. Shape [n, 2], int64.
        undirected: Whether (u, v) and (v, u) are the same pair.
        seed: Seed of what is drawn.
        negatives: Draws them. None: there are none, or those of the batch or of ``given``.
        both: Whether negatives are pairs of two nodes that are drawn; else each has its pair's source.
        in_batch: How many of the batch's other destinations are negatives of each pair; 0 for none. A pair that is
            alone in its batch has its own destination as negative, which teaches nothing.
        given: Destinations that are negatives of each pair. Shape [n, K], int64. None: none are given.
        y: What is true of each pair. First dimension n. None where pairs are told from negatives.
        relation: In a typed graph, the relation of all pairs.

    Example:
        >>> draw = LinkDraw(torch.tensor([[5, 6], [6, 7]]), undirected=True, seed=0)
        >>> drawn = draw(np.array([0, 1]), slice(0, 1), 0, 0)
        >>> sorted(drawn.seeds.tolist()), drawn.targets.num, len(drawn.hidden)
        ([5, 6], 1, 4)
    """

    def __init__(
        self,
        pairs: Tensor,
        *,
        undirected: bool,
        seed: int,
        negatives: Optional[NegativeSampler] = None,
        both: bool = False,
        in_batch: int = 0,
        given: Optional[Tensor] = None,
        y: Optional[Tensor] = None,
        relation: Optional[PairRelation] = None,
    ) -> None:
        self._pairs = np.ascontiguousarray(pairs.numpy())
        self._undirected = undirected
        self._seed = seed
        self._negatives = negatives
        self._both = both
        self._in_batch = in_batch
        self._given = None if given is None else given.numpy()
        self._y = y
        self._relation = relation

    def __call__(self, items: Ids, part: slice, epoch: int, number: int) -> Drawn:
        """See :data:`Draw`."""
        pairs = self._pairs[items]
        hidden = self._hidden(pairs)
        if self._undirected:
            swapped = flipped(items, seed=self._seed, epoch=epoch)
            pairs = np.where(swapped[:, None], pairs[:, ::-1], pairs)
        ids, wanted = items[part], pairs[part]
        nodes = {"src": wanted[:, 0], "dst": wanted[:, 1]}
        if self._given is not None:
            nodes["negatives"] = self._given[ids]
        elif self._in_batch:
            apart = shifts(max(len(items), 2), self._in_batch, seed=self._seed, epoch=epoch, batch=number)
            places = np.arange(len(items))[part, None] + apart
            nodes["negatives"] = pairs[places % len(items), 1]
        elif self._negatives is not None and self._both:
            types = None if self._relation is None else self._relation.types
            nodes["negative_sources"], nodes["negatives"] = self._negatives.pairs(ids, epoch=epoch, types=types)
        elif self._negatives is not None:
            types = None if self._relation is None else np.full(len(ids), self._relation.types[1])
            nodes["negatives"] = self._negatives.destinations(wanted[:, 0], ids, epoch=epoch, types=types)
        seeds, rows = distinct(np.concatenate([each.ravel() for each in nodes.values()]))
        split = np.split(rows, np.cumsum([each.size for each in nodes.values()])[:-1])
        by_name = {name: torch.from_numpy(row.reshape(nodes[name].shape)) for name, row in zip(nodes, split)}
        y = None if self._y is None else self._y[torch.from_numpy(ids)]
        num = len(ids) if y is None else count_targets(y)
        return Drawn(seeds, Targets(y, by_name, num=num), hidden)

    def _hidden(self, pairs: Ids) -> Ids:
        """The pairs that a batch must not see. Shape [H, 2], or with relations [H, 3]."""
        if self._relation is None:
            return np.concatenate([pairs, pairs[:, ::-1]]) if self._undirected else pairs
        number, back, _ = self._relation
        forth = np.concatenate([pairs, np.full((len(pairs), 1), number)], axis=1)
        if back is None:
            return forth
        return np.concatenate([forth, np.concatenate([pairs[:, ::-1], np.full((len(pairs), 1), back)], axis=1)])


@kernel
def _number(ids: Any, keys: Any, local: Any, found: Any, rows: Any) -> int:
    """Write each id once to ``found``, in order of first appearance, and to ``rows`` where it stands there.

    ``keys`` (int64, -1) and ``local`` (int64) are a hash table; see ``slot_of``. Returns how many ids there are.
    """
    num = 0
    for position in range(len(ids)):
        slot = slot_of(keys, ids[position])
        if keys[slot] < 0:
            keys[slot] = ids[position]
            local[slot] = num
            found[num] = ids[position]
            num += 1
        rows[position] = local[slot]
    return num


def distinct(ids: Ids) -> Tuple[Ids, Ids]:
    """Node ids without repeats, and where each stands among them.

    Args:
        ids: Node ids. Shape [n], int64.

    Returns:
        Each id once, in order of first appearance, and for every place of ``ids`` its position among these, [n].

    Example:
        >>> [each.tolist() for each in distinct(np.array([7, 3, 7]))]
        [[7, 3], [0, 1, 0]]
    """
    size = 1 << (2 * len(ids)).bit_length()
    keys = np.full(size, -1, dtype=np.int64)
    found, rows = np.empty(len(ids), dtype=np.int64), np.empty(len(ids), dtype=np.int64)
    num = _number(np.ascontiguousarray(ids), keys, np.empty(size, dtype=np.int64), found, rows)
    return found[:num], rows
