"""When a setting of a model has an effect, so that one without is refused instead of taken.

Rules: what is not in the table always has one. A specification itself may hold such a value, because recorded ones do;
only what a user gives is refused.
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Tuple

from gnnkit.nn.spec import ModelSpec


def _is_attention(spec: ModelSpec) -> bool:
    return spec.conv in ("gat", "gatv2")


def _has_hidden(spec: ModelSpec) -> bool:
    """Whether a layer is followed by another, or by a head."""
    return spec.num_layers > 1 or spec.jumping_knowledge != "none"


_HIDDEN = "models of more than one layer, or with jumping knowledge"
EFFECTS: Mapping[str, Tuple[str, Callable[[ModelSpec], bool]]] = {
    "hidden_channels": (f"'gin', and for {_HIDDEN}", lambda spec: spec.conv == "gin" or _has_hidden(spec)),
    "aggregation": ("'sage'", lambda spec: spec.conv == "sage"),
    "heads": (
        f"'gat' and 'gatv2', and among these for {_HIDDEN}",
        lambda spec: _is_attention(spec) and _has_hidden(spec),
    ),
    "out_heads": (
        "'gat' and 'gatv2' without jumping knowledge",
        lambda spec: _is_attention(spec) and spec.jumping_knowledge == "none",
    ),
    "attention_dropout": ("'gat' and 'gatv2'", _is_attention),
    "dropout": (_HIDDEN, _has_hidden),
    "activation": (_HIDDEN, _has_hidden),
    "norm": (_HIDDEN, _has_hidden),
}
"""For each setting that depends on others: what it is for, and whether a model is of that kind."""


def idle_model_settings(spec: ModelSpec) -> Dict[str, str]:
    """The settings that have no effect on a model, with what they are for.

    Example:
        >>> sorted(idle_model_settings(ModelSpec("gcn", 4, 2)))
        ['aggregation', 'attention_dropout', 'heads', 'out_heads']
    """
    return {name: purpose for name, (purpose, has_effect) in EFFECTS.items() if not has_effect(spec)}
