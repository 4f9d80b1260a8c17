"""Weights from models that users wrote with PyTorch Geometric or DGL, to gnnkit or to the other library, and back.

Rules: layers are known by their names and shapes; what each library means by them is its backend's knowledge. A layer
that cannot be converted exactly is refused with the reason. Every conversion comes with a certificate: the largest
difference of outputs, with the source computed by the library's own layers from the state as it was given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from gnnkit.backends import Backend, load_backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.data import Graph, check_graph, full_block, missing_array
from gnnkit.data.check import MOST_CHECKED
from gnnkit.errors import CheckpointError, ConfigError, DataError, UnknownNameError
from gnnkit.nn import GNN, ConvSpec, ModelSpec, activated

GNNKIT = "gnnkit"
"""The word for gnnkit's own checkpoints where a library is named."""

TOLERANCE = 1e-5
"""Largest difference that a certificate may show: absolute for outputs up to 1, else relative to the largest output."""


@dataclass(frozen=True)
class Conversion:
    """Converted weights with their certificate.

    Attributes:
        state: Tensors by name: canonical for gnnkit, else those of the library, under the layers' own prefixes.
        layers: Prefix of every layer in the state of the library, from input to output.
        convs: What every layer is.
        model: The whole model, with its weights, if the target is gnnkit; else None.
        difference: Largest absolute difference of the outputs before and after.
        largest_output: Largest absolute output before.
        notes: What the user should know.
    """

    state: Dict[str, Tensor]
    layers: List[str]
    convs: List[ConvSpec]
    model: Optional[GNN]
    difference: float
    largest_output: float
    notes: List[str]

    @property
    def is_within(self) -> bool:
        """Whether the certificate shows nothing but rounding."""
        return self.difference <= TOLERANCE * max(1.0, self.largest_output)


def convert_weights(
    state: Mapping[str, Tensor],
    graph: Graph,
    *,
    source: Union[str, Backend],
    target: Union[str, Backend],
    conv: Optional[str] = None,
    layers: Optional[Sequence[str]] = None,
    aggregation: Optional[str] = None,
    activation: str = "relu",
    spec: Optional[ModelSpec] = None,
) -> Conversion:
    """Convert the weights of a model made of standard convolutions with an activation between them.

    Args:
        state: The model's state dict; from gnnkit, values by canonical name.
        graph: Features and edges for the certificate, without self-loops of your own adding.
        source: Whose layers they are: a backend, or "gnnkit".
        target: Whose they become: a backend, or "gnnkit".
        conv: Kind of convolution: "gcn", "sage", "gat", "gatv2" or "gin". Not needed from gnnkit.
        layers: Prefixes of the layers in the state dict, from input to output, such as ["conv1", "conv2"]. None looks
            for them, or from gnnkit calls them so.
        aggregation: "mean" or "max", for "sage" where the state does not tell.
        activation: "relu" or "elu", what stands between the layers.
        spec: The model of canonical values, from gnnkit only.

    Returns:
        The weights and the certificate.

    Raises:
        CheckpointError: A layer cannot be converted; the message names it and has the reason.
        ConfigError: Arguments that do not go together.
        DataError: The graph breaks a rule, has no features, or others than the model takes.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> model = gnnkit.build_model("gcn", graph)
        >>> done = convert_weights(model.canonical_state(), graph, source="gnnkit", target="gnnkit", spec=model.spec)
        >>> done.difference
        0.0
    """
    check_graph(graph, most_values=MOST_CHECKED)
    x = _features(graph)
    if source == GNNKIT:
        if spec is None:
            raise ConfigError("Weights of gnnkit come with their specification; pass spec=.")
        parts, notes = _from_gnnkit(spec, state, layers), []
        _check_width(parts, x)
        expected = _gnn_outputs(_gnn(spec, state), graph)
        activation = spec.activation
    else:
        library = _library(source)
        parts, rest = _read(library, state, conv, layers, aggregation)
        notes = [f"{name} is no graph convolution and is kept as it is" for name in rest]
        if rest and target == GNNKIT:
            raise CheckpointError(
                f"{', '.join(rest)}: no part of the layers {', '.join(part.prefix for part in parts)}. gnnkit's models "
                "are graph convolutions with an activation between them; convert to another library to keep the rest."
            )
        _check_width(parts, x)
        own = [_below(state, part.prefix) for part in parts]
        expected = _library_outputs(library, parts, own, graph, activation)
    if target == GNNKIT:
        spec = _model_spec(parts, activation) if spec is None else spec
        values = {f"convs.{i}.{name}": value for i, part in enumerate(parts) for name, value in part.values.items()}
        model = _gnn(spec, values)
        return _certified(model.canonical_state(), parts, model, expected, _gnn_outputs(model, graph), notes)
    library = _library(target)
    written = [library.write_layer(part.spec, part.values) for part in parts]
    outputs = _library_outputs(library, parts, written, graph, activation)
    result = {} if source == GNNKIT else {name: state[name] for name in rest}
    for part, tensors in zip(parts, written):
        result.update({_join(part.prefix, name): value for name, value in tensors.items()})
    return _certified(result, parts, None, expected, outputs, notes)


