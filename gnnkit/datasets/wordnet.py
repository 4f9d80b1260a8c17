"""WN18RR: words and how they are related."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Mapping, Sequence

from gnnkit.data import Graph
from gnnkit.datasets.base import Dataset, NodeNames
from gnnkit.datasets.files import DataFile
from gnnkit.datasets.triples import ID_FILES, read_id_files, read_triples

_CHECKSUMS = (
    "f527c42d07034357ab44f358c645a5da539f62010931c9a06129c88b3b5f8b87",
    "72d6dc150ac943c07d1b4fd00fb1cf4baa9d5d3fea3064da5ab2a44497299988",
    "5bc06b8ff99cc6792a4fb455371de3b2ea7d5564d4da8e8ea34cdc81d70fd013",
    "5cf2dc67befb085ff06677440845bac6f12b20238d2bd49eb5b158c30d718725",
    "3a0017f54a2c375922e44433e4ffe65a88b633efaf7aa6cf570c02648c60c38d",
)


@dataclass(frozen=True)
class WordNet(Dataset):
    """40,943 meanings of English words and 93,003 triples of 11 relations between them.

    Triples of training are the edges, each relation with a declared reverse; ``links`` has the triples of all splits,
    as published: 86,835 for training, 3,034 and 3,134 to judge. Nodes have no features; ``node_names`` has their
    numbers in WordNet.

    From T. Dettmers, P. Minervini, P. Stenetorp and S. Riedel, "Convolutional 2D knowledge graph embeddings", 2018.

    Attributes:
        reverses: Whether every relation gets a reverse, so that messages flow both ways.
    """

    name = "wn18rr"
    summary = "Knowledge graph of 40,943 meanings of words, 11 relations."
    source: ClassVar[str] = "https://raw.githubusercontent.com/thunlp/OpenKE/64c4ec8157ab/benchmarks/WN18RR/"

    reverses: bool = True

    @property
    def files(self) -> Sequence[DataFile]:
        """The five published files."""
        return [DataFile(name, self.source + name, checksum) for name, checksum in zip(ID_FILES, _CHECKSUMS)]

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the published files."""
        return read_triples(files, reverses=self.reverses, drop_known=False)[0]

    def node_names(self, files: Mapping[str, Path]) -> NodeNames:
        """Numbers in WordNet."""
        return NodeNames(list(read_id_files(files).entities))
