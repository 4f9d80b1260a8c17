"""Runs that differ in nothing but a seed or a fold, and what they say together.

Rules: each is a run like any other, in a folder inside the summary's, and its configuration says which it is, so it can
be opened and repeated by itself. The summary is written after each of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence

from gnnkit.data import Graph
from gnnkit.errors import ConfigError
from gnnkit.io.files import write_text
from gnnkit.paths import user_path
from gnnkit.runs import Callback, RunResult
from gnnkit.runs.run_folder import check_free
from gnnkit.strict_json import to_json
from gnnkit.studies.spread import Spread, spread
from gnnkit.train.assembling import assemble, load_data
from gnnkit.train.config import RunConfig
from gnnkit.train.trackers import make_trackers

SUMMARY = "summary.json"
"""The file in the summary folder that holds :meth:`Together.summary`."""


@dataclass(frozen=True)
class Member:
    """One of the runs.

    Attributes:
        labels: Which it is, by name: "seed"; or "fold", behind "repeat" where folds are repeated.
        result: Its training.
    """

    labels: Mapping[str, int]
    result: RunResult

    @property
    def name(self) -> str:
        """What it and its folder are called, such as "seed-3"."""
        return member_name(self.labels)


def member_name(labels: Mapping[str, int]) -> str:
    """What a run and its folder are called, by its labels.

    Example:
        >>> member_name({"repeat": 0, "fold": 3})
        'repeat-0-fold-3'
    """
    return "-".join(f"{name}-{value}" for name, value in labels.items())


@dataclass(frozen=True)
class Together:
    """What several runs say together.

    Attributes:
        members: The runs, in order.
        asked: How many there are to be.
        run_dir: The summary folder; None if none was asked for.
    """

    kind: ClassVar[str] = "runs"
    """What the members are: "seeds" or "folds"."""

    members: List[Member]
    asked: int
    run_dir: Optional[Path] = None

    def over(self, split: str = "test") -> Dict[str, Spread]:
        """Mean, sample standard deviation and confidence interval of each metric, by name.

        Args:
            split: "test" or "valid".
        """
        metrics: List[Mapping[str, float]] = [getattr(member.result, split) for member in self.members]
        return {name: spread([each[name] for each in metrics]) for name in metrics[0]}

    def summary(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit run --json`` prints them."""
        first = self.members[0].result
        values: Dict[str, Any] = {
            "kind": self.kind,
            "backend": first.backend,
            "device": first.device,
            "dataset": first.dataset,
            "model": first.model.spec.name,
            "metric": first.metric,
            "runs": len(self.members),
            "complete": len(self.members) == self.asked,
        }
        for split in ("valid", "test"):
            values.update({f"{split}_{name}": found.to_dict() for name, found in self.over(split).items()})
        values["members"] = [
            {
                "labels": dict(member.labels),
                "best_epoch": member.result.best_epoch,
                "valid": member.result.valid,
                "test": member.result.test,
                "seconds": member.result.seconds,
                "run_dir": None if member.result.run_dir is None else str(member.result.run_dir),
            }
            for member in self.members
        ]
        values["run_dir"] = None if self.run_dir is None else str(self.run_dir)
        return values

    def write(self) -> None:
        """Write the summary into its folder, if there is one."""
        if self.run_dir is not None:
            write_text(self.run_dir / SUMMARY, to_json(self.summary(), indent=2) + "\n")


def summary_folder(config: RunConfig) -> Optional[Path]:
    """The folder that a configuration names for several runs; None if it names none.

    Raises:
        ConfigError: The folder is taken, or runs are to be tracked and there is none.
        GnnkitError: Trackers are not there; this is told before data are loaded.
    """
    if config.run_dir is None:
        if config.track:
            raise ConfigError("track needs a folder for the runs. Give run_dir.")
        return None
    home = user_path(config.run_dir, "run_dir")
    check_free(home)
    make_trackers(config.track, asdict(config), home)
    return home


class SharedData:
    """The data of several runs, read once as long as one names what the last one did."""

    def __init__(self) -> None:
        self._arguments: Dict[str, Any] = {}
        self._graph: Optional[Graph] = None

    def of(self, config: RunConfig) -> Optional[Graph]:
        """The data that a configuration names, not split; None where they lie in parts."""
        if config.dataset.parts is not None:
            return None
        arguments = config.dataset.arguments(config.seed)
        if self._graph is None or arguments != self._arguments:
            self._graph, self._arguments = load_data(config, split=False), arguments
        return self._graph


def train_one(
    config: RunConfig, group: Optional[Path], *, data: Optional[Graph] = None, callbacks: Sequence[Callback] = ()
) -> RunResult:
    """Train one of several runs, followed by the trackers that the configuration names.

    Args:
        config: The run's.
        group: The folder of all runs that belong together, as :func:`make_trackers` takes it.
        data: As for :func:`assemble`.
        callbacks: Further listeners.
    """
    trainer, model, graph = assemble(config, data=data)
    trainer.callbacks = [*trainer.callbacks, *callbacks]
    if group is not None:
        folder = user_path(str(config.run_dir))
        trainer.callbacks += make_trackers(config.track, asdict(config), folder, group)
    return trainer.fit(model, graph)
