"""What happened in each epoch, and the result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from gnnkit.nn import GNN


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean loss over all training targets, with dropout.
        seconds: Wall time of training in this epoch, without compilation and evaluation.
        nodes_per_second: Training targets per second.
        lr: Learning rate.
        valid_loss: Mean loss over the validation nodes, of the linear probe where there is one. None in an epoch
            without evaluation.
        valid_metric: The metric that picks the best model, on the validation nodes.
        gradient_norm: Norm of the gradients before they were clipped, in the last batch that changed the weights. None
            where ``clip_norm`` is not set, or the device does not say it.
    """

    epoch: int
    train_loss: float
    seconds: float
    nodes_per_second: float
    lr: float
    valid_loss: Optional[float] = None
    valid_metric: Optional[float] = None
    gradient_norm: Optional[float] = None

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        model: The best model by validation metric, on its device.
        backend: Name of the backend.
        device: Name of the device.
        dataset: Name of the graph.
        metric: Name of the metric that picked the best model.
        best_epoch: Its epoch, counted from 1.
        history: One record per epoch.
        valid: Validation metrics of the best model, by name.
        test: Test metrics of the best model, by name.
        seconds: Wall time of training and evaluation, compilation included.
        run_dir: The run folder; None if none was asked for.
        memory: Memory figures of the device in bytes, by name.
        compile_seconds: Wall time that the device compiled; 0 for one that does not.
        nondeterministic: What could not be made deterministic, a sentence each; None if determinism was not asked for.
        higher_is_better: Whether a larger value of that metric is a better one.
        stopped: Why a callback stopped the training; None if none did.
    """

    model: GNN
    backend: str
    device: str
    dataset: str
    metric: str
    best_epoch: int
    history: List[EpochRecord]
    valid: Dict[str, float]
    test: Dict[str, float]
    seconds: float
    run_dir: Optional[Path] = None
    memory: Dict[str, int] = field(default_factory=dict)
    compile_seconds: float = 0.0
    nondeterministic: Optional[List[str]] = None
    stopped: Optional[str] = None
    higher_is_better: bool = True

    @property
    def seconds_per_epoch(self) -> float:
        """Mean wall time of an epoch's training, without evaluation."""
        return sum(record.seconds for record in self.history) / len(self.history)

    def summary(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit run --json`` prints them."""
        values: Dict[str, Any] = {
            "backend": self.backend,
            "device": self.device,
            "dataset": self.dataset,
            "model": self.model.spec.name,
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            "train_loss": self.history[-1].train_loss,
        }
        values.update({f"valid_{name}": value for name, value in self.valid.items()})
        values.update({f"test_{name}": value for name, value in self.test.items()})
        values["seconds"] = self.seconds
        values["seconds_per_epoch"] = self.seconds_per_epoch
        values["compile_seconds"] = self.compile_seconds
        values["memory"] = self.memory
        values["nondeterministic"] = self.nondeterministic
        values["stopped"] = self.stopped
        values["run_dir"] = None if self.run_dir is None else str(self.run_dir)
        return values
