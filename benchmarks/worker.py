"""The process of one side: ``python -m benchmarks.worker`` with a description on the first line of standard input.

Rules: commands and answers are lines of JSON. Whatever libraries print goes to the standard error stream. The process
obeys its settings of cores and memory before anything is imported that could look at them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any, Dict, Iterator

SIDES = {
    "gnnkit": "benchmarks.sides.ours:TrainerSide",
    "gnnkit-steps": "benchmarks.sides.ours:StepsSide",
    "gnnkit-loading": "benchmarks.sides.ours:LoadingSide",
    "dgl": "benchmarks.sides.dgl_peer:TutorialSide",
    "dgl-loading": "benchmarks.sides.dgl_peer:LoadingSide",
    "dgl-links": "benchmarks.sides.dgl_links:LinkSide",
    "dgl-full": "benchmarks.sides.dgl_peer:FullSide",
    "pyg": "benchmarks.sides.pyg_peer:LoaderSide",
    "pyg-full": "benchmarks.sides.pyg_peer:FullSide",
    "pyg-graphs": "benchmarks.sides.pyg_graphs:GraphSide",
    "dgl-graphs": "benchmarks.sides.dgl_graphs:GraphSide",
    "pyg-hetero": "benchmarks.sides.pyg_typed:HeteroSide",
    "pyg-rgcn": "benchmarks.sides.pyg_typed:RgcnSide",
    "dgl-hetero": "benchmarks.sides.dgl_typed:HeteroSide",
    "dgl-rgcn": "benchmarks.sides.dgl_typed:RelGraphConvSide",
    "dgl-typed-loading": "benchmarks.sides.dgl_typed:LoadingSide",
    "gnnkit-ranking": "benchmarks.sides.ranking:RankingSide",
    "product": "benchmarks.sides.ranking:ProductSide",
    "gnnkit-products": "benchmarks.sides.products:ProductsSide",
    "floor": "benchmarks.sides.floor:FloorSide",
}


class Pipe:
    """Commands from standard input, answers to where standard output was."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        """Wait for commands until there are no more."""
        for line in sys.stdin:
            yield json.loads(line)

    def answer(self, values: Dict[str, Any]) -> None:
        """Answer the last command."""
        self._out.write(json.dumps(values) + "\n")


def main() -> None:
    """Make the side that the first line describes, then serve until standard input ends."""
    pipe = Pipe()
    description = next(iter(pipe))
    try:
        _serve(description["work"], description["side"], pipe)
    except Exception as error:  # The harness reports it as the reason why a row has no figure.
        traceback.print_exc()
        is_absent = type(error).__name__ in ("Absent", "NotInstalledError", "UnavailableError")
        pipe.answer({"absent": str(error)} if is_absent else {"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


def _serve(work_values: Dict[str, Any], side: Dict[str, Any], pipe: Pipe) -> None:
    if side["cores"] is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: side["cores"]])
    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    if side["keep_memory"]:
        from gnnkit.train.allocator import keep_freed_memory

        if not keep_freed_memory():
            raise OSError("this C library does not take the allocator's settings")
    module, name = SIDES[side["runs"]].split(":")
    from benchmarks.graphs import open_graph
    from benchmarks.sides.base import with_seeds
    from benchmarks.work import Work

    make = getattr(importlib.import_module(module), name)
    work = Work.from_dict(work_values)
    make(work, with_seeds(open_graph(work.graph), work), side["settings"]).serve(pipe)


if __name__ == "__main__":
    main()
