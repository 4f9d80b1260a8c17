"""Faults of a device, in its step and in what it says of itself."""

from __future__ import annotations

import copy
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Tuple, Type

import torch

from gnnkit.data import BatchKey
from gnnkit.devices import DeviceCapabilities, StepResult
from gnnkit.devices.cpu import CpuDevice
from gnnkit.devices.eager import EAGER_OFFERS, EagerStep, SharedStep
from gnnkit.tasks import Unsupervised
from tests.testing.mutants.planting import with_step


class NoClipping(EagerStep):
    def __init__(self, module, optimizer, options, forward_mode):
        super().__init__(module, optimizer, replace(options, clip_norm=None), forward_mode)


class StaysInTraining(EagerStep):
    def __call__(self, batch):
        was_training = torch.nn.Module.train
        self.module.train = lambda mode=True: was_training(self.module, True)
        return super().__call__(batch)


class NeverTrains(EagerStep):
    """Leaves the mode of the module as it finds it, which is evaluating after an evaluation."""

    def _forward(self, batch):
        if self.optimizer is None:
            return super()._forward(batch)
        return self.module(batch)


class FixedRate(EagerStep):
    def __call__(self, batch):
        if self.optimizer is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate = getattr(self, "rate", group["lr"])
        return super().__call__(batch)


class OwnWeights(EagerStep):
    """Keeps its weights to itself, as a device whose ``pull`` does nothing."""

    def __init__(self, module, optimizer, options, forward_mode):
        own = copy.deepcopy(module)
        if optimizer is not None:
            optimizer = type(optimizer)(own.parameters(), **optimizer.defaults)
        super().__init__(own, optimizer, options, forward_mode)


class ForgetsMoments(EagerStep):
    def state_dict(self):
        return {}


class StartsAfresh(EagerStep):
    def load_state_dict(self, state):
        pass


class LosesStepCount(EagerStep):
    def state_dict(self):
        return {
            name: {key: value * (key != "step") for key, value in tensors.items()}
            for name, tensors in super().state_dict().items()
        }


class CountsPadding(EagerStep):
    def __call__(self, batch):
        return replace(super().__call__(batch), num_targets=len(batch.nodes))


class SumOfLosses(EagerStep):
    def __call__(self, batch):
        result = super().__call__(batch)
        return replace(result, loss=result.loss * result.num_targets)


class SkipsSmallerBatches(EagerStep):
    largest = 0

    def __call__(self, batch):
        self.largest = max(self.largest, batch.num_targets)
        if self.optimizer is not None and batch.num_targets < self.largest:
            outputs = torch.zeros(len(batch.nodes), self.module.model.spec.out_channels)
            return StepResult(torch.zeros(()), outputs, batch.num_targets)
        return super().__call__(batch)


class StopsAfter100(EagerStep):
    steps = 0

    def _update(self, optimizer):
        self.steps += 1
        if self.steps <= 100:
            super()._update(optimizer)


class First4096Edges(EagerStep):
    def __call__(self, batch):
        return super().__call__(replace(batch, blocks=tuple(_shortened(block, 4096) for block in batch.blocks)))


def _shortened(block: Any, most: int) -> Any:
    weight = None if block.edge_weight is None else block.edge_weight[:most]
    return replace(block, indptr=block.indptr.clamp(max=most), indices=block.indices[:most], edge_weight=weight)


class First64Columns(EagerStep):
    def __call__(self, batch):
        return super().__call__(replace(batch, x=batch.x * (torch.arange(batch.x.shape[1]) < 64)))


class RaisesForPairs(EagerStep):
    def __call__(self, batch):
        if isinstance(getattr(self.module, "task", None), Unsupervised):
            raise NotImplementedError("no pairs here")
        return super().__call__(batch)


class LeaksGradMode(EagerStep):
    def _forward(self, batch):
        torch._C._set_grad_enabled(self.optimizer is not None)
        return super()._forward(batch)


class LeaksAutocast(EagerStep):
    def _forward(self, batch):
        found = super()._forward(batch)
        torch.set_autocast_enabled("cpu", self.options.precision == "bfloat16")
        torch.set_autocast_dtype("cpu", torch.bfloat16)
        return found


