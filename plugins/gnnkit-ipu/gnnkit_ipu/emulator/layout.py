"""What a program asks of the device, and in which mode its layers are.

Rules: modes of layers are fixed by compilation.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List

from torch import nn

from .enums import AutoStage
from .options import Options
from .restrictions import refuse
from .tracing import Program


def modes_of(model: nn.Module) -> List[bool]:
    """Whether each layer trains or evaluates."""
    return [layer.training for layer in model.modules()]


@contextmanager
def in_modes(model: nn.Module, modes: List[bool]) -> Iterator[None]:
    """A context in which layers train or evaluate as at compilation, whatever was switched since."""
    layers = list(model.modules())
    own = [layer.training for layer in layers]
    for layer, mode in zip(layers, modes):
        layer.training = mode
    try:
        yield
    finally:
        for layer, mode in zip(layers, own):
            layer.training = mode


def check_layout(program: Program, options: Options, training: bool) -> None:
    """Check pipeline depth, number of IPUs and replicas against the program."""
    accumulation = options.Training.gradient_accumulation
    stages = program.num_ipus
    if options._values["_auto_stage"] is AutoStage.AutoIncrement:
        stages = max(len(program.blocks), 1)
    if training and accumulation < 2 * stages - 1:
        refuse(34, f"gradientAccumulation is {accumulation} with {stages} stages", where="")
    if not training and options.device_iterations < stages:
        refuse(34, f"deviceIterations is {options.device_iterations} with {stages} stages", where="")
    num_ipus = program.num_ipus * options.replication_factor
    if num_ipus > 64 or (num_ipus & (num_ipus - 1) and not options.auto_round_num_ipus):
        refuse(35, f"{program.num_ipus} IPUs x {options.replication_factor} replicas are {num_ipus}", where="")
    if program.changed_buffers and options.replication_factor > 1 and options.broadcast_buffers:
        refuse(36, f"forward changes {', '.join(sorted(program.changed_buffers))}", where="")
