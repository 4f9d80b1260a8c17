"""The ``Items``, ``Targets`` and ``BatchKey`` records: what a split lists, and what a batch is to predict.

Rules: all are frozen. Rows are positions among the last block's destinations, so targets know nothing of node ids, and
one record serves losses over nodes and over pairs. In padded targets real ones come first, and ``mask`` says which they
are; every row of padding points at the last destination, which is padding too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.graph import IGNORED_LABEL

LEVELS = ("nodes", "edges", "graphs")
"""What the items of a split can be."""


@dataclass(frozen=True, eq=False)
class Items:
    """What a split lists.

    Attributes:
        level: "nodes", "edges" or "graphs".
        ids: Ids of nodes or numbers of graphs, shape [n]; or pairs of node ids, source first, shape [n, 2]. int64.
    """

    level: str
    ids: Tensor


class BatchKey(NamedTuple):
    """Which batch this is. Whatever is drawn for a batch is keyed by ``epoch`` and ``number``.

    Attributes:
        epoch: The epoch, from 0.
        number: Number of the batch in its epoch, before any batch was split.
        part: Number of the part, where a batch that was too large for fixed sizes was split.
    """

    epoch: int
    number: int
    part: int = 0


@dataclass(frozen=True, eq=False)
class Targets:
    """What a batch is to predict. T is the number of targets.

    Attributes:
        y: What is true of each target: int64 classes [T], -100 for a missing one; floating point numbers [T] or [T, C],
            NaN for a missing one; or floating point 0/1 [T, C] of multi-label data, -100 for a missing entry. None
            where nothing is to be compared, as for pairs.
        rows: Positions among the last block's destinations, int64, by name. Empty: destination i is target i. Pairs:
            "src" [T] and "dst" [T], and "negatives", [K] shared by all pairs or [T, K].
        mask: Which targets count: not padding, and in a batch of a whole graph not outside the split. Shape [T], bool.
            None: all. A target that counts may still have no label.
        num: How many targets there are to learn from, known without reading a tensor.

    Example:
        >>> pairs = Targets(None, {"src": torch.tensor([0]), "dst": torch.tensor([1])}, num=1)
        >>> pairs.size, pairs.names
        (1, ('src', 'dst'))
    """

    y: Optional[Tensor] = None
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Optional[Tensor] = None
    num: int = 0

    @classmethod
    def of_labels(cls, y: Tensor, mask: Optional[Tensor] = None) -> Targets:
        """Targets that are the destinations, with the number of those that have a label.

        Args:
            y: As the attribute.
            mask: As the attribute.

        Example:
            >>> Targets.of_labels(torch.tensor([3, -100, 0])).num
            2
        """
        return cls(y, mask=mask, num=count_targets(y, mask))

    @property
    def size(self) -> int:
        """Number of targets T, padding included."""
        for each in (self.y, self.mask, self.rows.get("src")):
            if each is not None:
                return len(each)
        return 0

    @property
    def num_pairs(self) -> Optional[int]:
        """Number of pairs, padding included; None where targets are the destinations themselves."""
        return self.size if "src" in self.rows else None

    def map(self, function: Callable[[Tensor], Tensor]) -> Targets:
        """Apply ``function`` to every tensor; used to move targets to a device."""
        return self.with_tensors([function(tensor) for tensor in self.tensors])

    @property
    def names(self) -> Tuple[str, ...]:
        """Names of the tensors that there are, in the order of :attr:`tensors`; those of ``rows`` are their own."""
        own = tuple(name for name in ("y", "mask") if getattr(self, name) is not None)
        return own + tuple(self.rows)

    @property
    def tensors(self) -> Tuple[Tensor, ...]:
        """All tensors that there are."""
        own = tuple(tensor for tensor in (self.y, self.mask) if tensor is not None)
        return own + tuple(self.rows.values())

    def with_tensors(self, tensors: Sequence[Tensor]) -> Targets:
        """The same targets with other tensors, in the order of :attr:`tensors`."""
        return replace(named_targets(self.names, tensors), num=self.num)


def named_targets(names: Sequence[str], tensors: Sequence[Tensor]) -> Targets:
    """Put targets together again from :attr:`Targets.names` and :attr:`Targets.tensors`; ``num`` is 0."""
    found: Dict[str, Any] = dict(zip(names, tensors))
    return Targets(found.pop("y", None), mask=found.pop("mask", None), rows=found)


def count_targets(y: Tensor, mask: Optional[Tensor] = None) -> int:
    """Number of targets that count and have a label, at least one of several."""
    labelled = is_labelled(y)
    if y.ndim > 1:
        labelled = labelled.any(dim=1)
    return int(torch.count_nonzero(labelled if mask is None else labelled & mask))


def is_labelled(y: Tensor) -> Tensor:
    """Which labels there are: all but -100 among classes and multi-label entries, and NaN among numbers. As ``y``."""
    if not y.is_floating_point():
        return y != IGNORED_LABEL
    return ~torch.isnan(y) if y.ndim == 1 else (y != IGNORED_LABEL) & ~torch.isnan(y)
