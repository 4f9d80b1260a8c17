"""What is fuzzed: for each format a folder of good files, and what reads it.

Rules: a target is made of the files that gnnkit or its users write; whatever its reader raises for a damaged one must
be of gnnkit's own tree.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import zlib
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import numpy as np
import torch
from scipy import sparse

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.convert.state_files import read_state_dict
from gnnkit.data import Graph, check_graph
from gnnkit.datasets import import_graph, load_dataset, load_graph, save_graph
from gnnkit.datasets.facebook import FacebookLarge
from gnnkit.datasets.files import Finder
from gnnkit.datasets.gin import GinCollection
from gnnkit.datasets.ogb import OgbNodes
from gnnkit.datasets.planetoid import CiteSeer
from gnnkit.datasets.tu import TuCollection
from gnnkit.io.pickles import read_pickle, read_torch_file
from gnnkit.io.text import read_json
from gnnkit.io.yaml_files import read_yaml
from gnnkit.runs import load_model, read_learned, read_links, read_run, read_state, recorded_config
from gnnkit.train import load_config
from tests.fuzz.typed_targets import write_ids, write_names, write_rdf, write_saved_typed, write_typed
from tests.graphs import communities


@dataclass(frozen=True)
class Target:
    """Files, and what reads them.

    Attributes:
        name: What it is called.
        write: Writes the good files into a folder.
        read: Reads the folder; returns a graph, which is then checked, or anything else.
        repair: Makes checksums right after a file was damaged, half of the time. None: there are none.
    """

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    repair: Optional[Callable[[Path], None]] = None


def read_checked(target: Target, folder: Path) -> None:
    """Read a folder; a graph that is let in must keep all rules."""
    found = target.read(folder)
    if isinstance(found, Graph):
        check_graph(found)


def _ring(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / f"{stem}.{suffix}"
        if isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))


_EDGES = "source,target,weight\n" + "".join(f"{i},{(i + 1) % 12},{i / 4}\n" for i in range(12))
_NODES = "id,label,height,words,split\n" + "".join(
    f'n{i},{"ab"[i % 2]},{i / 3:.3f},"[1.0, {i}.5]",{("train", "valid", "test")[i % 3]}\n' for i in range(12)
)
_NAMED = "source,target,kind\n" + "".join(f"n{i},n{(i + 1) % 12},{i}\n" for i in range(12))
_PAIRS = np.array([np.arange(12), (np.arange(12) + 1) % 12])


def _write_csv(folder: Path) -> None:
    _ring(folder, edges_csv=_NAMED, nodes_csv=_NODES, meta_json={"undirected": True, "columns": {"label": "label"}})


def _write_npy(folder: Path) -> None:
    rng = np.random.default_rng(0)
    _ring(
        folder,
        edges_npy=_PAIRS,
        features_npy=rng.random((12, 4)).astype(np.float32),
        labels_npy=np.arange(12) % 3,
        train_npy=np.arange(4),
        valid_npy=np.arange(4, 8),
        test_npy=np.arange(12) > 8,
    )


def _write_npz(folder: Path) -> None:
    values = np.random.default_rng(0).random((12, 4)) > 0.5
    np.savez_compressed(folder / "ring.npz", edges=_PAIRS, features=values.astype(np.float32), labels=np.arange(12) % 3)


def _write_sparse(folder: Path) -> None:
    _ring(folder, edges_csv=_EDGES)
    sparse.save_npz(folder / "features.npz", sparse.random(12, 30, 0.2, "csr", random_state=0))


def _write_lists(folder: Path) -> None:
    _ring(folder, edges_csv=_EDGES, features_json={str(i): [f"w{i}", "v"] for i in range(12)})


def _write_parquet(folder: Path) -> None:
    import pandas

    pandas.DataFrame({"source": _PAIRS[0], "target": _PAIRS[1]}).to_parquet(folder / "edges.parquet")
    frame = pandas.DataFrame({"label": list("abcabcabcabc"), "height": np.arange(12) / 7, "words": [["u", "v"]] * 12})
    frame.to_parquet(folder / "nodes.parquet")


def _load_folder(folder: Path) -> Graph:
    return load_dataset(folder, cache_dir=folder.parent / "cache")


def _write_saved(folder: Path) -> None:
    save_graph(communities(24), folder)


def _repair_entries(group: Any, folder: Path) -> None:
    for entry in group.values() if isinstance(group, dict) else ():
        if isinstance(entry, dict) and (folder / str(entry.get("file"))).is_file():
            content = (folder / entry["file"]).read_bytes()
            entry.update(bytes=len(content), crc32=zlib.crc32(content))
        else:
            _repair_entries(entry, folder)


def repair_saved(folder: Path) -> None:
    """Make the sizes and checksums of a saved graph those of its files."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        meta.pop("sha256", None)
        _repair_entries(meta, folder)
        digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()
        (folder / "meta.json").write_text(json.dumps({**meta, "sha256": digest}))
    except (ValueError, AttributeError, TypeError, RecursionError, OSError):
        return


