"""Whether two backends train equally well, over several seeds.

Rules: that a difference is not significant says nothing; equivalence is shown by two one-sided tests (Schuirmann, 1987,
"A comparison of the two one-sided tests procedure and the power approach"), each against one end of a margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from gnnkit.errors import ConfigError

LEVEL = 0.05
"""Backends are called equivalent where the larger p-value of the two tests is below this."""


@dataclass(frozen=True)
class Equivalence:
    """Outcome of a test of equivalence on paired seeds.

    Attributes:
        mean: Mean of the metric.
        std: Its standard deviation over seeds.
        difference: Mean difference from the first backend's, seed by seed.
        margin: Differences within plus and minus this count as none.
        p_value: The larger one of the two one-sided tests.
    """

    mean: float
    std: float
    difference: float
    margin: float
    p_value: float

    @property
    def is_shown(self) -> bool:
        """Whether equivalence within the margin is shown."""
        return self.p_value < LEVEL


def equivalence_test(first: Sequence[float], second: Sequence[float], margin: float) -> Equivalence:
    """Test whether two backends are equivalent; values of one position belong to the same seed.

    Args:
        first: A metric of the backend compared with, one value per seed.
        second: The metric of the other backend.
        margin: Largest mean difference that does not matter.

    Raises:
        ConfigError: Fewer than two seeds, or a margin that is not positive.

    Example:
        >>> equivalence_test([0.80, 0.81, 0.79], [0.80, 0.81, 0.79], margin=0.01).is_shown
        True
    """
    from scipy import stats  # Takes a second to import, and no training needs it.

    if len(first) < 2:
        raise ConfigError(f"Equivalence over {len(first)} seed cannot be tested; give at least 2 seeds.")
    if not 0 < margin < float("inf"):
        raise ConfigError(f"margin is {margin}, expected a positive number.")
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    mean = float(differences.mean())
    if np.ptp(differences) < 1e-12:  # Without any spread there is no t statistic, and no doubt either.
        p_value = 0.0 if abs(mean) < margin else 1.0
    else:
        above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        p_value = float(max(above, below))
    return Equivalence(float(np.mean(second)), float(np.std(second, ddof=1)), mean, margin, p_value)
