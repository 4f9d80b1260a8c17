"""What users get when they name a model and nothing else: the settings of the papers, tuned where said.

Rules: a preset holds only what differs from the defaults of :class:`ModelSpec` and of the training configuration;
anything the user says wins over it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence, Type, Union

from gnnkit.errors import UnknownNameError
from gnnkit.nn.effects import settled_settings
from gnnkit.nn.kinds import Kinds, conv_kinds
from gnnkit.nn.message_passing import MessagePassing, layer_path
from gnnkit.nn.no_messages import EMBEDDING, NO_MESSAGES
from gnnkit.nn.spec import ModelSpec


@dataclass(frozen=True)
class Preset:
    """Defaults that belong to one model.

    Attributes:
        model: Settings of :class:`ModelSpec`, and options of the convolution.
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
    "gine": Preset({"hidden_channels": 64, "dropout": 0.5}, _SMALL_WEIGHTS),
    "pna": Preset({"hidden_channels": 32, "dropout": 0.5}, _SMALL_WEIGHTS),
    "transformer": Preset({"hidden_channels": 16, "heads": 4, "beta": True, "dropout": 0.5}, _SMALL_WEIGHTS),
    "graphconv": Preset({"hidden_channels": 64, "dropout": 0.5}, _SMALL_WEIGHTS),
    # Schlichtkrull et al., 2018, for classes of entities.
    "rgcn": Preset({"hidden_channels": 16, "dropout": 0.0}, _SMALL_WEIGHTS),
    "rgat": Preset({"hidden_channels": 8, "heads": 4, "dropout": 0.5}, _SMALL_WEIGHTS),
    "hgt": Preset({"hidden_channels": 64, "heads": 4, "dropout": 0.5}, {"lr": 0.005, "weight_decay": 1e-3}),
    # No messages: nothing of neighbours is read.
    EMBEDDING: Preset({"num_layers": 1}, {"fanouts": [0], "lr": 0.003}),
    # Gasteiger et al., 2019; each layer is one of ten steps.
    "appnp": Preset(
        {"hidden_channels": 64, "num_layers": 10, "input_dropout": 0.5, "mlp_dropout": 0.5},
        {"lr": 0.01, "weight_decay": 5e-3},
    ),
}
"""Models by name. Each is a convolution of the same name with these settings; "embedding" has none."""


Named = Union[str, Type[MessagePassing]]


def model_spec(name: Union[Named, Sequence[Named]], in_channels: int, out_channels: int, **settings: Any) -> ModelSpec:
    """The specification of a named model.

    Args:
        name: A key of ``PRESETS``; or a custom layer, or one of a library as ``module:Class``, which have no preset; or
            one of these for each layer, as a sequence or as text (``"gat,gcn"``), which have none either.
        in_channels: Width of the node features.
        out_channels: Number of outputs per node.
        settings: Any field of :class:`ModelSpec`, or any option of the convolution; these win over the preset.

    Raises:
        UnknownNameError: No such model, or no such setting.
        ConfigError: A setting has an impossible value, or has no effect on this model.

    Example:
        >>> model_spec("gcn", 1433, 7).hidden_channels
        16
        >>> model_spec("gat", 1433, 7, heads=4).conv_options["heads"]
        4
    """
    conv = model_kinds(name)
    preset = preset_of(conv).model
    given = {"in_channels": in_channels, "out_channels": out_channels, **settings}
    spec = ModelSpec.from_dict({"conv": conv, **preset, **given})
    return ModelSpec.from_dict(settled_settings(spec.to_dict(), preset, settings))


def model_kinds(name: Union[Named, Sequence[Named]], others: Iterable[str] = ()) -> Kinds:
    """The convolutions of a named model.

    Args:
        name: As for :func:`model_spec`.
        others: Names that could have been meant as well, for the message.

    Raises:
        UnknownNameError: No such model.
        ConfigError: No name at all.
    """
    if isinstance(name, (list, tuple)):
        return conv_kinds([each if isinstance(each, str) else layer_path(each) for each in name])
    if not isinstance(name, str):
        return layer_path(name)  # type: ignore[arg-type]
    if ":" not in name and "," not in name and name not in PRESETS:
        raise UnknownNameError("model", name, [*PRESETS, *others])
    return conv_kinds(name)


def preset_of(conv: Kinds) -> Preset:
    """The preset of a model; an empty one where it has none."""
    name = EMBEDDING if conv == NO_MESSAGES else conv
    return PRESETS.get(name, Preset()) if isinstance(name, str) else Preset()
