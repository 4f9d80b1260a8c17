"""The GNN skeleton, written once for all backends.

Rules: a backend supplies the convolutions and nothing else, so dropout masks, layer order and everything between the
convolutions are the same everywhere. Parameters are known by canonical names (``convs.0.lin.weight``,
``norms.0.weight``, ``residuals.1.weight``, ``head.weight``, ``embedding.weight``), whatever the library below calls
them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from gnnkit.data import Block
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError
from gnnkit.nn.convs import ConvSpec, ParameterSpec, convolution
from gnnkit.nn.generator import forked_generator
from gnnkit.nn.message_passing import MessageOps, custom_layer, is_custom_layer, make_layer
from gnnkit.nn.norm import MaskedBatchNorm
from gnnkit.nn.parameters import NativeParameter, initial_value, name_seed
from gnnkit.nn.spec import ModelSpec


class ConvLibrary(Protocol):
    """The part of a backend that a model needs. See :class:`gnnkit.backends.Backend`."""

    name: ClassVar[str]
    layer_module: ClassVar[str]
    capabilities: Any

    def lower(self, block: Block) -> Any:
        """Turn a block into the library's own graph object."""

    def conv(self, spec: ConvSpec) -> nn.Module:
        """Make the library's own layer."""

    def parameter_map(self, spec: ConvSpec) -> Mapping[str, NativeParameter]:
        """Where canonical parameters lie in that layer."""

    def ops(self) -> MessageOps:
        """The primitives that custom layers are written on."""

    def library_layer(self, spec: ConvSpec) -> nn.Module:
        """Make a layer of the library by its name."""


