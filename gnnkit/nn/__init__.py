"""Models written once: specifications, canonical parameters, the GNN skeleton, message passing."""

from gnnkit.nn.activations import ACTIVATIONS, activated
from gnnkit.nn.conv_library import ConvLibrary, check_convolutions, check_layer_class, undeclared_convolution
from gnnkit.nn.convs import (
    AGGREGATIONS,
    ALL_OPTIONS,
    CONVS,
    PER_RELATION,
    Convolution,
    ConvSpec,
    HeadOptions,
    ParameterSpec,
    ReferenceConv,
    convolution,
    delta_of,
    kinds_with,
    make_mlp,
    mlp_places,
    mlp_width,
    option_defaults,
)
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
from gnnkit.nn.effects import idle_model_settings, settled_settings
from gnnkit.nn.generator import forked_generator, held_generator, restored_generator
from gnnkit.nn.gnn import GNN
from gnnkit.nn.inputs import (
    check_edge_features,
    check_node_inputs,
    check_without_features,
    edge_width,
    node_ids_as_features,
)
from gnnkit.nn.kinds import Kinds, can_read_edges, conv_kinds, conv_name, is_library_layer, place_options
from gnnkit.nn.message_passing import REDUCTIONS, SCORES, MessageOps, MessagePassing, check_choice, layer_path
from gnnkit.nn.parameters import NativeParameter, initial_value
from gnnkit.nn.presets import PRESETS, Preset, model_kinds, model_spec, preset_of
from gnnkit.nn.relational import dense_relational, make_conv, native_parameters
from gnnkit.nn.relations import Pairs, Relations, Runs
from gnnkit.nn.segments import segment_linear
from gnnkit.nn.shapes import check_layers
from gnnkit.nn.spec import ModelSpec
from gnnkit.nn.typed import RELATIONAL, TypedInput, TypedSpec

__all__ = [
    "ACTIVATIONS",
    "AGGREGATIONS",
    "ALL_OPTIONS",
    "CONVS",
    "GNN",
    "PER_RELATION",
    "PRESETS",
    "REDUCTIONS",
    "RELATIONAL",
    "SCORES",
    "ConvLibrary",
    "ConvSpec",
    "Convolution",
    "CustomModel",
    "HeadOptions",
    "Kinds",
    "MessageOps",
    "MessagePassing",
    "ModelSpec",
    "NativeParameter",
    "Pairs",
    "ParameterSpec",
    "Preset",
    "ReferenceConv",
    "Relations",
    "Runs",
    "TypedInput",
    "TypedSpec",
    "activated",
    "beyond_spec",
    "can_read_edges",
    "check_choice",
    "check_convolutions",
    "check_edge_features",
    "check_layer_class",
    "check_layers",
    "check_node_inputs",
    "check_parameter_names",
    "check_rebuildable",
    "check_without_features",
    "conv_kinds",
    "conv_name",
    "convolution",
    "copied",
    "delta_of",
    "dense_relational",
    "edge_width",
    "forked_generator",
    "freeze_alike",
    "frozen_parameters",
    "has_own_forward",
    "held_generator",
    "idle_model_settings",
    "initial_value",
    "is_library_layer",
    "kinds_with",
    "layer_path",
    "make_conv",
    "make_mlp",
    "mlp_places",
    "mlp_width",
    "model_kinds",
    "model_spec",
    "native_parameters",
    "node_ids_as_features",
    "option_defaults",
    "place_options",
    "preset_of",
    "rebuilt",
    "restored_generator",
    "segment_linear",
    "settled_settings",
    "undeclared_convolution",
]
