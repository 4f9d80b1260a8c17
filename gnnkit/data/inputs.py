"""Features of a typed graph's nodes, as a batch has them: a table for each node type, and where each node's row is.

Rules: tables come in the order of the schema, also those without rows. What a model makes of the tables, one under the
other, has a row for each row of a table; ``rows`` puts these into the order of the batch's nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, Sequence, Tuple, Union

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TypedInputs:
    """What a typed batch knows of its input nodes.

    Attributes:
        tables: For each node type the features of its nodes, [n_t, F_t], floating point; or, for a type whose nodes
            have learnt embeddings, the row of each node among those of its type, [n_t, 1], int64; or codes of
            categories, [n_t, F_t], int64.
        rows: For each node of the batch, its row in the tables put one under the other. Shape [n], int64.
        is_permutation: Whether ``rows`` has each row of the tables exactly once, which spares work.

    Example:
        >>> inputs = TypedInputs((torch.ones(2, 3), torch.tensor([[7]])), torch.tensor([2, 0, 1]))
        >>> inputs.num_nodes, inputs.sizes
        (3, (2, 1))
    """

    tables: Tuple[Tensor, ...]
    rows: Tensor
    is_permutation: bool = False

    @property
    def num_nodes(self) -> int:
        """How many nodes these are the features of."""
        return self.rows.numel()

    @property
    def sizes(self) -> Tuple[int, ...]:
        """Rows of every table."""
        return tuple(len(table) for table in self.tables)

    @property
    def tensors(self) -> Tuple[Tensor, ...]:
        """All tensors: the tables, then ``rows``."""
        return (*self.tables, self.rows)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.rows.device

    def map(self, function: Callable[[Tensor], Tensor]) -> TypedInputs:
        """Apply ``function`` to every tensor."""
        return replace(self, tables=tuple(function(table) for table in self.tables), rows=function(self.rows))

    def double(self) -> TypedInputs:
        """The same with features in float64."""
        return replace(self, tables=tuple(t.double() if t.is_floating_point() else t for t in self.tables))

    def __getitem__(self, nodes: slice) -> TypedInputs:
        """The inputs of a range of the batch's nodes; tables stay whole."""
        return replace(self, rows=self.rows[nodes], is_permutation=False)

    def padded(self, sizes: Sequence[int], num_nodes: int) -> TypedInputs:
        """Bring every table, and the nodes, to a fixed number of rows.

        Args:
            sizes: Rows of each table, at least as many as it has.
            num_nodes: Number of nodes, likewise.

        Returns:
            Padding of tables is 0, and padding nodes have the last row of all.
        """
        bounds, moved = _offsets(self.sizes), _offsets(sizes)
        types = torch.bucketize(self.rows, bounds[1:], right=True)
        rows = self.rows + (moved - bounds)[types]
        filled = rows.new_full((num_nodes - len(rows),), int(moved[-1]) - 1)
        tables = [
            torch.cat([table, table.new_zeros(size - len(table), table.shape[1])])
            for table, size in zip(self.tables, sizes)
        ]
        return TypedInputs(tuple(tables), torch.cat([rows, filled]))


Inputs = Union[Tensor, TypedInputs]
"""Features of a batch's input nodes: a matrix, or those of a typed graph."""


def _offsets(sizes: Sequence[int]) -> Tensor:
    offsets: List[int] = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    return torch.tensor(offsets)
