"""Models written once: specifications, canonical parameters, the GNN skeleton, message passing."""

from gnnkit.nn.generator import forked_generator, held_generator, restored_generator
from gnnkit.nn.gnn import GNN, ConvLibrary, check_named_layer
from gnnkit.nn.message_passing import REDUCTIONS, SCORES, MessageOps, MessagePassing, check_choice, layer_path
from gnnkit.nn.parameters import NativeParameter, initial_value
from gnnkit.nn.presets import PRESETS, Preset, model_spec
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
    "MessageOps",
    "MessagePassing",
    "ModelSpec",
    "NativeParameter",
    "ParameterSpec",
    "Preset",
    "check_choice",
    "check_named_layer",
    "conv_kind",
    "conv_parameters",
    "forked_generator",
    "held_generator",
    "initial_value",
    "layer_path",
    "model_spec",
    "restored_generator",
]
