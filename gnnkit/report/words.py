"""Numbers, times and settings as text for the page."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any, Optional

NONE = "none"
"""What stands for a value that is not there."""


def number(value: Optional[float]) -> str:
    """A loss or a metric with four significant digits at most."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def metric_name(name: str) -> str:
    """A metric as people write it: "macro_f1" is macro F1."""
    return {"macro_f1": "macro F1", "rocauc": "ROC AUC", "auc": "AUC", "mrr": "MRR"}.get(name, name.replace("_", " "))


def percent(share: float) -> str:
    """A share as "82.9%"."""
    return f"{100 * share:.1f}%" if math.isfinite(share) else NONE


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def setting(value: Any) -> str:
    """A value of the configuration."""
    if value is None or value in ({}, []):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(item) for item in value)
    return str(value)


def moment(value: Optional[str]) -> str:
    """A time in a manifest as "21 November 2026, 14:32 UTC"."""
    if value is None:
        return NONE
    try:
        return day_and_time(datetime.fromisoformat(value))
    except ValueError:
        return value


def day_and_time(value: datetime) -> str:
    """A point in time, in UTC."""
    value = value.astimezone(timezone.utc)
    return f"{value.day} {value:%B %Y, %H:%M} UTC"


def split_name(split: str) -> str:
    """A split as an adjective."""
    return {"train": "training", "valid": "validation"}.get(split, split)
