"""Wrapped modules: reading a weight on the host fetches it from the device first.

Rules: as PopTorch does, a training model changes the class of the module, its parameters and its buffers, until it is
destroyed after a compilation. A copy, or what is loaded from a file, is plain again.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

import copyreg
import weakref
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor, nn

from .errors import Error

_WRAPPED = "_gnnkit_ipu_plain_class"
_disabled = torch._C._disabled_torch_function_impl


def is_wrapped(module: Any) -> bool:
    """Whether a training model holds this very module."""
    return hasattr(type(module), _WRAPPED)


def wrap(module: nn.Module, owner: Any) -> None:
    """Let a module and its weights ask their training model before they are read.

    Args:
        module: A plain module.
        owner: The training model; only a weak reference is kept.

    Raises:
        Error: A buffer is no plain tensor, as those of a module whose first compilation failed.
    """
    reference = weakref.ref(owner)

    def fetch() -> None:
        executor = reference()
        if executor is not None:
            executor._fetch()

    parameter_class, buffer_class = _parameter_class(fetch), _buffer_class(fetch)
    for parameter in module.parameters():
        parameter.__class__ = parameter_class
    for name, buffer in module.named_buffers():
        if type(buffer) is not Tensor:
            raise Error(
                f"Buffer {name!r} is a {type(buffer).__name__}, expected torch.Tensor. A training model whose first "
                "compilation fails leaves its module wrapped; build the module again."
            )
        buffer.__class__ = buffer_class
    module.__class__ = _module_class(type(module), reference, fetch)


def unwrap(module: nn.Module) -> None:
    """Give a module, its parameters and its buffers their own classes back."""
    if is_wrapped(module):
        module.__class__ = getattr(type(module), _WRAPPED)
    for tensor in [*module.parameters(), *module.buffers()]:
        if hasattr(type(tensor), _WRAPPED):
            tensor.__class__ = getattr(type(tensor), _WRAPPED)


def _parameter_class(fetch: Callable[[], None]) -> type:
    class PoptorchParameter(nn.Parameter):
        """A parameter of a training model."""

        def __getattribute__(self, name: str) -> Any:
            fetch()
            return super().__getattribute__(name)

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            fetch()
            return _disabled(func, types, args, kwargs or {})

        def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
            memo[id(self)] = copied = nn.Parameter(self.detach().clone(), self.requires_grad)
            return copied

        def __reduce_ex__(self, protocol: Any) -> Any:
            return nn.Parameter(self.detach(), self.requires_grad).__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    setattr(PoptorchParameter, _WRAPPED, nn.Parameter)
    return PoptorchParameter


def _buffer_class(fetch: Callable[[], None]) -> type:
    class PoptorchBuffer(Tensor):
        """A buffer of a training model."""

        def __getattribute__(self, name: str) -> Any:
            fetch()
            return super().__getattribute__(name)

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            fetch()
            return _disabled(func, types, args, kwargs or {})

        def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
            memo[id(self)] = copied = self.detach().clone()
            return copied

        def __reduce_ex__(self, protocol: Any) -> Any:
            return self.detach().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    setattr(PoptorchBuffer, _WRAPPED, Tensor)
    return PoptorchBuffer


def _module_class(plain: type, reference: Callable[[], Any], fetch: Callable[[], None]) -> type:
    def get(self: Any, name: str) -> Any:
        if name in ("_buffers", "_parameters", "forward"):
            fetch()
        return plain.__getattribute__(self, name)  # type: ignore[call-arg]

    def reduce(self: Any, protocol: Any) -> Tuple[Any, ...]:
        fetch()
        wrapped, self.__class__ = type(self), plain
        try:
            made = self.__reduce_ex__(protocol)
        finally:
            self.__class__ = wrapped
        if made[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return made  # type: ignore[no-any-return]
        # Pickle refuses the usual way for an object of another class than the one that it is to be loaded as.
        return (copyreg._reconstructor, (plain, object, None), *made[2:])  # type: ignore[attr-defined]

    def copyWeightsToHostIfNeeded(self: Any) -> bool:
        executor: Optional[Any] = reference()
        return executor is not None and executor.copyWeightsToHostIfNeeded()

    def destroy(self: Any) -> None:
        executor: Optional[Any] = reference()
        if executor is not None:
            executor.destroy()

    def host_version(self: Any) -> int:
        executor: Optional[Any] = reference()
        return 0 if executor is None else executor._host_version

    members = {
        "__getattribute__": get,
        "__reduce_ex__": reduce,
        "__module__": plain.__module__,
        "copyWeightsToHostIfNeeded": copyWeightsToHostIfNeeded,
        "destroy": destroy,
        "_host_version": host_version,
        _WRAPPED: plain,
    }
    return type(f"Poptorch{plain.__name__}", (plain,), members)
