"""The parts of a model: what they put out and how many parameters they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

from gnnkit.loading import BatchSizes
from gnnkit.nn import CustomModel
from gnnkit.tasks import LossModule


@dataclass(frozen=True)
class LayerSize:
    """A part of a model.

    Attributes:
        name: What the part is called, such as "convs.0".
        kind: What it is: the convolution's name, or the class.
        shape: Of its output in the largest batch. None where it depends on values.
        num_parameters: Values to be learnt, those of its normalisation and residual connection among them.
    """

    name: str
    kind: str
    shape: Optional[Tuple[int, ...]]
    num_parameters: int


def layer_sizes(module: LossModule, sizes: BatchSizes) -> List[LayerSize]:
    """The parts of a model with their outputs in a batch, and their parameters.

    Args:
        module: The model with its task.
        sizes: Of the batch.
    """
    counts: Dict[str, int] = {}
    for name, parameter in module.named_parameters():
        part = _part(name)
        counts[part] = counts.get(part, 0) + parameter.numel()
    model = module.model
    if isinstance(model, CustomModel):
        shape, count = (_rows(sizes), model.spec.out_channels), counts.pop("module", 0)
        whole = LayerSize("module", type(model.module).__name__, shape, count)
        return [whole, *_others(module, counts, sizes)]
    convs = [
        LayerSize(
            f"convs.{layer}",
            model.spec.kinds[layer],
            (sizes.num_nodes[layer + 1], model.spec.conv_spec(layer).out_width),
            counts.pop(f"convs.{layer}", 0),
        )
        for layer in range(model.num_layers)
    ]
    before = {name: counts.pop(name) for name in _BEFORE if name in counts}
    return [*_others(module, before, sizes), *convs, *_others(module, counts, sizes)]


_BEFORE = ("embedding", "input", "encoder")
"""Parts of a model that come before its layers."""


def _part(name: str) -> str:
    """Which part of a model a parameter of its module belongs to."""
    owner, first, *rest = name.split(".")
    if owner != "model":
        return "task.head"
    return f"convs.{rest[0]}" if first in ("convs", "norms", "residuals") else first


def _others(module: LossModule, counts: Dict[str, int], sizes: BatchSizes) -> Iterator[LayerSize]:
    spec, rows = module.model.spec, _rows(sizes)
    shapes = {
        "embedding": (sizes.num_nodes[0], spec.in_channels),
        "input": (sizes.num_nodes[0], spec.encoded_channels),
        "encoder": (sizes.num_nodes[0], spec.encoded_channels),
        "head_hidden": (rows, spec.hidden_channels),
        "head": (rows, spec.out_channels),
    }
    for name, count in counts.items():
        part = module.head if name == "task.head" else getattr(module.model, name)
        yield LayerSize(name, type(part).__name__, shapes.get(name), count)


def _rows(sizes: BatchSizes) -> int:
    """Rows of a model's output."""
    return sizes.num_nodes[-1] if sizes.num_graphs is None else sizes.num_graphs
