"""Finding the run that a configuration has had before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

from gnnkit.errors import GnnkitError
from gnnkit.runs.checkpoint import FOLDER, state_files
from gnnkit.runs.records import read_manifest
from gnnkit.runs.run_folder import MANIFEST, recorded_config

_NOT_COMPARED = frozenset({"run_dir", "init_from", "track", "name", "tags", "notes"})
_OPEN = (None, "auto")
"""What a configuration leaves to a run to fill in."""


def newest_run(config: Mapping[str, Any], root: Path) -> Optional[Path]:
    """The newest run of a configuration of which there is a state to go on from.

    Args:
        config: The configuration as plain values, in the structure of ``config.yaml``. What it leaves open (None,
            "auto") may be anything in the run's.
        root: The folder that has run folders.

    Returns:
        The run folder; None if there is none.
    """
    found = []
    for manifest in root.glob(f"*/{MANIFEST}"):
        run = manifest.parent
        if not state_files(run / FOLDER):
            continue
        try:
            recorded = recorded_config(run)
            started = read_manifest(manifest).get("started")
        except GnnkitError:
            continue  # A damaged run is none to go on from.
        if all(_fits(value, recorded.get(name)) for name, value in config.items() if name not in _NOT_COMPARED):
            found.append((str(started), run.stat().st_mtime_ns, run))
    return max(found)[2] if found else None


def _fits(asked: Any, recorded: Any) -> bool:
    if isinstance(asked, Mapping):
        return isinstance(recorded, Mapping) and all(_fits(value, recorded.get(name)) for name, value in asked.items())
    return asked in _OPEN or asked == recorded
