"""What modes that take products over from torch have in common."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, ContextManager

from torch.overrides import TorchFunctionMode


class ProductMode(TorchFunctionMode):
    """A mode in which torch's products are computed in another way; it may be entered again and again.

    Args:
        contexts: What holds along with it; each can be entered again and again, too.
    """

    def __init__(self, *contexts: ContextManager[Any]) -> None:
        super().__init__()
        self._contexts = contexts
        self._entered = ExitStack()

    def __enter__(self) -> ProductMode:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        for context in self._contexts:
            self._entered.enter_context(context)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._entered.close()
