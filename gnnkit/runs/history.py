"""What happened in each epoch, and the result of a run."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional

import gnnkit
from gnnkit.errors import ConfigError
from gnnkit.html import html_table
from gnnkit.nn import GNN, CustomModel
from gnnkit.paths import PathLike, user_path

if TYPE_CHECKING:
    from gnnkit.data import Graph


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

    def line(self, num_epochs: int) -> str:
        """The epoch as a line of text.

        Args:
            num_epochs: How many there are.
        """
        parts = [f"epoch {self.epoch}/{num_epochs}", f"loss {self.train_loss:.4f}"]
        parts += [] if self.valid_metric is None else [f"valid {self.valid_metric:.4f}"]
        return "  ".join([*parts, f"{self.nodes_per_second:,.0f} nodes/s", f"{self.seconds:.2f} s"])


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
        graph: What was trained on.
        metrics: The metrics that were given instead of the task's, if any were.
        write: Writes a run folder, for :meth:`save`.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> trainer = gnnkit.Trainer(device="cpu", epochs=3, progress=False)
        >>> result = trainer.fit(gnnkit.build_model("gcn", graph), graph)
        >>> tuple(result.predict([0, 33]).probabilities.shape), result.evaluate() == result.test
        ((2, 4), True)
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
    graph: Optional[Graph] = field(default=None, repr=False, compare=False)
    metrics: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    write: Optional[Callable[[Path, RunResult], None]] = field(default=None, repr=False, compare=False)

    def predict(self, nodes: Any = None, **how: Any) -> Any:
        """Compute what the best model says of nodes, as ``gnnkit predict`` does.

        Args:
            nodes: Node ids. Shape [M], integers. None: all nodes of the graph that was trained on.
            how: Other arguments of :meth:`gnnkit.inference.TrainedRun.predict`, such as ``method="full"``, or
                ``graphs`` of a run about graphs.

        Returns:
            :class:`gnnkit.inference.Predictions`: outputs, and the classes and probabilities that they mean.

        Raises:
            GnnkitError: As :func:`gnnkit.open_run` and :meth:`gnnkit.inference.TrainedRun.predict`.
        """
        return self._opened.predict(nodes, **how)

    def evaluate(self, graph: Optional[Graph] = None, split: str = "test", **how: Any) -> Dict[str, float]:
        """Compute the metrics of the best model on a split of another graph, or of the one that was trained on.

        Args:
            graph: With features, labels and splits as for training; features and classes are matched by name. None: the
                graph that was trained on.
            split: Which nodes, pairs or graphs, by the name of their split.
            how: Other arguments of :meth:`gnnkit.inference.TrainedRun.evaluate`.

        Returns:
            Metrics by name.

        Raises:
            GnnkitError: As :func:`gnnkit.open_run` and :meth:`gnnkit.inference.TrainedRun.evaluate`.
        """
        run = self._opened if graph is None else self._open(graph)
        found: Dict[str, float] = run.evaluate(split, **{"metrics": self.metrics, **how})
        return found

    def save(self, folder: PathLike) -> Path:
        """Write the best model as a run folder, which every command takes, and :func:`gnnkit.open_run` and others.

        The state of the training is not in it, so that no run goes on from there.

        Args:
            folder: Where to; must not exist, or be empty.

        Returns:
            The folder.

        Raises:
            ConfigError: The folder holds something, or the model is one that a run folder cannot hold.
            FileError: It cannot be written.

        Example:
            >>> import tempfile, gnnkit
            >>> graph = gnnkit.load_dataset("karate")
            >>> trainer = gnnkit.Trainer(device="cpu", epochs=2, progress=False)
            >>> result = trainer.fit(gnnkit.build_model("gcn", graph), graph)
            >>> with tempfile.TemporaryDirectory() as home:
            ...     gnnkit.load_model(result.save(home + "/run")).num_layers
            2
        """
        path = user_path(folder, "The folder")
        if self.write is None:
            raise ConfigError("Only what Trainer.fit returned can be saved. Use that result.")
        self.write(path, self)
        return path

    @cached_property
    def _opened(self) -> Any:
        """The run on the graph that was trained on."""
        return self._open(self.graph)

    def _open(self, graph: Optional[Graph]) -> Any:
        # The public function: this room must not use the one where it lives.
        module = self.model.module if isinstance(self.model, CustomModel) else None
        where: Dict[str, Any] = {"backend": self.model.backend, "device": self.device, "model": module}
        return gnnkit.open_run(self._folder, graph=graph, **where)

    @cached_property
    def _folder(self) -> Path:
        """The run folder; a temporary one for a run that made none, which goes when the result does."""
        if self.run_dir is not None:
            return self.run_dir
        home = tempfile.mkdtemp(prefix="gnnkit-")
        weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        return self.save(Path(home) / "run")

    def _repr_html_(self) -> str:
        rows: Dict[str, object] = {
            "backend / device": f"{self.backend} / {self.device}",
            "data set": self.dataset,
            "model": self.model.spec.name,
            "epochs": f"{len(self.history)}, best {self.best_epoch}",
        }
        for split, found in (("valid", self.valid), ("test", self.test)):
            rows.update({f"{split} {name.replace('_', ' ')}": f"{value:.4f}" for name, value in found.items()})
        rows["time"] = f"{self.seconds:.1f} s"
        if self.run_dir is not None:
            rows["run folder"] = self.run_dir
        return html_table("Result", rows)

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