def _write_import(folder: Path) -> None:
    (folder / "edges.csv").write_text("source,target\n" + "".join(f"{i},{i + 1}\n" for i in range(40)))
    (folder / "more.txt.gz").write_bytes(gzip.compress("".join(f"{i} {2 * i % 41}\n" for i in range(41)).encode()))
    np.save(folder / "pairs.npy", _PAIRS)
    np.save(folder / "x.npy", np.random.default_rng(0).random((41, 3)))
    (folder / "y.csv").write_text("label\n" + "".join(f"{i % 3}\n" for i in range(41)))


def _import(folder: Path) -> Graph:
    edges = [folder / "edges.csv", folder / "more.txt.gz", folder / "pairs.npy"]
    made = folder.parent / "imported"
    return import_graph(
        edges, made, features=folder / "x.npy", labels=folder / "y.csv", memory=1 << 20, undirected=True, force=True
    )


def _write_tu(folder: Path) -> None:
    parts = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n4, 5\n",
        "graph_indicator": "1\n1\n2\n2\n2\n3\n",
        "graph_labels": "1\n-1\n1\n",
        "node_labels": "0\n5\n0\n0\n5\n7\n",
        "edge_labels": "1\n1\n0\n0\n1\n",
        "node_attributes": "0.5,1\n1,2\n1.5,3\n2,4\n2.5,5\n3,6\n",
    }
    for part, text in parts.items():
        (folder / f"SMALL_{part}.txt").write_text(text)


def _write_gin(folder: Path) -> None:
    (folder / "SMALL.txt").write_text("3\n2 0\n0 1 1\n1 1 0\n3 1\n0 2 1 2\n1 1 0\n0 1 0\n1 0\n2 0\n")
    (folder / "10fold_idx").mkdir()
    for number, (test, train) in enumerate((("0\n1\n", "2\n"), ("2\n", "0\n1\n")), start=1):
        (folder / "10fold_idx" / f"test_idx-{number}.txt").write_text(test)
        (folder / "10fold_idx" / f"train_idx-{number}.txt").write_text(train)


def _of(cls: Any, requested: str, folder: Path) -> Graph:
    dataset = cls(requested=requested)
    return dataset.read(dataset.locate(Finder(requested, folder, folder.parent / "none", download=False)))


def _write_planetoid(folder: Path) -> None:
    rng = np.random.default_rng(0)
    features = sparse.csr_matrix((rng.random((515, 12)) < 0.3).astype(np.float32))
    labels = np.eye(6, dtype=np.int32)[rng.integers(0, 6, 515)]
    parts: Dict[str, Any] = {"x": features[:6], "y": labels[:6], "allx": features[:510], "ally": labels[:510]}
    parts.update(tx=features[510:513], ty=labels[510:513], graph=defaultdict(list, {0: [1, 0], 1: [0, 2], 516: [2, 2]}))
    for part, value in parts.items():
        (folder / f"ind.citeseer.{part}").write_bytes(pickle.dumps(value, 2))
    (folder / "ind.citeseer.test.index").write_text("513\n510\n516\n")