@dataclass(frozen=True)
class _Part:
    """One layer: where it is in a library's state dict, what it is, and its canonical values."""

    prefix: str
    spec: ConvSpec
    values: Dict[str, Tensor]


def _certified(
    state: Dict[str, Tensor],
    parts: Sequence[_Part],
    model: Optional[GNN],
    expected: Tensor,
    outputs: Tensor,
    notes: List[str],
) -> Conversion:
    difference = (outputs - expected).abs().max().item()
    largest = expected.abs().max().item()
    names, convs = [part.prefix for part in parts], [part.spec for part in parts]
    return Conversion(state, names, convs, model, difference, largest, notes)


def _features(graph: Graph) -> Tensor:
    if graph.x is None or not graph.num_nodes:
        raise missing_array("x", "a certificate")
    return graph.x.float()


def _library(choice: Union[str, Backend]) -> Backend:
    backend = load_backend(choice) if isinstance(choice, str) else choice
    if not backend.layer_marks:
        raise ConfigError(f"Backend {backend.name!r} has no layers of its own whose weights could be converted.")
    return backend


def _read(
    library: Backend,
    state: Mapping[str, Tensor],
    conv: Optional[str],
    layers: Optional[Sequence[str]],
    aggregation: Optional[str],
) -> Tuple[List[_Part], List[str]]:
    """The layers, and the names of everything else."""
    if conv is None or conv not in library.layer_marks:
        raise UnknownNameError(f"convolution that backend {library.name!r} converts:", str(conv), library.layer_marks)
    prefixes = find_layers(state, library.layer_marks[conv]) if layers is None else list(layers)
    if not prefixes:
        raise CheckpointError(
            f"No layer of kind {conv!r} was found: no name ends in {library.layer_marks[conv]!r} among "
            f"{', '.join(sorted(state)[:12]) or 'no names at all'}. Name the layers, or another kind."
        )
    parts: List[_Part] = []
    for i, prefix in enumerate(prefixes):
        is_last = i == len(prefixes) - 1
        part = _read_layer(library, conv, state, prefix, not is_last, aggregation)
        if parts and parts[-1].spec.out_width != part.spec.in_channels:
            # Heads may be averaged between layers, which some libraries leave to the user's own code.
            before = _read_layer(library, conv, state, parts[-1].prefix, False, aggregation)
            if before.spec.out_width != part.spec.in_channels:
                raise CheckpointError(
                    f"{prefix} takes {part.spec.in_channels} features, but {parts[-1].prefix} before it gives "
                    f"{parts[-1].spec.out_width}. Name the layers from input to output."
                )
            parts[-1] = before
        parts.append(part)
    used = {_join(prefix, name) for prefix in prefixes for name in _below(state, prefix)}
    return parts, [name for name in state if name not in used]


def _read_layer(
    library: Backend, conv: str, state: Mapping[str, Tensor], prefix: str, concat: bool, aggregation: Optional[str]
) -> _Part:
    try:
        spec, values = library.read_layer(conv, _below(state, prefix), concat=concat, aggregation=aggregation)
    except CheckpointError as error:
        raise CheckpointError(f"{prefix or 'The layer'} cannot be converted. {error}") from error
    return _Part(prefix, spec, {name: value.float().contiguous() for name, value in values.items()})


def find_layers(state: Mapping[str, Tensor], mark: str) -> List[str]:
    """Prefixes of the layers that have a parameter of this name, in the order of the numbers in them.

    Example:
        >>> find_layers({"conv10.att": 0, "conv2.att": 0, "lin.weight": 0}, "att")
        ['conv2', 'conv10']
    """
    found = [name[: -len(mark) - 1] for name in state if name.endswith(f".{mark}")]
    if not found and mark in state:
        return [""]

    def order(prefix: str) -> List[Any]:
        return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", prefix)]

    return sorted(found, key=order)


