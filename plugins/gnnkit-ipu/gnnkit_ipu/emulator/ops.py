"""Functions that a model calls in its forward, and questions about the hardware.

Rules: outside of a forward that the emulator runs they do on the CPU what their name says, so that a model can be
checked without a device.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Optional, TypeVar

import torch
from torch import Tensor, nn

from .errors import Error, LogLevelError, NotEmulatedError
from .restrictions import refuse
from .session import BlockRecord, active_session

_BLOCK_ATTRIBUTE = "_gnnkit_ipu_block_hook"
_Layer = TypeVar("_Layer")


def identity_loss(x: Tensor, reduction: str) -> Tensor:
    """Mark a tensor as the loss.

    Args:
        x: Any shape.
        reduction: "sum", "mean" or "none".

    Returns:
        The reduced tensor.
    """
    reductions: Dict[str, Callable[[Tensor], Tensor]] = {"sum": torch.sum, "mean": torch.mean, "none": nop}
    reduce = reductions.get(reduction)
    if reduce is None:
        raise Error(f"identity_loss takes reduction 'sum', 'mean' or 'none', received {reduction!r}.")
    session = active_session()
    if session is None:
        return reduce(x)
    session.inside_loss += 1
    try:
        loss = reduce(x)
    finally:
        session.inside_loss -= 1
    session.mark(loss)
    return loss


def isRunningOnIpu() -> bool:
    """Whether a forward is running for the device."""
    return active_session() is not None


def ipuHardwareIsAvailable(num_ipus: int = 1) -> bool:
    """Whether hardware with so many IPUs is there: never, this is the emulator."""
    return False


def ipuHardwareVersion() -> int:
    """Generation of the hardware.

    Raises:
        AssertionError: Always, there is none.
    """
    raise AssertionError("No IPU hardware: the emulator is in use.")


class Block(nn.Module):
    """Operators of a block, optionally on an IPU of their own. Blocks on different IPUs are stages of a pipeline.

    Args:
        user_id: Name or number.
        ipu_id: Index of the IPU.
    """

    def __init__(self, user_id: Any = None, ipu_id: Optional[int] = None) -> None:
        super().__init__()
        self._record = BlockRecord(user_id, _ipu_id(ipu_id))

    def __enter__(self) -> Block:
        _begin(self._record)
        return self

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:
        """End the block."""
        session = active_session()
        if session is not None:
            session.in_block = False

    @staticmethod
    def useAutoId() -> None:
        """Number blocks from 0 again."""

    @staticmethod
    def start(user_id: Any = None, ipu_id: Optional[int] = None) -> None:
        """Begin a block that lasts until the next one."""
        _begin(BlockRecord(user_id, _ipu_id(ipu_id)))


class _BlockHook:
    """Begins a block before a module's forward."""

    def __init__(self, record: BlockRecord) -> None:
        self.record = record

    def __call__(self, *_: Any) -> None:
        _begin(self.record)


class LegacyBeginBlockFn(nn.Module):
    """A callable that begins a block and then calls another one."""

    def __init__(self, layer_to_call: Callable[..., Any], user_id: Any = None, ipu_id: Optional[int] = None) -> None:
        super().__init__()
        self._layer_to_call = layer_to_call
        self._record = BlockRecord(user_id, _ipu_id(ipu_id))

    def __call__(self, *input: Any, **kwargs: Any) -> Any:
        """Begin the block and call."""
        _begin(self._record)
        return self._layer_to_call(*input, **kwargs)


