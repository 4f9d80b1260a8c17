"""torch's autocast, in all releases of torch."""

from __future__ import annotations

import torch


def is_autocast(place: str) -> bool:
    """Whether autocast is on for a kind of torch device here and now.

    Args:
        place: "cpu" or "cuda".

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     print(is_autocast("cpu"))
        True
    """
    if hasattr(torch, "get_autocast_dtype"):  # Before torch 2.4 every place has a function of its own.
        return bool(torch.is_autocast_enabled(place))
    return bool(torch.is_autocast_cpu_enabled() if place == "cpu" else torch.is_autocast_enabled())
