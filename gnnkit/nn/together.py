"""What cannot stand together in one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gnnkit.errors import ConfigError
from gnnkit.nn.convs import PER_RELATION

if TYPE_CHECKING:
    from gnnkit.nn.spec import ModelSpec


def check_together(spec: ModelSpec) -> None:
    """Refuse kinds of convolution that cannot stand in one model, and what a kind cannot stand with.

    Raises:
        ConfigError: The message has the two, and what to do.
    """
    convs = spec.convolutions
    names = dict(zip(convs, dict.fromkeys(spec.kinds)))
    looped = [names[conv] for conv in convs if conv.self_loops]
    plain = [names[conv] for conv in convs if not conv.self_loops]
    if looped and plain:
        raise ConfigError(
            f"{looped[0]!r} asks for a self-loop at every node of the graph, which {plain[0]!r} would take for a "
            "neighbour, so they cannot be layers of one model. Take kinds that ask for the same graph."
        )
    normed = [names[conv] for conv in convs if conv.gcn_norm]
    weighted = [names[conv] for conv in convs if conv.reads_weights and not conv.gcn_norm]
    if normed and weighted:
        raise ConfigError(
            f"{normed[0]!r} asks for its own normalisation as edge weights, where {weighted[0]!r} reads the weights of "
            "the data, so they cannot be layers of one model. Take kinds that ask for the same graph."
        )
    for conv in convs:
        if conv.needs_edges and spec.edge_channels is None:
            raise ConfigError(
                f"{names[conv]!r} needs edge features, and there are none (edge_channels is None). Give the graph "
                "edge_attr, or take another convolution."
            )
        if conv.is_propagation and (len(convs) > 1 or spec.residual or spec.jumping_knowledge != "none"):
            raise ConfigError(
                f"The layers of {names[conv]!r} are steps of one propagation, so the model takes no other "
                "convolution, no residual connection and no jumping_knowledge."
            )
    _check_typed(spec)
    if spec.num_embeddings is not None and spec.has_encoder:
        raise ConfigError("A model with learnt embeddings of nodes (num_embeddings) reads no features to encode.")
    if spec.head_layers > 1 and not spec.has_head:
        raise ConfigError(f"head_layers is {spec.head_layers}, but the model has no head. Give pooling.")
    _check_virtual_node(spec)
    # What a class by name reads is its own affair.
    can_read = spec.has_layer_classes or any(conv.reads_edges for conv in convs)
    if spec.edge_channels is not None and not can_read:
        raise ConfigError(f"edge_channels is {spec.edge_channels}, but {spec.name!r} reads no edge features.")


def _check_typed(spec: ModelSpec) -> None:
    """Refuse what typed graphs cannot have, or what needs one."""
    if spec.relational != "none":
        for kind in spec.kinds:
            if kind not in PER_RELATION:
                raise ConfigError(
                    f"relational is {spec.relational!r}, but {kind!r} cannot be taken for each relation by itself. "
                    f"Take one of {', '.join(sorted(PER_RELATION))}, or leave relational out."
                )
    elif spec.typed is not None and spec.self_loops:
        raise ConfigError(
            f"{spec.name!r} asks for a self-loop at every node, which belongs to no relation of a typed graph. Take "
            "one convolution for each relation (relational='sum'), or another kind such as 'rgcn'."
        )
    if spec.typed is not None and (spec.num_embeddings is not None or spec.node_categories):
        raise ConfigError("A model of a typed graph reads features by type: leave num_embeddings and categories out.")


def _check_virtual_node(spec: ModelSpec) -> None:
    if not spec.virtual_node:
        return
    if spec.pooling == "none":
        raise ConfigError("virtual_node asks for whole graphs. Give pooling, or leave it out.")
    widths = [spec.encoded_channels, *(spec.conv_spec(layer).out_width for layer in range(spec.num_layers))]
    if len(set(widths)) > 1:
        raise ConfigError(
            f"virtual_node asks for layers of one width, and theirs are {', '.join(map(str, widths))}. Give "
            "encoder_channels as wide as the layers."
        )
