"""torch's optimisers without the compiler of torch.

Rules: newer releases of torch import ``torch._dynamo`` in an optimiser's constructor and update, only to keep
``torch.compile`` out of them. That costs each process 70 MB and a second, and nothing here is compiled. The classes
made here compute with the same functions; nothing of torch is changed.
"""

from __future__ import annotations

import inspect
from functools import lru_cache, wraps
from typing import Any, Type

import torch
from torch.optim import Optimizer

_GUARDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods of :class:`torch.optim.Optimizer` that torch decorates to keep its compiler out."""


@lru_cache(maxsize=None)
def eager_class(cls: Type[Optimizer]) -> Type[Optimizer]:
    """A class of optimisers that updates as ``cls`` does, bit for bit, and never imports torch's compiler.

    Args:
        cls: A class of :mod:`torch.optim`, with an update of its own.

    Returns:
        A class derived from it, of the same name. :func:`torch_class` gives ``cls`` again.

    Example:
        >>> eager = eager_class(torch.optim.SGD)
        >>> eager.__name__, issubclass(eager, torch.optim.SGD)
        ('SGD', True)
    """
    update: Any = inspect.unwrap(cls.step)

    @wraps(update)
    def step(self: Optimizer, *arguments: Any, **named: Any) -> Any:
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            return update(self, *arguments, **named)

    methods = {name: inspect.unwrap(getattr(cls, name)) for name in _GUARDED}
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), {**names, **methods, "step": step, "torch_class": cls})


def torch_class(optimizer: Optimizer) -> Type[Optimizer]:
    """The class of an optimiser; for one of :func:`eager_class`, the class that it stands for.

    Example:
        >>> torch_class(eager_class(torch.optim.SGD)([torch.zeros(1)], lr=0.1)) is torch.optim.SGD
        True
    """
    found: Type[Optimizer] = vars(type(optimizer)).get("torch_class", type(optimizer))
    return found
