"""What several processes need of a training, and how one that a launcher starts again is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gnnkit.devices import Device
from gnnkit.devices.base import PROCESSES
from gnnkit.errors import CapabilityError, CheckpointError, ConfigError
from gnnkit.io.text import read_json
from gnnkit.parallel import World
from gnnkit.paths import is_file
from gnnkit.runs.checkpoint import FOLDER, state_files
from gnnkit.runs.run_folder import MANIFEST, check_free
from gnnkit.runs.state import state_file
from gnnkit.tasks import Task
from gnnkit.train.settings import TrainConfig

LAUNCHERS = "launchers"
"""Entry of a manifest: the launchers of the run's processes."""


def check_processes(world: World, model: nn.Module, task: Task, device: Device, config: TrainConfig) -> None:
    """Refuse what several processes cannot share.

    Args:
        world: The processes. A single one can do everything.
        model: What is trained.
        task: What is learned.
        device: Runs the steps.
        config: Resolved settings.

    Raises:
        ConfigError: Training is not in batches that can be shared, or the model normalises over batches.
        CapabilityError: The device does not declare it.
    """
    if world.size == 1:
        return
    if PROCESSES not in device.capabilities.updates:
        raise CapabilityError(
            f"Device {device.name!r} does not train in several processes, and there are {world.size}. Take one "
            "process, or another device."
        )
    if config.is_clustered or (task.level != "graphs" and not config.is_sampled):
        kind = "on parts of the graph" if config.is_clustered else "on the full graph"
        raise ConfigError(
            f"Training {kind} is not shared by processes, and there are {world.size}: each would compute all of "
            "it. Give --batch-size or --fanouts (fan-outs of -1 take all neighbours), or take one process."
        )
    found = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    if found:
        raise ConfigError(
            f"The model normalises over batches ({found[0]}), and each of {world.size} processes has only a part of a "
            "batch. Give norm=layer (model.norm=layer), or take one process."
        )


def check_run_dir(path: Path, world: World) -> None:
    """Refuse a run folder that holds something, unless a launcher has started its job again.

    Args:
        path: The folder.
        world: The processes; the first one looks.

    Raises:
        ConfigError: The folder is taken.
        FileError: It cannot be made.
    """

    def check() -> None:
        if not is_earlier_attempt(path, world):
            check_free(path)

    world.from_first(check, "the run folder to be looked at")


def is_earlier_attempt(path: Path, world: World) -> bool:
    """Whether a run folder is of the same job, from before a launcher started its processes again.

    Args:
        path: The folder.
        world: The processes. Of several launchers one may be new, in the place of a machine that was lost.
    """
    manifest = _manifest(path)
    if manifest is None or manifest.get("status") == "complete":
        return False
    known = manifest.get(LAUNCHERS)
    return isinstance(known, list) and any(name in known for name in world.launchers)


def last_state(path: Path) -> Optional[Path]:
    """The last state in a run folder; None if there is none yet."""
    return state_file(path) if state_files(path / FOLDER) else None


def _manifest(path: Path) -> Optional[Dict[str, Any]]:
    if not is_file(path / MANIFEST):
        return None
    try:
        found = read_json(path / MANIFEST, CheckpointError)
    except CheckpointError:
        return None
    return found if isinstance(found, dict) else None
