"""What is fuzzed of typed graphs: folders of tables, triples and RDF, saved graphs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Dict

import numpy as np

from gnnkit.datasets import load_dataset, save_graph

_TABLES: Dict[str, str] = {
    "nodes/paper.csv": "id,label,split,year\n" + "".join(f"p{i},{'ab'[i % 2]},train,{1990 + i}\n" for i in range(8)),
    "nodes/author.csv": "id\n" + "".join(f"a{i}\n" for i in range(4)),
    "edges/author__writes__paper.csv": "source,target,weight\n" + "".join(f"a{i % 4},p{i},{i / 3}\n" for i in range(8)),
    "edges/back.csv": "source,target\n" + "".join(f"p{i},a{i % 4}\n" for i in range(8)),
    "edges/paper__in__venue.csv": "source,target\n" + "".join(f"p{i},{i % 3}\n" for i in range(8)),
    "pairs/paper__cites__paper.csv": "source,target,split\np0,p1,train\np2,p3,test\n",
    "edges/paper__cites__paper.csv": "source,target\np0,p1\n",
}
_SETTINGS = {
    "relations": {"back": ["paper", "written_by", "author"]},
    "reverses": {"writes": "written_by"},
    "num_nodes": {"venue": 4},
}
_IDS: Dict[str, str] = {
    "entity2id.txt": "6\n" + "".join(f"e{i}\t{i}\n" for i in range(6)),
    "relation2id.txt": "2\nlikes\t0\nknows\t1\n",
    "train2id.txt": "5\n" + "".join(f"{i} {i + 1} {i % 2}\n" for i in range(5)),
    "valid2id.txt": "1\n0 3 1\n",
    "test2id.txt": "1\n0 4 0\n",
}
_FACT = (
    '<http://a.org/e#{0}> <http://a.org/v#knows> <http://a.org/e#{1}> .\n_:n{0} <http://a.org/v#in> "\\u00e4{0}"@en .\n'
)
_RDF = "".join(_FACT.format(i, i + 1) for i in range(8))


def write_typed(folder: Path) -> None:
    """Tables by type and relation."""
    for name, content in {**_TABLES, "meta.json": json.dumps(_SETTINGS)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "features").mkdir()
    np.save(folder / "features" / "venue.npy", np.eye(4, dtype=np.float32))


def write_ids(folder: Path) -> None:
    """Triples as numbers."""
    for name, content in _IDS.items():
        (folder / name).write_text(content)


def write_names(folder: Path) -> None:
    """Triples as names."""
    (folder / "train.tsv").write_text("".join(f"e{i}\tr{i % 3}\te{i + 1}\n" for i in range(9)))
    (folder / "test.tsv").write_text("e0\tr1\te5\n")


def write_rdf(folder: Path) -> None:
    """N-Triples, one file of them packed."""
    (folder / "facts.nt").write_text(_RDF)
    (folder / "more.nt.gz").write_bytes(gzip.compress(_RDF.replace("knows", "likes").encode(), mtime=0))


def write_saved_typed(folder: Path) -> None:
    """A saved typed graph."""
    save_graph(load_dataset("publications", num_papers=60), folder)
