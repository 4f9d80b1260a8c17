"""Arguments and results of forward: nested containers taken apart into tensors and put together again.

Rules: lists, tuples, named tuples, dictionaries and types with a registered parser are taken apart; every other value
that is no tensor is a constant of the program.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

import torch
from torch import Tensor

from .errors import Error
from .restrictions import refuse


class ICustomArgParser(ABC):
    """Takes a user's type apart into tensors and puts it together again."""

    @abstractmethod
    def yieldTensors(self, struct: Any) -> Iterator[Tensor]:
        """Yield every tensor of an object, always in the same order."""

    @abstractmethod
    def reconstruct(self, original_structure: Any, tensor_iterator: Iterator[Tensor]) -> Any:
        """Make an object like the original from tensors in the same order."""


_PARSERS: Dict[Type[Any], ICustomArgParser] = {}


def registerCustomArgParser(arg_data_type: Type[Any], arg_parser: Optional[ICustomArgParser]) -> None:
    """Give a type its parser; None takes it away.

    Args:
        arg_data_type: The type.
        arg_parser: Its parser.
    """
    if arg_parser is None:
        _PARSERS.pop(arg_data_type, None)
    elif isinstance(arg_parser, ICustomArgParser):
        _PARSERS[arg_data_type] = arg_parser
    else:
        raise Error(f"registerCustomArgParser takes an ICustomArgParser, received {type(arg_parser).__name__}.")


def flatten(value: Any, path: str, leaves: List[Tuple[str, Any]]) -> None:
    """Append ``(path, leaf)`` for every leaf of a nested value, and one entry for every container."""
    if type(value) in _PARSERS:
        leaves.append((path, ("container", type(value).__name__)))
        for i, tensor in enumerate(_PARSERS[type(value)].yieldTensors(value)):
            leaves.append((f"{path}.{i}", tensor))
    elif isinstance(value, (list, tuple)):
        leaves.append((path, ("container", type(value).__name__, len(value))))
        for i, item in enumerate(value):
            flatten(item, f"{path}[{i}]", leaves)
    elif isinstance(value, dict):
        leaves.append((path, ("container", type(value).__name__, tuple(sorted(map(repr, value))))))
        for key, item in value.items():
            flatten(item, f"{path}[{key!r}]", leaves)
    else:
        leaves.append((path, value))


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Apply a function to every tensor of a nested value and keep the nesting."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in _PARSERS:
        parser = _PARSERS[type(value)]
        return parser.reconstruct(value, iter([function(t) for t in parser.yieldTensors(value)]))
    if isinstance(value, (list, tuple)):
        items = [map_tensors(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return type(value)((key, map_tensors(function, item)) for key, item in value.items())
    return value


def tensors_of(value: Any) -> List[Tensor]:
    """All tensors of a nested value, in order."""
    found: List[Tensor] = []
    map_tensors(lambda t: found.append(t) or t, value)  # type: ignore[func-returns-value]
    return found


def rebuild(value: Any, tensors: List[Tensor]) -> Any:
    """The nested value with its tensors replaced in order."""
    iterator = iter(tensors)
    return map_tensors(lambda _: next(iterator), value)


def refuse_backward(*_: Any, **__: Any) -> None:
    """What ``backward`` of an output does.

    Raises:
        RestrictionError: Always.
    """
    refuse(21, "backward() was called on an output of a wrapped model", where="")


def as_output(tensor: Tensor) -> Tensor:
    """An output on the host: a plain tensor that says what is wrong when ``backward`` is called on it."""
    tensor.backward = refuse_backward  # type: ignore[method-assign]
    return tensor


def to_device(tensor: Tensor) -> Tensor:
    """A copy as the device holds it.

    64-bit integers keep their type, because CPU kernels index with them; their values fit in 32 bits.
    """
    plain = tensor.detach().as_subclass(Tensor)
    return plain.to(torch.float32 if tensor.dtype == torch.float64 else tensor.dtype, copy=True)


def to_host(tensor: Tensor) -> Tensor:
    """A result as the device hands it out: 32 bits for 64."""
    narrow = {torch.int64: torch.int32, torch.float64: torch.float32}
    return tensor.detach().to(narrow.get(tensor.dtype, tensor.dtype))