class FlushesDenormals(EagerStep):
    def __call__(self, batch):
        torch.set_flush_denormal(True)
        return super().__call__(batch)


class StaysFlushing(CpuDevice):
    @contextmanager
    def training(self, precision):
        torch.set_flush_denormal(True)
        yield


class Draws(EagerStep):
    def __call__(self, batch):
        torch.rand(1)
        return super().__call__(batch)


class SeedZero(CpuDevice):
    def seed(self, seed):
        super().seed(0)


class SinglePrecision(EagerStep):
    """Keeps weights in float32, whatever was asked for."""

    def _update(self, optimizer):
        super()._update(optimizer)
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(parameter.float())


class HalvesFeatures(CpuDevice):
    def put(self, batch):
        return batch.map(lambda tensor: tensor.half().float() if tensor.is_floating_point() else tensor)


class ShortIntegers(CpuDevice):
    def put(self, batch):
        return batch.map(lambda tensor: tensor.int() if tensor.dtype == torch.int64 else tensor)


class LosesKey(CpuDevice):
    def put(self, batch):
        return replace(super().put(batch), key=BatchKey(0, 0))


class MisreadsMemory(CpuDevice):
    def put(self, batch):
        strides = torch.empty(batch.x.shape, device="meta").stride()
        return replace(super().put(batch), x=torch.as_strided(batch.x, batch.x.shape, strides).clone())


class IgnoresBfloat16(CpuDevice):
    def prepare(self, module, optimizer, options):
        return super().prepare(module, optimizer, replace(options, precision="float32"))


class UnknownOffer(CpuDevice):
    capabilities = DeviceCapabilities("cpu", offers=EAGER_OFFERS | {"sorting"})


class CountsAllAsCompiling(CpuDevice):
    def __init__(self):
        super().__init__()
        self.start = time.perf_counter()

    def compile_seconds(self):
        return 0.9 * (time.perf_counter() - self.start)


class CannotBeDeterministic(CpuDevice):
    def deterministic(self, report):
        raise RuntimeError("not on this device")


class StaysDeterministic(CpuDevice):
    def deterministic(self, report):
        torch.use_deterministic_algorithms(True, warn_only=True)
        return super().deterministic(report)


class ForgetsToAccumulate(EagerStep):
    def __init__(self, module, optimizer, options, forward_mode):
        super().__init__(module, optimizer, replace(options, accumulate=1), forward_mode)


class BatchesCountAlike(EagerStep):
    """Adds gradients up whatever the number of targets behind them."""

    def _backward(self, loss, optimizer, num_targets):
        super()._backward(loss, optimizer, 1)


class LosesTheRest(EagerStep):
    def finish(self):
        if self.num_waiting == self.options.accumulate:
            super().finish()


class AverageComesFromNowhere(EagerStep):
    def load_state_dict(self, state):
        super().load_state_dict({})


class AverageStays(EagerStep):
    def averaged(self):
        self.left_open = super().averaged()
        self.left_open.__enter__()
        return nullcontext()


class LeavesSparseGradientsOut(EagerStep):
    """Clips and updates by dense gradients alone."""

    def _change_weights(self, optimizer):
        for parameter in self.module.parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = None
        super()._change_weights(optimizer)


class ProcessesCountAlike(SharedStep):
    """Takes the mean over processes, as libraries do that know nothing of targets."""

    def __call__(self, batch):
        self.module.weight = lambda batch: 1.0
        return super().__call__(batch)


class UnknownUpdate(CpuDevice):
    capabilities = DeviceCapabilities("cpu", updates=frozenset({"sparsify"}))


class RunsReferenceOnly(CpuDevice):
    def prepare(self, module, optimizer, options):
        if module.model.backend.name != "reference":
            raise NotImplementedError("layers of plain torch only")
        return super().prepare(module, optimizer, options)


class DecidesAnew(CpuDevice):
    """Looks at the time instead of at what was recorded."""

    decided = 0

    def __init__(self):
        super().__init__()
        DecidesAnew.decided += 1

    def settle(self, recorded):
        return {"products": ("torch", "auto")[DecidesAnew.decided % 2]}


class LosesGraphs(CpuDevice):
    def put(self, batch):
        return super().put(replace(batch, graphs=None))


