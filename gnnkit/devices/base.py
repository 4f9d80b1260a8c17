"""The ``Device`` interface: where a step runs, and who owns it.

Rules: the device owns the whole step (forward, loss, backward, update), because a compiled device needs all of it;
the loss is therefore part of the module on every device. The trainer never asks which device it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    ClassVar,
    ContextManager,
    Dict,
    FrozenSet,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    runtime_checkable,
)

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gnnkit.availability import READY, Availability, Combination
from gnnkit.data import Batch
from gnnkit.options import NoOptions, Option, describe_options, make_options
from gnnkit.parallel import ALONE, World


@dataclass(frozen=True)
class DeviceCapabilities:
    """What a device declares.

    Attributes:
        torch_device: Type of torch device that tensors are put on: "cpu", "cuda".
        dtypes: Computing precisions: "float32", "bfloat16", "float64".
        offers: What a loss may need of it besides tensors of fixed shapes, which is part of a step: "free_shapes" where
            shapes may depend on values. A task says in the same words what it ``needs``.
        static_shapes: Whether every batch must have the shapes of the first.
        uses_host: Whether steps keep the cores of the host busy. Batches are prepared between steps then, by all cores,
            instead of beside them.
        stands_in_for: Name of the device that this one replaces where that one is missing; None if it is no stand-in.
        backends: Names of the backends that it takes. Empty: all that run on its ``torch_device``. A device that
            compiles names those whose layers its compiler understands.
        optimizers: Optimisers that it can update with, as ``train.optimizer`` names them. None: any of torch's.
        updates: What it can do about updates besides: "accumulate" (gradients of several batches for one update,
            ``train.accumulate``), "average" (a moving average of the weights, ``train.average``), "sparse" (sparse
            gradients of embeddings, ``train.sparse_embeddings``), "processes" (gradients of several processes,
            :attr:`StepOptions.world`). Its steps are then :class:`UpdatingStep`.
        excludes: Combinations of what is declared that do not work, as in
            :class:`gnnkit.backends.BackendCapabilities`.
    """

    torch_device: str
    dtypes: FrozenSet[str] = frozenset({"float32", "bfloat16", "float64"})
    offers: FrozenSet[str] = frozenset()
    static_shapes: bool = False
    uses_host: bool = False
    stands_in_for: Optional[str] = None
    backends: FrozenSet[str] = frozenset()
    excludes: Tuple[Combination, ...] = ()
    optimizers: Optional[FrozenSet[str]] = None
    updates: FrozenSet[str] = frozenset()


@dataclass(frozen=True)
class StepOptions:
    """What a step does besides forward, loss, backward and update.

    Attributes:
        precision: "float32", "bfloat16" (matrix products in bfloat16, weights in float32) or "float64", for which
            module and batches come in float64 already.
        clip_norm: Gradients are scaled to at most this norm; None leaves them.
        accumulate: Batches whose gradients are joined to one update, weighted by their targets, so that it is the
            update of one batch with all of these targets. More than 1 only of devices that declare it.
        average: Decay of the weights' moving average; None keeps none. Only of devices that declare it.
        world: The processes that each have a part of every batch: gradients are those of the whole batch, and so is the
            loss of a :class:`StepResult`. ``module`` then has a method ``weight(batch)``, which says what its loss is a
            mean over. More than one process only of devices that declare it.
    """

    precision: str = "float32"
    clip_norm: Optional[float] = None
    accumulate: int = 1
    average: Optional[float] = None
    world: World = ALONE


@dataclass(frozen=True)
class StepResult:
    """What a step returns. Its tensors are complete after :meth:`Device.synchronize`.

    Attributes:
        loss: Mean loss over the batch's targets, those of other processes among them. Scalar, detached, still on the
            device.
        outputs: The model's outputs for the last block's destinations, [num_dst, out_channels], detached.
        num_targets: Number of real targets, those of other processes among them.
        gradient_norm: Norm of the gradients before they were clipped, a scalar, still on the device. None where the
            step has clipped nothing.
    """

    loss: Tensor
    outputs: Tensor
    num_targets: int
    gradient_norm: Optional[Tensor] = None


ACCUMULATE, AVERAGE, SPARSE, PROCESSES = "accumulate", "average", "sparse", "processes"
UPDATES = frozenset({ACCUMULATE, AVERAGE, SPARSE, PROCESSES})
"""All that :attr:`DeviceCapabilities.updates` may hold."""

OptimizerState = Mapping[str, Mapping[str, Tensor]]
"""For each parameter, by its name in the module, the optimiser's tensors by theirs ("exp_avg", "step"), in host memory
and independent of the optimiser."""


class Step(Protocol):
    """One prepared step, training or evaluating."""

    def __call__(self, batch: Batch) -> StepResult:
        """Run the step on a batch that ``Device.put`` returned.

        The step switches the module between training and evaluating, as nobody else does, and gradients on and off.
        """

    def pull(self) -> None:
        """Bring weights that live on the device back into the module."""

    def state_dict(self) -> OptimizerState:
        """The optimiser's state. Empty before the first step, and for a step that only evaluates."""

    def load_state_dict(self, state: OptimizerState) -> None:
        """Go on from a state that a step gave, on whichever device; to be called before the first step."""