class GNN(nn.Module):
    """A stack of convolutions with normalisation, activation, dropout, residual connections and a head.

    Layer ``i`` computes, for the destinations of its block::

        h = conv_i(block_i, dropout(h_src), dropout(h_dst)) + residual_i(h_dst)
        h = activation(norm_i(h))                            # not after the output layer

    Padding destinations of a padded block are 0 after every layer and take no part in batch normalisation.
    With jumping knowledge (Xu et al., 2018) a linear head reads the outputs of all layers.

    A model with learnt embeddings (``spec.num_embeddings``) reads node ids, [num_src, 1] integers, in the place of
    features, and its first layer begins by looking them up.

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
        if spec.num_embeddings is not None:
            # Initial values of its own would be drawn for nothing, which takes seconds where there are many nodes.
            self.embedding = skip_init(nn.Embedding, spec.num_embeddings, spec.in_channels)  # type: ignore[no-untyped-call]
        convs = [spec.conv_spec(layer) for layer in range(spec.num_layers)]
        self.convs = nn.ModuleList([self._conv(conv) for conv in convs])
        self.norms = nn.ModuleList([_norm(spec.norm, convs[i].out_width) for i in range(self.num_activated)])
        self.residuals = nn.ModuleList([_residual(conv) for conv in convs] if spec.residual else [])
        if spec.jumping_knowledge != "none":
            widths = [conv.out_width for conv in convs]
            width = sum(widths) if spec.jumping_knowledge == "cat" else widths[0]
            self.head = nn.Linear(width, spec.out_channels)

    def _conv(self, conv: ConvSpec) -> nn.Module:
        if ":" not in conv.kind:
            return self.backend.conv(conv)
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
        return self.num_layers - (1 if self.spec.jumping_knowledge == "none" else 0)

    def forward(self, blocks: Sequence[Block], x: Tensor) -> Tensor:
        """Compute outputs for the destinations of the last block.

        Args:
            blocks: One block per layer, from the input layer to the output layer.
            x: Features of the first block's sources. Shape [blocks[0].num_src, in_channels]; with learnt embeddings
                their node ids, [blocks[0].num_src, 1], integers.

        Returns:
            Outputs. Shape [blocks[-1].num_dst, out_channels].
        """
        h, layers = x, []
        for i, block in enumerate(blocks):
            h = self.layer(i, block, h)
            layers.append(h)
        return self.output([layer[: blocks[-1].num_dst] for layer in layers])

    def layer(self, i: int, block: Block, h: Tensor) -> Tensor:
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
        if self.spec.reads_edges and block.edge_attr is None:
            raise ConfigError(
                f"The model reads {self.spec.edge_channels} edge features, and the block has none (edge_attr). Give a "
                "graph that has them; by hand, full_block(graph, edge_features=True)."
            )
        if i == 0 and self.spec.num_embeddings is not None:
            h = self._embedded(h)
        h_dst = h[: block.num_dst]
        between = 0.0 if self.spec.is_propagation else self.spec.dropout
        dropped = functional.dropout(h, self.spec.input_dropout if i == 0 else between, self.training)
        out: Tensor = self.convs[i](self.lower(block), dropped, dropped[: block.num_dst])
        if self.spec.residual:
            out = out + self.residuals[i](h_dst)
        if i < self.num_activated:
            activation = functional.elu if self.spec.activation == "elu" else functional.relu
            out = activation(self._normalize(i, out, block.dst_mask))
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

    def _normalize(self, i: int, h: Tensor, mask: Optional[Tensor]) -> Tensor:
        norm = self.norms[i]
        out: Tensor = norm(h, mask) if isinstance(norm, MaskedBatchNorm) else norm(h)
        return out

    def output(self, layers: Sequence[Tensor]) -> Tensor:
        """Combine the outputs of all layers for the same nodes into the model's output.

        Args:
            layers: The output of each layer, all of first dimension [num_nodes].

        Returns:
            Outputs. Shape [num_nodes, out_channels].
        """
        if self.spec.jumping_knowledge == "none":
            return layers[-1]
        if self.spec.jumping_knowledge == "cat":
            joined = torch.cat(list(layers), dim=-1)
        else:
            joined = torch.stack(list(layers)).amax(dim=0)
        out: Tensor = self.head(functional.dropout(joined, self.spec.dropout, self.training))
        return out

    def lower(self, block: Block) -> Any:
        """The block as the backend's own graph object, made once per block."""
        lowered = block.lowered.get(self.backend.name)
        if lowered is None:
            lowered = block.lowered[self.backend.name] = self.backend.lower(block)
        return lowered

    def reset_parameters(self, seed: int) -> None:
        """Set every parameter to its initial value for ``seed``, and running statistics to their start."""
        for norm in self.norms:
            if not isinstance(norm, nn.Identity):
                norm.reset_parameters()  # type: ignore[operator]
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

    def canonical_state(self) -> Dict[str, Tensor]:
        """All parameters and buffers under canonical names and layouts, in host memory, independent of the model."""
        state = self.state_dict()
        result: Dict[str, Tensor] = {}
        for name, key, native, shape in self._entries(state):
            value = state[key].detach().cpu()
            value = value if native is None else native.to_canonical(value, shape)
            result[name] = value.clone(memory_format=torch.contiguous_format)
        return result

    def load_canonical(self, values: Mapping[str, Tensor]) -> None:
        """Load what :meth:`canonical_state` gave, on whichever backend it was made.

        Raises:
            CheckpointError: Names or shapes differ; the message lists them, and nothing has been loaded.
        """
        state = self.state_dict()
        entries = list(self._entries(state))
        expected = {name: tuple(shape) for name, _, _, shape in entries}
        _compare_shapes(expected, {name: tuple(value.shape) for name, value in values.items()})
        with torch.no_grad():
            for name, key, native, _ in entries:
                value = values[name] if native is None else native.to_native(values[name])
                state[key].copy_(value)

    def parameters_by_name(self) -> Dict[str, nn.Parameter]:
        """Trainable parameters by canonical name; their layout is the library's."""
        by_key = dict(self.named_parameters())
        return {name: by_key[key] for name, key, _, _ in self._entries(self.state_dict()) if key in by_key}

    def native_names(self) -> List[str]:
        """Names in :meth:`state_dict` of all that :meth:`canonical_state` gives."""
        return [key for _, key, _, _ in self._entries(self.state_dict())]

    def _entries(
        self, state: Mapping[str, Tensor]
    ) -> Iterator[Tuple[str, str, NativeParameter | None, Tuple[int, ...]]]:
        """Canonical name, key in the state dict, native layout (None outside convolutions), canonical shape."""
        named = self._named
        for i in range(self.num_layers):
            if i not in named:
                conv = self.spec.conv_spec(i)
                parameters = conv.parameters
                for name, native in self.backend.parameter_map(conv).items():
                    yield f"convs.{i}.{name}", f"convs.{i}.{native.name}", native, parameters[name].shape
        own = tuple(f"convs.{i}." for i in named)
        for key, value in state.items():
            if key.startswith(own) or not key.startswith("convs."):
                yield key, key, None, tuple(value.shape)

    def _parameter_specs(self) -> Iterator[Tuple[str, ParameterSpec]]:
        if self.spec.num_embeddings is not None:
            yield "embedding.weight", ParameterSpec((self.spec.num_embeddings, self.spec.in_channels))
        for i in range(self.num_layers):
            for name, spec in self.spec.conv_spec(i).parameters.items():
                yield f"convs.{i}.{name}", spec
        linears = list(self.residuals.named_modules(prefix="residuals"))
        if self.spec.jumping_knowledge != "none":
            linears.append(("head", self.head))
        for name, module in linears:
            if isinstance(module, nn.Linear):
                yield f"{name}.weight", ParameterSpec(tuple(module.weight.shape))
                if module.bias is not None:
                    yield f"{name}.bias", ParameterSpec(tuple(module.bias.shape), "zeros")


