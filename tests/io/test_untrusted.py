"""Files that nobody trusts: what is wrong with one is said in a line, before it costs time, memory or more."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import gnnkit
from gnnkit.data import from_edge_index
from gnnkit.datasets import load_dataset, load_graph, save_graph
from gnnkit.errors import ConfigError, DatasetError
from gnnkit.train import load_config
from tests.fuzz.targets import repair_saved

RING = "source,target\n" + "".join(f"{i},{(i + 1) % 6}\n" for i in range(6))
LABELS = "label\n" + "0\n1\n" * 3


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNNKIT_DATA", raising=False)
    return tmp_path / "cache"


def folder_of(home: Path, **files: Any) -> Path:
    """A folder of files: text, bytes or arrays, by their names with a double underscore for the point."""
    folder = home / "data"
    folder.mkdir()
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        if isinstance(content, np.ndarray):
            np.save(file, content)
        elif isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content)
    return folder


def in_a_process(code: str, cwd: Path, memory: Optional[int] = None) -> subprocess.CompletedProcess:
    """Python in a process of its own, which may have so much address space."""

    def limited() -> None:
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, preexec_fn=limited, check=False)


LOAD = """
import resource, gnnkit
from gnnkit.errors import GnnkitError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    gnnkit.load_dataset({name!r}, data_dir={place!r})
    print("read")
except GnnkitError as error:
    print("refused:", error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def refusal(cwd: Path, name: str = "./data", place: Optional[str] = None, most_megabytes: int = 400) -> str:
    """What a process says that loads data, which must not take more memory than so many megabytes."""
    done = in_a_process(LOAD.format(name=name, place=place), cwd)
    assert done.returncode == 0, done.stderr[-800:]
    line, megabytes = done.stdout.splitlines()
    assert line.startswith("refused:"), line
    assert int(megabytes) < most_megabytes
    return line


class _Dtype:
    """A dtype that says that it holds objects, in a state set by hand."""

    def __reduce__(self) -> Any:
        return np.dtype, ("u8", False, True), (3, "|", None, None, None, 8, 8, 63)


class _Array:
    """An array whose bytes NumPy would take for two pointers."""

    def __reduce__(self) -> Any:
        make, given_to, state = np.zeros(2, dtype="u8").__reduce__()
        pointers = struct.pack("<QQ", 0x4141414141414141, 0x4242424242424242)
        return make, given_to, (state[0], state[1], _Dtype(), state[3], pointers)


def test_a_dtype_made_by_hand_gets_no_bytes_taken_for_pointers(tmp_path) -> None:
    for part in ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index"):
        (tmp_path / f"ind.cora.{part}").write_bytes(pickle.dumps(_Array(), protocol=2))
    (tmp_path / "ind.cora.test.index").write_text("0\n")
    said = refusal(tmp_path, "cora", ".")
    assert "is cut short or damaged (ValueError: an array of 'u8', which is no type of numbers" in said


@pytest.mark.parametrize(
    "name", ["numpy.ufunc", "numpy.add", "builtins.eval", "numpy.core.multiarray.scalar", "os.system"]
)
def test_no_name_but_the_admitted_is_read(name: str, tmp_path) -> None:
    module, _, word = name.rpartition(".")
    for part in ("x", "y", "tx", "ty", "allx", "ally", "graph"):
        (tmp_path / f"ind.cora.{part}").write_bytes(f"c{module}\n{word}\n.".encode())
    (tmp_path / "ind.cora.test.index").write_text("0\n")
    with pytest.raises(DatasetError, match=f"is refused: it asks for {name}"):
        load_dataset("cora", data_dir=tmp_path)


def test_a_memo_of_a_pickle_takes_no_memory_for_its_number(tmp_path) -> None:
    for part in ("x", "y", "tx", "ty", "allx", "ally", "graph"):
        (tmp_path / f"ind.cora.{part}").write_bytes(b"\x80\x02Nr" + struct.pack("<I", (1 << 31) - 1) + b".")
    (tmp_path / "ind.cora.test.index").write_text("0\n")
    assert "NoneType" in refusal(tmp_path, "cora", ".")


def saved(home: Path, **fields: Any) -> Path:
    graph = from_edge_index([[0, 1, 2], [1, 2, 0]], x=np.eye(3, dtype=np.float32), y=[0, 1, 0], **fields)
    save_graph(graph, home / "saved")
    return home / "saved"


@pytest.mark.parametrize("value", [1 << 40, -1, -(1 << 40)])
def test_an_edge_from_nowhere_is_found_though_checksums_are_right(value: int, tmp_path) -> None:
    folder = saved(tmp_path)
    indices = np.load(folder / "001.npy")
    indices[1] = value
    np.save(folder / "001.npy", indices)
    repair_saved(folder)
    with pytest.raises(DatasetError, match=f"saved is damaged: .*source {value} is out of range"):
        load_graph(folder)


def test_every_flipped_bit_of_a_saved_graph_is_found(tmp_path) -> None:
    weights = {"edge_weight": [0.5, 1.0, 2.0], "edge_data": {"kind": np.arange(3)}}
    folder = saved(tmp_path, **weights)
    missed, tried = [], 0
    for file in sorted(folder.iterdir()):
        good = file.read_bytes()
        step = 5 if file.suffix == ".npy" else 7
        for bit in range(0, 8 * len(good), step):
            changed = bytearray(good)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            tried += 1
            try:
                load_graph(folder)
                missed.append((file.name, bit))
            except DatasetError:
                pass
        file.write_bytes(good)
    assert tried > 2_000 and not missed
    load_graph(folder)


def test_a_large_file_is_read_again_when_it_may_have_changed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gnnkit.io.checksums.ALWAYS", 0)
    monkeypatch.setattr("gnnkit.io.checksums.Verifier.__init__.__defaults__", (0,))
    folder = saved(tmp_path)
    load_graph(folder)
    assert (folder / "verified.json").is_file()
    file = folder / "002.npy"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DatasetError, match="saved is damaged: .*002.npy is damaged"):
        load_graph(folder)
    content[-1] ^= 1
    file.write_bytes(content)
    (folder / "verified.json").write_text('{"000.npy": [')
    load_graph(folder)


