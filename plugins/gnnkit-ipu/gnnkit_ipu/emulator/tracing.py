"""Compilation by abstract interpretation: forward runs once on fake tensors of fixed shape.

Rules: the user's module is left alone: what runs is a copy whose parameters and buffers are fake. A program that gets
through is consistent with the documented restrictions; whether it fits on a chip and whether each operator really
lowers there is not shown. This file and :mod:`.watching` are the only ones that use torch's private interfaces.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, List, Tuple

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from .layers import check_layer, static_layers
from .restrictions import refuse
from .session import BlockRecord, Session
from .structure import map_tensors, tensors_of, to_device
from .watching import FunctionWatcher, OperatorRecorder

#: torch 2.0 has no class of its own for an operator without a fake form.
_NO_FAKE_FORM = getattr(fake_tensor, "UnsupportedOperatorException", NotImplementedError)


@dataclass(frozen=True)
class Program:
    """A compiled model.

    Attributes:
        operators: What forward computes, in order; compared with every later run.
        loss: Position of the loss among the marked ones; -1 in inference.
        blocks: Blocks that forward goes through.
        changed_buffers: Names of the buffers that forward writes to.
    """

    operators: Tuple[str, ...]
    loss: int
    blocks: Tuple[BlockRecord, ...]
    changed_buffers: FrozenSet[str]

    @property
    def num_ipus(self) -> int:
        """IPUs, and stages, of one replica: what stands before the first block is on IPU 0."""
        return 1 + max([block.ipu_id or 0 for block in self.blocks], default=0)


class _Fakes:
    """Makes tensors that have the shapes of the device's and no values."""

    def __init__(self) -> None:
        # Real tensors are refused by the recorder, which knows the line; the mode would only say that there is one.
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._sources: List[Tensor] = []

    def make(self, tensor: Tensor) -> Tensor:
        """The fake of a tensor."""
        # The mode remembers sources by identity: one that is freed could be taken for a later one at its address.
        self._sources.append(to_device(tensor))
        return self.mode.from_tensor(self._sources[-1])


def run_forward(session: Session, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run forward under a session.

    Args:
        session: Receives operators, losses and blocks.
        call: The module, or a function that calls it.
        args: Positional arguments.
        kwargs: Arguments by name.
    """
    with static_layers(), session, OperatorRecorder(session), FunctionWatcher(session):
        return call(*args, **kwargs)


def trace(module: nn.Module, args: Tuple[Any, ...], kwargs: Dict[str, Any], training: bool) -> Program:
    """Compile a module for arguments of given shapes.

    Args:
        module: The user's module; not changed.
        args: Arguments of one micro-batch.
        kwargs: The same, by name.
        training: Whether the loss is looked for.

    Raises:
        RestrictionError: Forward breaks a restriction.
    """
    fakes = _Fakes()
    clone = _fake_copy(module, fakes)
    before = _named_tensors(clone)
    versions = {name: tensor._version for name, tensor in clone.named_buffers()}
    session = Session(training, tracing=True)
    fake_args, fake_kwargs = map_tensors(fakes.make, (args, kwargs))
    for tensor in [*tensors_of((fake_args, fake_kwargs)), *before.values()]:
        session.learn_device(tensor.device)
    _watch_layers(clone, training)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.enable_grad() if training else torch.no_grad())
        stack.enter_context(fakes.mode)
        _translated(lambda: run_forward(session, clone, fake_args, fake_kwargs))
    after = _named_tensors(clone)
    for name, tensor in before.items():
        if after.get(name) is not tensor:
            refuse(19, f"forward replaces {name!r}", where="")
    changed = frozenset(
        name
        for name, tensor in clone.named_buffers()
        if tensor._version != versions[name] or id(tensor) in session.written
    )
    if session.blocks and session.outside_blocks:
        refuse(41, f"{session.outside_blocks} runs before the first block or after the last one has ended", where="")
    loss = session.check_losses() if training else -1
    return Program(tuple(session.operators), loss, tuple(session.blocks), changed)


def _named_tensors(module: nn.Module) -> Dict[str, Tensor]:
    return dict([*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)])


def _fake_copy(module: nn.Module, fakes: _Fakes) -> nn.Module:
    """A copy of the module whose parameters and buffers have shapes and no values."""
    memo: Dict[int, Any] = {}
    for parameter in module.parameters():
        fake = fakes.make(parameter)
        memo[id(parameter)] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = fakes.make(buffer)
    for layer in module.modules():
        # A copied set may iterate in another order, and older PyG collects a layer's arguments by iterating over sets.
        memo.update((id(value), value) for value in vars(layer).values() if isinstance(value, (set, frozenset)))
    try:
        return copy.deepcopy(module, memo)
    except RuntimeError as error:
        refuse(16, f"the module holds a tensor that is neither parameter nor buffer ({error})", where="")


def _watch_layers(module: nn.Module, training: bool) -> None:
    for path, layer in module.named_modules():

        def hook(layer: nn.Module, args: Any, path: str = path) -> None:
            check_layer(path, layer, training)

        layer.register_forward_pre_hook(hook)


def _translated(call: Callable[[], Any]) -> Any:
    """Run and turn what torch and PyG raise about shapes that depend on data into refusals."""
    try:
        return call()
    except DataDependentOutputException as error:
        refuse(8, f"forward reads the value of a tensor ({error.func})", where=_origin(error))
    except DynamicOutputShapeException as error:
        refuse(7, f"{error.func} has an output whose size depends on the data", where=_origin(error))
    except _NO_FAKE_FORM as error:
        refuse(12, f"{getattr(error, 'func', error)} has no fixed shape", where=_origin(error))
    except ValueError as error:
        if "Dynamic shapes disabled" not in str(error):
            raise
        refuse(10, str(error).rstrip("."), where=_origin(error))


def _origin(error: BaseException) -> str:
    """Innermost line of user code in a traceback that has been unwound."""
    places: List[str] = []
    inside = False
    step = error.__traceback__
    while step is not None:
        path = step.tb_frame.f_code.co_filename
        if inside and not any(p in path for p in ("/torch/", "/torch_geometric/", "/emulator/")) and path[0] != "<":
            places.append(f"{path}:{step.tb_lineno}")
        inside = inside or step.tb_frame.f_code.co_name == run_forward.__name__
        step = step.tb_next
    return places[-1] if places else ""
