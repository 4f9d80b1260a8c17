"""Tasks about pairs from the command line: a run of each, and mistakes, which give one line and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.mistakes import write
from tests.commands import gnnkit_here

NUM_NODES = 30


def _edges(columns: str = "", value=lambda _i: "") -> str:
    """A ring with chords, each edge in both directions; the value of its other columns by its number."""
    rings = [(i, (i + step) % NUM_NODES) for i in range(NUM_NODES) for step in (1, 2, 5)]
    lines = [f"{a},{b}{value(i)}" for i, (u, v) in enumerate(rings) for a, b in ((u, v), (v, u))]
    return "\n".join([f"source,target{columns}", *lines, ""])


PAIRS = "source,target,split\n" + "".join(
    f"{i},{(i + 7) % NUM_NODES},{'train' if i < 20 else 'valid' if i < 25 else 'test'}\n" for i in range(NUM_NODES)
)
NODES = "id,a,b\n" + "".join(f"{i},{i / 10},{(i * 7) % 5}\n" for i in range(NUM_NODES))
DATED = _edges(",year,kind,size", lambda i: f",{2000 + i},{i % 2},{i / 3}")
COMPLETE = "source,target\n" + "".join(f"{i},{j}\n" for i in range(8) for j in range(8) if i != j)


def folder(edges: str = DATED, nodes: str = NODES, **more: str):
    return {
        "mine/edges.csv": edges,
        "mine/nodes.csv": nodes,
        **{f"mine/{name}.csv": text for name, text in more.items()},
    }


RUN = "run --dataset mine --device cpu --epochs 2 --json"
LINKS = f"{RUN} --task link_prediction"

GOOD = {
    "full graph": (LINKS, folder()),
    "sampled": (f"{LINKS} --batch-size 16", folder()),
    "by time": (f"{LINKS} task_options.split_by=year", folder()),
    "given pairs": (LINKS, folder(pairs=PAIRS)),
    "no features": (f"{LINKS} --model sage", {"mine/edges.csv": DATED}),
    "ranked": (f"{LINKS} task_options.candidates=all", folder()),
    "classes of edges": (f"{RUN} --task edge_classification task_options.label=kind", folder()),
    "numbers of edges": (f"{RUN} --task edge_regression task_options.label=size", folder()),
    "a plan": ("plan --dataset mine --batch-size 16 --json task=link_prediction", folder()),
    "a plan without features": (
        "plan --dataset mine --model sage --batch-size 16 --json task=link_prediction",
        {"mine/edges.csv": DATED},
    ),
    "a comparison": (
        "compare --dataset mine --device cpu --backends reference,reference --epochs 2 --json task=link_prediction",
        folder(),
    ),
    "a benchmark": ("bench --dataset mine --device cpu --batch-size 16 --json task=link_prediction", folder()),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_command(name: str, tmp_path: Path) -> None:
    line, files = GOOD[name]
    write(tmp_path, files)
    done = gnnkit_here(*line.split(" "), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])


BAD = {
    "a share of pairs that are split": (f"{LINKS} task_options.valid_share=0.2", folder(pairs=PAIRS), ("valid_share",)),
    "no such split": (LINKS, folder(pairs=PAIRS.replace("test", "tset")), ("tset",)),
    "no split to validate on": (LINKS, folder(pairs=PAIRS.replace("valid", "train")), ("valid",)),
    "a complete graph": (LINKS, folder(COMPLETE, "id,a\n" + "".join(f"{i},{i}\n" for i in range(8))), ("negatives",)),
    "pairs out of range": (LINKS, folder(pairs=PAIRS + "3,999,test\n"), ("999",)),
    "no such time": (f"{LINKS} task_options.split_by=month", folder(), ("month", "year")),
    "times with gaps": (
        f"{LINKS} task_options.split_by=year",
        folder(DATED.replace(",2043,", ",,")),
        ("year",),
    ),
    "an accuracy": (f"{LINKS} task_options.metrics=[accuracy]", folder(), ("accuracy",)),
    "an area of ranks": (f"{LINKS} task_options.candidates=all task_options.metrics=[auc]", folder(), ("auc",)),
    "no such head": (f"{LINKS} task_options.head=dots", folder(), ("dots", "dot")),
    "no such heuristic": (f"{LINKS} --model common_neighbor", folder(), ("Did you mean 'common_neighbors'",)),
    "no label": (f"{RUN} --task edge_classification", folder(), ("task_options.label=NAME", "kind")),
    "no such label": (f"{RUN} --task edge_regression task_options.label=length", folder(), ("length",)),
    "a leak": (LINKS, folder(pairs=PAIRS.replace("25,2,test", "25,26,test")), ("25", "26", "test")),
    "a leak that is looked for": (
        "data check mine",
        folder(pairs=PAIRS.replace("25,2,test", "25,26,test")),
        ("25", "26", "test"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake(name: str, tmp_path: Path) -> None:
    line, files, says = BAD[name]
    write(tmp_path, files)
    before = sorted(tmp_path.rglob("*"))
    done = gnnkit_here(*line.replace(" --json", "").split(" "), cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert len(lines) == 1 and all(word in lines[0] for word in says), done.stderr
    assert sorted(tmp_path.rglob("*")) == before
