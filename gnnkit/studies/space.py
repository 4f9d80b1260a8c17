"""The space that a sweep looks through: which settings vary, and over which values."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple, Union

from gnnkit.errors import ConfigError

if TYPE_CHECKING:
    import optuna

_KEYS = ("low", "high", "step", "log")


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of some values.

    Attributes:
        values: The values, in order.
    """

    values: Tuple[Any, ...]

    def points(self, name: str) -> List[Any]:
        """All values."""
        return list(self.values)

    def suggest(self, trial: optuna.trial.Trial, name: str) -> Any:
        """What a trial takes. Lists are offered as text, because a study keeps plain values only."""
        texts = [json.dumps(value) for value in self.values]
        return self.read(trial.suggest_categorical(name, texts))

    def written(self, value: Any) -> Any:
        """A value as a study keeps it."""
        return json.dumps(value)

    def read(self, written: Any) -> Any:
        """The inverse of :meth:`written`."""
        return json.loads(written)


@dataclass(frozen=True)
class Range:
    """A setting that takes a number between two ends, both included; whole numbers if both ends are.

    Attributes:
        low: The smallest.
        high: The largest.
        step: Distance between neighbours. None: 1 for whole numbers, any for others.
        log: Whether the numbers are spread evenly on a logarithmic scale.
    """

    low: Union[int, float]
    high: Union[int, float]
    step: Optional[Union[int, float]] = None
    log: bool = False

    @property
    def _is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def points(self, name: str) -> List[Any]:
        """All values.

        Raises:
            ConfigError: There are too many to say: no step is given.
        """
        step = 1 if self.step is None and self._is_whole else self.step
        if step is None or self.log:
            raise ConfigError(f"A grid needs all values of {name}. Give a list, or low, high and step without log.")
        count = int((self.high - self.low) / step + 1e-9) + 1
        return [self.low + i * step for i in range(count)]

    def suggest(self, trial: optuna.trial.Trial, name: str) -> Any:
        """What a trial takes."""
        if self._is_whole:
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def written(self, value: Any) -> Any:
        """A value as a study keeps it."""
        return value

    def read(self, written: Any) -> Any:
        """The inverse of :meth:`written`."""
        return written


Axis = Union[Choice, Range]


def read_space(values: Mapping[str, Any]) -> Dict[str, Axis]:
    """The space from plain values.

    Args:
        values: By the dotted name of a setting: a list of values, or a mapping with "low" and "high", and "step" or
            "log".

    Raises:
        ConfigError: A setting says neither, or its range is none.

    Example:
        >>> read_space({"train.lr": {"low": 1e-4, "high": 0.1, "log": True}, "model.name": ["gcn", "sage"]})
        {'train.lr': Range(low=0.0001, high=0.1, step=None, log=True), 'model.name': Choice(values=('gcn', 'sage'))}
    """
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(
            "The sweep has no space. Give sweep.space: settings with their values, such as model.dropout: [0, 0.5]."
        )
    return {str(name): _axis(str(name), value) for name, value in _flat(values)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> List[Tuple[str, Any]]:
    """Settings by dotted name; those in sections are allowed, too."""
    found: List[Tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and not set(value) <= set(_KEYS):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _axis(name: str, value: Any) -> Axis:
    if isinstance(value, list) and value:
        if len({json.dumps(each) for each in value}) < len(value):
            raise ConfigError(f"sweep.space: {name} names a value twice: {value}.")
        return Choice(tuple(value))
    if not isinstance(value, Mapping) or not {"low", "high"} <= set(value):
        raise ConfigError(f"sweep.space: {name} is {value!r}, expected a list of values, or low and high.")
    for key in ("low", "high", "step"):
        number = value.get(key, 1)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ConfigError(f"sweep.space: {name}.{key} is {number!r}, expected a number.")
    found = Range(value["low"], value["high"], value.get("step"), value.get("log", False) is True)
    if found.low >= found.high or (found.step is not None and found.step <= 0) or (found.log and found.low <= 0):
        raise ConfigError(
            f"sweep.space: {name} runs from {found.low} to {found.high}, expected low below high, a step above 0, and "
            "for log a low above 0."
        )
    if found.log and found.step is not None:
        raise ConfigError(f"sweep.space: {name} has step and log. Give one of them.")
    return found


def grid(space: Mapping[str, Axis]) -> List[Dict[str, Any]]:
    """All points of a space, the last setting varying fastest.

    Example:
        >>> grid({"a": Choice((1, 2)), "b": Choice((3, 4))})[1]
        {'a': 1, 'b': 4}
    """
    points = itertools.product(*(axis.points(name) for name, axis in space.items()))
    return [dict(zip(space, point)) for point in points]


def nested(values: Mapping[str, Any]) -> Dict[str, Any]:
    """Values by dotted name in sections.

    Example:
        >>> nested({"train.lr": 0.1, "seed": 2})
        {'train': {'lr': 0.1}, 'seed': 2}
    """
    sections: Dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        home = sections
        for part in path:
            home = home.setdefault(part, {})
        home[last] = value
    return sections