@runtime_checkable
class UpdatingStep(Step, Protocol):
    """A training step of a device that declares :attr:`DeviceCapabilities.updates`."""

    def finish(self) -> None:
        """Update with the gradients that still wait, at the end of an epoch."""

    def averaged(self) -> ContextManager[None]:
        """A context in which the module has the weights' moving average, if one is kept."""


@runtime_checkable
class GroupingStep(Step, Protocol):
    """A training step that takes several batches before weights change; a device need not have such steps."""

    @property
    def num_waiting(self) -> int:
        """Batches since the weights changed last."""

    def drop(self) -> None:
        """Forget the batches that wait: everything is as after the last change of the weights."""


@runtime_checkable
class RandomStep(Step, Protocol):
    """A training step whose random numbers go on from batch to batch instead of following :meth:`Device.seed`."""

    def random_state(self) -> Optional[Tensor]:
        """The state of its generator, of any shape; None before the first batch."""

    def load_random_state(self, state: Tensor) -> None:
        """Go on from a state that a step of the same device gave; to be called before the first batch."""


@runtime_checkable
class TimedStep(Step, Protocol):
    """A step that can say how long its parts take; a device need not have such steps."""

    def timed(self, batch: Batch, synchronize: Callable[[], None]) -> Dict[str, float]:
        """Run the step as a call does, and time it.

        Args:
            batch: As for a call.
            synchronize: Waits until the device is done, :meth:`Device.synchronize`; called at the end of each part.

        Returns:
            Seconds by part, in their order: "forward" (loss included), "backward", "update".
        """


Way = Callable[[Tensor, Tensor, Tensor, bool], None]
"""One way to compute the products of a linear layer, to be timed: of its input [n, in], its matrix [out, in] and its
output's gradient [n, out], and whether the input needs a gradient as well."""


