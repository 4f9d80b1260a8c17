"""A backend on a device, where convolutions are measured.

Rules: everything goes through the device's own step, so that one way of measuring serves eager and compiled devices. A
gradient is what one step of plain gradient descent with learning rate 1 takes away from the weights; the features'
gradient is that of a parameter which is added to them. On a device with fixed shapes batches are padded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gnnkit.backends import Backend
from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import Device, StepOptions
from gnnkit.loading import PadSpec, pad_batch
from gnnkit.nn import ConvSpec, make_conv, native_parameters
from gnnkit.testing.compare import compare
from gnnkit.testing.formulas import dense_conv
from gnnkit.testing.graphs import ALL_HARD, HARD_BLOCKS, draw

TOLERANCE = 1e-5
"""By how much a float32 result may differ from the formula's.

The formula is computed in float64. The difference is the largest one of any element, absolute where the largest
expected value is below 1 and relative to that value beyond (:func:`gnnkit.testing.compare.compare`). On the
graphs that hurt, rounding to float32 reaches 4e-7 in outputs and 6e-6 in gradients.
"""


_ROUNDING = 2e-6
"""Relative size of what float32 may make of a sum that is 0."""


def load_parameters(backend: Backend, conv: nn.Module, spec: ConvSpec, values: Mapping[str, Tensor]) -> None:
    """Give a backend's layer canonical values."""
    native = dict(conv.named_parameters())
    with torch.no_grad():
        for name, place in native_parameters(spec, backend).items():
            native[place.name].copy_(place.to_native(values[name]))


class ConvModule(nn.Module):
    """One convolution as a module that a device can prepare; its loss is the sum of its outputs times the labels.

    Args:
        backend: Makes the convolution.
        spec: The convolution.
        values: Its canonical parameters.
        num_src: Sources of the batches to come, padding included.
    """

    def __init__(self, backend: Backend, spec: ConvSpec, values: Mapping[str, Tensor], num_src: int) -> None:
        super().__init__()
        self.backend = backend
        self.conv = make_conv(spec, backend)
        self.shift = nn.Parameter(torch.zeros(num_src, spec.in_channels))
        load_parameters(backend, self.conv, spec, values)

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Loss and outputs."""
        block = batch.blocks[0]
        h = batch.x + self.shift
        out = self.conv(self.backend.lower(block), h, h[: block.num_dst])
        if batch.targets is None or batch.targets.y is None:
            return out.new_zeros(()), out
        weights = batch.targets.y
        if batch.targets.mask is not None:
            weights = weights * batch.targets.mask[:, None]
        return (out * weights).sum(), out


class Lab:
    """Measures convolutions.

    Args:
        backend: What computes.
        device: Where.
        dtype: Precision of weights and features.
        precision: Precision of the device's step.
    """

    def __init__(
        self, backend: Backend, device: Device, dtype: torch.dtype = torch.float32, precision: str = "float32"
    ) -> None:
        self.backend = backend
        self.device = device
        self.dtype = dtype
        self.options = StepOptions(precision)

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Graphs that hurt: each alone, or all in one where every shape would be a program of its own."""
        return {"all side by side": ALL_HARD} if self.device.capabilities.static_shapes else HARD_BLOCKS

    def outputs(
        self,
        spec: ConvSpec,
        values: Mapping[str, Tensor],
        inputs: Sequence[Tuple[Block, Tensor]],
        spare: Optional[int] = None,
    ) -> List[Tensor]:
        """Outputs of one convolution for several inputs of equal shapes, without padding, in host memory.

        Args:
            spec: The convolution.
            values: Its canonical parameters.
            inputs: Blocks with features [num_src, in_channels].
            spare: Pad with so many slots more than are needed. None pads only where the device asks for it.
        """
        batches = [self._batch(block, x, None, spare) for block, x in inputs]
        module = ConvModule(self.backend, spec, values, batches[0].x.shape[0]).to(self.dtype)
        step = self.device.prepare(module, None, self.options)
        received = [step(self.device.put(batch)).outputs for batch in batches]
        self.device.synchronize()
        return [out.detach().cpu()[: block.num_dst] for out, (block, _) in zip(received, inputs)]

    def gradients(
        self,
        spec: ConvSpec,
        values: Mapping[str, Tensor],
        block: Block,
        x: Tensor,
        y: Tensor,
        spare: Optional[int] = None,
    ) -> Dict[str, Tensor]:
        """Gradients of ``(outputs * y).sum()`` by canonical name, and of the features as "features"."""
        batch = self._batch(block, x, y, spare)
        module = ConvModule(self.backend, spec, values, batch.x.shape[0]).to(self.dtype)
        step = self.device.prepare(module, torch.optim.SGD(module.parameters(), lr=1.0), self.options)
        step(self.device.put(batch))
        self.device.synchronize()
        step.pull()
        native = dict(module.conv.named_parameters())
        found = {"features": -module.shift.detach().cpu()[: block.num_src]}
        for name, place in native_parameters(spec, self.backend).items():
            after = place.to_canonical(native[place.name].detach().cpu(), spec.parameters[name].shape)
            found[name] = values[name].to(after.dtype) - after
        return found

    def outputs_after_step(
        self,
        spec: ConvSpec,
        values: Mapping[str, Tensor],
        trained: Tuple[Block, Tensor, Tensor],
        judged: Tuple[Block, Tensor],
    ) -> Tuple[Dict[str, Tensor], Tensor]:
        """Train a convolution with one step of gradient descent, and compute other inputs of equal shapes with it.

        Args:
            spec: The convolution.
            values: Its canonical parameters before the step.
            trained: Block, features [num_src, in_channels] and labels [num_dst, out_width] of the step.
            judged: Block and features after it.

        Returns:
            Canonical parameters after the step, and the outputs after it.
        """
        batch, later = self._batch(*trained, None), self._batch(*judged, None, None)
        module = ConvModule(self.backend, spec, values, batch.x.shape[0]).to(self.dtype)
        step = self.device.prepare(module, torch.optim.SGD(module.conv.parameters(), lr=1.0), self.options)
        step(self.device.put(batch))
        self.device.synchronize()
        step.pull()
        native = dict(module.conv.named_parameters())
        after = {
            name: place.to_canonical(native[place.name].detach().cpu().clone(), spec.parameters[name].shape)
            for name, place in native_parameters(spec, self.backend).items()
        }
        out = self.device.prepare(module, None, self.options)(self.device.put(later)).outputs
        self.device.synchronize()
        return after, out.detach().cpu()[: judged[0].num_dst]

    def _batch(self, block: Block, x: Tensor, y: Optional[Tensor], spare: Optional[int]) -> Batch:
        targets = None if y is None else Targets(y.to(self.dtype), num=block.num_dst)
        if block.edge_attr is not None:
            block = replace(block, edge_attr=block.edge_attr.to(self.dtype))
        batch = Batch((block,), x.to(self.dtype), targets, torch.arange(block.num_dst))
        batch = batch.map(torch.clone)  # A layer that writes into its inputs must not spoil what comes after it.
        if spare is None and not self.device.capabilities.static_shapes:
            return batch
        more = spare or 1
        sizes = PadSpec((block.num_src + more + 1, block.num_dst + more), (block.num_edges + more,))
        batch = pad_batch(batch, sizes)
        # Features of padding are 0 in a loader's batch; here they are loud, so that whoever reads them is heard.
        loud = batch.x.clone()
        loud[block.num_src :] = 50.0
        return replace(batch, x=loud)


