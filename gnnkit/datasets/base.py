"""What a data set is: a class that names its files and reads them.

Rules: options are the fields of a frozen dataclass, so that unknown ones are refused by name and the docstring lists
them. ``read`` turns files into a ``Graph``; its result is cached on disk when there are files, so then it must not
depend on the seed. What does depend on it, a random split, belongs to ``split``, which runs at every load.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Type, TypeVar

from gnnkit.data import Graph, random_split
from gnnkit.datasets.files import DataFile, Finder
from gnnkit.errors import ConfigError, DataError
from gnnkit.options import Option, describe_options, make_options
from gnnkit.registry import API_VERSION, Registry

D = TypeVar("D", bound="Dataset")
_OURS = ("requested", "seed")


@dataclass(frozen=True)
class NodeNames:
    """What a data set calls its nodes and their features.

    Attributes:
        ids: Names of the nodes, in their order. None: they are numbered from 0.
        features: Names of the features, in the order of the columns of ``Graph.x``. None: they have none.
    """

    ids: Optional[Sequence[str]] = None
    features: Optional[Sequence[str]] = None


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set. Plugins of the entry-point group ``gnnkit.datasets`` derive from it.

    A subclass is a frozen dataclass too: its fields, all with defaults, are the options that users can give.

    Attributes:
        name: Name of the entry point.
        summary: One line for ``gnnkit datasets``.
        api_version: Version of the plugin interface that the class was written for.
        version: Raise it when ``read`` gives something else for the same files: old caches are then left alone.
        keeps: Whether what ``read`` makes is kept in the cache even without files, because making it takes long.
        is_family: Whether the class also serves every name that starts with ``name`` and a dash.
        requested: The name that the user asked for; equals ``name`` except in a family.
        seed: Seed of everything random.

    Example:
        >>> @dataclass(frozen=True)
        ... class Pair(Dataset):
        ...     name = "pair"
        ...     summary = "Two nodes and an edge."
        ...     weight: float = 1.0
        ...     def read(self, files):
        ...         from gnnkit.data import from_edge_index
        ...         return from_edge_index([[0], [1]], edge_weight=[self.weight])
        >>> Pair(weight=2.0).read({}).edge_weight
        tensor([2.])
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    api_version: ClassVar[int] = API_VERSION
    version: ClassVar[int] = 1
    keeps: ClassVar[bool] = False
    is_family: ClassVar[bool] = False

    requested: str = ""
    seed: int = 0

    @property
    def files(self) -> Sequence[DataFile]:
        """Files that the data set needs; none if it is built in or computed."""
        return ()

    @property
    def evaluator(self) -> Optional[str]:
        """What the Open Graph Benchmark calls the data, if its own evaluator is to judge them. None: it is not."""
        return None

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the files, or download them.

        Args:
            finder: Knows the places where files may lie, and how to download.

        Returns:
            Paths by file name; their content decides which prepared copy in the cache is used.

        Raises:
            DatasetError: They are nowhere and cannot be downloaded.
        """
        return finder.find(self.files) if self.files else {}

    def reads_in_place(self, files: Mapping[str, Path]) -> bool:
        """Whether ``read`` opens these files as they are, so that a copy in the cache would only take time and room."""
        return False

    @abstractmethod
    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read or compute the graph.

        Args:
            files: What ``locate`` returned.

        Returns:
            A checked graph.

        Raises:
            DatasetError: A file cannot be read; the message names it.
        """

    def node_names(self, files: Mapping[str, Path]) -> NodeNames:
        """Names that the files give to nodes and features, which a graph does not hold; by default there are none.

        Args:
            files: What ``locate`` returned.
        """
        return NodeNames()

    def split(self, graph: Graph) -> Graph:
        """Give the graph its splits if they depend on the seed; by default it is returned as it is."""
        return graph

    def options(self) -> Dict[str, Any]:
        """The values of all options."""
        return {key: value for key, value in asdict(self).items() if key not in _OURS}

    @classmethod
    def describe_options(cls) -> List[Option]:
        """All options in words."""
        return describe_options(cls, leave_out=_OURS)


def seeded_split(graph: Graph, seed: int) -> Graph:
    """The 60/20/20 split that data without a published one get; a graph with splits is returned as it is.

    So is one with too few labelled nodes for three splits, which may be there to be predicted on, and a typed graph
    unless nodes of one type alone have labels.
    """
    if graph.splits or (graph.typed is not None and (graph.typed.splits or len(graph.typed.y) != 1)):
        return graph
    try:
        drawn = random_split(graph, 0.6, 0.2, seed=seed)
    except DataError:
        return replace(graph, notes=replace(graph.notes, splits="there are too few labelled nodes to draw any"))
    return replace(drawn, notes=replace(graph.notes, splits=f"drawn by seed {seed}, because the data have none"))


datasets: Registry[Dataset] = Registry("gnnkit.datasets", "data set", Dataset)  # type: ignore[type-abstract]
"""All installed data sets."""


def dataset_class(name: str) -> Type[Dataset]:
    """The class that serves a name: its own, or that of the family before one of its dashes.

    Raises:
        UnknownNameError: There is none.
    """
    family = _family(name)
    return datasets.load(name) if family is None else family


def is_served(name: str) -> bool:
    """Whether a data set has this name or is of a family that serves it."""
    return name in datasets.names() or _family(name) is not None


def _family(name: str) -> Optional[Type[Dataset]]:
    known = datasets.names()
    parts = name.split("-")
    for end in range(len(parts) - 1, 0, -1):
        prefix = "-".join(parts[:end])
        if name not in known and prefix in known and datasets.load(prefix).is_family:
            return datasets.load(prefix)
    return None


def create(cls: Type[D], requested: str, seed: int, options: Mapping[str, Any]) -> D:
    """Make a data set with options, which are checked by name and by type.

    Raises:
        UnknownNameError: There is no such option.
        ConfigError: A value has the wrong type.
    """
    return make_options(cls, options, f"data set {requested!r}", requested=requested, seed=seed)


def check_option(requested: str, key: str, value: Any, is_good: bool, expected: str) -> None:
    """Refuse the value of an option.

    Raises:
        ConfigError: ``is_good`` is false; the message says what was received and what was expected.
    """
    if not is_good:
        raise ConfigError(f"Option {key!r} of data set {requested!r} is {value!r}, expected {expected}.")
