"""The GNN skeleton, written once for all backends.

Rules: a backend supplies the convolutions and nothing else, so dropout masks, layer order and everything between the
convolutions are the same everywhere. Parameters are known by canonical names (``convs.0.lin.weight``,
``norms.0.weight``, ``residuals.1.weight``, ``head.weight``, ``embedding.weight``), whatever the library below calls
them.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from gnnkit.data import Block, Inputs, TypedInputs
from gnnkit.errors import ConfigError
from gnnkit.html import html_table
from gnnkit.nn.activations import activated
from gnnkit.nn.canonical import CanonicalModule, Entry
from gnnkit.nn.conv_library import ConvLibrary, check_convolutions
from gnnkit.nn.convs import ConvSpec, ParameterSpec
from gnnkit.nn.dropout import dropout
from gnnkit.nn.encoder import make_encoder
from gnnkit.nn.generator import forked_generator
from gnnkit.nn.inputs import check_edge_attr, check_graphs
from gnnkit.nn.message_passing import custom_layer, is_custom_layer, make_layer
from gnnkit.nn.norm import MaskedBatchNorm, apply_norm, make_norm
from gnnkit.nn.parameters import initial_value, name_seed
from gnnkit.nn.pooling import Pooling, VirtualNode
from gnnkit.nn.relational import RelationalConv, make_conv, native_parameters
from gnnkit.nn.spec import ModelSpec
from gnnkit.nn.typed import TypedInput


class GNN(CanonicalModule):
    """A stack of convolutions with normalisation, activation, dropout, residual connections and a head.

    Layer ``i`` computes, for the destinations of its block::

        h = conv_i(block_i, dropout(h_src), dropout(h_dst)) + residual_i(h_dst)
        h = activation(norm_i(h))                            # not after the output layer

    Padding destinations of a padded block are 0 after every layer and take no part in batch normalisation.
    With jumping knowledge (Xu et al., 2018) a linear head reads the outputs of all layers.

    A model with learnt embeddings (``spec.num_embeddings``) reads node ids, [num_src, 1] integers, in the place of
    features, and its first layer begins by looking them up. One with an encoder begins with that.

    A model of graphs (``spec.pooling``) gives a row for each graph; all of its convolutions are followed by
    normalisation and activation.

    Args:
        spec: What to build.
        backend: Supplies the convolutions; see :func:`gnnkit.build_model` to give it by name.
        seed: Initial weights depend on it and on canonical names alone.

    Raises:
        CapabilityError: The backend does not have the convolution, or no primitives for a custom layer.
        ConfigError: A layer class is not known here, or cannot be made.
    """

    def __init__(self, spec: ModelSpec, backend: ConvLibrary, seed: int = 0) -> None:
        super().__init__()
        check_convolutions(spec, backend)
        self.spec = spec
        self.backend = backend
        self.seed = seed
        with forked_generator():  # The layers' own initial weights are drawn and thrown away.
            self._build()
        self.reset_parameters(seed)

    def _build(self) -> None:
        spec = self.spec
        if spec.relational != "none" and spec.typed is None:
            raise ConfigError(
                f"relational is {spec.relational!r}, but the graph has no relations. Leave it out, or give a "
                "typed graph."
            )
        if spec.num_embeddings is not None:
            # Initial values of its own would be drawn for nothing, which takes seconds where there are many nodes.
            self.embedding = skip_init(nn.Embedding, spec.num_embeddings, spec.in_channels)  # type: ignore[no-untyped-call]
        if spec.typed is not None:
            self.input = TypedInput(spec.typed, spec.encoded_channels)
        if spec.has_encoder:
            self.encoder = make_encoder(spec.in_channels, spec.node_categories, spec.encoded_channels)
        convs = [spec.conv_spec(layer) for layer in range(spec.num_layers)]
        self.convs = nn.ModuleList([self._conv(conv) for conv in convs])
        self.norms = nn.ModuleList([make_norm(spec.norm, convs[i].out_width) for i in range(self.num_activated)])
        self.residuals = nn.ModuleList([_residual(conv) for conv in convs] if spec.residual else [])
        if not spec.has_head:
            return
        widths = [conv.out_width for conv in convs]
        width = sum(widths) if spec.jumping_knowledge == "cat" else widths[-1]
        if spec.pooling != "none":
            self.pooling = Pooling(spec.pooling, width, self.backend.ops())
        if spec.virtual_node:
            make = partial(make_norm, spec.norm)
            self.virtual_node = VirtualNode(widths[0], spec.num_layers, make, self.backend.ops())
        inner = [width] + [spec.hidden_channels] * (spec.head_layers - 1)
        self.head_hidden = nn.ModuleList([nn.Linear(*pair) for pair in zip(inner, inner[1:])])
        self.head_norms = nn.ModuleList([make_norm(spec.norm, width) for width in inner[1:]])
        self.head = nn.Linear(inner[-1], spec.out_channels)

    def _conv(self, conv: ConvSpec) -> nn.Module:
        if ":" not in conv.kind:
            return make_conv(conv, self.backend)
        if not is_custom_layer(conv.kind):
            return self.backend.library_layer(conv)
        return make_layer(custom_layer(conv.kind), self.backend.ops(), conv.in_channels, conv.out_channels)

    @property
    def _named(self) -> List[int]:
        """Which layers are classes by name, with parameters of their own names."""
        return [i for i, kind in enumerate(self.spec.kinds) if ":" in kind]

    @property
    def num_layers(self) -> int:
        """Number of convolutions, and so of blocks in a batch."""
        return self.spec.num_layers

    @property
    def num_activated(self) -> int:
        """Number of layers that are followed by normalisation and activation."""
        if self.spec.is_propagation:
            return 0
        return self.num_layers - (0 if self.spec.has_head else 1)

    def forward(self, blocks: Sequence[Block], x: Inputs, graphs: Optional[Block] = None) -> Tensor:
        """Compute outputs for the destinations of the last block, or for graphs.

        Args:
            blocks: One block per layer, from the input layer to the output layer.
            x: Features of the first block's sources. Shape [blocks[0].num_src, in_channels]; with learnt embeddings
                their node ids, [blocks[0].num_src, 1], integers.
            graphs: For a model of graphs, the message flow from nodes to graphs: ``Batch.graphs``.

        Returns:
            Outputs. Shape [blocks[-1].num_dst, out_channels]; of graphs [graphs.num_dst, out_channels].

        Raises:
            ConfigError: A model of graphs gets none, or another one gets some.
        """
        return self.output(self.node_layers(blocks, x, graphs), graphs)

    def node_layers(self, blocks: Sequence[Block], x: Inputs, graphs: Optional[Block] = None) -> List[Tensor]:
        """Compute the outputs of all layers, for the destinations of the last block.

        Args:
            blocks: As for :meth:`forward`.
            x: As for :meth:`forward`.
            graphs: As for :meth:`forward`; a virtual node reads and writes over it.

        Returns:
            Of each layer, [blocks[-1].num_dst, width].

        Raises:
            ConfigError: As :meth:`forward`.
        """
        check_graphs(self.spec, graphs)
        layers: List[Tensor] = []
        h = self._entering(0, x, blocks[0])
        state = None if graphs is None or not self.spec.virtual_node else self.virtual_node.initial(graphs.num_dst)
        for i, block in enumerate(blocks):
            if state is not None:
                assert graphs is not None and isinstance(h, Tensor)
                lowered = self.lower(graphs)
                h = h + self.virtual_node.to_nodes(lowered, state)
                if i < self.num_layers - 1:
                    state = self.virtual_node.update(i, lowered, state, h, graphs.dst_mask)
            h = self._convolved(i, block, h, is_square=graphs is not None)
            layers.append(h)
        return layers if graphs is not None else [layer[: blocks[-1].num_dst] for layer in layers]

    def layer(self, i: int, block: Block, h: Inputs) -> Tensor:
        """Compute one layer.

        Args:
            i: Which layer, counted from the input.
            block: Its message flow.
            h: Features of the block's sources, as for :meth:`forward` in the first layer. Shape [block.num_src, width].

        Returns:
            Features of the block's destinations. Shape [block.num_dst, width of layer i].

        Raises:
            ConfigError: The model reads edge features, and the block has none; or features come where it reads ids.
        """
        return self._convolved(i, block, self._entering(i, h, block))

    def _entering(self, i: int, h: Inputs, block: Block) -> Inputs:
        """What a layer reads: a matrix, or the features of each type where it projects them by itself."""
        if i == 0:
            conv = self.convs[0]
            spec = self.spec
            is_plain = not spec.residual and not spec.virtual_node and not (self.training and spec.input_dropout)
            if isinstance(conv, RelationalConv) and is_plain and conv.projects_later(self.lower(block), h):
                return h
            return self._inputs(h)
        assert isinstance(h, Tensor), "layers hand matrices on"
        return h

    def _inputs(self, x: Inputs) -> Tensor:
        """What the first convolution reads."""
        if self.spec.typed is not None:
            projected: Tensor = self.input(x)
            return projected
        assert isinstance(x, Tensor), "a model of a homogeneous graph reads one matrix"
        if self.spec.num_embeddings is not None:
            return self._embedded(x)
        if self.spec.has_encoder:
            encoded: Tensor = self.encoder(x)
            return encoded
        return x

    def _convolved(self, i: int, block: Block, h: Inputs, *, is_square: bool = False) -> Tensor:
        """One layer, of features of the block's sources.

        Args:
            i: Which layer.
            block: Its message flow.
            h: Features of the sources.
            is_square: Whether all sources are destinations, as in batches of whole graphs. The gradient of a slice
                copies everything, also where it is all rows.
        """
        check_edge_attr(self.spec, block)
        out: Tensor
        is_activated = False
        if isinstance(h, TypedInputs):
            out = cast(RelationalConv, self.convs[i]).on_tables(self.lower(block), h, list(self.input.layers))
        else:
            between = 0.0 if self.spec.is_propagation else self.spec.dropout
            p = self.spec.input_dropout if i == 0 else between
            dropped = dropout(h, p, self.training, block.dropout_keys)
            conv = self.convs[i]
            if getattr(type(conv), "finds_own", False):
                dropped_dst = None
            else:
                dropped_dst = dropped if is_square else dropped[: block.num_dst]
            follows = i < self.num_activated and self.spec.norm == "none" and not self.spec.residual
            is_activated = follows and getattr(type(conv), "activates", False)
            more = [self.spec.activation] if is_activated else []
            out = conv(self.lower(block), dropped, dropped_dst, *more)
            if self.spec.residual:
                out = out + self.residuals[i](h if is_square else h[: block.num_dst])
        if i < self.num_activated and not is_activated:
            out = self._normalized(self.norms[i], out, block.dst_mask)
        if block.dst_mask is not None:
            # Sums over padding edges would otherwise grow from layer to layer, past what half precision can hold.
            out = out * block.dst_mask.to(out.dtype).unsqueeze(-1)
        return out

    def _embedded(self, ids: Tensor) -> Tensor:
        if ids.is_floating_point():
            raise ConfigError(
                f"The model reads node ids, [nodes, 1] integers, received {list(ids.shape)} of {ids.dtype}. Give it "
                "gnnkit.nn.node_ids_as_features(graph).x."
            )
        out: Tensor = self.embedding(ids.squeeze(1))
        return out

    def output(self, layers: Sequence[Tensor], graphs: Optional[Block] = None) -> Tensor:
        """Combine the outputs of all layers for the same nodes into the model's output.

        Args:
            layers: The output of each layer, all of first dimension [num_nodes].
            graphs: For a model of graphs, the message flow from these nodes to graphs.

        Returns:
            Outputs. Shape [num_nodes, out_channels], or [num_graphs, out_channels].
        """
        h = self.joined(layers, graphs)
        if not self.spec.has_head:
            return h
        mask = None if graphs is None else graphs.dst_mask
        for linear, norm in zip(self.head_hidden, self.head_norms):
            inner = linear(dropout(h, self.spec.dropout, self.training))
            h = self._normalized(norm, inner, mask)
        out: Tensor = self.head(dropout(h, self.spec.dropout, self.training))
        return out

    def joined(self, layers: Sequence[Tensor], graphs: Optional[Block] = None) -> Tensor:
        """What the head reads: the last layer, or all of them by jumping knowledge; pooled, for a model of graphs.

        Args:
            layers: As for :meth:`output`.
            graphs: As for :meth:`output`.

        Returns:
            Shape [num_nodes, width], or [num_graphs, width].
        """
        h = layers[-1]
        if self.spec.jumping_knowledge == "cat":
            h = torch.cat(list(layers), dim=-1)
        elif self.spec.jumping_knowledge == "max":
            h = torch.stack(list(layers)).amax(dim=0)
        if graphs is None:
            return h
        pooled: Tensor = self.pooling(self.lower(graphs), h)
        return pooled

    def _normalized(self, norm: nn.Module, h: Tensor, mask: Optional[Tensor]) -> Tensor:
        """Normalisation and activation."""
        h = apply_norm(norm, h, mask)
        # A norm's output is nobody else's and is not read by its gradient, so it need not be kept.
        return activated(h, self.spec.activation, into=h if self.spec.norm != "none" else None)

    def lower(self, block: Block) -> Any:
        """The block as the backend's own graph object, made once per block."""
        lowered = block.lowered.get(self.backend.name)
        if lowered is None:
            lowered = self.backend.lower(block)
            for conv in self.convs:
                prepare = getattr(type(conv), "prepare", None)  # Asking a module itself takes longer.
                if prepare is not None:
                    prepare(conv, lowered)
            block.lowered[self.backend.name] = lowered
        return lowered

    def _repr_html_(self) -> str:
        rows = {
            "convolution": self.spec.name,
            "layers": self.num_layers,
            "channels": f"{self.spec.in_channels} to {self.spec.out_channels}",
            "parameters": f"{sum(parameter.numel() for parameter in self.parameters()):,}",
            "backend": self.backend.name,
        }
        return html_table(type(self).__name__, rows)

    def reset_parameters(self, seed: int) -> None:
        """Set every parameter to its initial value for ``seed``, and running statistics to their start."""
        own = [getattr(self, name) for name in ("norms", "virtual_node", "head_norms") if hasattr(self, name)]
        for norm in (module for part in own for module in part.modules()):
            if isinstance(norm, (MaskedBatchNorm, nn.LayerNorm)):
                norm.reset_parameters()
        values = {name: initial_value(name, spec, seed) for name, spec in self._parameter_specs()}
        self.load_canonical({**self.canonical_state(), **values, **self._own_initial_values(seed)})

    def _own_initial_values(self, seed: int) -> Dict[str, Tensor]:
        """Layers by name start as their constructor says, with random numbers of the seed and the layer."""
        values: Dict[str, Tensor] = {}
        for i in self._named:
            with forked_generator():
                torch.manual_seed(name_seed(f"convs.{i}", seed))
                state = self._conv(self.spec.conv_spec(i)).state_dict()
            values.update({f"convs.{i}.{name}": value for name, value in state.items()})
        return values

    def _entries(self, state: Mapping[str, Tensor]) -> Iterator[Entry]:
        named = self._named
        for i in range(self.num_layers):
            if i not in named:
                conv = self.spec.conv_spec(i)
                parameters = conv.parameters
                for name, native in native_parameters(conv, self.backend).items():
                    yield f"convs.{i}.{name}", f"convs.{i}.{native.name}", native, parameters[name].shape
        own = tuple(f"convs.{i}." for i in named)
        for key, value in state.items():
            if key.startswith(own) or not key.startswith("convs."):
                name = f"input.{self.input.canonical_name(key[6:])}" if key.startswith("input.") else key
                yield name, key, None, tuple(value.shape)

    def _parameter_specs(self) -> Iterator[Tuple[str, ParameterSpec]]:
        if self.spec.num_embeddings is not None:
            yield "embedding.weight", ParameterSpec((self.spec.num_embeddings, self.spec.in_channels))
        if self.spec.typed is not None:
            for name, spec in self.input.parameter_specs():
                yield f"input.{name}", spec
        for i in range(self.num_layers):
            for name, spec in self.spec.conv_spec(i).parameters.items():
                yield f"convs.{i}.{name}", spec
        if self.spec.node_categories:
            yield "encoder.weight", ParameterSpec((sum(self.spec.node_categories), self.spec.encoded_channels))
        if self.spec.virtual_node:
            yield "virtual_node.start", ParameterSpec(tuple(self.virtual_node.start.shape), "zeros")
        own = ("encoder", "residuals", "virtual_node", "pooling", "head_hidden", "head")
        linears = [
            each for name in own if hasattr(self, name) for each in getattr(self, name).named_modules(prefix=name)
        ]
        for name, module in linears:
            if isinstance(module, nn.Linear):
                yield f"{name}.weight", ParameterSpec(tuple(module.weight.shape))
                if module.bias is not None:
                    yield f"{name}.bias", ParameterSpec(tuple(module.bias.shape), "zeros")


def _residual(conv: ConvSpec) -> nn.Module:
    if conv.in_channels == conv.out_width:
        return nn.Identity()
    return nn.Linear(conv.in_channels, conv.out_width, bias=False)
