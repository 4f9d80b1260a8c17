"""Options that a plugin brings: the fields of a dataclass of its own, checked by name and by type.

Rules: every option has a default; its meaning stands in the ``Attributes`` section of the dataclass's docstring, from
where ``gnnkit run --help-config`` takes it.
"""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Any, Collection, Dict, List, Mapping, Sequence, Type, TypeVar, Union, get_type_hints

from gnnkit.errors import ConfigError, UnknownNameError

T = TypeVar("T")


# Annotations are text, which is compiled each time that it is asked for.
_compiled_hints = lru_cache(maxsize=256)(get_type_hints)


def _hints(cls: Any) -> Dict[str, Any]:
    """The types of a class's fields by name."""
    return _compiled_hints(cls)


@dataclass(frozen=True)
class NoOptions:
    """The options of a plugin that has none."""


@dataclass(frozen=True)
class Option:
    """One option, in words.

    Attributes:
        name: Its name.
        type: Its type, as it is written in the source.
        default: Its default.
        meaning: What it does, from the docstring; empty if that does not say.
    """

    name: str
    type: str
    default: str
    meaning: str


def make_options(cls: Type[T], values: Mapping[str, Any], owner: str, **fixed: Any) -> T:
    """Make the record of a plugin's options.

    Args:
        cls: A dataclass whose fields have defaults.
        values: What the user gave, by name.
        owner: Whose options they are, for messages: ``"device 'ipu'"``.
        fixed: Fields that are no options.

    Raises:
        UnknownNameError: There is no such option.
        ConfigError: A value has the wrong type, or is NaN or infinite.

    Example:
        >>> @dataclass(frozen=True)
        ... class Speed:
        ...     limit: float = 1.0
        >>> make_options(Speed, {"limit": 2}, "device 'car'")
        Speed(limit=2)
    """
    hints = _hints(cls)
    known = [item.name for item in fields(cls) if item.name not in fixed]  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            raise UnknownNameError(f"option of {owner}:", name, known)
        if not _fits(value, hints[name]):
            expected = " or ".join(_name(kind) for kind in _members(hints[name]))
            raise ConfigError(f"Option {name!r} of {owner} is {value!r}, expected {expected}.")
    check_numbers(values, f"Option of {owner}: ")
    return cls(**fixed, **values)


def check_numbers(values: Mapping[str, Any], owner: str = "") -> None:
    """Refuse settings that are NaN or infinite, in lists and sections, too.

    Args:
        values: Settings by name.
        owner: What messages put before a name: ``"train."``.

    Raises:
        ConfigError: One is.

    Example:
        >>> check_numbers({"lr": float("nan")}, "train.")
        Traceback (most recent call last):
        gnnkit.errors.ConfigError: train.lr is nan, expected a finite number.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            check_numbers(value, f"{owner}{name}.")
        elif isinstance(value, (list, tuple)):
            check_numbers({f"{name}[{place}]": item for place, item in enumerate(value)}, owner)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{owner}{name} is {value}, expected a finite number.")


def check_types(record: Any) -> None:
    """Refuse fields of a dataclass whose values are not of the declared types, NaN and infinity among them.

    Args:
        record: An instance.

    Raises:
        ConfigError: One is not.
    """
    hints = _hints(type(record))
    for item in fields(record):
        value = getattr(record, item.name)
        if not _fits(value, hints[item.name]):
            expected = " or ".join(_WORDS.get(kind, _name(kind)) for kind in _members(hints[item.name]))
            raise ConfigError(f"{item.name} is {value!r}, expected {expected}.")
    check_numbers(vars(record))


_WORDS: Mapping[Any, str] = {int: "one whole number", float: "one number", str: "a word", bool: "True or False"}


def whole_number(name: str, value: Any) -> int:
    """Return a whole number of Python, NumPy or torch.

    Args:
        name: What messages call it.
        value: Anything.

    Raises:
        ConfigError: It is none.
    """
    plain = plain_value(value)
    if type(plain) is not int:
        raise ConfigError(f"{name} is {value!r}, expected {_WORDS[int]}.")
    return plain


def settings_by_name(name: str, value: Any) -> Dict[str, Any]:
    """Return settings that a user gave as a dictionary, or none.

    Args:
        name: What messages call them.
        value: Anything.

    Raises:
        ConfigError: They are none.

    Example:
        >>> settings_by_name("device_options", None)
        {}
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is {value!r}, expected a dictionary of settings by name.")
    return dict(value)


