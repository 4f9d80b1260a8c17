"""When a setting of a model has an effect, so that one without is refused instead of taken.

Rules: what is not in the table always has one, but for options of convolutions that the model does not have. A
specification itself may hold a value without effect, because recorded ones do; only what a user gives is refused.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Callable, Collection, Dict, Mapping, Tuple

from gnnkit.nn.convs import ALL_OPTIONS, kinds_with, option_defaults
from gnnkit.nn.spec import ModelSpec
from gnnkit.options import settle_idle


def _has_hidden(spec: ModelSpec) -> bool:
    """Whether a layer is followed by another, or by a head."""
    return spec.num_layers > 1 or spec.has_head


def _has_between(spec: ModelSpec) -> bool:
    """Whether something stands between layers."""
    return _has_hidden(spec) and not spec.is_propagation


def _has_inner_width(spec: ModelSpec) -> bool:
    """Whether a convolution has an MLP that is as wide as the model."""
    return "mlp_channels" in spec.conv_options and spec.conv_options["mlp_channels"] is None


def _has_heads(spec: ModelSpec) -> bool:
    """Whether a layer has heads that are concatenated."""
    convs = [spec.conv_spec(layer) for layer in range(spec.num_layers)]
    return any(conv.kind == "hgt" or (conv.has_heads and conv.concat) for conv in convs)


def _has_out_heads(spec: ModelSpec) -> bool:
    last = spec.conv_spec(spec.num_layers - 1)
    return last.has_heads and not last.concat


_HIDDEN = "models of more than one layer, or with jumping knowledge or pooling"
_BETWEEN = f"{_HIDDEN}, but not for 'appnp'"


def _words(kinds: Collection[str]) -> str:
    quoted = [repr(kind) for kind in kinds]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


EFFECTS: Mapping[str, Tuple[str, Callable[[ModelSpec], bool]]] = {
    "hidden_channels": (
        f"{_words(kinds_with('mlp_channels'))}, and for {_HIDDEN}",
        lambda spec: _has_inner_width(spec) or _has_between(spec),
    ),
    "heads": (f"{_words(kinds_with('heads'))}, and among these for {_HIDDEN}", _has_heads),
    "out_heads": (f"{_words(kinds_with('out_heads'))} without jumping knowledge", _has_out_heads),
    "dropout": (_BETWEEN, _has_between),
    "activation": (_BETWEEN, _has_between),
    "norm": (_BETWEEN, _has_between),
}
"""For each setting that depends on others: what it is for, and whether a model is of that kind."""


def idle_model_settings(spec: ModelSpec) -> Dict[str, str]:
    """The settings that have no effect on a model, with what they are for.

    Args:
        spec: The model. Its own fields are settings, and so are the options of all standard convolutions.

    Example:
        >>> idle_model_settings(ModelSpec("gcn", 4, 2))["aggregation"]
        "'sage'"
    """
    own = {name for kind in spec.kinds for name in option_defaults(kind)}
    idle = {name: _words(kinds_with(name)) for name in ALL_OPTIONS if name not in own}
    return {**idle, **{name: purpose for name, (purpose, has_effect) in EFFECTS.items() if not has_effect(spec)}}


def settled_settings(
    settings: Mapping[str, Any], preset: Mapping[str, Any], given: Mapping[str, Any], owner: str = ""
) -> Dict[str, Any]:
    """Settings of a model with defaults in place of those without effect.

    Args:
        settings: Fields of :class:`ModelSpec`, options under ``conv_options``.
        preset: Defaults of the model, options among them.
        given: What the user gave, options among them or under ``conv_options``.
        owner: What messages put before a name: ``"model."``.

    Raises:
        ConfigError: The user gave one without effect, and another value than its default.
    """
    spec = ModelSpec.from_dict(settings)
    # What stands under conv_options for a library's layers is the library's affair, whatever it is called.
    own = {name for kind in spec.kinds for name in option_defaults(kind)}
    given = {**given, **{name: value for name, value in given.get("conv_options", {}).items() if name in own}}
    values = {**settings, **spec.conv_options}
    values.update({name: value for name, value in given.items() if name in ALL_OPTIONS})
    defaults = {**_field_defaults(), **ALL_OPTIONS, **preset}
    where = f"on this model of {spec.name!r}"
    settled = settle_idle(values, defaults, idle_model_settings(spec), given, owner, where)
    options = {**spec.conv_options, **{name: settled[name] for name in own}}
    return {**{name: settled[name] for name in settings}, "conv_options": options}


def _field_defaults() -> Dict[str, Any]:
    return {item.name: item.default for item in fields(ModelSpec)}
