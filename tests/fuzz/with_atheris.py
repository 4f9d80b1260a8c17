"""Fuzzing that is led by coverage, for whoever has atheris: it finds its own ways through the readers of ``gnnkit.io``.

Run it with ``python -m tests.fuzz.with_atheris CORPUS -max_total_time=600`` in an environment that has atheris and
gnnkit; CORPUS is a folder in which it keeps what reached something new. The first byte of an input picks the reader.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Callable, List, Tuple

import atheris

os.environ["NUMBA_DISABLE_JIT"] = "1"  # What is instrumented cannot be compiled.

with atheris.instrument_imports(include=["gnnkit.io", "gnnkit.datasets", "gnnkit.runs"]):
    import gnnkit
    from gnnkit.convert.state_files import read_state_dict
    from gnnkit.datasets.edge_files import read_edges
    from gnnkit.datasets.gin import _parse as parse_gin
    from gnnkit.datasets.tables import read_array, read_arrays, read_table
    from gnnkit.io.pickles import read_pickle, read_torch_file
    from gnnkit.io.text import read_json, unpacked_text
    from gnnkit.io.yaml_files import read_yaml
    from gnnkit.runs import read_learned, read_weights
    from gnnkit.runs.records import read_history, read_manifest

READERS: List[Tuple[str, Callable[[Path], Any]]] = [
    (".npy", read_array),
    (".npz", read_arrays),
    (".csv", read_table),
    (".parquet", read_table),
    (".pkl", read_pickle),
    (".pt", read_torch_file),
    (".pt", read_state_dict),
    (".json", read_json),
    (".yaml", read_yaml),
    (".gz", unpacked_text),
    (".txt", lambda file: [len(edges) for edges, _ in read_edges(file, None, 1 << 16)]),
    (".txt", parse_gin),
    (".safetensors", read_weights),
    (".safetensors", read_learned),
    (".jsonl", read_history),
    (".json", read_manifest),
]


def seeds(folder: Path) -> None:
    """Good files of every kind, from which to begin."""
    from tests.fuzz.targets import TARGETS

    folder.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as home:
            target.write(Path(home))
            for file in [file for file in Path(home).rglob("*") if file.is_file()]:
                for number, (suffix, _) in enumerate(READERS):
                    if file.suffix == suffix:
                        (folder / f"{target.name}-{file.name}-{number}").write_bytes(
                            bytes([number]) + file.read_bytes()
                        )


def main() -> None:
    """Fuzz until libFuzzer's own arguments say that it is enough."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    home = Path(tempfile.mkdtemp(prefix="gnnkit-atheris-"))
    seeds(Path(sys.argv[1]))

    def one(content: bytes) -> None:
        if not content:
            return
        suffix, read = READERS[content[0] % len(READERS)]
        file = home / f"input{suffix}"
        file.write_bytes(content[1:])
        try:
            read(file)
        except gnnkit.GnnkitError:
            return

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
