"""What a split lists, and what a batch is to predict.

Rules: both are frozen and hold torch tensors only. Padding stands behind what is real, and a mask says which is which.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Mapping, Optional

import torch
from torch import Tensor

LEVELS = ("nodes", "edges", "graphs")
"""What items can be."""

SHARED = ("negatives",)
"""Rows that all targets of a batch may share: they then have one dimension, which is not that of the targets."""


@dataclass(frozen=True, eq=False)
class Items:
    """What a split lists.

    Attributes:
        level: "nodes", "edges" or "graphs".
        ids: Ids of nodes or numbers of graphs, shape [n]; for edges pairs of source and destination, shape [n, 2].
            int64.
    """

    level: str
    ids: Tensor

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Targets:
    """What a batch is to predict. T is the number of targets.

    Attributes:
        y: What is true of them: classes [T] int64 (-100 where unknown), several labels [T, C] floating point 0 or 1
            (-100 where unknown), or numbers [T] or [T, C] floating point (NaN where unknown). None if nothing is known
            beforehand.
        rows: Which rows of the encoder's output belong to each target, by what they are to it. Empty: target i is row
            i. For pairs "src" [T] and "dst" [T], and "negatives" [T, K], or [K] for all targets alike. int64.
        mask: Which targets are real. Shape [T], bool. None: all, or those whose class is not -100.
        num: How many targets are known, for means over batches.

    Example:
        >>> pairs = Targets(rows={"src": torch.tensor([0, 1]), "dst": torch.tensor([2, 2])}, num=2)
        >>> len(pairs)
        2
    """

    y: Optional[Tensor] = None
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Optional[Tensor] = None
    num: int = 0

    def __len__(self) -> int:
        """Number of targets T, padding included."""
        first = self.y if self.y is not None else next(iter(self.rows.values()), None)
        return 0 if first is None else len(first)

    @property
    def arrays(self) -> Dict[str, Tensor]:
        """All tensors by name, in a fixed order: "y", "rows.src", ..., "mask"."""
        found = {} if self.y is None else {"y": self.y}
        found.update({f"rows.{name}": self.rows[name] for name in sorted(self.rows)})
        return found if self.mask is None else {**found, "mask": self.mask}

    def with_arrays(self, arrays: Mapping[str, Tensor]) -> Targets:
        """The same with other tensors, named as in :attr:`arrays`."""
        rows = {name[5:]: value for name, value in arrays.items() if name.startswith("rows.")}
        return replace(self, y=arrays.get("y"), rows=rows, mask=arrays.get("mask"))

    def map(self, function: Callable[[Tensor], Tensor]) -> Targets:
        """Apply ``function`` to every tensor."""
        return self.with_arrays({name: function(value) for name, value in self.arrays.items()})

    def without(self) -> Targets:
        """As many padded targets of which none counts: for steps that must compute, but not learn."""
        y = None if self.y is None else torch.full_like(self.y, -100)
        return replace(self, y=y, mask=None if self.mask is None else torch.zeros_like(self.mask), num=0)


def is_shared(name: str, value: Tensor) -> bool:
    """Whether an array of :attr:`Targets.arrays` belongs to all targets alike."""
    return name[5:] in SHARED and name.startswith("rows.") and value.ndim == 1
