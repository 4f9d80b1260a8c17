"""An emulator of PopTorch: programs for IPUs on any machine, under PopTorch's documented restrictions.

Rules: names, parameters and defaults are PopTorch's. A program that runs here is consistent with the documented
restrictions; nothing is said about memory, lowering, float16, random streams or speed on a chip. What is left out
raises :class:`NotEmulatedError`.

Example:
    >>> import torch
    >>> from gnnkit_ipu import emulator as poptorch
    >>> class Model(torch.nn.Linear):
    ...     def forward(self, x, y):
    ...         return torch.nn.functional.mse_loss(super().forward(x), y)
    >>> options = poptorch.Options().showCompilationProgressBar(False)
    >>> model = Model(3, 1)
    >>> trained = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.1))
    >>> trained(torch.ones(2, 3), torch.zeros(2, 1)).shape
    torch.Size([])
"""

# ruff: noqa: SIM905 - PopTorch's names; lists of names read better as text.
from __future__ import annotations

from typing import NoReturn

from . import optim, options
from .counting import Counts, counting
from .dataloader import DataLoader
from .enums import (
    AutoStage,
    CommGroupType,
    ConnectionType,
    DataLoaderMode,
    MatMulSerializationMode,
    MeanReductionStrategy,
    OutputMode,
    ReductionType,
    SharingStrategy,
    SyncPattern,
)
from .errors import (
    Error,
    NotEmulatedError,
    RecoverableError,
    RestrictionError,
    UnrecoverableError,
    createPoptorchError,
)
from .executor import SUCCESS, PoplarExecutor
from .models import inferenceModel, trainingModel
from .ops import (
    BeginBlock,
    Block,
    BlockFunction,
    LegacyBeginBlockFn,
    NameScope,
    cond,
    identity_loss,
    ipuHardwareIsAvailable,
    ipuHardwareVersion,
    isRunningOnIpu,
    load,
    nop,
    recomputationCheckpoint,
    removeBlocks,
    set_available_memory,
    setLogLevel,
)
from .options import Options
from .strategies import PipelinedExecution
from .structure import ICustomArgParser, registerCustomArgParser

#: Names of PopTorch that the emulator leaves out.
NOT_EMULATED = frozenset(
    "AsynchronousDataAccessor Attribute CPU HalfFloatCastingBehavior Liveness MultiConv MultiConvPlanType OverlapMode "
    "ParallelPhasedExecution Phase SerialPhasedExecution ShardedExecution Stage "
    "TensorLocationSettings VariableRetrievalMode ctc_beam_search_decoder custom_op dynamic_slice dynamic_update "
    "for_loop fps ipu_print_tensor nearest profiling registerPostCompileHook registerPreCompileHook serializedMatMul "
    "set_overlap_for_input set_overlap_for_output".split()
)

__all__ = [
    "NOT_EMULATED",
    "SUCCESS",
    "AutoStage",
    "BeginBlock",
    "Block",
    "BlockFunction",
    "CommGroupType",
    "ConnectionType",
    "Counts",
    "DataLoader",
    "DataLoaderMode",
    "Error",
    "ICustomArgParser",
    "LegacyBeginBlockFn",
    "MatMulSerializationMode",
    "MeanReductionStrategy",
    "NameScope",
    "NotEmulatedError",
    "Options",
    "OutputMode",
    "PipelinedExecution",
    "PoplarExecutor",
    "RecoverableError",
    "ReductionType",
    "RestrictionError",
    "SharingStrategy",
    "SyncPattern",
    "UnrecoverableError",
    "cond",
    "counting",
    "createPoptorchError",
    "identity_loss",
    "inferenceModel",
    "ipuHardwareIsAvailable",
    "ipuHardwareVersion",
    "isRunningOnIpu",
    "load",
    "nop",
    "optim",
    "options",
    "recomputationCheckpoint",
    "registerCustomArgParser",
    "removeBlocks",
    "setLogLevel",
    "set_available_memory",
    "trainingModel",
]


def __getattr__(name: str) -> NoReturn:
    if name in NOT_EMULATED:
        raise NotEmulatedError(f"poptorch.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}, nor has PopTorch 3.4")
