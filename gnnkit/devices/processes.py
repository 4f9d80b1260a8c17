"""What the steps of several processes add up: the loss of a batch and its gradients.

Rules: sums are those of the whole batch, whichever process has how much of it. Every process gets the same bits.
"""

from __future__ import annotations

from typing import FrozenSet, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

from gnnkit.parallel import World


class Whole(NamedTuple):
    """A batch of which each process has a part.

    Attributes:
        loss: Its mean loss. Scalar, on the device.
        weight: What that is a mean over.
        num_targets: Its number of targets.
    """

    loss: Tensor
    weight: float
    num_targets: int


def whole_batch(world: World, loss: Tensor, weight: float, num_targets: int, what: str) -> Whole:
    """What a batch is as a whole, from this process's part of it.

    Args:
        world: The processes.
        loss: Mean loss of the part. Scalar; may be anything where ``weight`` is 0.
        weight: What that is a mean over.
        num_targets: Number of targets of the part.
        what: Name of the wait.

    Example:
        >>> from gnnkit.parallel import ALONE
        >>> whole_batch(ALONE, torch.tensor(3.0), 2.0, 2, "").loss.item()
        3.0
    """
    part = loss.detach().double() * weight if weight > 0 else torch.zeros_like(loss, dtype=torch.float64)
    numbers = torch.tensor([weight, num_targets], dtype=torch.float64)
    if part.device.type == "cpu":  # In one journey.
        numbers = torch.cat([numbers, part.reshape(1)])
        world.sum_([numbers], what)
        part = numbers[2]
    else:
        world.sum_([numbers, part], what)
    total = float(numbers[0])
    return Whole((part / (total or 1.0)).to(loss.dtype), total, int(numbers[1]))


def sparse_tables(module: nn.Module) -> FrozenSet[nn.Parameter]:
    """The embeddings of a module whose gradients are sparse."""
    weights = (each.weight for each in module.modules() if isinstance(each, nn.Embedding) and each.sparse)
    return frozenset(weight for weight in weights if isinstance(weight, nn.Parameter))


def sum_gradients(
    world: World, parameters: Sequence[nn.Parameter], what: str, sparse: FrozenSet[nn.Parameter] = frozenset()
) -> None:
    """Replace gradients by their sums over all processes.

    One that is None in some process counts as 0 there; one that is None everywhere stays so. The rows of sparse ones
    are joined.

    Args:
        world: The processes.
        parameters: In the same order everywhere.
        what: Name of the wait.
        sparse: Those among them whose gradients are sparse.
    """
    for parameter in parameters:
        if parameter in sparse:
            parameter.grad = _joined(world, parameter, what)
    dense = [parameter for parameter in parameters if parameter not in sparse]
    has_some = torch.tensor([float(each.grad is not None) for each in dense])
    gradients: List[Tensor] = [torch.zeros_like(each) if each.grad is None else each.grad for each in dense]
    device = gradients[0].device if gradients else torch.device("cpu")
    has_some = has_some.to(device, gradients[0].dtype if gradients else torch.float32)
    world.sum_([has_some, *gradients], what)
    for each, gradient, number in zip(dense, gradients, has_some.tolist()):
        if number:
            each.grad = gradient


def _joined(world: World, table: nn.Parameter, what: str) -> Optional[Tensor]:
    """The sparse gradient with the rows of all processes; None if there are none."""
    gradient = table.grad
    if gradient is None:
        places = torch.empty(0, 1, dtype=torch.int64, device=table.device)
        values = table.new_empty(0, *table.shape[1:])
    else:
        gradient = gradient.coalesce()
        places, values = gradient.indices().T.contiguous(), gradient.values()
    places, values = world.joined(places, what), world.joined(values, what)
    if not len(places):
        return None
    return torch.sparse_coo_tensor(places.T, values, table.shape).coalesce()
