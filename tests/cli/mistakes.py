"""Command lines with a mistake, and what the one line about each must say.

Rules: every row stands for a kind of mistake that people make. The line says what was received and names the way out;
``says`` holds the words that prove it. All rows start from the folder that :func:`prepare` makes, and add what they
need themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Sequence, Tuple, Union

import numpy as np

LONG = "n" * 300
"""A name that no file system takes."""


@dataclass(frozen=True)
class Link:
    """A symbolic link.

    Attributes:
        target: Where it leads.
    """

    target: str


Content = Union[str, Sequence, Link, None]
"""Text, an array as nested lists, a link, or None for a folder."""


@dataclass(frozen=True)
class Mistake:
    """A command line with a mistake.

    Attributes:
        name: What the mistake is.
        line: The arguments, separated by spaces; LONG stands for a name of 300 letters.
        says: Words of the one line that answers it.
        files: What is prepared beside :func:`prepare`, by path.
        environment: Variables that are set.
        needs: Packages without which the line says something else.
    """

    name: str
    line: str
    says: Tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Tuple[str, ...] = ()

    @property
    def arguments(self) -> Sequence[str]:
        """The arguments of the command."""
        return [word.replace("LONG", LONG) for word in self.line.split(" ")]


EDGES = "source,target\n0,1\n1,0\n1,2\n2,1\n2,3\n3,2\n"
NODES = "id,label,age,split\n0,cat,1,train\n1,dog,2,train\n2,cat,3,valid\n3,dog,4,test\n"


def prepare(folder: Path) -> None:
    """Make what the rows start from: data in a folder, an empty file, a folder, a link to nothing."""
    write(folder, {"mine/edges.csv": EDGES, "mine/nodes.csv": NODES})
    write(folder, {"file": "", "folder": None, "link": Link("nowhere")})


def write(folder: Path, files: Mapping[str, Content]) -> None:
    """Write files by path."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif isinstance(content, Link):
            path.symlink_to(content.target)
        elif isinstance(content, str):
            path.write_text(content)
        else:
            np.save(path, np.array(content))


def other(edges: str = EDGES, nodes: str = NODES, **arrays: Content) -> Mapping[str, Content]:
    """Data in the folder ``other``, with arrays by the names of their files; an empty text leaves a table out."""
    tables = {"other/edges.csv": edges, "other/nodes.csv": nodes}
    return {**{name: text for name, text in tables.items() if text}, **{f"other/{n}.npy": a for n, a in arrays.items()}}


_NO_FOLDER = ("a folder is needed", "Name another place")
_SHORTER = ("Choose a shorter name",)
_RUN = "run --dataset mine --epochs 1 --device cpu"
_CONVERT = "convert-weights run/checkpoints/best.safetensors --from gnnkit --to pyg --dataset mine"

_COMPARE = "compare --dataset mine --device cpu --backends reference,reference --epochs 1"

_WRITES, _BACK, _REVERSED = "t/edges/a__writes__p.csv", "t/edges/p__by__a.csv", '{"reverses": {"writes": "by"}}'

_TYPED: Sequence[Mistake] = (
    *(
        Mistake(f"typed: {name}", "data check ./t", says, {_WRITES: "source,target\n0,1\n", **files})
        for name, says, files in (
            (
                "a file that names no relation",
                ("x.csv names no relation", "SOURCE__NAME__DESTINATION"),
                {"t/edges/x.csv": "u,v\n"},
            ),
            ("two types of one name", ("two types of one name",), {"t/nodes/p.csv": "id\n", "t/nodes/p.parquet": ""}),
            ("an id that is none", ("'target', line 2", "no node '1'"), {"t/nodes/p.csv": "id\nx\n"}),
            ("an id beyond", ("no node '1', expected", "from 0 to 0"), {"t/meta.json": '{"num_nodes": {"p": 1}}'}),
            ("an unknown reverse", ("Unknown relation 'by'", "a:writes:p"), {"t/meta.json": _REVERSED}),
            (
                "a reverse that is none",
                ("'p:by:a' is declared the reverse of 'a:writes:p'", "edge 0 -> 1"),
                {"t/meta.json": _REVERSED, _BACK: "source,target\n0,0\n"},
            ),
            ("an option without effect", ("'undirected' has no effect",), {"t/meta.json": '{"undirected": true}'}),
            (
                "a feature that is no number",
                ("p.csv, column 'size', line 3", "'big'"),
                {"t/nodes/p.csv": "size,weight\n1,2\nbig,3\n2,4\n"},
            ),
            (
                "a pair in two splits",
                ("is in 'train' and in 'test'",),
                {"t/pairs/a__writes__p.csv": "u,v,split\n0,0,train\n0,0,test\n"},
            ),
        )
    ),
    Mistake("RDF that is none", "data check ./t", ("a.nt, line 1", "is no triple"), {"t/a.nt": "<a> <b> c .\n"}),
    Mistake("triples cut short", "data check ./t", ("train.txt, line 2", "tabs"), {"t/train.txt": "a\tr\tb\na\tr"}),
    Mistake(
        "an unknown relation to import", "data import ./t --output g", ("names no relation",), {"t/x.csv": "0,1\n"}
    ),
    Mistake(
        "ids out of a type's range",
        "data import ./t --output g",
        ("edge 0: target 1 is out of range, expected 0 to 0",),
        {"t/a__writes__p.csv": "0,1\n", "t/meta.json": '{"num_nodes": {"p": 1, "a": 1}}'},
    ),
    Mistake("one file with reverses", "data import mine/edges.csv --output g --add-reverses", ("add-reverses",)),
    Mistake("a folder with features", "data import folder --output g --features x.npy", ("--features has no effect",)),
    Mistake("literals", "data check aifb dataset.options.literals=keep", ("'keep', expected nodes or drop",)),
)
"""About typed graphs."""

