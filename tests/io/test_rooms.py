"""Bytes become values in ``gnnkit.io`` alone."""

from __future__ import annotations

import re
from pathlib import Path

import gnnkit

HOME = Path(gnnkit.__file__).parent
OPENERS = re.compile(
    r"np\.(?:load|loadtxt|fromfile|memmap)\(|json\.loads?\(|pickle\.loads?\(|yaml\.\w*load|torch\.load\(|zipfile\.ZipFile\("
    r"|gzip\.open\(|parquet\.ParquetFile\(|pandas\.read_parquet\(|safe_open\(|OmegaConf\.load|\.read_text\(|\.read_bytes\("
)
ALLOWED = {
    "cli/new_plugin.py": "templates of gnnkit's own",
    "cli/processes.py": "what its own processes have printed",
    "convert/state_files.py": "torch.load with weights_only, after gnnkit.io has looked at the layout",
    "datasets/cache.py": "what it has just written, and whether a file is meta.json at all",
    "datasets/facebook.py": "text that gnnkit.io has read",
    "datasets/edge_sorting.py": "its own temporary files",
    "datasets/tu.py": "text that gnnkit.io has read",
    "datasets/triples.py": "text that gnnkit.io has read",
    "devices/processor.py": "/proc",
    "measure/trial.py": "what its own processes print",
    "parallel/servers.py": "what its own servers print",
    "parallel/sharing.py": "memory that processes of one training share",
    "parallel/watch.py": "words of processes of one training",
    "parity/memory.py": "/proc",
    "probing.py": "answers of its own processes",
    "studies/space.py": "values that it has written into its own study",
}


def test_no_other_module_opens_files_of_strangers() -> None:
    found = {
        file.relative_to(HOME).as_posix()
        for file in HOME.rglob("*.py")
        if not {"io", "testing"} & set(file.relative_to(HOME).parts[:-1]) and OPENERS.search(file.read_text())
    }
    assert found <= set(ALLOWED), found - set(ALLOWED)
    assert set(ALLOWED) <= found, set(ALLOWED) - found
