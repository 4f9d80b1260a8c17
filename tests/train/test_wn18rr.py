"""WN18RR: a short training ranks as plain Python does; the published quality of DistMult is reached."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.inference import open_run

ENOUGH = 0.42


def fit(data_dir: Path, **settings):
    graph = gnnkit.load_dataset("wn18rr", data_dir=data_dir, cache_dir=settings.pop("cache_dir"))
    width = settings.pop("width")
    model = gnnkit.build_model("embedding", graph, out_channels=width, embedding_channels=width, input_dropout=0.4)
    options = {"head_dropout": 0.3, **settings.pop("options", {})}
    how = {"batch_size": 1024, "lr": 0.004, "progress": False, **settings}
    trainer = gnnkit.Trainer(device="cpu", task="knowledge_graph", task_options=options, **how)
    return graph, trainer.fit(model, graph)


@pytest.mark.parametrize("num", [50, pytest.param(200, marks=pytest.mark.long)])
def test_ranks_are_those_of_plain_python(num: int, data_dir: Path, tmp_path: Path) -> None:
    settings = {"width": 8, "epochs": 1, "options": {"num_negatives": 64}, "run_dir": tmp_path / "run"}
    graph, result = fit(data_dir, cache_dir=tmp_path / "cache", **settings)
    assert 0 < result.test["mrr"] < 1
    run = open_run(tmp_path / "run", graph=graph, device="cpu")
    some = torch.randperm(len(graph.links.pairs["test"]), generator=torch.Generator().manual_seed(0))[:num]
    pairs, relations = graph.links.pairs["test"][some], graph.links.relations["test"][some]
    found = run.rank_triples(pairs, relations)
    tails, heads = {}, {}
    for split, every in graph.links.pairs.items():
        for (head, tail), relation in zip(every.tolist(), graph.links.relations[split].tolist()):
            tails.setdefault((head, relation), set()).add(tail)
            heads.setdefault((tail, relation), set()).add(head)
    h, scorer = run.embed()[1], run.pair_head
    num = len(graph.typed.schema.relations)
    for row, ((head, tail), relation) in enumerate(zip(pairs.tolist(), relations.tolist())):
        for side, (node, answer, known) in enumerate(
            ((head, tail, tails[head, relation]), (tail, head, heads[tail, relation]))
        ):
            with torch.no_grad():
                query = scorer.query(h[[node]], torch.tensor([relation + side * num]))
                scores = scorer.table(query, h)[0].tolist()
            others = [score for place, score in enumerate(scores) if place == answer or place not in known]
            better = sum(score > scores[answer] for score in others)
            equal = sum(score == scores[answer] for score in others) - 1
            assert abs(float(found[row, side]) - (1 + better + equal / 2)) <= 1e-9 + 2e-3 * better


@pytest.mark.long
def test_distmult_reaches_the_published_quality(data_dir: Path, tmp_path: Path) -> None:
    settings = {"width": 256, "epochs": 20, "schedule": "cosine", "eval_every": 5}
    _, result = fit(data_dir, cache_dir=tmp_path / "cache", **settings)
    assert result.test["mrr"] >= ENOUGH
