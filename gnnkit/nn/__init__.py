"""Models written once: specifications, canonical parameters, the GNN skeleton, message passing."""

from gnnkit.nn.gnn import GNN, ConvLibrary
from gnnkit.nn.message_passing import MessageOps, MessagePassing
from gnnkit.nn.parameters import NativeParameter, initial_value
from gnnkit.nn.presets import PRESETS, Preset, model_spec
from gnnkit.nn.spec import CONV_KINDS, ConvKind, ConvSpec, ModelSpec, ParameterSpec, conv_parameters

__all__ = [
    "CONV_KINDS",
    "GNN",
    "PRESETS",
    "ConvKind",
    "ConvLibrary",
    "ConvSpec",
    "MessageOps",
    "MessagePassing",
    "ModelSpec",
    "NativeParameter",
    "ParameterSpec",
    "Preset",
    "conv_parameters",
    "initial_value",
    "model_spec",
]
