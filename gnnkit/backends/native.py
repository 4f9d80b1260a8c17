"""What the layers of most backends have in common: a thin module around a library's own layer."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from types import ModuleType
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.backends.sums import sum_dtype
from gnnkit.errors import ConfigError, LayerError, UnknownNameError
from gnnkit.nn import ConvSpec, NativeParameter, activated
from gnnkit.nn.failures import OUT_OF_MEMORY


class NativeConv(nn.Module):
    """Base of a module that hands gnnkit's arguments to a library's own layer.

    Subclasses make the layer in ``__init__`` and define ``forward(lowered, h_src, h_dst)`` as
    :meth:`gnnkit.backends.Backend.conv` says.

    Attributes:
        names: Dotted name of each parameter in this module, by canonical name.
        finds_own: Whether ``h_dst`` may be None, which stands for the first of the sources. A layer that takes them
            from there by itself saves the gradient of a slice, which is as large as the sources and mostly zeros.
        activates: Whether ``forward`` takes the ``activation`` that follows as a fourth argument, one of
            :data:`gnnkit.nn.activations.ACTIVATIONS` or None. A layer that applies it as it writes its outputs saves a
            way to memory and back.
        spec: The convolution.

    Example:
        >>> class Linear(NativeConv):
        ...     names = {"lin.weight": "layer.weight"}
        ...     def __init__(self, spec):
        ...         super().__init__(spec)
        ...         self.layer = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        >>> Linear.parameter_map(ConvSpec("gcn", 2, 3))["lin.weight"].name
        'layer.weight'
    """

    names: ClassVar[Mapping[str, str]]
    finds_own: ClassVar[bool] = False
    activates: ClassVar[bool] = False

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """Where each canonical parameter lies; override it for one that lies there in another layout."""
        return {name: NativeParameter(native) for name, native in cls.names.items()}


def aggregates(h_src: Tensor, h_dst: Tensor) -> Tensor:
    """The finished aggregates of a block that is reduced: its last sources, one for each destination.

    A layer may go on from them, or ignore :attr:`gnnkit.data.Block.is_reduced` and add up over the block's edges, which
    gives the same.

    Args:
        h_src: Features of the block's sources. Shape [num_src, F].
        h_dst: Features of the destinations. Shape [num_dst, F].

    Returns:
        A view of ``h_src`` of shape [num_dst, F].

    Example:
        >>> own, neighbours = torch.zeros(2, 1), torch.ones(2, 1)
        >>> aggregates(torch.cat([own, neighbours]), own).tolist()
        [[1.0], [1.0]]
    """
    return h_src[len(h_src) - len(h_dst) :]


class NativeGIN(NativeConv):
    """Base of "gin" around a library's layer: its MLP of (1 + eps) h_v + sum h_u, by the block's sums if it has them.

    What a block is lowered to has ``block``, ``is_reduced`` and ``sums``, a :class:`BlockSums` or None.
    """

    finds_own: ClassVar[bool] = True

    @property
    @abstractmethod
    def mlp(self) -> nn.Sequential:
        """The MLP in the library's layer."""

    @abstractmethod
    def neighbors(self, lowered: Any, h_src: Tensor, weight: Tensor) -> Tensor:
        """Sums over the in-neighbours of the destinations.

        Args:
            lowered: The lowered block.
            h_src: Features of the sources. Shape [num_src, F].
            weight: What the sums are multiplied with first, which decides in which type to add up.

        Returns:
            Shape [num_dst, F].
        """

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Optional[Tensor]) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        factor, mlp = 1 + self.spec.options.eps, self.mlp
        weight: Any = mlp[0].weight
        if lowered.sums is not None and h_dst is None:
            features = h_src.to(sum_dtype(h_src, weight))
            return mlp(lowered.sums.reduce(features, own=factor))  # type: ignore[no-any-return]
        own = h_src[: lowered.block.num_dst] if h_dst is None else h_dst
        total = aggregates(h_src, own) if lowered.is_reduced else self.neighbors(lowered, h_src, weight)
        return mlp(total + (own if factor == 1 else factor * own))  # type: ignore[no-any-return]


