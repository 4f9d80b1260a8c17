"""Knowledge graphs from the command line: runs, predictions, reports, and mistakes, which give one line and code 2."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.mistakes import write
from tests.commands import gnnkit_here

NUM = 20


def _triples(part: int) -> str:
    """A ring of followers, and who likes whom; every fifth triple validates, another fifth tests."""
    every = [
        (f"n{i}", name, f"n{(i + step) % NUM}") for name, step in (("follows", 1), ("likes", 3)) for i in range(NUM)
    ]
    place = {0: (0, 1, 2), 1: (3,), 2: (4,)}[part]
    return "".join("\t".join(each) + "\n" for i, each in enumerate(every) if i % 5 in place)


FILES = {f"mine/{name}.txt": _triples(part) for part, name in enumerate(("train", "valid", "test"))}
RUN = "run --dataset mine --device cpu --epochs 2 --json"
TRIPLES = f"{RUN} --task knowledge_graph --model embedding model.out_channels=8 task_options.num_negatives=8"


def command(line: str, folder: Path):
    return gnnkit_here(*line.split(" "), cwd=folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triples")
    write(folder, FILES)
    done = command(f"{TRIPLES} --run-dir run", folder)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout.splitlines()[-1])["test_mrr"] <= 1
    return folder


@pytest.mark.parametrize(
    "line",
    [
        f"{RUN} --task knowledge_graph --model rgcn --batch-size 16 --fanouts 3,3 task_options.head=rotate",
        f"{RUN} --task link_prediction --model sage task_options.relation=likes",
    ],
)
def test_a_command(line: str, tmp_path: Path) -> None:
    write(tmp_path, FILES)
    done = command(line, tmp_path)
    assert done.returncode == 0, done.stderr


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_triples_are_scored(trained: Path) -> None:
    (trained / "asked.csv").write_text("source,relation,target\nn3,likes,n6\nn1,follows,n2\n")
    done = command("predict run --pairs asked.csv --output said.csv --force", trained)
    assert done.returncode == 0, done.stderr
    rows = rows_of(trained / "said.csv")
    assert [(row["source"], row["relation"], row["target"]) for row in rows] == [
        ("n3", "likes", "n6"),
        ("n1", "follows", "n2"),
    ]
    (trained / "plain.csv").write_text("source,target\nn3,n6\n")
    assert command("predict run --pairs plain.csv --relation likes --output one.csv --force", trained).returncode == 0
    assert rows_of(trained / "one.csv")[0]["score"] == rows[0]["score"]


@pytest.mark.parametrize("heads", ["", " --heads"])
def test_the_best_answers_are_found(trained: Path, heads: str) -> None:
    done = command(f"predict run --top 4 --relation likes --nodes n3,n5{heads} --output best.csv --force", trained)
    assert done.returncode == 0, done.stderr
    rows = rows_of(trained / "best.csv")
    assert [row["source"] for row in rows] == ["n3"] * 4 + ["n5"] * 4
    known = {"n3": "n0", "n5": "n2"} if heads else {"n3": "n6", "n5": "n8"}
    assert all(row["target"] != known[row["source"]] for row in rows)
    scores = [float(row["score"]) for row in rows[:4]]
    assert scores == sorted(scores, reverse=True)


def test_a_report_has_ranks_by_relation(trained: Path) -> None:
    done = command("report run --output page.html --force", trained)
    assert done.returncode == 0, done.stderr
    page = (trained / "page.html").read_text()
    assert "Ranks by relation" in page and "entity:likes:entity" in page and "MRR of heads" in page


RUNS = {
    "no relation": ("predict run --pairs plain.csv --output no.csv", ("--relation NAME", "follows")),
    "no such relation": ("predict run --top 3 --relation like --output no.csv", ("like", "likes")),
    "top of no relation": ("predict run --top 3 --output no.csv", ("--relation NAME",)),
    "a relation of nothing": ("predict run --relation likes --output no.csv", ("--pairs and --top",)),
    "heads of nothing": ("predict run --top 3 --heads --output no.csv", ("--heads is for",)),
    "no such node": ("predict run --top 3 --relation likes --nodes n99 --output no.csv", ("n99",)),
    "a program": ("export run --output no.onnx", ("gnnkit embed",)),
    "other relations": ("predict run --dataset other --top 3 --relation owns --output no.csv", ("owns", "other types")),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_a_run_cannot_do_is_one_line(trained: Path, name: str) -> None:
    line, says = RUNS[name]
    (trained / "plain.csv").write_text("source,target\nn3,n6\n")
    write(trained, {f"other/{part}.txt": "a\towns\tb\nb\towns\tc\n" for part in ("train",)})
    refused(command(line, trained), says)


MISTAKES = {
    "no such relation": (f"{RUN} --task link_prediction task_options.relation=like", FILES, ("like", "likes")),
    "several relations": (f"{RUN} --task link_prediction", FILES, ("task_options.relation=", "follows", "likes")),
    "no such head": (f"{TRIPLES} task_options.head=dot", FILES, ("dot", "distmult")),
    "a relation without pairs": (
        f"{RUN} --task link_prediction --model sage task_options.relation=owns",
        {
            **FILES,
            "mine/train.txt": FILES["mine/train.txt"] + "n1\towns\tn2\n",
            "mine/valid.txt": FILES["mine/valid.txt"],
        },
        ("owns",),
    ),
    "an odd width": (f"{TRIPLES} task_options.head=complex model.out_channels=7", FILES, ("7 wide", "even")),
    "other widths": (f"{TRIPLES} model.embedding_channels=4", FILES, ("expected the same",)),
    "no effect": (f"{TRIPLES} task_options.norm=2", FILES, ("'norm'", "no effect")),
    "no types": (
        f"{RUN} --task knowledge_graph --model sage",
        {"mine/edges.csv": "source,target\n0,1\n1,2\n2,0\n", "mine/nodes.csv": "id,a\n0,1\n1,2\n2,3\n"},
        ("has no relations",),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake(name: str, tmp_path: Path) -> None:
    line, files, says = MISTAKES[name]
    write(tmp_path, files)
    before = sorted(tmp_path.rglob("*"))
    refused(command(line.replace(" --json", ""), tmp_path), says)
    assert sorted(tmp_path.rglob("*")) == before


def refused(done, says) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert len(lines) == 1 and all(word in lines[0] for word in says), done.stderr
