"""Enumerations of the interface, with PopTorch's values."""

from __future__ import annotations

from enum import Enum, IntEnum


class OutputMode(IntEnum):
    """Which micro-batches' outputs a call returns."""

    Final = 0
    EveryN = 1
    All = 2
    Sum = 3
    Default = 4


class DataLoaderMode(IntEnum):
    """How a data loader loads."""

    Sync = 0
    Async = 1
    AsyncRebatched = 2


class ConnectionType(IntEnum):
    """When a model attaches to hardware."""

    Always = 0
    OnDemand = 1
    Never = 2


class ReductionType(IntEnum):
    """How gradients of micro-batches and replicas are joined."""

    Sum = 0
    Mean = 1
    NoReduction = 2


class MeanReductionStrategy(IntEnum):
    """When a mean of gradients is divided. No difference in exact arithmetic."""

    Running = 0
    Post = 1
    PostAndLoss = 2


class SyncPattern(IntEnum):
    """How several IPUs wait for each other."""

    Full = 0
    SinglePipeline = 1
    ReplicaAndLadder = 2


class AutoStage(IntEnum):
    """How blocks without a stage are numbered."""

    SameAsIpu = 0
    AutoIncrement = 1


class SharingStrategy(IntEnum):
    """How a loading process receives the data set."""

    SharedMemory = 0
    FileSystem = 1
    Fork = 2
    ForkServer = 3


class CommGroupType(IntEnum):
    """How replicas are grouped."""

    All = 0
    Consecutive = 1
    Orthogonal = 2
    NoGrouping = 3


class MatMulSerializationMode(Enum):
    """Along which dimension a matrix product is split."""

    InputChannels = "input_channels"
    ReducingDim = "reducing_dim"
    OutputChannels = "output_channels"
    Disabled = "none"
