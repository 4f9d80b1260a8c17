"""Where the time of a training goes, and how fast it could be at best."""

from gnnkit.measure.stages import Measurement, measure

__all__ = [
    "Measurement",
    "measure",
]
