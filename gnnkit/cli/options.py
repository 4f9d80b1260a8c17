"""Options that several commands have: written down once, and handed on as one value.

Rules: a class lists such options as its fields, whose defaults are what typer is to know of them. A command has one
parameter in their place; nothing between it and those who read an option knows their names.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Dict, List, Mapping, Type, TypeVar, get_type_hints

F = TypeVar("F", bound=Callable[..., Any])


def options_of(cls: Type[Any], *names: str) -> Dict[str, inspect.Parameter]:
    """The fields of a class as parameters of a command.

    Args:
        cls: Its annotations are the options' types, the values behind them what ``typer.Option`` gave.
        names: Which fields. None given: all.
    """
    kind = inspect.Parameter.KEYWORD_ONLY
    types = get_type_hints(cls)
    return {
        name: inspect.Parameter(name, kind, default=getattr(cls, name), annotation=types[name])
        for name in names or types
    }


def takes(parameter: str, options: Mapping[str, inspect.Parameter], make: Callable[..., Any]) -> Callable[[F], F]:
    """Put options into the place of one parameter of a command.

    Args:
        parameter: The command's parameter, by keyword only.
        options: What the command line has instead.
        make: Called with the options by name; gives the value of the parameter.

    Example:
        >>> class Shared:
        ...     text: str = "two words"
        >>> @takes("words", options_of(Shared), lambda text: text.split())
        ... def count(*, words: list) -> None: print(len(words))
        >>> print(inspect.signature(count))
        (*, text: str = 'two words')
        >>> count(text="one two three")
        3
    """

    def decorate(command: F) -> F:
        types = get_type_hints(command)
        shown: List[inspect.Parameter] = []
        for name, own in inspect.signature(command).parameters.items():
            shown += (
                options.values() if name == parameter else [own.replace(annotation=types.get(name, own.annotation))]
            )

        @functools.wraps(command)
        def wrapped(**values: Any) -> Any:
            made = make(**{name: values.pop(name) for name in options})
            return command(**{parameter: made}, **values)

        wrapped.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {one.name: one.annotation for one in shown}
        return wrapped  # type: ignore[return-value]

    return decorate
