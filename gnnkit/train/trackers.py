"""Listeners that hand on what happens to other programs: TensorBoard, Weights & Biases, MLflow.

Rules: their packages are optional and are imported when a tracker is made. All get the same numbers under the same
names, with the epoch as step; a training that goes on brings the epochs before.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from gnnkit.errors import ConfigError, NotInstalledError, UnknownNameError
from gnnkit.nn import GNN
from gnnkit.paths import PathLike
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.state import TrainState


class Tracker(Callback):
    """Base of trackers: what they are told, and when."""

    @abstractmethod
    def begin(self, settings: Mapping[str, Any]) -> None:
        """Training begins.

        Args:
            settings: Of the model, by name.
        """

    @abstractmethod
    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Take the numbers of an epoch, by name."""

    @abstractmethod
    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """Training has ended.

        Args:
            summary: Plain values of the result; nothing if there is none.
            status: "complete", "interrupted" or "failed".
        """

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """See :class:`Callback`."""
        self.begin(model.spec.to_dict())

    def on_resume(self, state: TrainState) -> None:
        """See :class:`Callback`."""
        for record in state.history:
            self.on_epoch(record)

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        values = record.to_dict()
        epoch = values.pop("epoch")
        self.log({name: value for name, value in values.items() if value is not None}, epoch)

    def on_end(self, result: RunResult) -> None:
        """See :class:`Callback`."""
        self.finish({name: value for name, value in result.summary().items() if value is not None}, "complete")

    def on_error(self, error: BaseException) -> None:
        """See :class:`Callback`."""
        self.finish({}, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")


class TensorBoard(Tracker):
    """Scalars of every epoch as TensorBoard event files.

    Args:
        folder: Where they go.

    Raises:
        NotInstalledError: The package tensorboard is missing.
    """

    def __init__(self, folder: PathLike) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise NotInstalledError("TensorBoard", "pip install 'gnnkit[tensorboard]'") from error
        self._open: Callable[[], Any] = lambda: SummaryWriter(str(folder))
        self._writer: Any = None

    def begin(self, settings: Mapping[str, Any]) -> None:
        """See :class:`Tracker`."""
        self._writer = self._open()

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """See :class:`Tracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """See :class:`Tracker`."""
        if self._writer is not None:
            self._writer.close()


class WandB(Tracker):
    """A run of Weights & Biases: numbers of every epoch, settings and the result.

    A run of its own is made, whatever other run the script has. ``WANDB_MODE=offline`` keeps it on this machine.

    Args:
        settings: What the run is described by besides the model's settings, such as the merged configuration.
        options: Arguments of ``wandb.init``: ``project``, ``name``, ``mode``, ``dir``, ``tags`` ...

    Raises:
        NotInstalledError: The package wandb is missing.

    Example:
        >>> from gnnkit.train import Trainer, WandB
        >>> trainer = Trainer(callbacks=[WandB(project="citations", mode="offline")])  # doctest: +SKIP
    """

    def __init__(self, settings: Optional[Mapping[str, Any]] = None, **options: Any) -> None:
        try:
            import wandb
        except ImportError as error:
            raise NotInstalledError("Weights & Biases", "pip install 'gnnkit[wandb]'") from error
        self._wandb = wandb
        self._settings = dict(settings or {})
        self._options = options
        self._run: Any = None

    def begin(self, settings: Mapping[str, Any]) -> None:
        """See :class:`Tracker`.

        Raises:
            ConfigError: No run can be made, for example because nobody is logged in.
        """
        told = {"model": dict(settings), **self._settings}
        try:
            # What is printed stays as it is: standard output may be read by a program.
            quietly = self._wandb.Settings(console="off", silent=True)
            options = {"settings": quietly, "reinit": "create_new", **self._options}
            self._run = self._wandb.init(config=told, **options)
        except self._wandb.errors.Error as error:
            raise ConfigError(
                f"Weights & Biases makes no run ({error}). Log in with 'wandb login', or set WANDB_MODE=offline."
            ) from error
        if self._run.url:
            print(f"wandb: {self._run.url}", file=sys.stderr)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """See :class:`Tracker`."""
        self._run.log(dict(values), step=epoch)

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """See :class:`Tracker`."""
        if self._run is not None:
            self._run.summary.update({**summary, "status": status})
            self._run.finish(exit_code=int(status != "complete"))
            self._run = None


class MLflow(Tracker):
    """A run of MLflow: metrics of every epoch, settings as parameters, and the result.

    It is made with MLflow's client, so that a run that the script has begun stays as it is.

    Args:
        settings: Parameters besides the model's settings, such as the merged configuration; nested names are joined by
            dots.
        uri: Where runs are tracked. None: where MLflow says, by ``MLFLOW_TRACKING_URI``.
        experiment: Made if it is not there. None: MLflow's "Default".
        name: Of the run. None: MLflow makes one up.
        tags: Tags of the run, by name.

    Raises:
        NotInstalledError: The package mlflow is missing; mlflow-skinny is enough.

    Example:
        >>> from gnnkit.train import MLflow, Trainer
        >>> trainer = Trainer(callbacks=[MLflow(experiment="citations")])  # doctest: +SKIP
    """

    def __init__(
        self,
        settings: Optional[Mapping[str, Any]] = None,
        *,
        uri: Optional[str] = None,
        experiment: Optional[str] = None,
        name: Optional[str] = None,
        tags: Optional[Mapping[str, str]] = None,
    ) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise NotInstalledError("MLflow", "pip install 'gnnkit[mlflow]'") from error
        self._mlflow = mlflow
        self._settings = dict(settings or {})
        self._uri, self._experiment, self._name, self._tags = uri, experiment, name, dict(tags or {})
        self._client: Any = None
        self._run = ""

    def begin(self, settings: Mapping[str, Any]) -> None:
        """See :class:`Tracker`.

        Raises:
            ConfigError: Runs cannot be tracked there.
        """
        from mlflow.entities import Param

        told = _flat({"model": dict(settings), **self._settings})
        try:
            client = self._mlflow.MlflowClient(tracking_uri=self._uri)
            made = client.create_run(self._experiment_id(client), run_name=self._name, tags=self._tags)
            self._run = made.info.run_id
        except self._mlflow.exceptions.MlflowException as error:
            raise ConfigError(f"MLflow makes no run ({error}). Look at MLFLOW_TRACKING_URI.") from error
        self._client = client
        params = [Param(name, str(value)[:_LONGEST_PARAM]) for name, value in told.items()]
        for start in range(0, len(params), _MOST_PARAMS):
            client.log_batch(self._run, params=params[start : start + _MOST_PARAMS])

    def _experiment_id(self, client: Any) -> str:
        name = self._experiment or "Default"
        found = client.get_experiment_by_name(name)
        return str(client.create_experiment(name) if found is None else found.experiment_id)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """See :class:`Tracker`."""
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """See :class:`Tracker`."""
        if self._client is None:
            return
        for name, value in _flat(summary).items():
            if isinstance(value, (int, float)):
                self._client.log_metric(self._run, f"result.{name}", value)
            else:
                self._client.set_tag(self._run, name, str(value))
        self._client.set_terminated(self._run, _MLFLOW_STATUS[status])
        self._client = None


_LONGEST_PARAM = 6000
_MOST_PARAMS = 100
"""What MLflow takes: characters of a parameter, parameters at a time."""
_MLFLOW_STATUS = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Dict[str, Any]:
    """Nested values under names that are joined by dots."""
    found: Dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


class _Names(NamedTuple):
    """What a run is called elsewhere, and the group that it belongs to."""

    run: str
    group: Optional[str]


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], Path, _Names], Tracker]] = {
    "tensorboard": lambda settings, run_dir, names: TensorBoard(run_dir / "tensorboard"),
    "wandb": lambda settings, run_dir, names: WandB(settings, name=names.run, group=names.group, dir=str(run_dir)),
    "mlflow": lambda settings, run_dir, names: MLflow(
        settings, name=names.run, tags=None if names.group is None else {"group": names.group}
    ),
}
"""How trackers are made by name, from the configuration, the run folder and what the run is called."""


def make_trackers(
    names: Sequence[str], settings: Mapping[str, Any], run_dir: Path, group: Optional[Path] = None
) -> List[Callback]:
    """Trackers by name: "tensorboard", "wandb", "mlflow".

    Args:
        names: Which ones; one that is named twice is made once.
        settings: The merged configuration.
        run_dir: The run folder, which need not be there yet.
        group: The folder of several runs, such as those of a sweep, which has the run folder inside. The run is then
            named by its place in that folder, and the group by the folder. None: a single run.

    Raises:
        UnknownNameError: There is no such tracker.
        NotInstalledError: Its package is missing.
    """
    for name in names:
        if name not in _MAKERS:
            raise UnknownNameError("tracker", name, _MAKERS)
    label = settings.get("name")
    if group is None:
        called = _Names(label or run_dir.name, None)
    else:
        called = _Names(run_dir.relative_to(group).as_posix(), label or group.name)
    return [_MAKERS[name](settings, run_dir, called) for name in dict.fromkeys(names)]
