"""Kinds of convolution as users and files name them, and their options among the settings of a model."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple, Union

from gnnkit.errors import ConfigError
from gnnkit.nn.convs import ALL_OPTIONS, convolution, option_defaults
from gnnkit.nn.message_passing import is_custom_layer
from gnnkit.nn.no_messages import EMBEDDING, NO_MESSAGES

Kinds = Union[str, Tuple[str, ...]]
"""One kind of convolution, or one for each layer."""


def conv_kinds(value: Any) -> Kinds:
    """One kind of convolution or one for each layer, as users and files give them.

    Args:
        value: ``"gcn"``, ``"gat,gcn"``, or a sequence of kinds.

    Raises:
        ConfigError: It is something else.
        UnknownNameError: No such convolution.

    Example:
        >>> conv_kinds("gat, gcn"), conv_kinds("gcn")
        (('gat', 'gcn'), 'gcn')
    """
    kinds = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if kinds == [EMBEDDING]:
        return NO_MESSAGES
    if not isinstance(kinds, (list, tuple)) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise ConfigError(f"conv is {value!r}, expected a word, or one for each layer.")
    for kind in kinds:
        convolution(kind)
    return kinds[0] if isinstance(value, str) and len(kinds) == 1 else tuple(kinds)


def can_read_edges(kinds: Kinds) -> bool:
    """Whether one of these convolutions reads edge features where the data have them."""
    return any(convolution(kind).reads_edges for kind in ([kinds] if isinstance(kinds, str) else kinds))


def conv_name(kinds: Kinds) -> str:
    """Kinds as text.

    Example:
        >>> conv_name(("gat", "gcn"))
        'gat,gcn'
    """
    return kinds if isinstance(kinds, str) else ",".join(kinds)


def place_options(values: Mapping[str, Any], kinds: Kinds) -> Dict[str, Any]:
    """Settings of a model in which options of convolutions stand under ``conv_options``.

    Args:
        values: Settings by name, options of any standard convolution among them.
        kinds: The model's convolutions. Options that none of them has are left out.

    Example:
        >>> place_options({"heads": 8, "aggregation": "mean", "norm": "batch"}, "gat")
        {'norm': 'batch', 'conv_options': {'heads': 8}}
    """
    own = {name for kind in ([kinds] if isinstance(kinds, str) else kinds) for name in option_defaults(kind)}
    placed = {name: value for name, value in values.items() if name not in ALL_OPTIONS}
    options = {name: value for name, value in values.items() if name in own}
    if options:
        placed["conv_options"] = {**options, **placed.get("conv_options", {})}
    return placed


def is_library_layer(kind: str) -> bool:
    """Whether a kind names a layer of a library, which no other backend has."""
    return ":" in kind and not is_custom_layer(kind)
