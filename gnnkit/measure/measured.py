"""What a measurement was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

from gnnkit.train.job import Job


@dataclass(frozen=True)
class Measured:
    """Base of records of measurements: what was measured, and where.

    Attributes:
        backend: Name of the backend.
        device: Name of the device.
        dataset: Name of the graph.
        model: Name of the model.
        precision: Precision of computing.
    """

    backend: str
    device: str
    dataset: str
    model: str
    precision: str

    @property
    def title(self) -> str:
        """All of it in a line."""
        return f"{self.model} on {self.dataset}, {self.backend} on {self.device}, {self.precision}"


def measured(job: Job) -> Dict[str, str]:
    """The fields of :class:`Measured`, of a training made ready."""
    return {
        "backend": job.backend.name,
        "device": job.device.name,
        "dataset": job.graph.name,
        "model": job.model.spec.name,
        "precision": job.config.precision,
    }
