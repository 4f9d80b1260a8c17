"""How a program is spread over IPUs: as a pipeline, which is the default."""

# ruff: noqa: N802 - PopTorch's names.
from __future__ import annotations

from typing import Any, Dict

from .enums import AutoStage
from .errors import NotEmulatedError


class PipelinedExecution:
    """Stages on IPUs that overlap over micro-batches; see ``Options.setExecutionStrategy``.

    Args:
        args: What numbers the stages of blocks: ``AutoStage.SameAsIpu``, the default, or ``AutoStage.AutoIncrement``.

    Raises:
        NotEmulatedError: Stages or names of blocks were given.

    Example:
        >>> PipelinedExecution(AutoStage.AutoIncrement).backendOptions()
        {'execution_mode': 0}
    """

    def __init__(self, *args: Any) -> None:
        if args and not (len(args) == 1 and isinstance(args[0], AutoStage)):
            raise NotEmulatedError(
                "PipelinedExecution with stages or names of blocks", "Give every block an ipu_id and leave them out."
            )
        self._auto_stage: AutoStage = args[0] if args else AutoStage.SameAsIpu

    def backendOptions(self) -> Dict[str, int]:
        """What the compiler is told."""
        return {"execution_mode": 0}