def _write_facebook(folder: Path) -> None:
    (folder / "facebook_edges.csv").write_text("id_1,id_2\n0,1\n1,2\n2,3\n3,0\n")
    (folder / "facebook_features.json").write_text(json.dumps({str(i): [i, i + 1, 3] for i in range(4)}))
    rows = "".join(f"{i},{i},p{i},{'ab'[i % 2]}\n" for i in range(4))
    (folder / "facebook_target.csv").write_text("id,facebook_id,page_name,page_type\n" + rows)


def _read_facebook(folder: Path) -> Graph:
    dataset = FacebookLarge(requested="facebook_large", num_features=0)
    return dataset.read({file.name: folder / file.name for file in dataset.files})


def _gz(file: Path, text: str) -> None:
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def _write_ogb(folder: Path, is_binary: bool) -> None:
    for part in ("raw", "split/random", "mapping"):
        (folder / part).mkdir(parents=True)
    if is_binary:
        x = np.random.default_rng(0).random((12, 3)).astype(np.float32)
        counts = {"num_nodes_list": np.array([12]), "num_edges_list": np.array([12])}
        np.savez_compressed(folder / "raw" / "data.npz", edge_index=_PAIRS, node_feat=x, **counts)
        np.savez_compressed(folder / "raw" / "node-label.npz", node_label=(np.arange(12) % 3)[:, None])
    else:
        _gz(folder / "raw" / "edge.csv.gz", "".join(f"{a},{b}\n" for a, b in _PAIRS.T))
        _gz(folder / "raw" / "num-node-list.csv.gz", "12\n")
        _gz(folder / "raw" / "num-edge-list.csv.gz", "12\n")
        _gz(folder / "raw" / "node-feat.csv.gz", "".join(f"{i / 3:.3f},{i}\n" for i in range(12)))
        _gz(folder / "raw" / "node-label.csv.gz", "".join(f"{i % 3}\n" for i in range(12)))
    for part, ids in (("train", range(4)), ("valid", range(4, 8)), ("test", range(8, 12))):
        _gz(folder / "split" / "random" / f"{part}.csv.gz", "".join(f"{i}\n" for i in ids))
    _gz(folder / "mapping" / "labelidx2kind.csv.gz", "label idx,kind\n0,a\n1,b\n2,c\n")


def _write_pickle(folder: Path) -> None:
    value = {"a": np.arange(6).reshape(2, 3), "b": [1.5, "text", None], "c": np.eye(2, dtype=np.float32)}
    for protocol in (0, 2, 4):
        (folder / f"{protocol}.pkl").write_bytes(pickle.dumps(value, protocol))
    (folder / "matrix.pkl").write_bytes(pickle.dumps(sparse.eye(3, format="csr"), 2))
    torch.save({"train": np.arange(3)}, folder / "new.pt")
    torch.save({"train": np.arange(3)}, folder / "old.pt", _use_new_zipfile_serialization=False)


def _read_each(folder: Path, readers: Mapping[str, Callable[[Path], Any]]) -> None:
    """Read each file; one that is refused does not keep the others from being read."""
    errors: List[Exception] = []
    for file in sorted(folder.rglob("*")):
        reader = readers.get(file.name) or readers.get(file.suffix)
        if reader is not None and file.is_file():
            try:
                reader(file)
            except gnnkit.GnnkitError as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _write_weights(folder: Path) -> None:
    state = {"weight": torch.randn(3, 4), "bias": torch.zeros(3), "count": torch.tensor(3)}
    torch.save(state, folder / "new.pt")
    torch.save({"state_dict": state}, folder / "old.pt", _use_new_zipfile_serialization=False)
    import safetensors.torch

    safetensors.torch.save_file(state, str(folder / "state.safetensors"))


