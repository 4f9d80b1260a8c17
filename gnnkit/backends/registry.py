"""Choosing a backend by name and building models on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Optional, Sequence, Type, Union

from gnnkit.availability import NOT_INSTALLED
from gnnkit.backends.base import Backend
from gnnkit.data import Graph, expect_graph, graph_items, missing_array
from gnnkit.errors import BrokenPluginError, ConfigError, DataError, NotInstalledError
from gnnkit.nn import (
    GNN,
    PRESETS,
    MessagePassing,
    ModelSpec,
    TypedSpec,
    can_read_edges,
    check_without_features,
    copied,
    edge_width,
    model_kinds,
    model_spec,
)
from gnnkit.options import whole_number
from gnnkit.registry import Registry

backends: Registry[Backend] = Registry(
    "gnnkit.backends",
    "backend",
    Backend,  # type: ignore[type-abstract]
    official={"pyg": "gnnkit-pyg", "dgl": "gnnkit-dgl", "ipu": "gnnkit-ipu"},
)
"""All installed backends."""


def load_backend(name: str, options: Optional[Mapping[str, Any]] = None) -> Backend:
    """Load a backend by name.

    Args:
        name: The backend's name, or ``name@distribution`` where several share it.
        options: Settings of the backend itself.

    Raises:
        UnknownNameError: Nobody registered the name.
        NotInstalledError: The backend, or the library that it needs, is not installed.
        BrokenPluginError: It is installed but cannot be used; the message has the cause and the fix.
        ConfigError: An option has a value that cannot be used.

    Example:
        >>> load_backend("reference").name
        'reference'
    """
    cls = backends.load(name)
    answer = cls.probe()
    if answer.status == NOT_INSTALLED:
        raise NotInstalledError(f"What backend {name!r} needs", answer.fix)
    if not answer.is_ready:
        raise BrokenPluginError(f"Backend {name!r}", answer.detail, answer.fix)
    backend = cls()
    backend.configure(options or {})
    return backend


def build_model(
    model: Union[str, ModelSpec, Type[MessagePassing], Sequence[Union[str, Type[MessagePassing]]]],
    graph: Graph,
    *,
    backend: Union[str, Backend] = "reference",
    seed: int = 0,
    out_channels: Optional[int] = None,
    embedding_channels: Optional[int] = None,
    **settings: Any,
) -> GNN:
    """Build a model that fits a graph.

    Args:
        model: Name of a model ("gcn", see :data:`gnnkit.nn.PRESETS`), a custom layer (a class derived from
            :class:`gnnkit.nn.MessagePassing`), a layer of the backend's library by name
            ("torch_geometric.nn:ResGatedGraphConv"), a sequence with one of these for each layer, or a whole
            specification.
        graph: Gives the widths of input, output and edge features.
        backend: Where its convolutions come from; :class:`gnnkit.Trainer` can move the model later.
        seed: Seed of the initial weights.
        out_channels: Number of outputs per node; per graph, if the model pools. None: one for each class, or for each
            number to regress.
        embedding_channels: Width of learnt embeddings, one for every node of a graph without features. None: features
            are read. On a typed graph, the width of all types, as ``encoder_channels``.
        settings: Any other field of :class:`gnnkit.nn.ModelSpec`, and any option of the convolution such as ``heads``,
            unless ``model`` is a specification. Edge features are read where the convolution can and the graph has
            them, unless ``edge_channels`` is None here.

    Returns:
        A module ``forward(blocks, x)``.

    Raises:
        DataError: The graph has no features or no labels, or is no :class:`gnnkit.Graph`.
        ConfigError: A setting cannot be used, or has no effect on this model; or embeddings are asked for, and the
            graph has features.

    Example:
        >>> import gnnkit
        >>> model = gnnkit.build_model("sage", gnnkit.load_dataset("karate"), hidden_channels=8)
    """
    if isinstance(model, Graph):
        raise ConfigError("Received a graph for the model, expected build_model(model, graph), such as ('gcn', graph).")
    expect_graph(graph)
    names = list(model) if isinstance(model, (list, tuple)) else [model]
    if not isinstance(model, ModelSpec) and not (names and all(map(_is_name, names))):
        raise ConfigError(
            f"The model is {model!r}, expected the name of one ({', '.join(PRESETS)}), a class derived from "
            "gnnkit.nn.MessagePassing, one of these for each layer, or a ModelSpec."
        )
    if not isinstance(model, ModelSpec):
        in_channels = embedding_channels if embedding_channels is not None else graph.num_features
        if graph.typed is not None and graph.x is None:
            if embedding_channels is not None:
                settings["encoder_channels"] = embedding_channels
            settings["typed"] = TypedSpec.of(graph)
            in_channels = max([1, *(width or 0 for width in settings["typed"].channels)])
        elif embedding_channels is not None:
            if embedding_channels < 1:
                raise ConfigError(f"embedding_channels is {embedding_channels}, expected at least 1.")
            check_without_features(graph)
            settings["num_embeddings"] = graph.num_nodes
        elif graph.x is None:
            raise missing_array("x", "a model")
        if out_channels is None:
            out_channels = _num_outputs(graph_items(graph) if settings.get("pooling", "none") != "none" else graph)
        if graph.edge_attr is not None and can_read_edges(model_kinds(model)):
            settings.setdefault("edge_channels", edge_width(graph))
        if graph.node_categories and embedding_channels is None and graph.typed is None:
            settings["node_categories"] = graph.node_categories
        model = model_spec(model, in_channels, out_channels, **settings)
    return GNN(model.for_graph(graph), as_backend(backend), whole_number("seed", seed))


def _num_outputs(graph: Graph) -> int:
    """One for each class, or for each number to regress; on a typed graph those of the only type with labels."""
    if graph.y is None and graph.typed is not None and len(graph.typed.y) == 1:
        ((name, y),) = graph.typed.y.items()
        graph = replace(graph, y=y, class_names=graph.typed.class_names.get(name, ()))
    if graph.y is None and graph.typed is not None and len(graph.typed.y) > 1:
        raise ConfigError(
            f"Nodes of several types have labels: {', '.join(graph.typed.y)}. Give out_channels when building the "
            "model, and say which type to learn: task_options.node_type=TYPE."
        )
    if graph.y is None:
        raise missing_array("y", "training")
    if graph.has_numbers:
        return graph.y.shape[1] if graph.y.ndim == 2 else 1
    if graph.num_classes == 0:
        raise DataError("y", "nothing has a label, training needs some.", fix="Fill in the labels.")
    return graph.num_classes


def _is_name(model: object) -> bool:
    return isinstance(model, str) or (isinstance(model, type) and issubclass(model, MessagePassing))


def as_backend(backend: Union[str, Backend], options: Optional[Mapping[str, Any]] = None) -> Backend:
    """A backend that is given by name or loaded.

    Args:
        backend: Its name, or the backend.
        options: Settings of the backend itself, for one given by name.

    Raises:
        ConfigError: It is something else.
        GnnkitError: As :func:`load_backend`.
    """
    if isinstance(backend, str):
        return load_backend(backend, options)
    if not isinstance(backend, Backend):
        raise ConfigError(f"The backend is {backend!r}, expected a name such as 'pyg', or a loaded backend.")
    return backend


def move_model(model: GNN, backend: Backend) -> GNN:
    """A copy of a model with the same weights, of the same type, on another backend or on the same one.

    Raises:
        ConfigError: The model has what cannot move to another backend: a custom class, module or hook.
    """
    return copied(model, backend)
