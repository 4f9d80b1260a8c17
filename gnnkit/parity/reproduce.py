"""Whether a run that was made again gives the curve that was recorded.

Rules: losses are compared relative to the recorded ones, metrics absolutely; the verdict names the first epoch at which
something leaves its tolerance; nothing is averaged away.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from gnnkit.runs.history import EpochRecord

IDENTICAL = "identical"
WITHIN = "within tolerance"
DIFFERENT = "different"

LOSS_TOLERANCE = 1e-3
"""Largest relative difference of a loss."""

METRIC_TOLERANCE = 0.02
"""Largest difference of a metric, which moves by whole nodes."""

_SMALLEST_LOSS = 0.01
"""A loss below this is compared as though it were this large: its digits beyond are rounding."""


@dataclass(frozen=True)
class Verdict:
    """What a comparison of two curves came to.

    Attributes:
        verdict: "identical" (every bit), "within tolerance", or "different".
        epoch: The first epoch that leaves the tolerance; None if none does.
        quantity: What leaves it there: "train_loss", "valid_loss", "valid_metric", or "epochs" where one curve ends.
        recorded: Its recorded value.
        found: Its value now.
        loss_difference: Largest relative difference of a loss.
        metric_difference: Largest difference of a metric.
        loss_tolerance: Largest relative difference of a loss that is let pass.
        metric_tolerance: Largest difference of a metric that is let pass.
        epochs: Number of epochs that were compared.
    """

    verdict: str
    epoch: Optional[int]
    quantity: Optional[str]
    recorded: Optional[float]
    found: Optional[float]
    loss_difference: float
    metric_difference: float
    loss_tolerance: float
    metric_tolerance: float
    epochs: int

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare_curves(
    recorded: List[EpochRecord],
    found: List[EpochRecord],
    *,
    loss_tolerance: float = LOSS_TOLERANCE,
    metric_tolerance: float = METRIC_TOLERANCE,
    is_complete: bool = True,
) -> Verdict:
    """Compare the losses and metrics of two runs, epoch by epoch.

    Args:
        recorded: The run that is to be reproduced.
        found: The run that was made again.
        loss_tolerance: Largest relative difference of a loss.
        metric_tolerance: Largest difference of a metric.
        is_complete: Whether the recorded run came to its end; if not, only the epochs that it had are compared.

    Example:
        >>> curve = [EpochRecord(1, 0.5, 1.0, 10.0, 0.01)]
        >>> compare_curves(curve, curve).verdict
        'identical'
    """
    largest = {"loss": 0.0, "metric": 0.0}
    allowed = {"loss": loss_tolerance, "metric": metric_tolerance}
    first: Optional[Tuple[int, str, Optional[float], Optional[float]]] = None
    for old, new in zip(recorded, found):
        for name in ("train_loss", "valid_loss", "valid_metric"):
            before, now = getattr(old, name), getattr(new, name)
            kind = "metric" if name == "valid_metric" else "loss"
            difference = _difference(before, now, relative=kind == "loss")
            largest[kind] = max(largest[kind], difference)
            if first is None and difference > allowed[kind]:
                first = old.epoch, name, before, now
    ends_early = len(found) < len(recorded) or (is_complete and len(found) > len(recorded))
    if first is None and ends_early:
        first = min(len(recorded), len(found)) + 1, "epochs", len(recorded), len(found)
    epoch, quantity, before, now = (None, None, None, None) if first is None else first
    same = WITHIN if any(largest.values()) else IDENTICAL
    return Verdict(
        verdict=same if first is None else DIFFERENT,
        epoch=epoch,
        quantity=quantity,
        recorded=before,
        found=now,
        loss_difference=largest["loss"],
        metric_difference=largest["metric"],
        loss_tolerance=loss_tolerance,
        metric_tolerance=metric_tolerance,
        epochs=min(len(recorded), len(found)),
    )


def environment_differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> List[str]:
    """Phrases for values that differ between two manifests, such as ``"torch: 2.0.1, now 2.13.0"``.

    Args:
        before: Versions, backend and device of the recorded run.
        now: The same of the run that was made again.
        prefix: What stands before the names.
    """
    phrases: List[str] = []
    for name, value in now.items():
        old = before.get(name)
        if isinstance(value, Mapping):
            phrases += environment_differences(old or {}, value, f"{name} ")
        elif old != value:
            phrases.append(f"{prefix}{name}: {old}, now {value}")
    return phrases


def _difference(before: Optional[float], now: Optional[float], *, relative: bool) -> float:
    if before is None or now is None:
        return 0.0 if before is now else math.inf
    if before == now or (math.isnan(before) and math.isnan(now)):
        return 0.0
    if not (math.isfinite(before) and math.isfinite(now)):
        return math.inf
    return abs(before - now) / (max(abs(before), _SMALLEST_LOSS) if relative else 1.0)
