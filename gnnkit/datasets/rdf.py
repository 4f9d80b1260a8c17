"""Typed graphs from RDF, and AIFB, the members of an institute."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from gnnkit.data import IGNORED_LABEL, Graph, Notes, from_typed, to_typed
from gnnkit.datasets.base import Dataset, NodeNames, check_option
from gnnkit.datasets.files import DataFile
from gnnkit.datasets.ntriples import is_literal, read_ntriples
from gnnkit.datasets.tables import Table, read_table
from gnnkit.datasets.triples import ENTITY, number_triples, triples_graph
from gnnkit.errors import DatasetError

LITERALS = ("nodes", "drop")
"""What becomes of literals: nodes like others, one for each different literal, or nothing."""


def read_rdf(files: Sequence[Path], *, literals: str = "drop", reverses: bool = True) -> Tuple[Graph, List[str]]:
    """Read a typed graph from N-Triples: one type of nodes, "entity", and a relation for each predicate.

    Triples that are repeated count once. Nodes and relations are in alphabetical order. A relation is called by the
    end of its predicate, from a ``#`` or ``/`` on, that no other predicate has, such as "author".

    Args:
        files: Files of N-Triples.
        literals: One of ``LITERALS``.
        reverses: Whether every relation gets a declared reverse, see :func:`gnnkit.data.add_reverses`.

    Returns:
        The graph, and the names of its nodes.

    Raises:
        DatasetError: A file cannot be read, or holds no triple.
    """
    everything = {triple for file in files for triple in read_ntriples(file)}
    kept = sorted(triple for triple in everything if literals == "nodes" or not is_literal(triple[2]))
    if not everything:
        raise DatasetError(f"{files[0]} holds no triple. Is it the right file?")
    names = short_names(sorted({predicate for _, predicate, _ in everything}))
    triples = number_triples({"train": [(head, names[name], tail) for head, name, tail in kept]})
    dropped = len(everything) - len(kept)
    notes = Notes(
        nodes="numbered in alphabetical order",
        left_out=(f"{dropped:,} triples with a literal",) if dropped else (),
    )
    return triples_graph(triples, reverses=reverses, notes=notes), list(triples.entities)


def short_names(iris: Sequence[str]) -> Dict[str, str]:
    """The shortest end of each IRI, from a ``#`` or ``/`` on, which no other of them has.

    Example:
        >>> short_names(["http://a.org/x#type", "http://b.org/y#type", "http://b.org/y#name"])
        {'http://a.org/x#type': 'x#type', 'http://b.org/y#type': 'y#type', 'http://b.org/y#name': 'name'}
    """
    ends = {iri: [iri[place.end() :] for place in reversed(list(re.finditer("[#/]", iri)))] for iri in iris}
    counts = Counter(end for each in ends.values() for end in each)
    return {iri: next((end for end in each if end and counts[end] == 1), iri) for iri, each in ends.items()}


_GRAPH, _TRAIN, _TEST = "aifb_stripped.nt.gz", "trainingSet.tsv", "testSet.tsv"
_CHECKSUMS = {
    _GRAPH: "ba4191235456e09d8f12a2415f24273b8d7641ffee6001ca9340f02c04d77fea",
    _TRAIN: "5ed245d354691768fc3386f18c66031443317440ff8e2c0706353cb0d35cd73a",
    _TEST: "e384415e23ff4e001e1259810867dda61dfa2547851e9c0b9f130f40f2cb97c1",
}


@dataclass(frozen=True)
class Aifb(Dataset):
    """The members, publications and projects of an institute: 8,285 nodes, 29,043 edges of 45 relations.

    176 of its members belong to one of four groups, which is to be predicted: 140 for training and 36 for testing, as
    published. The relations that say it, ``employs`` and ``affiliation``, have been removed. Every relation has a
    declared reverse, so there are 90. Nodes are all of one type and have no features. ``node_names`` has their IRIs.

    From S. Bloehdorn and Y. Sure, "Kernel methods for mining instance data in ontologies", 2007; splits of P. Ristoski,
    G. de Vries and H. Paulheim, "A collection of benchmark datasets for systematic evaluations of machine learning on
    the semantic web", 2016.

    Attributes:
        reverses: Whether every relation gets a reverse, so that messages flow both ways.
        literals: "nodes": a node for each different literal; "drop": triples with a literal are left out.
    """

    name = "aifb"
    summary = "Members, publications and projects of an institute, 45 relations; members are in 4 groups."
    source: ClassVar[str] = "https://raw.githubusercontent.com/pbloem/gated-rgcn/44d9324f9a68/data/aifb/"

    reverses: bool = True
    literals: str = "nodes"

    def __post_init__(self) -> None:
        check_option(self.requested, "literals", self.literals, self.literals in LITERALS, " or ".join(LITERALS))

    @property
    def files(self) -> Sequence[DataFile]:
        """The triples, and the groups of members by split."""
        return [DataFile(name, self.source + name, checksum) for name, checksum in _CHECKSUMS.items()]

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the published files."""
        graph, names = read_rdf([files[_GRAPH]], literals=self.literals, reverses=self.reverses)
        return with_labels(graph, names, {"train": files[_TRAIN], "test": files[_TEST]})

    def node_names(self, files: Mapping[str, Path]) -> NodeNames:
        """IRIs and literals."""
        return NodeNames(read_rdf([files[_GRAPH]], literals=self.literals, reverses=False)[1])


def with_labels(graph: Graph, names: Sequence[str], files: Mapping[str, Path]) -> Graph:
    """Give nodes the labels in tables.

    Args:
        graph: From :func:`read_rdf`.
        names: Of its nodes.
        files: By split, tables with a column ``person`` and a column ``label_affiliation``, as AIFB has them.

    Raises:
        DatasetError: A table names a node that is none, or one twice.
    """
    tables = {split: read_table(file) for split, file in files.items()}
    for table in tables.values():
        table.require("person", "label_affiliation")
    groups = sorted({group for table in tables.values() for group in table.text("label_affiliation")})
    y = np.full(len(names), IGNORED_LABEL)
    places, splits = {name: place for place, name in enumerate(names)}, {}
    for split, table in tables.items():
        found = [_node(table, row, name, places, y) for row, name in enumerate(table.text("person"))]
        splits[split] = np.array(found, dtype=np.int64)
        y[splits[split]] = [groups.index(group) for group in table.text("label_affiliation")]
    notes = replace(graph.notes, labels="column 'label_affiliation'", splits="as published")
    short = short_names(groups)
    labels = {"y": {ENTITY: y}, "splits": {ENTITY: splits}, "class_names": {ENTITY: [short[each] for each in groups]}}
    return from_typed(**{**to_typed(graph), **labels, "notes": notes})


def _node(table: Table, row: int, name: str, places: Mapping[str, int], y: np.ndarray) -> int:
    place = places.get(name)
    if place is None or y[place] != IGNORED_LABEL:
        problem = "no node has this name" if place is None else "the node has a label already"
        raise DatasetError(f"{table.place('person', row)}: {name!r}, {problem}.")
    return place
