"""Tasks about pairs through the Trainer, on every backend."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.data import from_edge_index, split_edges
from gnnkit.errors import ConfigError, DataError, LeakError, UnknownNameError
from gnnkit.parity import compare
from gnnkit.runs import read_run
from gnnkit.runs.checkpoint import read_head
from gnnkit.tasks import arranged
from tests.graphs import communities

FULL = {"epochs": 3}
SAMPLED = {"epochs": 3, "batch_size": 64, "fanouts": [4, 3]}
HOW = {"full": FULL, "sampled": SAMPLED}
TASKS = ("link_prediction", "edge_classification", "edge_regression")


def graph_for(task: str):
    graph = communities()
    same = graph.y[graph.indices] == graph.y[graph.dst]
    numbers = (graph.x[graph.indices] * graph.x[graph.dst]).sum(dim=1)
    labels = {"edge_classification": same.long(), "edge_regression": numbers}
    return replace(graph, edge_data={"what": labels[task]} if task in labels else {})


def fit(
    backend="reference",
    *,
    task="link_prediction",
    model="sage",
    seed=0,
    resume=None,
    graph=None,
    options=None,
    **settings,
):
    graph = graph_for(task) if graph is None else graph
    options = {**({} if task == "link_prediction" else {"label": "what"}), **(options or {})}
    net = gnnkit.build_model(
        model, graph, out_channels=16, hidden_channels=16, seed=seed, dropout=0.0, input_dropout=0.0
    )
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    trainer = gnnkit.Trainer(
        backend, device, task=task, task_options=options, seed=seed, progress=False, **{**FULL, **settings}
    )
    return trainer.fit(net, graph, resume=resume)


def losses(result):
    return [record.train_loss for record in result.history]


@lru_cache(maxsize=None)
def on_reference(task: str, how: str, options: str = ""):
    """What the reference backend gives, once for all that are compared with it."""
    return fit(task=task, options=OPTIONS.get(options), **HOW[how])


@pytest.mark.in_turn
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("task", TASKS)
def test_same_seed_same_numbers_on_every_backend(backend, task, how) -> None:
    expected, found = on_reference(task, how), fit(backend, task=task, **HOW[how])
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    assert [r.valid_metric for r in found.history] == pytest.approx(
        [r.valid_metric for r in expected.history], abs=0.02
    )
    assert set(found.test) == set(expected.test)


OPTIONS = {
    "global": {"corrupt": "both", "num_negatives": 2},
    "degree": {"negatives": "degree"},
    "in batch": {"negatives": "in_batch", "num_negatives": 3, "loss": "softmax"},
    "hard": {"hard": 5, "num_negatives": 2, "loss": "margin"},
    "adversarial": {"num_negatives": 4, "adversarial": 1.0, "filtered": False},
    "bpr, cosine": {"loss": "bpr", "head": "cosine"},
    "bilinear": {"head": "bilinear"},
    "mlp": {"head": "mlp", "head_channels": 8},
    "joined": {"head": "mlp_joined", "head_channels": 8, "head_layers": 3},
    "ranked": {"candidates": "all"},
}


@pytest.mark.in_turn
@pytest.mark.parametrize("name", OPTIONS)
def test_options_give_the_same_numbers_on_every_backend(backend, name) -> None:
    expected, found = on_reference("link_prediction", "sampled", name), fit(backend, options=OPTIONS[name], **SAMPLED)
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    for metric, value in expected.test.items():
        assert found.test[metric] == pytest.approx(value, abs=0.03)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("how", HOW)
def test_every_choice_learns(name, how) -> None:
    result = fit(options=OPTIONS[name], **{**HOW[how], "epochs": 6, "lr": 0.02})
    assert losses(result)[-1] < losses(result)[0]


@pytest.mark.parametrize("num_threads", [0, 3])
def test_threads_change_nothing(num_threads: int) -> None:
    assert losses(fit(**SAMPLED, num_threads=num_threads)) == losses(fit(**SAMPLED))


@pytest.mark.parametrize("how", HOW)
def test_it_learns_communities(how) -> None:
    result = fit(**{**HOW[how], "epochs": 25, "lr": 0.01})
    assert result.test["auc"] > 0.57


def random_graph(num_nodes=400, num_edges=1600, seed=0):
    """Edges and features have nothing to do with each other, so nothing can be learnt but what has leaked."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(num_nodes, (2, num_edges), generator=generator)
    edges = edges[:, edges[0] != edges[1]]
    x = torch.randn(num_nodes, 64, generator=generator)
    return from_edge_index(torch.cat([edges, edges.flip(0)], dim=1), num_nodes, x=x)


