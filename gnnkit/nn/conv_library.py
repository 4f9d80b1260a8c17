"""The part of a backend that a model needs, and what a backend must have for a model."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping, Optional, Protocol

from torch import nn

from gnnkit.data import Block
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.nn.convs import ConvSpec, convolution
from gnnkit.nn.message_passing import MessageOps, is_custom_layer
from gnnkit.nn.parameters import NativeParameter
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
        if spec.relational != "none" and kind not in has.relational:
            return (
                f"Backend {backend!r} makes no {kind!r} for each relation of a typed graph; it does so for "
                f"{', '.join(sorted(has.relational)) or 'no convolution'}. Take 'rgcn', or another backend.{note}"
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
