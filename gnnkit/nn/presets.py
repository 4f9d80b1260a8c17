"""What users get when they name a model and nothing else: the settings of the papers, tuned where said.

Rules: a preset holds only what differs from the defaults of :class:`ModelSpec` and of the training configuration;
anything the user says wins over it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Type, Union

from gnnkit.errors import UnknownNameError
from gnnkit.nn.effects import idle_model_settings
from gnnkit.nn.message_passing import MessagePassing, layer_path
from gnnkit.nn.spec import ModelSpec
from gnnkit.options import settle_idle


@dataclass(frozen=True)
class Preset:
    """Defaults that belong to one model.

    Attributes:
        model: Settings of :class:`ModelSpec`.
        train: Settings of the training, names as in the configuration's ``train`` section.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


_SMALL_WEIGHTS = {"lr": 0.01, "weight_decay": 5e-4}

# Velickovic et al., 2018: eight heads of eight, dropout 0.6 everywhere, ELU.
_ATTENTION = Preset(
    {
        "hidden_channels": 8,
        "heads": 8,
        "dropout": 0.6,
        "input_dropout": 0.6,
        "attention_dropout": 0.6,
        "activation": "elu",
    },
    {"lr": 0.005, "weight_decay": 5e-4},
)

PRESETS: Mapping[str, Preset] = {
    # Kipf and Welling, 2017.
    "gcn": Preset({"hidden_channels": 16, "dropout": 0.5, "input_dropout": 0.5}, _SMALL_WEIGHTS),
    "sage": Preset({"hidden_channels": 64, "dropout": 0.5}, _SMALL_WEIGHTS),
    "gat": _ATTENTION,
    "gatv2": _ATTENTION,
    "gin": Preset({"hidden_channels": 64, "dropout": 0.5}, _SMALL_WEIGHTS),
}
"""Models by name. Each is a convolution of the same name with these settings."""


def model_spec(
    name: Union[str, Type[MessagePassing]], in_channels: int, out_channels: int, **settings: Any
) -> ModelSpec:
    """The specification of a named model.

    Args:
        name: A key of ``PRESETS``; a custom layer; or a layer of a library as ``module:Class``. Layers have no preset.
        in_channels: Width of the node features.
        out_channels: Number of outputs per node.
        settings: Any field of :class:`ModelSpec`; these win over the preset.

    Raises:
        UnknownNameError: No such model, or no such setting.
        ConfigError: A setting has an impossible value, or has no effect on this model.

    Example:
        >>> model_spec("gcn", 1433, 7).hidden_channels
        16
    """
    conv = name if isinstance(name, str) else layer_path(name)
    if ":" not in conv and conv not in PRESETS:
        raise UnknownNameError("model", conv, PRESETS)
    preset = PRESETS[conv].model if conv in PRESETS else {}
    spec = ModelSpec.from_dict(
        {"conv": conv, "in_channels": in_channels, "out_channels": out_channels, **preset, **settings}
    )
    defaults = {**ModelSpec("gcn", 1, 1).to_dict(), **preset}
    settle_idle(spec.to_dict(), defaults, idle_model_settings(spec), settings, where=f"on this model of {conv!r}")
    return spec