MISTAKES = [
    # Paths: a file where a folder is meant, a folder where a file is meant, long names, links to nothing.
    Mistake("a run folder that is a file", f"{_RUN} --run-dir file", _NO_FOLDER),
    Mistake("a run folder below a file", f"{_RUN} --run-dir file/x", _NO_FOLDER),
    Mistake("a run folder that is a link to nothing", f"{_RUN} --run-dir link", _NO_FOLDER),
    Mistake("a run folder with a long name", f"{_RUN} --run-dir new/LONG", _SHORTER),
    Mistake("a run folder that is a device", f"{_RUN} --run-dir /dev/full", _NO_FOLDER),
    Mistake("a run folder where none can be made", f"{_RUN} --run-dir /proc/x/y", ("Cannot write", "another place")),
    Mistake("a run folder without a name", f"{_RUN} --run-dir ", ("run_dir is ''", "name of a file or folder")),
    Mistake("a run folder that is taken", f"{_RUN} --run-dir mine", ("already exists", "Choose another one")),
    Mistake("runs is a file", _RUN, ("Cannot write runs", "Name another place"), {"runs": ""}),
    Mistake("resuming a long name", "run --resume LONG", _SHORTER),
    Mistake("resuming a file", "run --resume file", ("Give the run folder",)),
    Mistake("resuming a folder of data", "run --resume mine", ("Give a folder that gnnkit run made",)),
    Mistake("weights of a long name", "run --init-from LONG", _SHORTER),
    Mistake("weights of a link to nothing", "run --init-from link", ("There is no run folder",)),
    Mistake("a configuration with a long name", "run LONG.yaml", _SHORTER),
    Mistake("a configuration that is a folder", "run folder", ("Cannot read folder", "Name a file")),
    Mistake("a configuration below a file", "run file/run.yaml", ("Cannot read file/run.yaml",)),
    Mistake("data of a long name", "run --dataset ./LONG", _SHORTER),
    Mistake("data that are a file", "run --dataset ./file", ("There is no folder file", "Give the path of a folder")),
    Mistake("a data folder with a long name", "run --dataset cora --data-dir LONG", _SHORTER),
    Mistake("a data folder that is a file", "run --dataset cora --data-dir file", ("Name an existing folder",)),
    Mistake("GNNKIT_DATA is too long", "run --dataset cora", _SHORTER, environment={"GNNKIT_DATA": LONG}),
    *(
        Mistake(f"{command}: the picture is {what}", f"{line} --picture {path}", says)
        for command, line in (
            ("plan", "plan --dataset mine"),
            ("bench", "bench --dataset mine --device cpu --batches 2"),
            ("compare", _COMPARE),
        )
        for what, path, says in (
            ("below a file", "file/x.png", _NO_FOLDER),
            ("a folder", "folder", ("It is a folder", "Name a file")),
            ("called too long", "new/LONG.png", _SHORTER),
        )
    ),
    *(
        Mistake(f"{command}: the output is {what}", f"{line} --output {path}{suffix}", says, {f"folder{suffix}": None})
        for command, line, suffix in (
            ("predict", "predict run", ".csv"),
            ("embed", "embed run", ".npy"),
            ("export", "export run", ".pt2"),
            ("report", "report run --batches 0", ".html"),
            ("convert-weights", _CONVERT, ".pt"),
        )
        for what, path, says in (
            ("below a file", "file/x", _NO_FOLDER),
            ("a folder", "folder", ("It is a folder", "Name a file")),
            ("called too long", "new/LONG", _SHORTER),
        )
    ),
    *(
        Mistake(f"{command}: the folder is {what}", f"{line} {path}", says)
        for command, line in (
            ("data import", "data import mine/edges.csv --output"),
            ("new-plugin", "new-plugin swift --kind device --dir"),
            ("reproduce", "reproduce run --run-dir"),
        )
        for what, path, says in (("below a file", "file/x", _NO_FOLDER), ("called too long", "new/LONG", _SHORTER))
    ),
    Mistake("importing a long name", "data import LONG.csv --output g", _SHORTER),
    Mistake("importing a link to nothing", "data import link --output g", ("There is no file link",)),
    Mistake("importing an empty folder", "data import folder --output g", ("no file of edges in", "SOURCE__NAME__")),
    Mistake("features of a long name", "data import mine/edges.csv --output g --features LONG.npy", ("LONG", "short")),
    Mistake("predicting with a long name", "predict LONG --output p.csv", _SHORTER),
    Mistake("predicting with data", "predict mine --output p.csv", ("Give a folder that gnnkit run made",)),
    Mistake("nodes in a file with a long name", "predict run --output p.csv --nodes LONG.csv", _SHORTER),
    Mistake("nodes in a folder", "predict run --output p.csv --nodes folder.csv", ("Give ids",), {"folder.csv": None}),
    Mistake("new nodes of a long name", "predict run --output p.csv --new-nodes LONG.csv", _SHORTER),
    *(
        Mistake(
            f"{line.split()[0]}: no room for {file}", f"{line} {file}", ("Free some space",), {file: Link("/dev/full")}
        )
        for line, file in (
            ("predict run --force --output", "f.csv"),
            ("predict run --force --output", "f.npy"),
            ("embed run --force --output", "e.npy"),
            ("export run --force --output", "f.pt2"),
            ("export run --force --output", "f.onnx"),
            ("report run --batches 0 --force --output", "f.html"),
            (f"{_CONVERT} --output", "f.pt"),
            (f"{_CONVERT} --output", "f.safetensors"),
            ("plan --dataset mine --picture", "f.png"),
        )
    ),
    Mistake(
        "an output that exists", "predict run --output taken.csv", ("already exists", "--force"), {"taken.csv": ""}
    ),
    Mistake("a report about a long name", "report LONG", _SHORTER),
    Mistake("a report about a file", "report file", ("no run folder", "Give a folder")),
    Mistake("reproducing a long name", "reproduce LONG", _SHORTER),
    Mistake("reproducing without data", "reproduce run --data-dir LONG", _SHORTER),
    Mistake("converting a long name", "convert-weights LONG --from pyg --output a.pt --conv gcn", _SHORTER),
    Mistake("converting a folder", "convert-weights folder --from pyg --output a.pt --conv gcn", ("Name a file",)),
    Mistake("converting an empty file", "convert-weights file --from pyg --output a.pt --conv gcn", ("no file of",)),
    Mistake("conforming a path", "conform ./plugin", ("Unknown plugin './plugin'",)),
    *(
        Mistake(
            f"executables in {path}",
            f"run --dataset mine --backend ipu --device ipu-emulator device_options.executable_cache={path}",
            says,
            needs=("torch_geometric", "gnnkit_ipu"),
        )
        for path, says in (("file", _NO_FOLDER), ("file/x", _NO_FOLDER), ("new/LONG", _SHORTER))
    ),
    # Values.
    Mistake(
        "an environment variable in a number", "run train.epochs=${oc.env:HOME}", ("'${oc.env:HOME}'", "whole number")
    ),
    Mistake("half an interpolation", "run train.lr=${", ("'${'", "a number")),
    Mistake("an interpolation for a name", "run --dataset ${dataset.name}x", ("'${dataset.name}x'",)),
    Mistake("an interpolation in a file", "run c.yaml", ("'${x}'",), {"c.yaml": "model: {name: '${x}'}\n"}),
    Mistake("fan-outs of the model", "run model.fanouts=10,10", ("Write train.fanouts",)),
    Mistake("a setting without its section", "run lr=0.1", ("train.lr",)),
    Mistake("fan-outs with semicolons", "run train.fanouts=5;5", ("whole numbers with commas, such as 15,10,5",)),
    Mistake("a setting without a key", "run =3", ("Write key=value",)),
    Mistake("a broken list", "run train.fanouts=[3", ("Cannot read the settings train.fanouts=[3",)),
    Mistake("a command that is none", "rnu", ("No such command", "run", "--help")),
    Mistake("an option that is none", "run --bakend pyg", ("--backend", "gnnkit run --help")),
    Mistake("an output that is missing", "predict run", ("--output", "gnnkit predict --help")),
    Mistake("a number in words", "run --epochs many", ("--epochs", "integer")),
    Mistake("a backend that is none", "run --backend refrence", ("Did you mean 'reference'?",)),
    Mistake("a device that is none", "run --device gpu", ("'gpu'", "Known:", "cpu")),
    Mistake("layers in words", "embed run --output e.npy --layers last", ("--layers is 'last'", "whole numbers")),
    Mistake("a plugin called auto", "new-plugin auto --kind device", ("'auto' is taken", "Choose one")),
    Mistake("heads of a gcn", f"{_RUN} model.heads=3", ("heads", "gcn")),
    Mistake("a clip norm of 0", f"{_RUN} train.clip_norm=0", ("clip_norm is 0",)),
    Mistake("a learning rate that is no number", f"{_RUN} --lr nan", ("lr is nan", "finite")),
    Mistake("memory that is no number", "data import mine/edges.csv --output g --memory nan", ("gigabytes",)),
    Mistake("memory without end", "data import mine/edges.csv --output g --memory inf", ("gigabytes",)),
    Mistake("a margin that is no number", f"{_COMPARE} --seeds 2 --margin nan", ("margin is nan", "positive")),
    Mistake(
        "weights for other data",
        "convert-weights run/checkpoints/best.safetensors --from gnnkit --output w.safetensors --dataset digits",
        ("features",),
    ),
    # What a run has learned, and data that have changed.
    Mistake(
        "a feature of another name",
        "predict run --output p.csv",
        ("age",),
        {"mine/nodes.csv": NODES.replace("age", "height")},
    ),
    # Data in folders.
    Mistake(
        "unknown column names",
        "run --dataset other",
        ("from", "to", "source"),
        other("from_x,to_y\n0,1\n"),
    ),
    Mistake(
        "a table of nodes without ids known",
        "run --dataset other",
        ("node_number",),
        other(nodes=NODES.replace("id,", "node_number,")),
    ),
    Mistake(
        "a split file of another name",
        "run --dataset other",
        ("splits.csv", "split.csv"),
        {**other(), "other/splits.csv": "id,split\n0,train\n"},
    ),
    Mistake(
        "a split that is a link to nothing",
        "run --dataset other",
        ("train.npy",),
        {**other(), "other/train.npy": Link("nowhere")},
    ),
    Mistake(
        "ids in another order beside arrays",
        "run --dataset other",
        ("features.npy", "order"),
        other(nodes="id,label\n2,cat\n0,dog\n1,cat\n3,dog\n", features=[[1.0], [2.0], [3.0], [4.0]]),
    ),
    Mistake(
        "numbers to regress",
        "run --dataset other",
        ("label",),
        other(nodes="id,label,age\n0,1.25,1\n1,2.5,2\n2,3.75,3\n3,4.1,4\n"),
    ),
    Mistake(
        "no labelled node to train on",
        "run --dataset other",
        ("train", "label"),
        other(nodes="id,label,age,split\n0,,1,train\n1,,2,train\n2,cat,3,valid\n3,dog,4,test\n"),
    ),
    Mistake(
        "no labelled node to validate on",
        "run --dataset other",
        ("valid", "label"),
        other(nodes="id,label,age,split\n0,cat,1,train\n1,dog,2,train\n2,,3,valid\n3,dog,4,test\n"),
    ),
    Mistake(
        "a class with a large number",
        "run --dataset other",
        ("90210",),
        other(nodes="", labels=[0, 1, 0, 90210], features=[[1.0], [2.0], [3.0], [4.0]]),
    ),
    Mistake(
        "an edge without an end",
        "run --dataset other",
        ("edges.csv", "line 3"),
        other(EDGES.replace("1,0", "1,")),
    ),
    Mistake(
        "no features",
        "run --dataset other",
        ("no node features",),
        other(nodes="id,label\n0,cat\n1,dog\n2,cat\n3,dog\n"),
    ),
    Mistake("an edge to nowhere", "run --dataset other", ("edges.csv", "line"), other(EDGES + "2,9\n")),
    Mistake(
        "rows that are cut short",
        "run --dataset other",
        ("nodes.csv, line 5", "3 cells, expected 4"),
        other(nodes=NODES[:-6] + "\n"),
    ),
    Mistake("a folder without edges", "run --dataset ./folder", ("Add one",)),
    *_TYPED,
]