def _write_run(folder: Path) -> None:
    trainer = gnnkit.Trainer(device="cpu", task="link_prediction", epochs=2, run_dir=folder / "run", progress=False)
    graph = load_dataset("karate")
    trainer.fit(gnnkit.build_model("gcn", graph, out_channels=8), graph)
    (folder / "run" / "plots" / "curves.png").unlink()
    config = {"dataset": {"name": "karate"}, "model": {"out_channels": 8}, "task": "link_prediction"}
    (folder / "run" / "config.yaml").write_text(json.dumps(config))


def _read_run(folder: Path) -> None:
    run = folder / "run"
    best = run / "checkpoints" / "best.safetensors"
    readers: List[Callable[[], Any]] = [
        lambda: read_run(run),
        lambda: load_config(base=recorded_config(run)),
        lambda: read_state(run),
        lambda: load_model(best, load_backend("reference")),
        lambda: read_learned(best),
        lambda: read_links(run),
        lambda: gnnkit.open_run(run, device="cpu"),
    ]
    errors: List[Exception] = []
    for reader in readers:
        try:
            reader()
        except gnnkit.GnnkitError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def repair_run(folder: Path) -> None:
    """Make the digests in the files of weights those of their content."""
    import safetensors

    from gnnkit.io import tensor_files

    for file in folder.rglob("*.safetensors"):
        try:
            with safetensors.safe_open(str(file), framework="pt") as stored:
                header = dict(stored.metadata() or {})
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            header.pop("sha256", None)
            tensor_files.write_tensors(file, tensors, header)
        except (OSError, ValueError, KeyError, AttributeError, safetensors.SafetensorError):
            continue


_CONFIG = """
dataset: {name: karate, options: {split: 0}}
model: {name: gat, hidden_channels: 32, conv_options: {heads: 4}}
train:
  lr: 1e-3
  fanouts: [10, 5]
  epochs: 3
seed: 7
"""


def _write_text(folder: Path) -> None:
    (folder / "run.yaml").write_text(_CONFIG)
    (folder / "values.json").write_text(json.dumps({"a": [1, 2.5, None], "b": {"c": "text"}}))


def _read_text(folder: Path) -> None:
    readers = {".yaml": lambda file: (read_yaml(file), load_config(file)), ".json": read_json}
    _read_each(folder, readers)


_PICKLES = {".pkl": read_pickle, ".pt": read_torch_file}
_WEIGHTS = {".pt": read_state_dict, ".safetensors": read_state_dict}

TARGETS: List[Target] = [
    Target("tables", _write_csv, _load_folder),
    Target("arrays", _write_npy, _load_folder),
    Target("archive", _write_npz, _load_folder),
    Target("sparse", _write_sparse, _load_folder),
    Target("lists", _write_lists, _load_folder),
    Target("parquet", _write_parquet, _load_folder),
    Target("saved", _write_saved, load_graph, repair_saved),
    Target("typed-tables", write_typed, _load_folder),
    Target("triples", write_ids, _load_folder),
    Target("names", write_names, _load_folder),
    Target("rdf", write_rdf, partial(load_dataset, literals="nodes")),
    Target("saved-typed", write_saved_typed, load_graph, repair_saved),
    Target("import", _write_import, _import),
    Target("tu", _write_tu, partial(_of, TuCollection, "TU-SMALL")),
    Target("gin", _write_gin, partial(_of, GinCollection, "GIN-SMALL")),
    Target("planetoid", _write_planetoid, partial(_of, CiteSeer, "citeseer")),
    Target("facebook", _write_facebook, _read_facebook),
    Target("ogb-binary", partial(_write_ogb, is_binary=True), partial(_of, OgbNodes, "ogbn-small")),
    Target("ogb-text", partial(_write_ogb, is_binary=False), partial(_of, OgbNodes, "ogbn-small")),
    Target("pickles", _write_pickle, partial(_read_each, readers=_PICKLES)),
    Target("weights", _write_weights, partial(_read_each, readers=_WEIGHTS)),
    Target("run", _write_run, _read_run, repair_run),
    Target("text", _write_text, _read_text),
]