def settle_idle(
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    idle: Mapping[str, str],
    given: Collection[str],
    owner: str = "",
    where: str = "here",
) -> Dict[str, Any]:
    """Settings with their defaults in place of those that have no effect.

    Args:
        values: All settings by name.
        defaults: Their defaults.
        idle: What the settings are for that have no effect here, by name.
        given: Names of the settings that the user gave.
        owner: What messages put before a name: ``"model."``.
        where: On what they have no effect.

    Raises:
        ConfigError: The user gave one, and another value than its default.

    Example:
        >>> settle_idle({"heads": 3}, {"heads": 1}, {"heads": "'gat'"}, given=["heads"])
        Traceback (most recent call last):
        gnnkit.errors.ConfigError: heads is 3, which has no effect here: it is for 'gat'. Leave it out.
    """
    settled = dict(values)
    for name, purpose in idle.items():
        if name in settled and settled[name] != defaults[name]:
            if name in given:
                raise ConfigError(
                    f"{owner}{name} is {settled[name]}, which has no effect {where}: it is for {purpose}. Leave it out."
                )
            settled[name] = defaults[name]
    return settled


def plain_value(value: Any) -> Any:
    """Numbers and lists of NumPy and torch as Python's own; anything else as it is.

    Example:
        >>> import numpy
        >>> plain_value(numpy.int64(3)), plain_value(numpy.array([5, 5])), plain_value("cat")
        (3, [5, 5], 'cat')
    """
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def whole_numbers(text: str, what: str) -> List[int]:
    """Whole numbers from text such as "15,10,5", in brackets or not.

    Args:
        text: As it was typed.
        what: What it is, as the subject of a sentence.

    Raises:
        ConfigError: It is something else.

    Example:
        >>> whole_numbers("15, 10", "--fanouts")
        [15, 10]
    """
    try:
        return [int(part) for part in text.strip().lstrip("[").rstrip("]").split(",")]
    except ValueError:
        raise ConfigError(f"{what} is {text!r}, expected whole numbers with commas, such as 15,10,5.") from None


def describe_options(cls: Type[Any], leave_out: Sequence[str] = ()) -> List[Option]:
    """All options of a dataclass, in words.

    Args:
        cls: A dataclass.
        leave_out: Fields that are no options.
    """
    hints, meanings = _hints(cls), _meanings(cls)
    described = []
    for item in fields(cls):
        if item.name not in leave_out:
            factory = item.default_factory
            default = item.default if factory is MISSING else factory()
            kind = " or ".join(_name(member) for member in _members(hints[item.name]))
            described.append(Option(item.name, kind, _shown(default), meanings.get(item.name, "")))
    return described


def _members(hint: Any) -> List[Any]:
    return list(hint.__args__) if getattr(hint, "__origin__", None) is Union else [hint]


def _name(hint: Any) -> str:
    if hint is type(None):
        return "nothing"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _fits(value: Any, hint: Any) -> bool:
    for member in _members(hint):
        kind = getattr(member, "__origin__", member)
        if type(value) is kind or (kind is float and type(value) is int):
            return True
        if isinstance(kind, type) and issubclass(kind, Mapping) and isinstance(value, Mapping):
            return True
    return False


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _meanings(cls: Type[Any]) -> Dict[str, str]:
    """The entries of the section ``Attributes`` of a docstring in Google's style, of the class and those above it."""
    found: Dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(base.__doc__ or "")
        section = re.search(r"^Attributes:\n((?:[ ]+.*\n?|\n)*)", text, re.MULTILINE)
        for entry in re.split(r"\n(?=    \S)", section.group(1).rstrip()) if section else []:
            name, _, meaning = entry.partition(":")
            found[name.strip()] = " ".join(meaning.split())
    return found
