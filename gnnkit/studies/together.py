"""Runs that differ in nothing but a seed or a fold, and what they say together.

Rules: each is a run like any other, in a folder inside the summary's, and its configuration says which it is, so it can
be opened and repeated by itself. The summary is written after each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional

from gnnkit.io.files import write_text
from gnnkit.runs import RunResult
from gnnkit.strict_json import to_json
from gnnkit.studies.spread import Spread, spread

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
