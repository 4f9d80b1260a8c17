"""Models written once: specifications, canonical parameters, the GNN skeleton, message passing."""

from gnnkit.nn.copying import (
    beyond_spec,
    check_parameter_names,
    check_rebuildable,
    copied,
    freeze_alike,
    frozen_parameters,
    has_own_forward,
    rebuilt,
)
from gnnkit.nn.custom import CustomModel
from gnnkit.nn.effects import idle_model_settings
from gnnkit.nn.generator import forked_generator, held_generator, restored_generator
from gnnkit.nn.gnn import GNN, ConvLibrary, check_named_layer
from gnnkit.nn.message_passing import REDUCTIONS, SCORES, MessageOps, MessagePassing, check_choice, layer_path
from gnnkit.nn.parameters import NativeParameter, initial_value
from gnnkit.nn.presets import PRESETS, Preset, model_spec
from gnnkit.nn.shapes import check_layers
from gnnkit.nn.spec import CONV_KINDS, ConvKind, ConvSpec, ModelSpec, ParameterSpec, conv_kind, conv_parameters

__all__ = [
    "CONV_KINDS",
    "GNN",
    "PRESETS",
    "REDUCTIONS",
    "SCORES",
    "ConvKind",
    "ConvLibrary",
    "ConvSpec",
    "CustomModel",
    "MessageOps",
    "MessagePassing",
    "ModelSpec",
    "NativeParameter",
    "ParameterSpec",
    "Preset",
    "beyond_spec",
    "check_choice",
    "check_layers",
    "check_named_layer",
    "check_parameter_names",
    "check_rebuildable",
    "conv_kind",
    "conv_parameters",
    "copied",
    "forked_generator",
    "freeze_alike",
    "frozen_parameters",
    "has_own_forward",
    "held_generator",
    "idle_model_settings",
    "initial_value",
    "layer_path",
    "model_spec",
    "rebuilt",
    "restored_generator",
]
