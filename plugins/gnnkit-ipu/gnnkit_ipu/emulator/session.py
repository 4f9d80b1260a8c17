"""What one run of a model's forward leaves behind: operators, marked losses, blocks.

Rules: one session is active at a time in a thread, and only while forward runs. A session either traces (fake tensors,
every restriction is checked) or runs (real tensors, only the operator trace and the losses are kept).
"""

from __future__ import annotations

import threading
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Set, Tuple

from torch import Tensor

from .restrictions import refuse, user_location

_MARKS = "_gnnkit_ipu_marks"
_ACTIVE = threading.local()


class BlockRecord(NamedTuple):
    """A block that forward went through.

    Attributes:
        user_id: Name or number that the user gave; None if automatic.
        ipu_id: Index of the IPU; None if not chosen.
    """

    user_id: Any
    ipu_id: Optional[int]


class Session:
    """Record of one run of forward.

    Args:
        training: Whether the program trains.
        tracing: Whether restrictions are checked, on fake tensors.
    """

    def __init__(self, training: bool, tracing: bool) -> None:
        self.training = training
        self.tracing = tracing
        self.operators: List[str] = []
        self.losses: List[Tensor] = []
        self.blocks: List[BlockRecord] = []
        self.written: Set[int] = set()
        self._devices: Dict[int, Any] = {}  # by identity
        self.placing = 0  # depth of factories that are forced to the device
        self.outside_blocks = ""  # an operator that ran before or after all blocks
        self.in_block = False
        self.slices = 0  # depth of indexing calls
        self.trusted = 0  # depth of calls that have a lowering of their own
        self.inside_loss = 0  # depth of loss functions
        self._arithmetic: List[Tuple[FrozenSet[int], str]] = []

    def __enter__(self) -> Session:
        _ACTIVE.session = self
        return self

    def __exit__(self, *exc: object) -> None:
        _ACTIVE.session = None

    def mark(self, loss: Tensor) -> None:
        """Remember a tensor as a loss."""
        if self.tracing:
            setattr(loss, _MARKS, _marks(loss) | {len(self.losses)})
        self.losses.append(loss)

    def learn_device(self, device: Any) -> None:
        """Remember the very object that a tensor answers with when it is asked for its device."""
        self._devices[id(device)] = device

    def knows_device(self, device: Any) -> bool:
        """Whether a tensor gave this object as its device: the device of fake tensors is called "cpu" as well."""
        return id(device) in self._devices

    def follow(self, inputs: List[Tensor], outputs: List[Tensor], arithmetic: bool) -> None:
        """Hand the marks of an operator's inputs to its outputs."""
        marks = frozenset().union(*[_marks(t) for t in inputs]) if inputs else frozenset()
        if not marks:
            return
        for tensor in outputs:
            setattr(tensor, _MARKS, _marks(tensor) | marks)
        if arithmetic and not self.inside_loss:
            self._arithmetic.append((marks, user_location()))

    def check_losses(self) -> int:
        """Position of the last loss.

        Raises:
            RestrictionError: There is none, several do not meet, or something is computed from the last one.
        """
        if not self.losses:
            refuse(1, "forward marks no loss", where="")
        last = len(self.losses) - 1
        if _marks(self.losses[last]) != frozenset(range(len(self.losses))):
            refuse(1, f"forward marks {len(self.losses)} losses that do not meet in a last one", where="")
        for marks, where in self._arithmetic:
            if last in marks:
                refuse(2, "something is computed from the marked loss", where=where)
        return last


def _marks(tensor: Tensor) -> FrozenSet[int]:
    return getattr(tensor, _MARKS, frozenset())


def active_session() -> Optional[Session]:
    """The session of the forward that is running in this thread; None outside."""
    return getattr(_ACTIVE, "session", None)