def test_a_flipped_bit_in_the_cache_is_found_and_the_cache_made_anew(tmp_path, cache, caplog) -> None:
    folder = folder_of(tmp_path, edges__csv="source,target,weight\n0,1,0.5\n1,0,2\n", features__npy=np.eye(2))
    good = load_dataset(folder)
    (made,) = (cache / "prepared").iterdir()
    for number, file in enumerate(sorted(made.iterdir())):
        content = bytearray(file.read_bytes())
        content[-2] ^= 1 << number % 8
        file.write_bytes(content)
        caplog.clear()
        graph = load_dataset(folder)
        assert "The cache is prepared again" in caplog.text
        assert bool((graph.x == good.x).all()) and bool((graph.edge_weight == good.edge_weight).all())
        caplog.clear()
        load_dataset(folder)
        assert not [record for record in caplog.records if "again" in record.message]


def test_a_saved_graph_whose_description_is_no_text_any_more_is_damaged(tmp_path) -> None:
    folder = saved(tmp_path)
    content = bytearray((folder / "meta.json").read_bytes())
    content[20] = 0xFF
    (folder / "meta.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"saved is damaged: .*meta.json is no text in UTF-8"):
        load_dataset(folder)


def test_saved_graphs_of_the_first_format_are_read(tmp_path) -> None:
    folder = saved(tmp_path)
    meta = json.loads((folder / "meta.json").read_text())
    meta.pop("sha256")
    meta["format"] = 1
    for entry in meta["arrays"].values():
        entry.pop("crc32")
    (folder / "meta.json").write_text(json.dumps(meta))
    assert load_graph(folder).num_nodes == 3


@pytest.mark.parametrize(
    "files, message",
    [
        ({"edges__csv": "source,target\n0,18446744073709551616\n"}, "there is no node '18446744073709551616'"),
        ({"edges__npy": np.array([[0, 1 << 63], [1, 2]], dtype=np.uint64)}, "expected whole numbers below 2"),
        ({"edges__csv": RING, "labels__npy": np.array([0, 1, 0, 1, 0, 300_000_000])}, "300,000,001 outputs"),
        ({"edges__csv": RING, "nodes__csv": "label\n0\n1\n0\n1\n0\n1000000\n"}, "1,000,001 outputs"),
        ({"edges__csv": b"source,target\n0,\xff\n"}, "edges.csv is no text in UTF-8: line 2"),
        ({"edges__csv": RING, "meta__json": "[" * 200_000}, "meta.json is nested more than 64 levels deep"),
        ({"edges__csv": RING, "features__json": "[" * 200_000}, "features.json is nested more than 64 levels"),
        ({"edges__csv": RING, "nodes__csv": "w\n" + ("[" * 20_000 + "]" * 20_000 + "\n") * 6}, "column 'w'"),
        ({"edges__csv": RING, "nodes__csv": ",".join(f"c{i}" for i in range(70_000)) + "\n"}, "70,000 columns"),
        ({"edges__npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False"}, "edges.npy is cut short"),
        ({"edges__parquet": b"PAR1" + bytes(40) + b"PAR1"}, "edges.parquet is cut short or no Parquet file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(files: Any, message: str, tmp_path) -> None:
    with pytest.raises(DatasetError, match=message):
        load_dataset(folder_of(tmp_path, **files))


def npy(shape: str, descr: str = "<i8", content: bytes = bytes(64)) -> bytes:
    """A ``.npy`` file with any header."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content, message",
    [
        (npy("(2, 100000000000)"), "is cut short: it has 64 bytes"),
        (npy("(2, 10000000000000000000000000000000)"), "is damaged|is cut short"),
        (npy("(2, -4)"), "is damaged or no NumPy array"),
        (npy("(2, 4)", "|O"), "is cut short or no NumPy array of numbers"),
        (npy("(2, 4)", "<U2"), "has dtype '<U2', expected numbers"),
        (npy("((((((((((2"), "is damaged or no NumPy array"),
        (archive(edges=npy("(2, 4)")), "is cut short or no NumPy array of numbers \\(an archive"),
        (b"", "is cut short or no NumPy array"),
    ],
)
def test_headers_of_arrays_are_matched(content: bytes, message: str, tmp_path) -> None:
    with pytest.raises(DatasetError, match=f"edges.npy {message}"):
        load_dataset(folder_of(tmp_path, edges__npy=content))


def test_no_flipped_bit_of_a_header_gives_another_array_or_error(tmp_path) -> None:
    folder = folder_of(tmp_path, edges__csv=RING, labels__npy=np.arange(6) % 2)
    good = (folder / "labels.npy").read_bytes()
    for bit in range(8 * 128):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        (folder / "labels.npy").write_bytes(changed)
        with suppress(DatasetError):
            graph = load_dataset(folder)
            assert graph.y.tolist() == [0, 1] * 3


@given(st.binary(max_size=200))
def test_any_bytes_are_an_array_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as home, pytest.raises(DatasetError):
        load_dataset(folder_of(Path(home), edges__npy=b"\x93NUMPY\x01\x00" + content), cache_dir=home)


def test_few_values_make_no_large_matrix(tmp_path) -> None:
    folder = folder_of(tmp_path, edges__csv=RING)
    matrix = sparse.csr_matrix(([1.0], ([0], [20_000_000])), shape=(6, 20_000_001))
    sparse.save_npz(folder / "features.npz", matrix)
    assert "asks for 6 rows of 20,000,001 columns, made of 1 values" in refusal(tmp_path)


def test_a_small_archive_that_unpacks_to_much_is_refused_before_it_does(tmp_path) -> None:
    folder = folder_of(tmp_path, edges__csv=RING)
    made = zipfile.ZipFile(folder / "features.npz", "w", zipfile.ZIP_DEFLATED)
    with made, made.open("features.npy", "w", force_zip64=True) as stream:
        stream.write(npy(f"(6, {50 << 20})", "<f4", b""))
        for _ in range(1200):
            stream.write(bytes(1 << 20))
    assert "features.npz is refused: " in refusal(tmp_path)


def test_labels_that_all_differ_are_no_columns(tmp_path) -> None:
    (tmp_path / "BIG").mkdir()
    num = 20_000
    texts = {"A": "1, 2\n", "graph_indicator": "1\n" * num, "graph_labels": "0\n"}
    texts["node_labels"] = "".join(f"{i}\n" for i in range(num))
    for part, text in texts.items():
        (tmp_path / "BIG" / f"BIG_{part}.txt").write_text(text)
    assert "asks for 20,000 rows of 20,000 columns" in refusal(tmp_path, "TU-BIG", ".")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n" for before, name in zip("abcdef", "bcdefg")
)
"""Lists of lists that are repeated by name: 8^7 values in a few lines."""


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: " + "[" * 100_000, "nested more than 64 levels deep"),
        ("a: " + "{a: " * 30_000, "nested more than 64 levels deep"),
        ("a: &a [*a]", "it holds itself"),
        (LAUGHS, "more than 20,000 values"),
        ("a: !!python/object/apply:os.system [touch HIT]", "could not determine a constructor"),
        ("a: 1\na: 2", "found duplicate key 'a'"),
        ("? [1, 2]\n: 3", "found unhashable key|a key is"),
        ("x: " + "y" * 200_000, "has more than 131,072 bytes"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_a_configuration_is_plain_and_small(text: Any, message: str, tmp_path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        load_config(file)


def test_a_deep_configuration_ends_no_process(tmp_path) -> None:
    (tmp_path / "run.yaml").write_text("a: " + "[" * 100_000)
    done = in_a_process("from gnnkit.train import load_config\nload_config('run.yaml')", tmp_path)
    assert done.returncode == 1 and "ConfigError" in done.stderr


@pytest.mark.parametrize("value", ["${oc.env:HOME}", '"\\x24{oc.env:HOME}"', "${", "???", "${a}"])
def test_text_of_a_configuration_stays_as_it_is(value: str, tmp_path) -> None:
    (tmp_path / "run.yaml").write_text(
        f"dataset: {{name: '{value}'}}" if '"' not in value else f"dataset: {{name: {value}}}"
    )
    expected = "${oc.env:HOME}" if '"' in value else value
    assert load_config(tmp_path / "run.yaml").dataset.name == expected


def test_a_pipe_and_a_device_are_no_data(tmp_path) -> None:
    folder = folder_of(tmp_path, nodes__csv=LABELS)
    os.mkfifo(folder / "edges.csv")
    with pytest.raises(DatasetError, match=r"no file|none of edges\.csv"):
        load_dataset(folder)
    (tmp_path / "run.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="has more than 131,072 bytes"):
        load_config(tmp_path / "run.yaml")


def test_too_many_open_files_are_not_taken_for_a_damaged_one(tmp_path) -> None:
    folder_of(tmp_path, edges__csv=RING, labels__npy=np.arange(6) % 2)
    code = """
import resource, gnnkit
gnnkit.load_dataset("karate")
kept = [open("/dev/null") for _ in range(20)]
from gnnkit.datasets.tables import read_array
from pathlib import Path
read_array(Path("data/labels.npy"))
resource.setrlimit(resource.RLIMIT_NOFILE, (kept[-1].fileno() + 1, kept[-1].fileno() + 1))
try:
    read_array(Path("data/labels.npy"))
except gnnkit.GnnkitError as error:
    print(error)
"""
    assert "Too many open files. Close some" in in_a_process(code, tmp_path).stdout


def test_splits_do_not_vanish(tmp_path) -> None:
    folder = folder_of(tmp_path, edges__csv=RING, nodes__csv=LABELS, valid__npy=np.array([1]), test__npy=np.array([2]))
    (folder / "train.npy").symlink_to("nowhere")
    with pytest.raises(DatasetError, match="train.npy is a link to .*nowhere, which is not there"):
        load_dataset(folder)
    (folder / "train.npy").unlink()
    for name in ("valid.npy", "test.npy"):
        (folder / name).unlink()
    (folder / "splits.csv").write_text("id,split\n0,train\n1,valid\n2,test\n")
    with pytest.raises(DatasetError, match=r"splits\.csv is none of the files that are read. Is split\.csv"):
        load_dataset(folder)


def test_memory_that_libraries_cannot_get_is_said_in_a_line(tmp_path) -> None:
    # The next large library is torch. Which one fails under a fixed limit, and how, depends on versions.
    code = """
import resource, sys, numpy
from gnnkit.cli.main import main
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 100_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.argv = ["gnnkit", "run", "--epochs", "1"]
main()
"""
    done = in_a_process(code, tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and "There is not enough memory" in lines[-1], done.stderr[-500:]
    assert gnnkit.GnnkitError.__name__ not in done.stderr
