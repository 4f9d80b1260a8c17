"""The ``GraphStore`` interface: how a library keeps a graph in parts, one a machine, and serves them.

Rules: a store knows its own files and its own servers. Who starts and ends these is written once, above it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Sequence

from gnnkit.data import Graph, Neighbors


@dataclass(frozen=True)
class PartSize:
    """How large a part is.

    Attributes:
        nodes: Its own nodes.
        edges: Its own edges.
        stored_nodes: Nodes that it stores: its own, and ends of its edges that are another part's.
        stored_edges: Edges that it stores.
        bytes: What its files take.
    """

    nodes: int
    edges: int
    stored_nodes: int
    stored_edges: int
    bytes: int


@dataclass(frozen=True)
class Served:
    """Where the parts of a graph are served.

    Attributes:
        folder: The parts, as this machine sees them.
        machine: Number of this machine, which is that of its part.
        addresses: "HOST:PORT" of each machine's server.
        num_trainers: Processes that will ask, of all machines.
        scratch: A folder of this job's own, for files that servers and trainers read.
    """

    folder: Path
    machine: int
    addresses: Sequence[str]
    num_trainers: int
    scratch: Path


class GraphStore(ABC):
    """How a library keeps a graph in parts. :meth:`gnnkit.backends.Backend.store` gives it."""

    @abstractmethod
    def partition(self, graph: Graph, num_parts: int, folder: Path) -> List[PartSize]:
        """Cut a graph, and write its parts.

        Args:
            graph: With features.
            num_parts: How many parts.
            folder: An empty folder.

        Returns:
            The sizes of the parts.
        """

    @abstractmethod
    def server(self, served: Served) -> List[str]:
        """The command of the server of this machine's part.

        It runs until it is ended, and takes the environment of :meth:`environment`.
        """

    @abstractmethod
    def environment(self, served: Served) -> Mapping[str, str]:
        """What the environment of this machine's server and trainers needs."""

    def clean(self, folder: Path) -> None:
        """Remove what a server has left behind on this machine that was killed.

        Args:
            folder: What :meth:`partition` has written.
        """

    @abstractmethod
    def open(self, folder: Path) -> Neighbors:
        """Edges and features, in a trainer, once a process; its servers have been started.

        Args:
            folder: What :meth:`partition` has written.
        """