class Device(ABC):
    """A place where steps run. Subclass it, give ``name``, ``capabilities``, ``put`` and ``prepare``, register it.

    Attributes:
        name: The word that users type after ``--device``.
        api_version: Version of this interface that the device was written for.
        priority: ``--device auto`` takes the ready device of the highest priority.
        capabilities: What it can do.
        options_class: A dataclass whose fields, all with defaults, are settings of the device itself: users give them
            under ``device_options`` and read its docstring in ``gnnkit run --help-config``.
        options: Its record for this device, from :meth:`configure`.
        comparable_options: Settings under which its results differ least from those of devices of other kinds;
            ``compare`` takes them where devices of several kinds take part.
    """

    name: ClassVar[str]
    api_version: ClassVar[int]
    priority: ClassVar[int] = 0
    capabilities: ClassVar[DeviceCapabilities]
    options_class: ClassVar[Type[Any]] = NoOptions
    options: Any = None
    comparable_options: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def probe(cls) -> Availability:
        """Say whether the device can work here. Never raises."""
        return Availability(READY)

    @classmethod
    def runs_without_hardware(cls, options: Mapping[str, Any]) -> bool:
        """Whether these options ask for something that needs no hardware, such as a software model of it."""
        return False

    @classmethod
    def batches_per_call(cls, options: Mapping[str, Any]) -> int:
        """How many batches one call of a training program takes with these options; an epoch is best a multiple."""
        return 1

    @classmethod
    def describe_options(cls) -> List[Option]:
        """All options in words."""
        return describe_options(cls.options_class)

    def configure(self, options: Mapping[str, Any]) -> None:
        """Take the user's ``device_options``, before anything else is asked of the device.

        Args:
            options: Values by name.

        Raises:
            UnknownNameError: A name that the device does not have.
            ConfigError: A value of the wrong type or size.
        """
        self.options = make_options(self.options_class, options, f"device {self.name!r}")

    def settle(self, recorded: Mapping[str, Any]) -> Dict[str, Any]:
        """Decide what the options leave to the device, once for a whole training and before its first step.

        Args:
            recorded: What such a training recorded: the answer of this method, or of :meth:`describe`. Where the
                options leave it to the device, it does the same again. Empty for a new training.

        Returns:
            The options that were left to the device, as they are now. A run's configuration records them, so that going
            on with it, or making it again elsewhere, decides nothing anew.
        """
        return {}

    @abstractmethod
    def put(self, batch: Batch) -> Batch:
        """Move a batch to the device. May be called from a loader's thread."""

    @abstractmethod
    def prepare(self, module: nn.Module, optimizer: Optional[Optimizer], options: StepOptions) -> Step:
        """Make a step.

        Args:
            module: ``forward(batch) -> (loss, outputs)``, a :class:`gnnkit.tasks.LossModule`.
            optimizer: Updates the module's parameters; None makes a step that only evaluates.
            options: Precision and clipping.
        """

    def seed(self, seed: int) -> None:
        """Seed what the next step draws from, such as dropout.

        Args:
            seed: In [0, 2^63).
        """
        torch.manual_seed(seed)

    def deterministic(self, report: Callable[[str], None]) -> ContextManager[None]:
        """A context in which steps give the same bits in every run; global settings are put back at its end.

        Args:
            report: Called with a sentence for everything that cannot be made to, as soon as that is known.
        """
        report(f"Device {self.name!r} does not promise to repeat its numbers bit by bit.")
        return nullcontext()

    def training(self, precision: str) -> ContextManager[Any]:
        """A context for the time of a training; global settings are put back at its end.

        Args:
            precision: "float32", "bfloat16" or "float64".
        """
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until all work handed to the device is done."""

    def product_ways(self, precision: str) -> Sequence[Way]:
        """Ways in which it can multiply matrices, for measuring the floor of a step.

        They take tensors of its ``torch_device``.

        Args:
            precision: "float32", "bfloat16" or "float64".

        Returns:
            The fastest one counts. Empty: how fast the device can be is not known.
        """
        return ()

    def compile_seconds(self) -> float:
        """Seconds spent on compiling so far; they do not count as training."""
        return 0.0

    def memory(self) -> Dict[str, int]:
        """Memory figures in bytes, by name. Empty if unknown."""
        return {}

    def free_memory(self) -> Optional[int]:
        """Bytes that a training may take at the moment of what :meth:`memory` tells the peak of. None if unknown."""
        return None

    def describe(self) -> Dict[str, Any]:
        """What hardware this is, for the manifest of a run."""
        return {}

    def close(self) -> None:
        """Release the device."""
