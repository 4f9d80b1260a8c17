"""Installing plugins for a test: real packages on the path, with metadata, without pip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Mapping


def install(site: Path, name: str, source: str, *, group: str = "backends", distribution: str = "") -> None:
    """Put a module with a class ``Plugin`` and the metadata of its distribution into a folder of the path."""
    distribution = distribution or f"plugin_{name}"
    module = re.sub(r"[-.]", "_", distribution).lower()
    (site / f"{module}.py").write_text(source + "\n")
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gnnkit.{group}]\n{name} = {module}:Plugin\n")


def environment_with(site: Path, **settings: str) -> Dict[str, str]:
    """The environment of a process that finds the folder's plugins."""
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **settings}


def gnnkit_command(environment: Mapping[str, str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gnnkit.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=dict(environment))
