"""JSON that every reader takes.

Rules: what is written for programs, in files or on standard output, is written by :func:`to_json`.
"""

from __future__ import annotations

import json
import math
from typing import Any, Mapping, Optional


def to_json(values: Any, *, indent: Optional[int] = None) -> str:
    """Write values as JSON, which has no NaN and no infinity: such numbers become null.

    Args:
        values: Plain values, nested in mappings and lists.
        indent: Spaces by which levels are set in. None: one line.

    Example:
        >>> to_json({"loss": float("nan"), "losses": [1.5, float("inf")]})
        '{"loss": null, "losses": [1.5, null]}'
    """
    return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