FAULTS: Tuple[Tuple[str, Type[CpuDevice], Tuple[str, ...], str], ...] = (
    ("no clipping", with_step(NoClipping), ("steps",), ""),
    ("trains while evaluating", with_step(StaysInTraining), ("evaluating",), ""),
    ("evaluates while training", with_step(NeverTrains), ("seed",), "whatever the seed"),
    ("fixed learning rate", with_step(FixedRate), ("learning_rate",), ""),
    ("weights of its own", with_step(OwnWeights), ("steps", "pull"), ""),
    ("forgets moments", with_step(ForgetsMoments), ("resumed",), ""),
    ("starts afresh", with_step(StartsAfresh), ("resumed",), ""),
    ("loses the step count", with_step(LosesStepCount), ("resumed",), ""),
    ("counts padding", with_step(CountsPadding), ("steps",), ""),
    ("sum of losses", with_step(SumOfLosses), ("steps",), ""),
    ("skips smaller batches", with_step(SkipsSmallerBatches), ("batch_sizes",), "on a batch of 20 targets"),
    ("stops after 100 steps", with_step(StopsAfter100), ("many_steps",), "the loss of step 102"),
    ("more than 4,096 edges", with_step(First4096Edges), ("large_batches",), "edges and 100 features"),
    ("features beyond column 64", with_step(First64Columns), ("large_batches",), "edges and 100 features"),
    ("batches not joined", with_step(ForgetsToAccumulate), ("accumulate",), "before update 1"),
    ("joined batches count alike", with_step(BatchesCountAlike), ("accumulate",), "after update 1"),
    ("rest of an epoch lost", with_step(LosesTheRest), ("accumulate",), "after update 2"),
    ("average begins anew", with_step(AverageComesFromNowhere), ("average",), "averaged after step 3"),
    ("sparse gradients left out", with_step(LeavesSparseGradientsOut), ("sparse",), "after an update"),
    ("decides anew", DecidesAnew, ("settle",), "before."),
    ("average stays", with_step(AverageStays), ("average",), "after the average of step 1"),
    ("each process learns alone", with_step(EagerStep), ("processes",), "of two processes"),
    ("processes count alike", with_step(ProcessesCountAlike), ("processes",), "of two processes"),
    ("unknown update declared", UnknownUpdate, ("declaration",), "updates ['sparsify'] are declared"),
    ("declared task raises", with_step(RaisesForPairs), ("tasks",), "no pairs here"),
    ("grad mode leaks", with_step(LeaksGradMode), ("global_state",), "step changes grad mode"),
    ("autocast leaks", with_step(LeaksAutocast), ("global_state",), "in bfloat16 changes autocast"),
    ("denormal mode leaks", with_step(FlushesDenormals), ("global_state",), "step changes torch's denormal numbers"),
    ("denormal mode stays", StaysFlushing, ("global_state",), "the context of training() changes torch's denormal"),
    ("draws from the generator", with_step(Draws), ("global_state",), "torch's global generator"),
    ("seed is always 0", SeedZero, ("seed",), "whatever the seed"),
    ("float64 computed in float32", with_step(SinglePrecision), ("float64",), "expected"),
    ("features in half precision", HalvesFeatures, ("put",), "x is"),
    ("integers of 32 bits", ShortIntegers, ("put",), "arrives as torch.int32"),
    ("batch key lost", LosesKey, ("put",), "key arrives as BatchKey(epoch=0"),
    ("flow to graphs lost", LosesGraphs, ("graphs",), "layout arrives as"),
    ("memory misread", MisreadsMemory, ("put",), "x is"),
    ("bfloat16 ignored", IgnoresBfloat16, ("bfloat16",), "declared and not computed in"),
    ("unknown offer declared", UnknownOffer, ("declaration",), "offers ['sorting'] are declared"),
    ("training counts as compiling", CountsAllAsCompiling, ("compile_seconds",), "training counts as compiling"),
    ("deterministic raises", CannotBeDeterministic, ("deterministic",), "not on this device"),
    ("deterministic for good", StaysDeterministic, ("deterministic",), "deterministic algorithms"),
)
"""Name, device, checks that point at it, words of a message."""
