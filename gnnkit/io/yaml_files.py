"""YAML: configurations that people write, and those that runs record.

Rules: text from a user stays as it is. OmegaConf would replace ``${...}`` in it and take ``???`` for a missing value,
so text passes through :func:`shielded` on its way to OmegaConf and through :func:`unshielded` on its way back, and is
not read by OmegaConf at all. A file holds plain values, not too many, and not nested too deep.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Set

import numpy as np
import yaml
from omegaconf import OmegaConf

from gnnkit.errors import ConfigError
from gnnkit.io.files import write_text
from gnnkit.io.limits import MOST_LEVELS
from gnnkit.io.text import decoded
from gnnkit.paths import reading

_MARK = "\ue000"
"""Put into text that OmegaConf would interpret: a character that stands for nothing (it is for private use)."""

_MOST_BYTES = 1 << 17
_MOST_VALUES = 20_000
_PLAIN = (str, int, float, bool, type(None))
_FLOAT = re.compile(
    r"""[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?$|[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)$"""
    r"""|\.[0-9_]+(?:[eE][-+][0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"""
)


class _Loader(yaml.SafeLoader):
    """Plain values as OmegaConf understands them: ``1e-3`` is a number, a date is text, a key stands once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._sizes: Dict[int, int] = {}
        self._open: Set[int] = set()

    def compose_node(self, parent: Optional[yaml.Node], index: Any) -> Optional[yaml.Node]:
        """See PyYAML; refuses what is nested too deep, before Python's stack ends."""
        self._level += 1
        if self._level > MOST_LEVELS:
            raise yaml.YAMLError(f"it is nested more than {MOST_LEVELS} levels deep")
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def get_single_node(self) -> Optional[yaml.Node]:
        """See PyYAML; refuses what is repeated by ``*name`` too often."""
        node = super().get_single_node()
        if node is not None:
            self._size(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        """See PyYAML; refuses a key that stands twice."""
        seen: Set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.YAMLError(f"found duplicate key {key.value!r}, line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _size(self, node: yaml.Node) -> int:
        """How many values a node has when everything that is repeated is written out."""
        if id(node) in self._open:
            raise yaml.YAMLError("it holds itself")
        if id(node) not in self._sizes:
            self._open.add(id(node))
            parts = node.value if isinstance(node, (yaml.SequenceNode, yaml.MappingNode)) else []
            inside = (each for part in parts for each in (part if isinstance(part, tuple) else (part,)))
            self._sizes[id(node)] = size = 1 + sum(self._size(each) for each in inside)
            self._open.discard(id(node))
            if size > _MOST_VALUES:
                raise yaml.YAMLError(f"it has more than {_MOST_VALUES:,} values")
        return self._sizes[id(node)]


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read_yaml(file: Path) -> Dict[str, Any]:
    """Read a configuration file as nested values; empty for an empty file.

    Raises:
        ConfigError: It is missing, or no YAML with sections.
    """
    # A pipe will do, as of <(...) in a shell, so no more is read than it may have.
    with reading(file), file.open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{file} has more than {_MOST_BYTES:,} bytes, which no configuration needs. Name another.")
    return parse_yaml(decoded(content, file, ConfigError), file)


def parse_yaml(text: str, where: object) -> Dict[str, Any]:
    """Nested values of YAML with sections; empty for empty text.

    Args:
        text: The text.
        where: Where it comes from, as the subject of the message.

    Raises:
        ConfigError: It is no YAML with sections of plain values.

    Example:
        >>> parse_yaml("train: {lr: 1e-3, note: '${HOME}'}", "the text")
        {'train': {'lr': 0.001, 'note': '${HOME}'}}
    """
    try:
        loader = _Loader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
        _check_plain(content)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, KeyError, IndexError, AttributeError) as error:
        raise ConfigError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{where} holds a {type(content).__name__}, expected sections such as 'model:'.")
    return content


def write_yaml(file: Path, values: Mapping[str, Any]) -> None:
    """Write nested values, which :func:`read_yaml` reads again."""
    write_text(file, unshielded(OmegaConf.to_yaml(OmegaConf.create(shielded(dict(values))))))


def shielded(value: Any) -> Any:
    """Nested values whose text OmegaConf leaves as it is."""
    if isinstance(value, str):
        return f"???{_MARK}" if value == "???" else value.replace("${", f"${_MARK}{{")
    return _each(shielded, value.item() if isinstance(value, np.generic) else value)


def unshielded(value: Any) -> Any:
    """What :func:`shielded` was given."""
    if isinstance(value, str):
        return value.replace(f"???{_MARK}", "???").replace(f"${_MARK}{{", "${")
    return _each(unshielded, value)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: change(item) for key, item in value.items()}
    return [change(item) for item in value] if isinstance(value, (list, tuple)) else value


def _check_plain(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float)):
                raise ValueError(f"a key is {key!r}, expected text")
            _check_plain(item)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif not isinstance(value, _PLAIN):
        raise ValueError(f"a value is of type {type(value).__name__}, expected text, numbers, lists and sections")
