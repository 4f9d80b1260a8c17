"""The same training with several seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, ClassVar, List, Optional

from gnnkit.errors import ConfigError
from gnnkit.studies.together import Member, Together, member_name, summary_folder, train_one
from gnnkit.train.config import RunConfig


@dataclass(frozen=True)
class SeedsResult(Together):
    """What runs with several seeds say together."""

    kind: ClassVar[str] = "seeds"


def run_seeds(
    config: RunConfig,
    num_seeds: int,
    *,
    report: Callable[[Member], None] = lambda member: None,
    group: Optional[Path] = None,
) -> SeedsResult:
    """Train with several seeds, from the configuration's on.

    Each run is the one that the configuration with this seed gives by itself: initial weights, sampling and dropout
    are those of its seed, and so are splits that are drawn at random.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it. ``run_dir`` is the summary folder, in which each run
            has its folder.
        num_seeds: How many seeds.
        report: Called after each run.
        group: The folder by which trackers group the runs. None: the summary folder.

    Raises:
        ConfigError: The number is none, or runs are to be tracked without a folder.
        GnnkitError: As :func:`gnnkit.train.assemble` and :meth:`gnnkit.Trainer.fit`.

    Example:
        >>> from gnnkit.train import load_config
        >>> config = load_config(overrides=["dataset.name=karate", "train.epochs=5", "device=cpu"])
        >>> result = run_seeds(config, 3)
        >>> [member.labels["seed"] for member in result.members], sorted(result.over("test"))
        ([0, 1, 2], ['accuracy', 'macro_f1'])
    """
    if num_seeds < 1:
        raise ConfigError(f"The number of seeds is {num_seeds}, expected at least 1.")
    home = summary_folder(config)
    members: List[Member] = []
    for seed in range(config.seed, config.seed + num_seeds):
        labels = {"seed": seed}
        each = replace(config, seed=seed, run_dir=None if home is None else str(home / member_name(labels)))
        members.append(Member(labels, train_one(each, group or home)))
        report(members[-1])
        SeedsResult(members, num_seeds, home).write()
    return SeedsResult(members, num_seeds, home)