def leaking(monkeypatch) -> None:
    """Let batches see the pairs that they learn."""
    from gnnkit.loading import LinkDraw

    honest = LinkDraw.__call__
    monkeypatch.setattr(LinkDraw, "__call__", lambda self, *key: honest(self, *key)._replace(hidden=None))


@pytest.mark.parametrize("how", HOW)
def test_a_model_that_can_only_win_by_leaking_scores_at_chance(backend, how, monkeypatch) -> None:
    settings = {**HOW[how], "epochs": 4, "lr": 0.01, "graph": random_graph()}
    if how == "sampled":
        settings["fanouts"] = [-1, -1]
    honest = fit(backend, **settings)
    assert abs(honest.test["auc"] - 0.5) < 0.12
    if backend == "reference":  # The proof that such a model would win if it could.
        leaking(monkeypatch)
        assert losses(fit(backend, **settings))[-1] < losses(honest)[-1] - 0.05


def test_a_planted_leak_is_refused_and_named() -> None:
    graph = split_edges(random_graph(2000, 20_000), seed=1)
    source, destination = graph.links.pairs["test"][7].tolist()
    leaky = from_edge_index(
        torch.cat([graph.edge_index, torch.tensor([[destination], [source]])], dim=1), graph.num_nodes, x=graph.x
    )
    with pytest.raises(LeakError, match=f"{source}.*{destination}|{destination}.*{source}"):
        fit(graph=replace(leaky, links=graph.links))


