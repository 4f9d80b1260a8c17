"""Mean, deviation and confidence interval of several results."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

CONFIDENCE = 0.95
"""How sure the interval is."""


@dataclass(frozen=True)
class Spread:
    """What several numbers say together.

    Attributes:
        mean: Their mean.
        deviation: Their sample standard deviation; 0 for one number.
        interval: Confidence interval of the mean at 95 %, by Student's t distribution: right where the numbers come
            from a normal distribution. None for one number.
    """

    mean: float
    deviation: float
    interval: Optional[Tuple[float, float]]

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.deviation:.4f}"

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Mean, sample standard deviation and confidence interval.

    Args:
        values: One at least.

    Example:
        >>> found = spread([0.80, 0.82, 0.84])
        >>> print(found, [round(end, 3) for end in found.interval])
        0.8200 +- 0.0200 [0.77, 0.87]
    """
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Spread(mean, 0.0, None)
    from scipy.stats import t

    deviation = statistics.stdev(values)
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    return Spread(mean, deviation, (mean - half, mean + half))
