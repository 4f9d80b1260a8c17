"""Knowledge graphs and link tasks on a relation through the Trainer, on every backend."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest
import torch

import gnnkit
from gnnkit.data import check_leaks, from_edge_index, relation_pairs, split_edges
from gnnkit.errors import ConfigError, DataError, LeakError, UnknownNameError
from gnnkit.parity import compare
from gnnkit.runs import read_run
from gnnkit.tasks import arranged, make_task
from tests.graphs import communities, knowledge

FULL = {"epochs": 3}
SAMPLED = {"epochs": 3, "batch_size": 32, "fanouts": [4]}
HOW = {"full": FULL, "sampled": SAMPLED}


def fit(
    backend="reference", *, task="knowledge_graph", model="embedding", options=None, graph=None, resume=None, **settings
):
    graph = knowledge() if graph is None else graph
    layers = {} if model == "embedding" else {"num_layers": 1}
    if graph.x is None:
        layers["embedding_channels"] = 8
    net = gnnkit.build_model(model, graph, out_channels=8, **layers)
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    options = {**({"num_negatives": 16} if task == "knowledge_graph" else {}), **(options or {})}
    options = {name: value for name, value in options.items() if value is not None}
    how = {**FULL, "lr": 0.02, "progress": False, **settings}
    return gnnkit.Trainer(backend, device, task=task, task_options=options, **how).fit(net, graph, resume=resume)


def losses(result):
    return [record.train_loss for record in result.history]


OPTIONS = {
    "distmult": {},
    "complex, all": {"head": "complex", "negatives": "all", "num_negatives": None},
    "transe, margin": {"head": "transe", "negatives": "uniform", "num_negatives": 4, "loss": "margin", "margin": 1.0},
    "rotate, adversarial": {
        "head": "rotate",
        "negatives": "uniform",
        "num_negatives": 4,
        "loss": "bce",
        "adversarial": 1.0,
        "reciprocal": False,
    },
    "by degree": {"negatives": "degree", "num_negatives": 3, "filtered": False},
    "penalty": {"regularization": 0.01, "reciprocal": False},
}


@lru_cache(maxsize=None)
def on_reference(how: str, options: str, model: str = "embedding"):
    return fit(options=OPTIONS[options], model=model, **HOW[how])


@pytest.mark.in_turn
@pytest.mark.parametrize("name", OPTIONS)
def test_same_seed_same_numbers_on_every_backend(backend_name, name) -> None:
    expected, found = on_reference("sampled", name), fit(backend_name, options=OPTIONS[name], **SAMPLED)
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    assert found.test["mrr"] == pytest.approx(expected.test["mrr"], abs=0.02)


@pytest.mark.in_turn
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("model", ["rgcn", "sage"])
def test_encoders_agree(backend_name, how, model) -> None:
    expected, found = on_reference(how, "distmult", model), fit(backend_name, model=model, **HOW[how])
    assert losses(found) == pytest.approx(losses(expected), rel=1e-3)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("how", HOW)
def test_every_choice_learns(name, how) -> None:
    result = fit(options=OPTIONS[name], **{**HOW[how], "epochs": 8, "lr": 0.05})
    assert losses(result)[-1] < losses(result)[0]
    assert set(result.test) == {"mrr", "hits@1", "hits@3", "hits@10", "mean_rank"}


def test_it_learns_what_follows_from_the_rest() -> None:
    result = fit(**{**SAMPLED, "epochs": 60}, graph=knowledge(60), options={"head": "rotate"})
    chance = sum(1 / rank for rank in range(1, 61)) / 60
    assert result.test["mrr"] > 3 * chance


@pytest.mark.parametrize("how", HOW)
def test_a_resumed_run_equals_one_that_went_through(how, tmp_path) -> None:
    settings = {"options": OPTIONS["complex, all"], **HOW[how]}
    whole = fit(**{**settings, "epochs": 4})
    fit(**{**settings, "epochs": 2}, run_dir=tmp_path / "first")
    resumed = fit(**{**settings, "epochs": 4}, resume=tmp_path / "first", run_dir=tmp_path / "second")
    assert losses(resumed) == losses(whole) and resumed.test == whole.test


def test_backends_can_be_compared() -> None:
    graph = split_edges(knowledge(), negatives=False)
    net = gnnkit.build_model("rgcn", graph, out_channels=8, hidden_channels=8, dropout=0.0, input_dropout=0.0)
    options = {"num_negatives": 16}
    found = compare(net, graph, ["reference", "pyg", "dgl"], task="knowledge_graph", task_options=options, epochs=2)
    assert found.is_within, found.problems


def test_a_batch_sees_neither_its_triples_nor_their_reverses() -> None:
    graph = split_edges(knowledge(), negatives=False)
    task = make_task("knowledge_graph", graph)
    draw, num = task.draw(graph, 0), len(task.items(graph, "train").ids)
    relations = graph.typed.schema.relations
    for item in range(0, num, 7):
        drawn = draw(torch.tensor([item]).numpy(), slice(None), 1, 0)
        hidden = {tuple(row) for row in drawn.hidden.tolist()}
        place = item % (num // 2)
        source, target = graph.links.pairs["train"][place].tolist()
        relation = int(graph.links.relations["train"][place])
        assert hidden == {(source, target, relation), (target, source, relations[relation].reverse)}


RELATION = {"relation": "lives"}


@pytest.mark.in_turn
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("options", [RELATION, {**RELATION, "candidates": "all"}, {"relation": "alike"}])
def test_links_of_a_relation_agree(backend_name, how, options) -> None:
    expected = fit(task="link_prediction", model="rgcn", options=options, **HOW[how])
    found = fit(backend_name, task="link_prediction", model="rgcn", options=options, **HOW[how])
    assert losses(found) == pytest.approx(losses(expected), rel=1e-3)
    assert set(found.test) == set(expected.test)


@pytest.mark.parametrize("relation", ["lives", "rev_lives", "alike", "follows"])
def test_pairs_of_a_relation_take_their_reverses_along(relation) -> None:
    whole = knowledge()
    graph = arranged("link_prediction", whole, {"relation": relation, "valid_share": 0.2, "test_share": 0.2}, 0)
    assert check_leaks(graph) > 0
    number = graph.typed.schema.relation(relation)
    kind, links = graph.typed.schema.relations[number], graph.links
    left = {tuple(pair) for edges in relation_pairs(graph, number) for pair in edges.tolist()}
    judged = {tuple(pair) for split in ("valid", "test") for pair in links.pairs[split].tolist()}
    assert not left & judged
    assert links.undirected == (kind.reverse == number)
    assert left | judged | {pair[::-1] for pair in judged if links.undirected} == {
        tuple(pair) for edges in relation_pairs(whole, number) for pair in edges.tolist()
    }
    others = [str(each) for i, each in enumerate(graph.typed.schema.relations) if i not in (number, kind.reverse)]
    assert all(graph.typed.num_edges[name] == whole.typed.num_edges[name] for name in others)
    for split, negatives in links.negatives.items():
        assert len(negatives) == len(links.pairs[split])
        for end, name in enumerate((kind.src, kind.dst)):
            assert (graph.typed.node_type[negatives[:, end]] == graph.typed.schema.node_type(name)).all()
    task = make_task("link_prediction", graph, {"relation": relation, "num_negatives": 4})
    drawn = task.draw(graph, 0)(torch.arange(9).numpy(), slice(None), 1, 0)
    negatives = drawn.seeds[drawn.targets.rows["negatives"].numpy()]
    assert (graph.typed.node_type.numpy()[negatives] == graph.typed.schema.node_type(kind.dst)).all()


def test_labels_of_a_relation_are_learnt() -> None:
    graph = knowledge()
    label = str(graph.typed.schema.relations[graph.typed.schema.relation("lives")])
    column = {label: {"far": torch.arange(graph.typed.num_edges[label]) % 2}}
    labelled = replace(graph, typed=replace(graph.typed, edge_data=column))
    result = fit(task="edge_classification", model="rgcn", graph=labelled, options={**RELATION, "label": "far"})
    assert "accuracy" in result.test


def test_a_leak_through_a_reverse_is_refused_and_named() -> None:
    graph = arranged("link_prediction", knowledge(), RELATION, 0)
    back = graph.typed.schema.relation("rev_lives")
    pair = knowledge().indices[knowledge().typed.edge_type == back][0]
    mine = graph.links.pairs["train"]
    row = int((mine[:, 1] == pair).nonzero()[0])
    moved = {**graph.links.pairs, "train": torch.cat([mine[:row], mine[row + 1 :]]), "test": mine[row : row + 1]}
    relations = {
        split: torch.full((len(pairs),), graph.typed.schema.relation("lives")) for split, pairs in moved.items()
    }
    links = replace(graph.links, pairs=moved, relations=relations, negatives={})
    with pytest.raises(LeakError, match="1 of 1 pairs of 'test' is among"):
        check_leaks(replace(graph, links=links))


def test_a_run_says_how_many_negatives_are_answers_after_all(tmp_path) -> None:
    fit(options=OPTIONS["by degree"], epochs=1, run_dir=tmp_path / "run")
    told = read_run(tmp_path / "run").manifest["negatives"]
    assert told["kind"] == "degree" and 0 < told["false_rate"] < 0.5


BAD = {
    "no relations": ({"graph": communities()}, DataError, "has no relations"),
    "no such head": ({"options": {"head": "dot"}}, UnknownNameError, "dot"),
    "no such loss": ({"options": {"loss": "mse"}}, UnknownNameError, "mse"),
    "number of all": ({"options": {"negatives": "all"}}, ConfigError, "'num_negatives' .* has no effect"),
    "norm without distances": ({"options": {"norm": 2}}, ConfigError, "'norm' .* has no effect"),
    "margin of products": ({"options": {"margin": 1.0}}, ConfigError, "'margin' .* has no effect"),
    "filter without draws": ({"options": {"filtered": True}}, ConfigError, "'filtered'"),
    "weighed softmax": ({"options": {"adversarial": 1.0}}, ConfigError, "'adversarial'"),
    "scores instead of ranks": ({"options": {"metrics": ["auc"]}}, ConfigError, "ranks among all nodes"),
    "several relations": ({"task": "link_prediction"}, ConfigError, "pairs of one relation, and there are 3"),
    "no such relation": ({"task": "link_prediction", "options": {"relation": "owns"}}, UnknownNameError, "owns"),
    "no types": ({"task": "link_prediction", "options": RELATION, "graph": communities()}, DataError, "has no types"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name) -> None:
    arguments, error, match = BAD[name]
    with pytest.raises(error, match=match):
        fit(**{**arguments, "model": "sage"} if arguments.get("graph") is not None else arguments)


def test_a_relation_without_pairs_is_refused() -> None:
    graph = split_edges(knowledge(), relation="lives", negatives=False)
    with pytest.raises(DataError, match=r"none of relation person:alike:person.*There are pairs of person:lives:place"):
        fit(task="link_prediction", graph=graph, options={"relation": "alike"})
    homeless = replace(knowledge(1), links=None)
    alone = from_edge_index([[0], [1]])
    assert homeless.typed is not None and alone.typed is None
    with pytest.raises(DataError, match="are self-loops"):
        fit(task="link_prediction", graph=homeless, options={"relation": "follows"})