def dense_gradients(
    spec: ConvSpec, values: Mapping[str, Tensor], block: Block, x: Tensor, y: Tensor
) -> Dict[str, Tensor]:
    """What :meth:`Lab.gradients` must find, by the formula."""
    leaves = {name: value.double().requires_grad_() for name, value in values.items()}
    features = x.double().requires_grad_()
    torch.autograd.backward((dense_conv(spec, leaves, block, features) * y).sum())
    leaves["features"] = features
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


def features(block: Block, spec: ConvSpec, seed: int = 7) -> Tensor:
    """Features of a block's sources. Shape [num_src, in_channels]."""
    return draw(block.num_src, spec.in_channels, seed=seed)


class _Rectified(TorchFunctionMode):
    """Notes how near to 0 the inputs of rectifiers come, over the largest of them."""

    nearest = 1.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("relu", "leaky_relu") and args[0].numel():
            size = args[0].detach().abs()
            self.nearest = min(self.nearest, float(size.min() / size.max().clamp(min=1e-30)))
        return func(*args, **(kwargs or {}))


def smooth_features(block: Block, spec: ConvSpec, values: Mapping[str, Tensor]) -> Tensor:
    """Features at which rounding moves no gradient far: the input of no rectifier is within a rounding of 0.

    Whether such an input counts as positive depends on the order in which a library adds up, so on the processor, and
    a gradient there is one of two.
    """
    best, distance = features(block, spec), 0.0
    for seed in range(7, 2007, 100):
        x = features(block, spec, seed)
        with _Rectified() as rectified:
            dense_conv(spec, values, block, x)
        if rectified.nearest > distance:
            best, distance = x, rectified.nearest
        if distance > _ROUNDING:
            break
    return best


def projection(block: Block, spec: ConvSpec) -> Tensor:
    """What outputs are multiplied with to become a loss. Shape [num_dst, out_width]."""
    return draw(block.num_dst, spec.out_width, seed=8)


def weighted(block: Block, weight: Tensor) -> Block:
    """The same block with other edge weights."""
    return replace(block, edge_weight=weight)


def compare_gradients(
    lab: Lab,
    spec: ConvSpec,
    values: Mapping[str, Tensor],
    block: Block,
    where: str,
    *,
    spare: int = 0,
    tolerance: float = TOLERANCE,
) -> None:
    """Refuse gradients that are not the formula's.

    Raises:
        AssertionError: With the first parameter whose gradient differs.
    """
    x, y = smooth_features(block, spec, values), projection(block, spec)
    received = lab.gradients(spec, values, block, x, y, spare or None)
    for name, expected in dense_gradients(spec, values, block, x, y).items():
        compare(f"the gradient of {name} {where}", received[name], expected, tolerance)
