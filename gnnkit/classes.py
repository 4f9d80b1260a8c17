"""Classes that users name as ``module:Class``, and the arguments that they give them.

Rules: nothing is imported because a recorded file names it, since a file must not run code. What a user names on the
command line or in a configuration of their own is imported when that is read (:func:`import_class`); whoever needs the
class later finds it among what has been imported (:func:`find_class`), and nothing is called that is not a class of the
kind that is expected. Those of ``torch.optim`` are always there.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any, Callable, Mapping, Sequence, Tuple

from gnnkit.errors import ConfigError, UnknownNameError


def class_path(made_by: Callable[..., Any]) -> str:
    """The name under which a class or a function stands in configurations.

    Example:
        >>> import torch
        >>> class_path(torch.optim.SGD)
        'torch.optim.sgd:SGD'
    """
    return f"{made_by.__module__}:{getattr(made_by, '__qualname__', type(made_by).__qualname__)}"


def import_class(path: str, what: str) -> None:
    """Import the module of a class that a user names, for :func:`find_class`.

    Args:
        path: ``module:Class``.
        what: What it is for, in messages: ``"train.optimizer"``.

    Raises:
        ConfigError: There is no such module, or it cannot be imported.
    """
    module = path.partition(":")[0]
    try:
        importlib.import_module(module)
    except Exception as error:  # A module of somebody else may fail in any way while it is imported.
        raise ConfigError(
            f"{what} is {path!r}, but module {module!r} cannot be imported: {type(error).__name__}: {error}. Install "
            "it, or add its folder to PYTHONPATH."
        ) from error


def find_class(path: str, what: str, kinds: Tuple[type, ...]) -> Any:
    """A class by name, among what has been imported.

    Args:
        path: ``module:Class``.
        what: What it is for, in messages.
        kinds: Classes, one of which it must be derived from.

    Raises:
        ConfigError: Its module has not been imported, or has no such class, or the class is of another kind.

    Example:
        >>> import torch
        >>> find_class("torch.optim:SGD", "train.optimizer", (torch.optim.Optimizer,)).__name__
        'SGD'
    """
    module, _, name = path.partition(":")
    if module == "torch.optim" or module.startswith("torch.optim."):
        import_class(path, what)
    if module not in sys.modules:
        raise ConfigError(
            f"{what} is {path!r}, and module {module!r} has not been imported; gnnkit imports nothing because a file "
            f"names it. Import it first, or give {what} again on the command line."
        )
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not issubclass(found, kinds):
        expected = " or ".join(class_path(kind) for kind in kinds)
        raise ConfigError(
            f"{what} is {path!r}, but module {module!r} has no class {name!r} derived from {expected}. A function "
            "can be given to the Trainer in Python."
        )
    return found


def check_arguments(made_by: Callable[..., Any], options: Mapping[str, Any], what: str, taken: Sequence[str]) -> None:
    """Refuse options that a class does not take.

    Args:
        made_by: The class.
        options: By name.
        what: What they are, in messages: ``"train.optimizer_options"``.
        taken: Arguments that have settings of their own or are given by gnnkit.

    Raises:
        UnknownNameError: No such argument; the message has the nearest ones.
        ConfigError: An argument that is not given in this way.
    """
    parameters = inspect.signature(made_by).parameters
    names = [name for name in parameters if name not in taken]
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in options:
        if name in taken:
            raise ConfigError(f"'{what}.{name}' has a place of its own or is given by gnnkit. Leave it out of {what}.")
        if name not in names and not takes_any:
            raise UnknownNameError("option", f"{what}.{name}", [f"{what}.{known}" for known in names])
