"""Making torch repeat its bits, for the time of a training.

Rules: every global setting is put back; an operation that torch cannot make deterministic runs all the same and is
reported once.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Set

import torch

_ABOUT_DETERMINISM = re.compile(r"deterministic implementation|is not deterministic")


@contextmanager
def deterministic_torch(report: Callable[[str], None]) -> Iterator[None]:
    """Have torch take its deterministic algorithms.

    Args:
        report: Called with a sentence for each operation that has none.
    """
    mode = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    extra = getattr(torch.utils, "deterministic", None)  # Newer than torch 2.0.
    fill = None if extra is None else extra.fill_uninitialized_memory
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=".*deterministic")
        warnings.showwarning = _reporting(report, warnings.showwarning)
        try:
            torch.use_deterministic_algorithms(True, warn_only=True)
            if extra is not None:
                extra.fill_uninitialized_memory = False  # Nothing here reads memory before writing it.
            yield
        finally:
            torch.use_deterministic_algorithms(mode[0], warn_only=mode[1])
            if extra is not None:
                extra.fill_uninitialized_memory = fill


def _reporting(report: Callable[[str], None], show: Callable[..., Any]) -> Callable[..., Any]:
    """Show warnings as before, but hand those about determinism to ``report``, each once."""
    known: Set[str] = set()

    def showwarning(message: Any, *args: Any, **kwargs: Any) -> None:
        sentence = str(message).split(", but you set")[0].split(" You can file an issue")[0]
        if not _ABOUT_DETERMINISM.search(sentence):
            show(message, *args, **kwargs)
        elif sentence not in known:
            known.add(sentence)
            report(sentence)

    return showwarning
