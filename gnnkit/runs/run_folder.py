"""The folder of a run: configuration, manifest, metrics, checkpoints, plots, and pairs that are judged.

Rules: the folder is filled only when everything has been checked; ``manifest.json`` says ``"status": "complete"`` only
when every other file is there, and "running", "failed" or "interrupted" otherwise. Two runs never share a folder: who
makes the folder of checkpoints has it.
"""

from __future__ import annotations

import platform
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional

import torch
from torch import Tensor

import gnnkit
from gnnkit.data import Links
from gnnkit.errors import ConfigError, FileError
from gnnkit.io.files import append_line, write_text
from gnnkit.io.yaml_files import read_yaml, write_yaml
from gnnkit.nn import GNN, ModelSpec
from gnnkit.paths import PathLike, check_writable, is_file, user_path, writing
from gnnkit.runs.callback import Callback
from gnnkit.runs.checkpoint import BEST, FOLDER, write_weights
from gnnkit.runs.circumstances import circumstances
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.judged_links import LINKS, write_links
from gnnkit.runs.learned import Learned
from gnnkit.runs.plots import plot_curves
from gnnkit.runs.records import learned_of, read_history, read_manifest
from gnnkit.runs.state import TrainState
from gnnkit.stages import stage
from gnnkit.strict_json import to_json

MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"
CONFIG = "config.yaml"
_MAPPINGS = ("options", "fanouts")
"""What the names of settings end with that may be mappings."""


