"""The border of the device: what may go in, and that it stays as it was at compilation.

Rules: every check names the argument; nothing here runs the model.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .restrictions import refuse
from .structure import flatten

_INT32 = torch.iinfo(torch.int32)
_REFUSED_TYPES = (torch.bfloat16, torch.complex64, torch.complex128, torch.complex32)
#: Arguments whose length says how many graphs there are.
_PER_GRAPH = frozenset({"ptr", "y"})


class Signature(NamedTuple):
    """What compilation fixes of the arguments.

    Attributes:
        leaves: Path and description (shape and dtype of tensors, the value of everything else), by path.
    """

    leaves: Tuple[Tuple[str, Any], ...]


def named_arguments(module: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Dict[str, Any]:
    """Arguments by the names that forward gives them."""
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError as error:
        refuse(6, f"the arguments do not fit forward ({error})", where="")
    for name, parameter in inspect.signature(module.forward).parameters.items():
        if isinstance(parameter.default, Tensor):
            bound.arguments.setdefault(name, parameter.default)  # An input as any other.
    return dict(bound.arguments)


def in_order(arguments: Any, compiled: Any) -> Any:
    """Arguments whose dictionaries list their keys in the order of compilation, in which the program reads them."""
    if isinstance(arguments, dict) and isinstance(compiled, dict) and arguments.keys() == compiled.keys():
        return type(arguments)((key, in_order(arguments[key], value)) for key, value in compiled.items())
    if type(arguments) in (list, tuple) and len(arguments) == len(compiled):
        return type(arguments)(in_order(*both) for both in zip(arguments, compiled))
    return arguments


def check_inputs(leaves: List[Tuple[str, Any]], parts: int) -> Signature:
    """Refuse what may not go in.

    Args:
        leaves: Path and value of every leaf of the arguments.
        parts: Micro-batches of a call.

    Returns:
        What later calls must repeat.
    """
    described = []
    for path, value in leaves:
        if isinstance(value, Tensor):
            _check_tensor(path, value, parts)
            described.append((path, (tuple(value.shape), value.dtype)))
        else:
            described.append((path, value))
    return Signature(tuple(sorted(described, key=lambda leaf: leaf[0])))


def _check_tensor(path: str, tensor: Tensor, parts: int) -> None:
    if tensor.dtype in _REFUSED_TYPES:
        refuse(14, f"{path} is {str(tensor.dtype)[6:]}", where="")
    if tensor.numel() == 0:
        refuse(15, f"{path} has shape {list(tensor.shape)}", where="")
    if tensor.requires_grad:
        refuse(18, f"{path} requires a gradient", where="")
    if parts > 1 and (tensor.dim() == 0 or tensor.shape[0] % parts):
        refuse(3, f"{path} has shape {list(tensor.shape)}, a call takes {parts} micro-batches", where="")
    if tensor.dtype == torch.int64:
        low, high = int(tensor.min()), int(tensor.max())
        if low < _INT32.min or high > _INT32.max:
            refuse(13, f"{path} holds values from {low} to {high}", where="")


def check_same(compiled: Signature, now: Signature) -> None:
    """Refuse arguments that differ from those of compilation."""
    if [path for path, _ in compiled.leaves] != [path for path, _ in now.leaves]:
        before, after = ({path for path, _ in s.leaves} for s in (compiled, now))
        refuse(6, f"the arguments differ in {', '.join(sorted(before ^ after)) or 'their order'}", where="")
    for (path, before), (_, after) in zip(compiled.leaves, now.leaves):
        if before is after:
            continue
        tensors = _is_tensor(before), _is_tensor(after)
        if not all(tensors):
            if any(tensors) or type(before) is not type(after) or not _equal(before, after):
                refuse(6, f"{path} was {_words(before)} and is {_words(after)}", where="")
        elif before[0] != after[0]:
            varying = not _PER_GRAPH.isdisjoint(re.findall(r"\w+", path))
            refuse(38 if varying else 4, f"{path} had shape {list(before[0])} and has {list(after[0])}", where="")
        elif before[1] != after[1]:
            refuse(5, f"{path} was {str(before[1])[6:]} and is {str(after[1])[6:]}", where="")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], torch.dtype)


def _equal(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except Exception:  # an object that cannot be compared is the same only if it is the same object
        return False


def _words(value: Any) -> str:
    return "a tensor" if _is_tensor(value) else repr(value)


def check_parameters(module: nn.Module) -> None:
    """Refuse parameters and buffers of size zero, and those without a shape."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            refuse(15, f"{name} has no shape yet (a lazy layer: run it once on the CPU)", where="")
        if tensor.numel() == 0:
            refuse(15, f"{name} has shape {list(tensor.shape)}", where="")


def leaves_of(arguments: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """Path and value of every leaf of named arguments."""
    leaves: List[Tuple[str, Any]] = []
    for name, value in arguments.items():
        flatten(value, name, leaves)
    return leaves
