"""Any module as a model: whatever takes blocks and features can be trained, resumed and opened again.

Rules: the module computes on gnnkit's blocks by itself, so no backend has a part in it and nothing of it is portable.
Its parameters keep their own names and initial values.
"""

from __future__ import annotations

import copy
from typing import Any, Dict, Iterator, List, Mapping, NoReturn, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Block, Inputs
from gnnkit.errors import ConfigError
from gnnkit.nn.conv_library import ConvLibrary
from gnnkit.nn.generator import forked_generator
from gnnkit.nn.gnn import GNN
from gnnkit.nn.parameters import NativeParameter
from gnnkit.nn.spec import ModelSpec

_PREFIX = "module."


class CustomModel(GNN):
    """A module of the user's own in the place of a :class:`gnnkit.GNN`. Made by :func:`custom_model`.

    Args:
        module: ``forward(blocks, x)``.
        spec: Its name as ``conv``, its widths and its number of layers; the rest means nothing.
        backend: The one that the run names; it computes nothing.

    Attributes:
        module: The module.
    """

    def __init__(self, module: nn.Module, spec: ModelSpec, backend: ConvLibrary) -> None:
        nn.Module.__init__(self)
        self.module = module
        self.spec = spec
        self.backend = backend
        self.seed = 0

    def forward(self, blocks: Sequence[Block], x: Inputs, graphs: Optional[Block] = None) -> Tensor:
        """See :class:`gnnkit.GNN`."""
        assert graphs is None, "tasks about graphs refuse custom modules"
        out: Tensor = self.module(blocks, x)
        return out

    def layer(self, i: int, block: Block, h: Inputs) -> NoReturn:
        """Refused: what a layer of the module is, nobody knows."""
        raise ConfigError(f"{self.spec.conv} is a custom module, which is computed as a whole and not layer by layer.")

    def lower(self, block: Block) -> Block:
        """The block itself."""
        return block

    def reset_parameters(self, seed: int) -> None:
        """Nothing to do: initial values are the module's own."""

    def native_names(self) -> List[str]:
        """See :class:`gnnkit.GNN`."""
        return list(self.state_dict())

    def _entries(
        self, state: Mapping[str, Tensor]
    ) -> Iterator[Tuple[str, str, Optional[NativeParameter], Tuple[int, ...]]]:
        for key, value in state.items():
            yield key[len(_PREFIX) :], key, None, tuple(value.shape)


def custom_model(
    module: nn.Module, in_channels: int, backend: ConvLibrary, edge_channels: Optional[int] = None
) -> CustomModel:
    """Make a model of a module.

    A copy of the module is tried on three nodes of which two are destinations, which tells the width of its output.

    Args:
        module: ``forward(blocks, x)`` takes one :class:`gnnkit.Block` for each layer, from the input layer on, and
            features [blocks[0].num_src, in_channels]; it gives [blocks[-1].num_dst, out_channels]. An attribute
            ``num_layers`` says how many blocks it takes, and ``reads_edges`` set to True that it reads their
            ``edge_attr``, which they do not have otherwise.
        in_channels: Width of the features.
        backend: The one that the run names.
        edge_channels: Width of the edge features. None: there are none.

    Raises:
        ConfigError: ``num_layers`` is missing, the output is not one row for each destination, or the module reads edge
            features and there are none.

    Example:
        >>> from gnnkit.backends import load_backend
        >>> class Degree(nn.Module):
        ...     num_layers = 1
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.lin = nn.Linear(1, 2)
        ...     def forward(self, blocks, x):
        ...         return self.lin(blocks[0].indptr.diff().float()[:, None])
        >>> custom_model(Degree(), 8, load_backend("reference")).spec.out_channels
        2
    """
    name = f"{type(module).__module__}:{type(module).__qualname__}"
    num_layers = getattr(module, "num_layers", None)
    if not isinstance(num_layers, int) or num_layers < 1:
        raise ConfigError(
            f"{name} has num_layers = {num_layers!r}, expected a whole number of at least 1: how many blocks its "
            "forward takes. Give the module such an attribute."
        )
    if not getattr(module, "reads_edges", False):
        edge_channels = None
    elif edge_channels is None:
        raise ConfigError(
            f"{name} has reads_edges = True, and the graph has no edge features. Build the graph with edge_attr=, or "
            "set reads_edges to False."
        )
    out = _tried(module, num_layers, in_channels, edge_channels)
    received = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if not isinstance(received, list) or len(received) != 2 or received[0] != 2:
        raise ConfigError(
            f"{name} gives {received} for blocks of 3 nodes of which 2 are destinations of the last one, expected "
            "[2, out_channels]: one row for each destination. Destinations come first among the sources of a block."
        )
    spec = ModelSpec(name, in_channels, received[1], num_layers=num_layers, edge_channels=edge_channels)
    return CustomModel(module, spec, backend)


def like_custom_model(module: nn.Module, spec: ModelSpec, weights: Dict[str, Tensor], backend: ConvLibrary) -> GNN:
    """The model of a run again, from a module like the one that was trained.

    Args:
        module: Is left as it is.
        spec: What the run says.
        weights: Its weights, by the module's names.
        backend: The one that the run names.

    Raises:
        CheckpointError: The weights are not those of such a module.
    """
    model = CustomModel(copy.deepcopy(module), spec, backend)
    model.load_canonical(weights)
    return model


def _tried(module: nn.Module, num_layers: int, width: int, edge_width: Optional[int]) -> Any:
    """What a copy of a module gives for three nodes; its own errors are not caught, because they say it best."""
    indptr, indices = torch.tensor([0, 3, 5, 6]), torch.tensor([0, 1, 2, 1, 2, 2])
    first = next(module.parameters(), torch.empty(0))
    edges = None if edge_width is None else torch.linspace(0, 1, 6 * edge_width, dtype=first.dtype).reshape(6, -1)
    whole = Block(indptr, indices, 3, edge_attr=edges)
    last = Block(indptr[:3], indices[:5], 3, edge_attr=None if edges is None else edges[:5])
    whole, last = (block.map(lambda tensor: tensor.to(first.device)) for block in (whole, last))
    x = torch.linspace(0.5, 1.5, 3 * width, dtype=first.dtype, device=first.device).reshape(3, width)
    with torch.no_grad(), forked_generator():
        return copy.deepcopy(module).eval()((*([whole] * (num_layers - 1)), last), x)