class NativeSAGE(NativeConv):
    """Base of "sage" around a library's layer: its two products in one operation, by the block's sums if it has them.

    What a block is lowered to has ``block`` and ``sums``, a :class:`BlockSums` or None.
    """

    finds_own: ClassVar[bool] = True
    activates: ClassVar[bool] = True

    @property
    @abstractmethod
    def matrices(self) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        """The library's parameters: of the node itself and of its neighbours, [out, in] each, and the bias, [out]."""

    @abstractmethod
    def by_library(self, lowered: Any, h_src: Tensor, own: Tensor) -> Tensor:
        """The layer by the library, normalised where the options say so.

        Args:
            lowered: The lowered block.
            h_src: Features of the sources. Shape [num_src, F].
            own: Features of the destinations. Shape [num_dst, F].

        Returns:
            Shape [num_dst, out_channels].
        """

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Optional[Tensor], activation: Optional[str] = None) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        options = self.spec.options
        if lowered.sums is not None and options.aggregation == "mean":
            before = None if options.normalize else activation
            out: Tensor = lowered.sums.affine(h_src, h_dst, *self.matrices, "mean", activation=before)
            return activated(self.normalized(out), activation) if options.normalize else out
        own = h_src[: lowered.block.num_dst] if h_dst is None else h_dst
        return activated(self.by_library(lowered, h_src, own), activation)

    def normalized(self, out: Tensor) -> Tensor:
        """Outputs divided by their norms, where the convolution says so. Shape [n, out_channels]."""
        return functional.normalize(out, dim=-1) if self.spec.options.normalize else out


class LibraryLayer(nn.Module):
    """Base of a module around any layer of a library, made by its name.

    The layer sees a block as a square graph on the block's sources, of which destinations are the first, because not
    every layer takes two sets of nodes. Other nodes than destinations receive no message; their outputs are dropped.

    Attributes:
        layer: The library's layer.
        takes_weights: Whether its ``forward`` has an argument ``edge_weight``.

    Args:
        spec: ``kind`` is ``module:Class``.
        module: The module that has the class.
        home: What the name of the module that defines a layer begins with; nothing else that ``module`` has is made.

    Raises:
        UnknownNameError: The module has no such layer.
        ConfigError: The layer cannot be made with these arguments, or needs more than features and edges.
    """

    def __init__(self, spec: ConvSpec, module: ModuleType, home: str) -> None:
        super().__init__()
        self.spec = spec
        cls = _find(spec, module, home)
        parameters = inspect.signature(cls).parameters
        options = {name: _as_asked(parameters.get(name), value) for name, value in spec.options.items()}
        try:
            self.layer: nn.Module = cls(spec.in_channels, spec.out_channels, **options)
        except OUT_OF_MEMORY:
            raise
        # What a constructor of somebody else makes of arguments that it does not like is its own choice.
        except Exception as error:
            given = ", ".join([str(spec.in_channels), str(spec.out_channels), *(f"{name}=..." for name in options)])
            raise ConfigError(
                f"{spec.kind} cannot be made as {cls.__name__}({given}): {type(error).__name__}: {error}. Its "
                f"arguments are {inspect.signature(cls)}; give those besides the two widths as model.conv_options."
            ) from error
        arguments = inspect.signature(self.layer.forward).parameters
        needed = [name for name, argument in arguments.items() if argument.default is inspect.Parameter.empty]
        if len(needed) > 2:
            raise ConfigError(f"{spec.kind} needs {', '.join(needed[2:])} besides features and edges.")
        self.takes_weights = "edge_weight" in arguments

    @abstractmethod
    def compute(self, lowered: Any, h: Tensor) -> Tensor:
        """Apply ``layer`` on the square graph. Features [num_src, in_channels] to [num_src, out_channels]."""

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        try:
            out = self.compute(lowered, h_src)
        except OUT_OF_MEMORY:
            raise
        except Exception as error:  # The library's own exceptions, assertions among them.
            raise LayerError(
                f"{self.spec.kind} failed on features {list(h_src.shape)} and their edges, which is all that it is "
                f"given: {type(error).__name__}: {error}"
            ) from error
        if out.shape != (len(h_src), self.spec.out_channels):
            raise ConfigError(
                f"{self.spec.kind} gives {list(out.shape)}, expected [{len(h_src)}, {self.spec.out_channels}]: one "
                "vector of that width for each node. Choose other model.conv_options, such as one head."
            )
        return out[: len(h_dst)]


def _find(spec: ConvSpec, module: ModuleType, home: str) -> Any:
    name = spec.kind.partition(":")[2]
    layers: List[str] = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.startswith(home)
    ]
    if name not in layers:
        raise UnknownNameError(f"layer of {module.__name__}", name, layers)
    return getattr(module, name)


def _as_asked(parameter: Any, value: Any) -> Any:
    """Specifications hold plain values; an argument that is a tensor is a list there."""
    is_tensor = parameter is not None and parameter.annotation in (Tensor, "Tensor", "torch.Tensor")
    return torch.tensor(value) if is_tensor else value