def check_convolutions(spec: ModelSpec, backend: ConvLibrary) -> None:
    """Refuse a model with a convolution that the backend does not have.

    Args:
        spec: The model.
        backend: Computes the convolutions.

    Raises:
        CapabilityError: The backend does not have a convolution, or not with this aggregation or with edge features.
        ConfigError: A layer class is not known here.
    """
    for kind in spec.kinds:
        if ":" in kind:
            check_layer_class(kind, backend)
    problem = undeclared_convolution(spec, backend.name, backend.capabilities)
    if problem is not None:
        raise CapabilityError(problem)


def undeclared_convolution(spec: ModelSpec, backend: str, has: Any) -> Optional[str]:
    """A sentence about the first convolution of a model that a backend does not declare; None if it declares all.

    Args:
        spec: The model. Layer classes are left out, because no declaration names them.
        backend: The backend's name.
        has: Its :class:`gnnkit.backends.BackendCapabilities`.
    """
    note = f" {has.note}" if has.note else ""
    for kind in dict.fromkeys(kind for kind in spec.kinds if ":" not in kind):
        if kind not in has.convs:
            return f"Backend {backend!r} has no convolution {kind!r}; it has {', '.join(sorted(has.convs))}.{note}"
        if kind == "sage" and spec.conv_options["aggregation"] not in has.aggregations:
            return (
                f"Backend {backend!r} has no 'sage' with aggregation {spec.conv_options['aggregation']!r}; "
                f"it has {', '.join(sorted(has.aggregations))}.{note}"
            )
        if spec.reads_edges and convolution(kind).reads_edges and kind not in has.edge_convs:
            return (
                f"Backend {backend!r} has no {kind!r} with edge features; it has edge features for "
                f"{', '.join(sorted(has.edge_convs)) or 'no convolution'}. Leave them out with edge_channels=None."
            )
    return None


def check_layer_class(path: str, backend: ConvLibrary) -> None:
    """Refuse a layer class that neither has been defined here nor belongs to the backend's library.

    Args:
        path: ``module:Class``.
        backend: Computes the convolutions.

    Raises:
        ConfigError: It is refused; the message has the ways out.
    """
    module, _, name = path.partition(":")
    if is_custom_layer(path) or (module and module == backend.layer_module):
        return
    library = f"takes layers of its library by name from {backend.layer_module}" if backend.layer_module else ""
    raise ConfigError(
        f"Backend {backend.name!r} has no layer {name!r} of module {module!r}; it "
        f"{library or 'takes no layers of a library by name'}. If the layer is your own: Import that module (or define "
        "the class) before its model is built or loaded; gnnkit imports nothing because a file names it."
    )


def _norm(kind: str, width: int) -> nn.Module:
    if kind == "batch":
        return MaskedBatchNorm(width)
    return nn.LayerNorm(width) if kind == "layer" else nn.Identity()


def _residual(conv: ConvSpec) -> nn.Module:
    if conv.in_channels == conv.out_width:
        return nn.Identity()
    return nn.Linear(conv.in_channels, conv.out_width, bias=False)


def _compare_shapes(expected: Mapping[str, Tuple[int, ...]], received: Mapping[str, Tuple[int, ...]]) -> None:
    problems: List[str] = [f"{name} is missing" for name in expected if name not in received]
    problems += [f"{name} is not part of this model" for name in received if name not in expected]
    problems += [
        f"{name} is {list(received[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in received and received[name] != shape
    ]
    if problems:
        raise CheckpointError("The weights belong to another architecture: " + "; ".join(problems) + ".")