MORE = {"options": {"head": "mlp", "head_channels": 8}, **SAMPLED, "epochs": 4}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory):
    """A run that ends before the last epoch of ``MORE``, and the losses of one that went through."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    fit(**{**MORE, "epochs": 2}, run_dir=folder)
    return folder, losses(fit(**MORE))


def test_checkpoints_cross_backends(backend, begun) -> None:
    folder, expected = begun
    assert "layers.0.weight" in read_head(folder / "checkpoints" / "best.safetensors")
    assert losses(fit(backend, **MORE, resume=folder)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("task", TASKS)
def test_a_resumed_run_equals_one_that_went_through(task, how, tmp_path: Path) -> None:
    settings = {"task": task, **HOW[how]}
    whole = fit(**{**settings, "epochs": 4})
    fit(**{**settings, "epochs": 2}, run_dir=tmp_path / "first")
    resumed = fit(**{**settings, "epochs": 4}, resume=tmp_path / "first", run_dir=tmp_path / "second")
    assert losses(resumed) == losses(whole) and resumed.test == whole.test


@pytest.mark.parametrize("how", HOW)
def test_backends_can_be_compared(how) -> None:
    graph = graph_for("link_prediction")
    net = gnnkit.build_model("gcn", graph, out_channels=16, hidden_channels=16, dropout=0.0, input_dropout=0.0)
    found = compare(net, graph, ["reference", "pyg", "dgl"], task="link_prediction", **HOW[how])
    assert found.is_within, found.problems


def test_validation_edges_carry_messages_for_testing_where_the_data_say_so() -> None:
    bare = replace(graph_for("link_prediction"), edge_attr=None, edge_weight=None)
    graph = arranged("link_prediction", bare, {}, 0)
    pairs = graph.links.pairs["valid"]
    both = torch.cat([graph.edge_index, pairs.T, pairs.T.flip(0)], dim=1)
    more = replace(graph, links=replace(graph.links, test_edges=from_edge_index(both, graph.num_nodes)))
    for model in ("gcn", "sage"):
        first, second = fit(graph=graph, model=model), fit(graph=more, model=model)
        assert losses(first) == losses(second) and first.valid == second.valid
        assert first.test != second.test
    sampled, other = (fit(graph=each, evaluation="sampled", eval_fanouts=[-1, -1], **SAMPLED) for each in (graph, more))
    assert sampled.valid == other.valid and sampled.test != other.test


def test_weights_of_classes_and_units_of_numbers_are_those_of_nodes() -> None:
    result = fit(
        task="edge_classification", options={"class_weights": "balanced", "metric": "macro_f1"}, epochs=20, lr=0.01
    )
    assert result.metric == "macro_f1" and result.test["macro_f1"] > 0.5
    result = fit(task="edge_regression", options={"loss": "huber", "metric": "r2"}, epochs=20, lr=0.01)
    assert result.metric == "r2"


def complete(num_nodes=8):
    source, destination = np.nonzero(~np.eye(num_nodes, dtype=bool))
    return from_edge_index(np.stack([source, destination]), num_nodes, x=torch.eye(num_nodes))


TWO = replace(
    communities(), edge_data={"one": torch.ones(communities().num_edges), "other": torch.ones(communities().num_edges)}
)

BAD = {
    "a complete graph": ({"graph": complete()}, DataError, "no negatives possible"),
    "hits@0": ({"options": {"metrics": ["hits@0"]}}, ConfigError, "hits@0"),
    "no such metric": ({"options": {"metrics": ["accuracy"]}}, UnknownNameError, "accuracy"),
    "scores instead of ranks": (
        {"options": {"candidates": "all"}, "metrics": {"mine": lambda positive, negative: 0.0}},
        ConfigError,
        "ranks among all nodes",
    ),
    "no such head": ({"options": {"head": "dott"}}, UnknownNameError, "dott"),
    "no such loss": ({"options": {"loss": "mse"}}, UnknownNameError, "mse"),
    "margin without its loss": ({"options": {"margin": 2.0}}, ConfigError, "'margin' .* has no effect"),
    "filter without draws": ({"options": {"negatives": "in_batch", "filtered": True}}, ConfigError, "'filtered'"),
    "one negative, weighed": ({"options": {"adversarial": 1.0}}, ConfigError, "'adversarial'"),
    "too few candidates": ({"options": {"hard": 1}}, ConfigError, "hard is 1"),
    "none are given": ({"options": {"negatives": "given"}}, DataError, "negatives='given'"),
    "shares": ({"options": {"valid_share": 0.6, "test_share": 0.5}}, ConfigError, "valid_share is 0.6"),
    "no column of times": ({"options": {"split_by": "year"}}, (DataError, UnknownNameError), "year"),
    "no label": ({"task": "edge_classification", "options": {"label": None}, "graph": TWO}, ConfigError, "label=NAME"),
    "no such label": ({"task": "edge_regression", "options": {"label": "that"}}, UnknownNameError, "that"),
    "classes by a dot": ({"task": "edge_classification", "options": {"head": "dot"}}, ConfigError, "gives one number"),
    "numbers as classes": (
        {"task": "edge_classification", "graph": graph_for("edge_regression")},
        DataError,
        "edge_regression",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name) -> None:
    arguments, error, match = BAD[name]
    with pytest.raises(error, match=match):
        fit(**arguments)


def test_a_split_without_pairs_is_refused() -> None:
    graph = arranged("link_prediction", graph_for("link_prediction"), {}, 0)
    some = {split: pairs for split, pairs in graph.links.pairs.items() if split != "valid"}
    with pytest.raises(DataError, match="valid"):
        fit(graph=replace(graph, links=replace(graph.links, pairs=some, negatives={})))


def test_a_run_says_how_many_negatives_are_pairs_after_all(tmp_path: Path) -> None:
    rates = {}
    every = {"filtered": {}, "not": {"filtered": False}, "in batch": {"negatives": "in_batch"}}
    for name, options in every.items():
        both = {} if name == "in batch" else {"corrupt": "both"}
        fit(options={"num_negatives": 20, **both, **options}, epochs=1, run_dir=tmp_path / name)
        rates[name] = read_run(tmp_path / name).manifest["negatives"]["false_rate"]
    graph = graph_for("link_prediction")
    density = graph.num_edges / (graph.num_nodes * (graph.num_nodes - 1))
    assert rates["not"] == pytest.approx(density, rel=0.2)
    assert 0 < rates["filtered"] < 0.4 * density  # Pairs that are judged are not known to a training.
    assert rates["in batch"] > 0
