"""Graphs in parts, by DGL's distributed engine (Zheng et al., 2020, arXiv:2010.05337): METIS, servers, ``DistGraph``.

Rules: DGL numbers nodes anew, so that each part has a range; two files say how, one for each direction. It prints a lot
where results of commands go: it goes to the log of servers, and nowhere else.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import signal
import socket
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import ClassVar, Iterator, List, Mapping, Optional, Tuple
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.backends import GraphStore, PartSize, Served
from gnnkit.data import Graph, Neighbors
from gnnkit.errors import ConfigError
from gnnkit_dgl.compat import import_dgl

_CONFIG = "graph.json"
_MEMORY = Path("/dev/shm")
_INNER, _OUTER = "inner.npy", "outer.npy"
"""Files: for each node of the data its number in DGL, and the other way round. int64."""
_FEATURES, _DEGREES = "feat", "degree"
"""Columns of nodes; the name of the parts follows, because DGL calls its shared memory by the column alone."""
_TRIES = "20"
"""How often, three seconds apart, a process tries to reach another one."""


class DglStore(GraphStore):
    """Parts and servers of DGL."""

    def partition(self, graph: Graph, num_parts: int, folder: Path) -> List[PartSize]:
        """See :class:`gnnkit.backends.GraphStore`; by METIS (Karypis and Kumar, 1998)."""
        dgl = import_dgl()
        from dgl import distributed

        assert graph.x is not None, "the caller has looked"
        plain = dgl.graph((graph.indices, graph.dst), num_nodes=graph.num_nodes)
        is_loop = graph.indices == graph.dst
        loops = torch.bincount(graph.indices[is_loop], minlength=graph.num_nodes)
        name = f"gnnkit{uuid4().hex[:12]}"
        plain.ndata[_FEATURES + name] = graph.x.contiguous()
        plain.ndata[_DEGREES + name] = (graph.in_degrees - loops).int()
        with redirect_stdout(io.StringIO()):
            outer, _ = distributed.partition_graph(
                plain, name, num_parts, str(folder), num_hops=1, part_method="metis", return_mapping=True
            )
        (folder / f"{name}.json").rename(folder / _CONFIG)
        inner = torch.empty_like(outer)
        inner[outer] = torch.arange(len(outer))
        np.save(folder / _INNER, inner.numpy())
        np.save(folder / _OUTER, outer.numpy())
        return [_size(folder, part) for part in range(num_parts)]

    def server(self, served: Served) -> List[str]:
        """See :class:`gnnkit.backends.GraphStore`."""
        return [sys.executable, "-m", "gnnkit_dgl.serving"]

    def environment(self, served: Served) -> Mapping[str, str]:
        """See :class:`gnnkit.backends.GraphStore`."""
        addresses = served.scratch / "addresses.txt"
        addresses.write_text("".join(f"{address.replace(':', ' ')}\n" for address in served.addresses))
        return {
            "DGLBACKEND": "pytorch",
            "DGL_CONF_PATH": str(served.folder / _CONFIG),
            "DGL_IP_CONFIG": str(addresses),
            "DGL_NUM_SERVER": "1",
            "DGL_NUM_CLIENT": str(served.num_trainers),
            "DGL_NUM_SAMPLER": "0",
            "DGL_SERVER_ID": str(served.machine),
            "DGL_GRAPH_FORMAT": "csc",
            "DGL_DIST_MAX_TRY_TIMES": _TRIES,
        }

    def clean(self, folder: Path) -> None:
        """Remove shared memory that a server has left behind which was killed."""
        lock = reserved(folder)
        if lock is not None:
            with lock:
                remove_memory(folder)

    def open(self, folder: Path) -> Neighbors:
        """See :class:`gnnkit.backends.GraphStore`."""
        global _opened
        if _opened is None:
            _opened = DglNeighbors(folder)
        return _opened


class DglNeighbors(Neighbors):
    """Edges and features of a ``DistGraph``.

    Args:
        folder: The parts. Where the servers are, the environment says.
    """

    sampling: ClassVar[str] = "by DGL's servers, whose random numbers are their own: samples do not repeat"

    def __init__(self, folder: Path) -> None:
        if "DGL_IP_CONFIG" not in os.environ:
            raise ConfigError(
                "A graph in parts needs servers, which 'gnnkit run --parts DIR' starts. For anything else take the "
                "data set itself: dataset.parts=null."
            )
        import_dgl()
        from dgl import distributed
        from dgl.distributed.dist_context import exit_client

        os.environ.update({"DGL_DIST_MODE": "distributed", "DGL_ROLE": "client"})
        self._name = name_of(folder)
        with _own_signals(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            distributed.initialize(os.environ["DGL_IP_CONFIG"])
            # It would wait for all processes, those included that are gone. The servers are ended by who started them.
            atexit.unregister(exit_client)
            self._graph = distributed.DistGraph(self._name)
        self._inner = np.load(folder / _INNER, mmap_mode="r")
        self._outer = np.load(folder / _OUTER, mmap_mode="r")

    def sample(
        self, nodes: NDArray[np.int64], fanout: int, *, replace: bool
    ) -> Tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See :class:`gnnkit.data.Neighbors`."""
        drawn = self._graph.sample_neighbors(torch.from_numpy(self._inner[nodes]), fanout, replace=replace)
        sources, ends = drawn.edges()
        return self._outer[sources.numpy()], self._outer[ends.numpy()]

    def features(self, nodes: Tensor) -> Tensor:
        """See :class:`gnnkit.data.Neighbors`."""
        rows: Tensor = self._graph.ndata[_FEATURES + self._name][torch.from_numpy(self._inner[nodes.numpy()])]
        return rows.float()

    def degrees(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`gnnkit.data.Neighbors`."""
        found: Tensor = self._graph.ndata[_DEGREES + self._name][torch.from_numpy(self._inner[nodes])]
        return found.numpy().astype(np.int64)


_opened: Optional[DglNeighbors] = None
"""What this process has opened: DGL's client is one a process."""


@contextmanager
def _own_signals() -> Iterator[None]:
    """A context in which DGL puts handlers of its own in the place of this process's, which come back at its end."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)


def name_of(folder: Path) -> str:
    """The name of parts, which shared memory of theirs has in its name."""
    return str(json.loads((folder / _CONFIG).read_text(encoding="utf-8"))["graph_name"])


def reserved(folder: Path) -> Optional[socket.socket]:
    """The right to the shared memory of parts on this machine, until it is closed; None if another process has it.

    Shared memory has the name of the parts, so that two servers of the same parts would write to the same.
    """
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0{name_of(folder)}")  # A name that is no file, and ends with the process.
    except OSError:
        lock.close()
        return None
    return lock


def remove_memory(folder: Path) -> None:
    """Remove the shared memory of parts; only for who has the right to it."""
    for file in _MEMORY.glob(f"*{name_of(folder)}*"):
        with suppress(OSError):
            file.unlink()


def _size(folder: Path, part: int) -> PartSize:
    """How large a part is that has been written."""
    import dgl

    place = folder / f"part{part}"
    (stored,), _ = dgl.load_graphs(str(place / "graph.dgl"))
    return PartSize(
        nodes=int(stored.ndata["inner_node"].sum()),
        edges=int(stored.edata["inner_edge"].sum()),
        stored_nodes=stored.num_nodes(),
        stored_edges=stored.num_edges(),
        bytes=sum(file.stat().st_size for file in place.iterdir()),
    )