class RunFolder(Callback):
    """Writes a run to disk while it goes on.

    Args:
        path: The folder; must not exist, or be empty.
        config: The merged configuration.
        facts: What the manifest says besides versions, circumstances and times: backend, device, data, what is learned.
        weights: Gives the current weights by canonical name, those of the task's head among them. None: the model's.
        links: Pairs, of which those that are judged are kept. None: there are none.
        again: Whether the folder is of an earlier attempt at this run, which goes on in it.

    Raises:
        ConfigError: The folder exists and holds something else.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        weights: Optional[Callable[[], Dict[str, Tensor]]] = None,
        links: Optional[Links] = None,
        again: bool = False,
    ) -> None:
        if not again:
            check_free(path)
        self._again = again
        self.path = path
        self._config = dict(config)
        self._weights = weights
        self._links = links
        self._learned = Learned.among(facts)
        self._manifest: Dict[str, Any] = {
            "status": "running",
            "started": _now(),
            "finished": None,
            **environment(),
            **circumstances(),
            **facts,
        }
        self._model: Optional[GNN] = None

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """See :class:`Callback`."""
        with writing(self.path / FOLDER):
            try:
                (self.path / FOLDER).mkdir(exist_ok=self._again)
            except FileExistsError:
                raise _taken(self.path) from None
            try:
                self._write_manifest()
                write_yaml(self.path / CONFIG, self._config)
                if self._links is not None:
                    write_links(self.path / LINKS, self._links)
                (self.path / "plots").mkdir(exist_ok=self._again)
                if self._again and (self.path / METRICS).exists():
                    (self.path / METRICS).unlink()  # It has the history again from where training goes on.
            except BaseException:
                if self._again:
                    raise
                for file in (MANIFEST, CONFIG, LINKS):
                    with suppress(OSError):
                        (self.path / file).unlink()
                shutil.rmtree(self.path / FOLDER, ignore_errors=True)
                raise
        self._model = model

    def on_resume(self, state: TrainState) -> None:
        """See :class:`Callback`; the folder gets the whole history and the best weights of the earlier run."""
        for record in state.history:
            self.on_epoch(record)
        if state.best_weights:
            file = self.path / FOLDER / BEST
            write_weights(file, state.spec, state.best_weights, state.model_seed, self._learned)

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        append_line(self.path / METRICS, to_json(record.to_dict()))

    def on_best(self, model: GNN, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        values = model.canonical_state() if self._weights is None else self._weights()
        write_weights(self.path / FOLDER / BEST, model.spec, values, model.seed, self._learned)

    def on_end(self, result: RunResult) -> None:
        """See :class:`Callback`."""
        with stage("drawing curves"):
            plot_curves(result.history, result.metric, result.best_epoch, self.path / "plots" / "curves.png")
        self._finish("complete", result=result.summary())

    def on_error(self, error: BaseException) -> None:
        """See :class:`Callback`."""
        if self._model is not None:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with suppress(FileError):  # What ended the run may be that nothing can be written any more.
                self._finish(status, error=f"{type(error).__name__}: {error}")

    def _finish(self, status: str, **facts: Any) -> None:
        self._manifest.update(status=status, finished=_now(), **facts)
        self._write_manifest()

    def _write_manifest(self) -> None:
        write_text(self.path / MANIFEST, to_json(self._manifest, indent=2) + "\n")


def write_judged(path: Path, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the folder of a run that trained nothing: configuration and manifest.

    Args:
        path: The folder; must not exist, or be empty.
        config: The merged configuration.
        facts: What the manifest says besides versions and times.

    Raises:
        FileError: It cannot be written.
    """
    now = _now()
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        write_yaml(path / CONFIG, config)
        manifest = {"status": "complete", "started": now, "finished": now, **environment(), **circumstances(), **facts}
        write_text(path / MANIFEST, to_json(manifest, indent=2) + "\n")


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says about a run.

    Attributes:
        manifest: Versions, backend, device, data, what the model has learned, result.
        history: One record per epoch.
    """

    manifest: Dict[str, Any]
    history: List[EpochRecord]

    @property
    def is_complete(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.manifest.get("status") == "complete")


def read_run(path: PathLike) -> RunRecord:
    """Read what a run folder says.

    Raises:
        ConfigError: It is no run folder, or one of its files is missing or damaged.
    """
    path = user_path(path, "The run folder")
    manifest_file, metrics_file = path / MANIFEST, path / METRICS
    if not is_file(manifest_file):
        raise ConfigError(f"{path} is no run folder: it has no {MANIFEST}. Give a folder that gnnkit run made.")
    manifest = read_manifest(manifest_file)
    if manifest.get("trained") is False:
        raise ConfigError(
            f"The run {path} judged a heuristic, {manifest['model'].get('name')}: it has no epochs and no weights to "
            f'open. The result is in its {MANIFEST}, under "result".'
        )
    if not metrics_file.is_file():
        cause = f" ({manifest['status']}: {manifest['error']})" if manifest.get("error") else ""
        raise ConfigError(f"The run {path} has no {METRICS}: it ended before its first epoch did{cause}.")
    history = read_history(metrics_file)
    if not history:
        raise ConfigError(f"The run {path} has no epoch in its {METRICS}: it was killed in its first. Start it again.")
    _check_described(manifest, manifest_file)
    return RunRecord(manifest, history)


def _check_described(manifest: Mapping[str, Any], file: Path) -> None:
    """Refuse a description of a model that is none."""
    if "learned" in manifest:
        learned_of(manifest["learned"], f"{file} is damaged: it", ConfigError)
    if manifest.get("custom_model"):
        return
    try:
        ModelSpec.from_dict(manifest["model"])
    except (ConfigError, TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ConfigError(f"{file} is damaged: it describes no model ({type(error).__name__}: {error}).") from error


def is_unfinished(run: PathLike) -> bool:
    """Whether a run has not come to its end, as far as its manifest says.

    Args:
        run: The run folder, or a file of its checkpoints, whose folder may have no manifest.
    """
    path = user_path(run, "The run folder")
    manifest = (path if path.is_dir() else path.parent.parent) / MANIFEST
    return manifest.is_file() and read_manifest(manifest)["status"] != "complete"


def recorded_config(path: PathLike, device: Optional[str] = None) -> Dict[str, Any]:
    """The configuration of a run, to build another one on.

    Args:
        path: The run folder.
        device: The device that the other run is to have. Settings of a device are left out if it is another one.

    Raises:
        ConfigError: It has none, or it cannot be read.
    """
    file = user_path(path, "The run folder") / CONFIG
    config = read_yaml(file)
    for section in ("dataset", "model", "train"):
        values = config.get(section) or {}
        if not isinstance(values, dict):
            raise ConfigError(f"{file} is damaged: {section} is {str(values)[:40]!r}, expected a section.")
        odd = [key for key, value in values.items() if isinstance(value, dict) and not str(key).endswith(_MAPPINGS)]
        if odd:
            raise ConfigError(f"{file} is damaged: {section}.{odd[0]} is a section, expected a value.")
    if device is not None and device != config.get("device"):
        config.pop("device_options", None)
    return config


def environment() -> Dict[str, Any]:
    """Versions of what every run uses."""
    return {"gnnkit": gnnkit.__version__, "python": platform.python_version(), "torch": torch.__version__}


def check_free(path: Path) -> None:
    """Refuse a run folder that already holds something.

    Raises:
        ConfigError: The path is taken.
        FileError: No folder can be made there.
    """
    check_writable(path, as_folder=True)
    if path.exists() and any(path.iterdir()):
        raise _taken(path)


def _taken(path: Path) -> ConfigError:
    return ConfigError(f"The run folder {path} already exists. Choose another one, or remove it.")


def new_run_dir(root: Path, *words: str) -> Path:
    """Make an empty folder for a run, called by date, time and what the run is about.

    No two calls give the same folder, in whatever processes they are made. What does not start its run gives the folder
    back with :func:`drop_run_dir`.

    Args:
        root: Folder in which it is made; made itself if it is not there.
        words: What the run is about.

    Raises:
        FileError: It cannot be made.
    """
    stem = "-".join(
        [datetime.now().strftime("%Y%m%d-%H%M%S"), *(word.replace("/", "_")[:_LONGEST_WORD] for word in words)]
    )
    number = 1
    while True:
        candidate = root / (stem if number == 1 else f"{stem}-{number}")
        with writing(candidate):
            try:
                candidate.mkdir()
                return candidate
            except FileExistsError:
                number += 1


@contextmanager
def run_dir_or_new(given: Optional[PathLike], root: Path, *words: str) -> Iterator[Path]:
    """The folder that a run is given, or a new one, which is removed again if nothing was put into it.

    Args:
        given: The folder. None: a new one.
        root: As for :func:`new_run_dir`.
        words: Likewise.

    Raises:
        FileError: A new one cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     with run_dir_or_new(None, Path(home) / "runs", "cora") as folder:
        ...         was_there = folder.is_dir()
        ...     was_there, folder.exists()
        (True, False)
    """
    if given is not None:
        yield user_path(given, "The run folder")
        return
    made = new_run_dir(root, *words)
    try:
        yield made
    finally:
        drop_run_dir(made)  # Where a run has begun it is not empty, and stays.


def drop_run_dir(path: Path) -> None:
    """Remove a folder that :func:`new_run_dir` made, and the one above it, if they are empty."""
    with suppress(OSError):
        path.rmdir()
        path.parent.rmdir()


_LONGEST_WORD = 60
"""Characters of a word in the name of a folder: a name has 255 bytes at most."""


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