def _below(state: Mapping[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    start = f"{prefix}." if prefix else ""
    return {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _check_width(parts: Sequence[_Part], x: Tensor) -> None:
    first = parts[0]
    if first.spec.in_channels != x.shape[1]:
        raise DataError(
            "x",
            f"the graph has {x.shape[1]} features, the first layer {first.prefix!r} takes {first.spec.in_channels}.",
            fix="Give the graph that the model was trained on, or one like it.",
        )


def _model_spec(parts: Sequence[_Part], activation: str) -> ModelSpec:
    """The model that has these layers.

    Raises:
        CheckpointError: gnnkit has no such model; the message names the layer and what is other.
    """
    first, last = parts[0].spec, parts[-1].spec
    is_deep = len(parts) > 1
    inner = getattr(first.options, "mlp_channels", None) or first.out_channels
    options = {}
    if first.has_heads:
        options = {"heads": first.heads if is_deep else 1, "out_heads": last.heads}
    elif first.kind == "sage":
        options = {"aggregation": first.options.aggregation}
    spec = ModelSpec(
        conv=first.kind,
        in_channels=first.in_channels,
        out_channels=last.out_channels,
        hidden_channels=first.out_channels if is_deep else inner,
        num_layers=len(parts),
        activation=activation,
        conv_options=options,
    )
    for i, part in enumerate(parts):
        wanted, have = _essence(spec.conv_spec(i)), _essence(part.spec)
        other = [f"{name} is {have[name]}, not {wanted[name]}" for name in wanted if wanted[name] != have[name]]
        if other:
            raise CheckpointError(
                f"{part.prefix} cannot be converted to gnnkit, whose models have one width inside: "
                f"{'; '.join(other)}. Between the libraries it can be converted."
            )
    return spec


def _essence(spec: ConvSpec) -> Dict[str, Any]:
    """What matters for a convolution of this kind."""
    values: Dict[str, Any] = {"input": spec.in_channels, "output": spec.out_width}
    if spec.has_heads:
        values.update(heads=spec.heads, concat=spec.concat if spec.heads > 1 else True)
    if spec.kind == "sage":
        values["aggregation"] = spec.options.aggregation
    if spec.kind == "gin":
        values.update({"width inside the MLP": spec.options.mlp_channels, "eps": spec.options.eps})
    return values


def _from_gnnkit(spec: ModelSpec, state: Mapping[str, Tensor], layers: Optional[Sequence[str]]) -> List[_Part]:
    extras = {"norm": spec.norm != "none", "residual": spec.residual, "head": spec.jumping_knowledge != "none"}
    if spec.has_layer_classes or any(extras.values()):
        found = [name for name, is_there in extras.items() if is_there] or [f"layer {spec.name}"]
        raise CheckpointError(
            f"A model with {', '.join(found)} is not one of standard layers with an activation between them; "
            "only those are converted."
        )
    names = [f"conv{i + 1}" for i in range(spec.num_layers)] if layers is None else list(layers)
    if len(names) != spec.num_layers:
        raise ConfigError(f"{len(names)} names for a model of {spec.num_layers} layers. Give one for each.")
    return [_Part(names[i], spec.conv_spec(i), _below(state, f"convs.{i}")) for i in range(spec.num_layers)]


def _gnn(spec: ModelSpec, values: Mapping[str, Tensor]) -> GNN:
    model = GNN(spec, ReferenceBackend())
    model.load_canonical(values)
    return model.eval()


def _gnn_outputs(model: GNN, graph: Graph) -> Tensor:
    ready = model.spec.prepare(graph, None)
    with torch.no_grad():
        outputs: Tensor = model([full_block(ready)] * model.num_layers, _features(graph))
    return outputs


def _library_outputs(
    library: Backend, parts: Sequence[_Part], states: Sequence[Mapping[str, Tensor]], graph: Graph, activation: str
) -> Tensor:
    graph, h = replace(graph, x=None), _features(graph)
    for i, (part, state) in enumerate(zip(parts, states)):
        h = library.apply_layer(part.spec, state, graph, h)
        if i < len(parts) - 1:
            h = activated(h, activation)
    return h