def BeginBlock(layer_to_call: Any, user_id: Any = None, ipu_id: Optional[int] = None) -> Any:
    """Mark a module, and what follows it, as a block.

    Args:
        layer_to_call: Module, or any callable.
        user_id: Name or number.
        ipu_id: Index of the IPU.

    Returns:
        The module itself; for another callable a new one.

    Raises:
        Error: The module is a block already.
    """
    if not isinstance(layer_to_call, nn.Module):
        return LegacyBeginBlockFn(layer_to_call, user_id, ipu_id)
    if getattr(layer_to_call, _BLOCK_ATTRIBUTE, None) is not None:
        raise Error(f"{type(layer_to_call).__name__} is a block already. Call removeBlocks(model) first.")
    hook = _BlockHook(BlockRecord(user_id, _ipu_id(ipu_id)))
    layer_to_call.__dict__[_BLOCK_ATTRIBUTE] = layer_to_call.register_forward_pre_hook(hook)
    return layer_to_call


def BlockFunction(user_id: Any = None, ipu_id: Optional[int] = None) -> Callable[[_Layer], _Layer]:
    """Decorator: the function's body is a block."""

    def decorate(function: Any) -> Any:
        def inside(*args: Any, **kwargs: Any) -> Any:
            with Block(user_id, ipu_id):
                return function(*args, **kwargs)

        return inside

    return decorate


def removeBlocks(module: nn.Module) -> None:
    """Take all marks of blocks away from a module and its children."""
    for layer in module.modules():
        handle = layer.__dict__.pop(_BLOCK_ATTRIBUTE, None)
        if handle is not None:
            handle.remove()


def _begin(record: BlockRecord) -> None:
    session = active_session()
    if session is not None:
        session.blocks.append(record)
        session.in_block = True


def _ipu_id(value: Any) -> Optional[int]:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise Error(f"ipu_id is a whole number from 0, received {value!r}.")
    return value


def cond(
    condition: Tensor, then_body: Callable[..., Any], then_inps: Any, else_body: Callable[..., Any], else_inps: Any
) -> List[Tensor]:
    """Choose between two bodies by a tensor, in inference. The emulator computes both and selects.

    Args:
        condition: One truth value.
        then_body: Called with ``then_inps``.
        then_inps: Arguments.
        else_body: Called with ``else_inps``; returns as many tensors of the same shapes.
        else_inps: Arguments.
    """
    session = active_session()
    if session is not None and session.training:
        refuse(40, "poptorch.cond is called in a training model")
    results = [body(*inputs) for body, inputs in ((then_body, then_inps), (else_body, else_inps))]
    first, second = [[r] if isinstance(r, Tensor) else list(r) for r in results]
    if len(first) != len(second):
        raise Error(f"The bodies of cond return {len(first)} and {len(second)} tensors; they must return the same.")
    return [torch.where(condition.reshape(()).to(torch.bool), a, b) for a, b in zip(first, second)]


def nop(tensor: Tensor) -> Tensor:
    """Return the tensor; the compiler keeps the place."""
    return tensor


def recomputationCheckpoint(*tensors: Tensor) -> Any:
    """Return the tensors; the compiler keeps them instead of computing them again."""
    return tensors[0] if len(tensors) == 1 else tensors


def set_available_memory(tensor: Tensor, available_memory_proportion: float) -> Tensor:
    """Return the tensor; memory for temporaries is not emulated."""
    return tensor


class NameScope:
    """Prefix of operator names, without effect.

    Args:
        name: The prefix.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> NameScope:
        return self

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:
        """End the scope."""


def setLogLevel(level: Any) -> None:
    """Set how much is logged: the emulator logs nothing, the name is checked."""
    known = {"TRACE": 0, "TRACE_ALL": 0, "DEBUG": 1, "DEBUG_IR": 1, "INFO": 2, "WARN": 3, "ERR": 4, "OFF": 6}
    if level not in known and level not in known.values():
        raise LogLevelError(f"setLogLevel takes TRACE, DEBUG, INFO, WARN, ERR or OFF, received {level!r}.")


def load(filename: str, edit_opts_fn: Any = None) -> Any:
    """Load an exported executable: not emulated."""
    raise NotEmulatedError(f"load({os.fspath(filename)!r})", "Save the model's state_dict and compile again.")
