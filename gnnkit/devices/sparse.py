"""Updates with sparse gradients: those of a table of embeddings name the rows that a batch read, and no others.

Rules: nothing here costs more for a larger table. Where every gradient is dense, everything is as torch does it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class JoinedOptimizer(Optimizer):
    """Two optimisers as one: of a table that has sparse gradients, and of all other parameters.

    Groups of parameters and state are shared with the two, so that schedules, and whoever saves or loads the state,
    find everything in one place.

    Args:
        rest: Updates all other parameters.
        table: Updates the table.

    Attributes:
        parts: The two, in this order.

    Example:
        >>> table = nn.Embedding(5, 2, sparse=True)
        >>> lin = nn.Linear(2, 1)
        >>> rest = torch.optim.Adam(lin.parameters())
        >>> joined = JoinedOptimizer(rest, torch.optim.SparseAdam(table.parameters()))
        >>> lin(table(torch.tensor([3]))).sum().backward()
        >>> joined.step()
        >>> len(joined.param_groups), [len(state) for state in joined.state.values()]
        (2, [3, 3, 3])
    """

    def __init__(self, rest: Optimizer, table: Optimizer) -> None:
        super().__init__([*rest.param_groups, *table.param_groups], {})
        self.defaults = rest.defaults  # Schedules read there whether there is a momentum.
        self.parts = (rest, table)
        self._share()

    def _share(self) -> None:
        start = 0
        for part in self.parts:
            stop = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:stop], self.state
            start = stop

    def step(self, closure: Optional[Callable[[], Any]] = None) -> None:  # type: ignore[override]
        """Update with both. A closure is not called."""
        for part in self.parts:
            part.step()

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """See :class:`torch.optim.Optimizer`."""
        super().load_state_dict(state_dict)
        self._share()


def optimizer_parts(optimizer: Optimizer) -> Tuple[Optimizer, ...]:
    """The optimisers that a joined one consists of, that of a table last; of any other, itself."""
    return optimizer.parts if isinstance(optimizer, JoinedOptimizer) else (optimizer,)


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale gradients, sparse ones among them, so that their common norm is ``max_norm`` at most.

    Args:
        parameters: Those without a gradient are left out. Rows that a sparse gradient lists twice become one.
        max_norm: The largest norm.

    Returns:
        Their norm before. Scalar, on their device.

    Example:
        >>> table = nn.Embedding(5, 1, sparse=True)
        >>> table(torch.tensor([3, 3])).sum().backward()
        >>> norm = clip_gradients(table.parameters(), 0.5)
        >>> round(table.weight.grad.to_dense()[3].item(), 4)
        0.5
    """
    holders: List[Tensor] = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None or not gradient.is_sparse:
            holders.append(parameter)
            continue
        parameter.grad = gradient.coalesce()
        values = parameter.grad.values()  # In the gradient's own memory.
        holder = torch.empty_like(values)
        holder.grad = values
        holders.append(holder)
    return nn.utils.clip_grad_norm_(holders, max_norm)
