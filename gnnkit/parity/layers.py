"""One batch through one model on several backends, layer by layer.

Rules: every backend computes on a device that it suits, through steps that the device prepared, so that compiled
devices are compared like all others; dropout is off; the first backend is the one that others are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch.optim import SGD

from gnnkit.backends import Backend
from gnnkit.data import Batch
from gnnkit.devices import Device, StepOptions
from gnnkit.engine.inference import HeadModule, LayerModule
from gnnkit.loading import PadSpec, pad_batch
from gnnkit.loading.padding import batch_sizes, inputs_of
from gnnkit.nn import GNN, rebuilt
from gnnkit.parity.tolerances import Tolerance
from gnnkit.tasks import LossModule, Task

_RATE = 1024.0
"""Learning rate of the update that gradients are read off: a power of two scales without rounding."""

_SHARE = 0.01
"""A parameter's gradient counts as rounding below this share of the whole gradient's norm."""


@dataclass(frozen=True)
class Trace:
    """What one backend computed from a batch.

    Attributes:
        outputs: Output of every layer, of the model's head if there is one, and of the task's ("task"), by name. Real
            rows only, in host memory.
        gradients: Gradient of the loss by canonical name of the parameter, of the task's head as well.
    """

    outputs: Dict[str, Tensor]
    gradients: Dict[str, Tensor]


@dataclass(frozen=True)
class Difference:
    """How far an output or a gradient is from that of the first backend.

    Attributes:
        name: The layer ("convs.1", "head", "task") or the parameter ("convs.1.lin_neigh.weight").
        absolute: Largest absolute difference.
        relative: For outputs relative to the largest output; for gradients of norms.
        measured: What is held against the tolerance.
        tolerance: The largest value of ``measured`` that passes.
    """

    name: str
    absolute: float
    relative: float
    measured: float
    tolerance: float

    @property
    def is_within(self) -> bool:
        """Whether it passes. What is not a number does not."""
        return self.measured <= self.tolerance


def without_dropout(model: GNN, backend: Backend) -> GNN:
    """A copy of a model on a backend, with the same weights and without dropout."""
    copy = rebuilt(model, backend, model.spec.without_dropout())
    copy.requires_grad_(True)  # Gradients are compared, of frozen parameters as well.
    return copy


def trace(model: GNN, backend: Backend, device: Device, batch: Batch, task: Task, precision: str = "float32") -> Trace:
    """Run a batch through a model on a backend, and keep what every layer gives.

    Args:
        model: Its weights are used; the model itself is left as it is.
        backend: What computes.
        device: Where.
        batch: Unpadded, in host memory, with labels.
        task: Gives the loss, and its head without dropout.
        precision: "float32", "bfloat16" or "float64".
    """
    if device.capabilities.static_shapes:
        batch = pad_batch(
            batch, PadSpec.least(batch_sizes(batch.blocks, batch.targets, batch.graphs, inputs_of(batch.x)))
        )
    options = StepOptions(precision)
    copies = [without_dropout(model, backend) for _ in range(2)]
    if precision == "float64":
        copies = [copy.double() for copy in copies]
        if model.spec.num_embeddings is None:
            batch = replace(batch, x=batch.x.double())
    outputs = _outputs(copies[0], device, batch, task, options)
    return Trace(outputs, _gradients(copies[1], device, batch, task, options))


def _outputs(model: GNN, device: Device, batch: Batch, task: Task, options: StepOptions) -> Dict[str, Tensor]:
    h, results, layers = batch.x, {}, []
    for i, block in enumerate(batch.blocks):
        step = device.prepare(LayerModule(model, i), None, options)
        part = Batch((block,), h, None, torch.arange(block.num_dst))
        h = step(device.put(part)).outputs
        device.synchronize()
        layers.append(h)
        kept = h if block.dst_mask is None else h[block.dst_mask.to(h.device)]
        results[f"convs.{i}"] = kept.double().cpu()
    if batch.graphs is not None:
        # The whole model, because a virtual node has a part in every layer.
        step = device.prepare(LossModule(model, task), None, options)
        head = step(device.put(replace(batch, targets=None))).outputs
        device.synchronize()
        results["head"] = head.double().cpu()[batch.nodes.cpu() >= 0]
    elif model.spec.jumping_knowledge != "none":
        joined = torch.stack([layer[: batch.blocks[-1].num_dst] for layer in layers], dim=1)
        step = device.prepare(HeadModule(model), None, options)
        head = step(device.put(Batch((), joined, None, batch.nodes))).outputs
        device.synchronize()
        results["head"] = head.double().cpu()[batch.nodes.cpu() >= 0]
    whole = _with_head(model, task, options)
    if whole.has_head:
        step = device.prepare(whole, None, options)
        outputs = step(device.put(batch)).outputs.double().cpu()
        device.synchronize()
        mask = None if batch.targets is None else batch.targets.mask
        results["task"] = outputs if mask is None or len(mask) != len(outputs) else outputs[mask]
    return results


def _with_head(model: GNN, task: Task, options: StepOptions) -> LossModule:
    module = LossModule(model, task)
    return module.double() if options.precision == "float64" else module


def _gradients(model: GNN, device: Device, batch: Batch, task: Task, options: StepOptions) -> Dict[str, Tensor]:
    module = _with_head(model, task, options)
    names = list(module.parameters_by_name())
    before = module.canonical_state()
    step = device.prepare(module, SGD(module.parameters(), lr=_RATE), options)
    step(device.put(batch))
    device.synchronize()
    step.pull()
    after = module.canonical_state()
    return {name: (before[name].double() - after[name].double()).div(_RATE) for name in names}


def differences(first: Trace, other: Trace, tolerance: Tolerance) -> Tuple[List[Difference], List[Difference]]:
    """Hold one backend's trace against the first one's.

    Returns:
        Differences of outputs, from the input layer to the output, and of gradients.
    """
    outputs = []
    for name, expected in first.outputs.items():
        # A score of minus infinity stands for a negative that does not count.
        gap = torch.where(other.outputs[name] == expected, 0.0, other.outputs[name] - expected)
        absolute = _largest(gap)
        scale = _largest(expected[expected.isfinite()])
        outputs.append(
            Difference(name, absolute, absolute / max(scale, 1e-30), absolute / max(scale, 1.0), tolerance.outputs)
        )
    whole = torch.stack([gradient.norm() for gradient in first.gradients.values()]).norm().item()
    gradients = []
    for name, expected in first.gradients.items():
        gap = other.gradients[name] - expected
        norm = expected.norm().item()
        measured = gap.norm().item() / max(norm, _SHARE * whole, 1e-30)
        relative = gap.norm().item() / max(norm, 1e-30)
        gradients.append(Difference(name, _largest(gap), relative, measured, tolerance.gradients))
    return outputs, gradients


def _largest(values: Tensor) -> float:
    return values.abs().max().item() if values.numel() else 0.0


def first_outside(outputs: List[Difference], gradients: List[Difference]) -> Optional[str]:
    """Where two backends part: the first layer whose output is outside; else, as gradients run backwards, the last.

    Returns:
        The name of a layer, or "gradient of" a parameter; None where all is within tolerance.
    """
    for difference in outputs:
        if not difference.is_within:
            return difference.name
    for difference in reversed(gradients):
        if not difference.is_within:
            return f"gradient of {difference.name}"
    return None
