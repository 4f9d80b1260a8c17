"""What is done with runs about pairs: pairs are scored, nodes get recommendations."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.data import add_nodes, from_edge_index, message_graph
from gnnkit.errors import ConfigError, DataError
from gnnkit.inference import open_run
from gnnkit.runs import read_links
from gnnkit.tasks import METRICS, pairs
from gnnkit.tasks.pair_metrics import chosen_pair_metrics
from tests.graphs import communities
from tests.inference.pair_runs import NAMES, graph_of, run_of

TASKS = ("link_prediction", "edge_classification", "edge_regression")


def opened(task, backend="reference", undirected=True, head="", **more):
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    graph = more.pop("graph", None)
    graph = graph_of(task, undirected) if graph is None else graph
    return open_run(run_of(task, undirected, head), backend=backend, device=device, graph=graph, **more)


def result_of(task):
    return json.loads((run_of(task) / "manifest.json").read_text())["result"]


@pytest.mark.in_turn
@pytest.mark.parametrize("task", TASKS)
def test_test_pairs_get_the_outputs_that_the_run_was_tested_with(task, backend_name) -> None:
    run, result = opened(task, backend_name), result_of(task)
    links = read_links(run.path)
    said = run.predict_pairs(links.pairs["test"])
    assert (run.learned.level, run.differences) == ("edges", [])
    if task == "link_prediction":
        negative = run.predict_pairs(links.negatives["test"]).outputs[:, 0]
        auc = chosen_pair_metrics(["auc"], ["auc"], "auc")["auc"]
        assert auc(said.outputs[:, 0], negative) == pytest.approx(result["test_auc"], abs=1e-4)
    elif task == "edge_classification":
        accuracy = (said.classes == links.y["test"]).float().mean()
        assert float(accuracy) == pytest.approx(result["test_accuracy"], abs=1e-6)
        assert (said.class_names, tuple(said.probabilities.shape)) == (NAMES, (len(said), 2))
        assert torch.allclose(said.probabilities.sum(dim=1), torch.ones(len(said)))
    else:
        rmse = METRICS["rmse"](said.outputs[:, 0], links.y["test"].double())
        assert rmse == pytest.approx(result["test_rmse"], rel=1e-4)
        with pytest.raises(ConfigError, match="gives numbers, which have no classes"):
            _ = said.probabilities


@pytest.mark.parametrize("method", ["layerwise", "full", "sampled"])
def test_every_method_says_the_same_and_messages_are_those_of_testing(method) -> None:
    run = opened("link_prediction")
    some = torch.tensor([[3, 50], [50, 3], [7, 7]])
    fanouts = [-1, -1] if method == "sampled" else None
    said = run.predict_pairs(some, method=method, fanouts=fanouts)
    h = run.embed(method="full")[2]
    assert torch.allclose(said.outputs[:, 0], (h[some[:, 0]] * h[some[:, 1]]).sum(dim=1), atol=1e-5)
    assert torch.equal(said.probabilities, said.outputs.sigmoid())
    tested = message_graph(run.graph, "test")
    alone = run.on(replace(tested, links=None))
    assert torch.allclose(alone.predict_pairs(some, method=method, fanouts=fanouts).outputs, said.outputs, atol=1e-5)
    trained = run.on(replace(run.graph, links=None))
    assert not torch.allclose(trained.predict_pairs(some).outputs, said.outputs, atol=1e-5)
    with pytest.raises(ConfigError, match="have no classes. Take the probabilities"):
        _ = said.classes


@pytest.mark.parametrize("head", ["bilinear", "mlp", "mlp_joined", "cosine"])
@pytest.mark.parametrize("undirected", [True, False])
def test_heads_come_back_with_their_weights_and_direction(head, undirected) -> None:
    run = opened("link_prediction", undirected=undirected, head=head)
    forth = run.predict_pairs(run.graph.links.pairs["test"]).outputs
    back = run.predict_pairs(run.graph.links.pairs["test"].flip(1)).outputs
    is_symmetric = undirected or head in ("mlp", "cosine")
    assert torch.allclose(forth, back, atol=1e-5) == is_symmetric
    negative = run.predict_pairs(run.graph.links.negatives["test"]).outputs[:, 0]
    auc = chosen_pair_metrics(["auc"], ["auc"], "auc")["auc"]
    told = json.loads((run.path / "manifest.json").read_text())["result"]["test_auc"]
    assert auc(forth[:, 0], negative) == pytest.approx(told, abs=1e-4)


def test_pairs_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened("link_prediction", head="mlp_joined")
    some = torch.cartesian_prod(torch.arange(20), torch.arange(10))
    whole, most, score = run.predict_pairs(some).outputs, [], type(run.pair_head).score

    def noted(head, sources, destinations):
        most.append(len(sources))
        return score(head, sources, destinations)

    monkeypatch.setattr(pairs, "_CHUNK_SCORES", 33)
    monkeypatch.setattr(type(run.pair_head), "score", noted)
    assert torch.allclose(run.predict_pairs(some).outputs, whole, atol=1e-6)
    assert max(most) == 33 and sum(most) == 200


@pytest.mark.parametrize("undirected", [True, False])
def test_recommendations_are_the_best_unknown_destinations(undirected, backend_name) -> None:
    run = opened("link_prediction", backend_name, undirected)
    nodes = torch.tensor([5, 0, 119])
    found = run.recommend(nodes, 4)
    links, h = run.graph.links, run.embed()[2]
    known = {tuple(pair) for pair in run.graph.edge_index.T.tolist()}
    for some in links.pairs.values():
        known |= {tuple(pair) for pair in some.tolist()}
        known |= {(v, u) for u, v in some.tolist()} if undirected else set()
    for row, source in enumerate(nodes.tolist()):
        free = [node for node in range(120) if node != source and (source, node) not in known]
        scores = {node: float(h[source] @ h[node]) for node in free}
        best = sorted(free, key=lambda node: (-scores[node], node))[:4]
        assert found.ids[row].tolist() == best
        np.testing.assert_allclose(found.scores[row], [scores[node] for node in best], atol=1e-4)


def test_recommendations_with_known_ones_and_of_more_than_there_are() -> None:
    run = opened("link_prediction")
    everyone = run.recommend(k=119, known="keep")
    assert tuple(everyone.ids.shape) == (120, 119)
    assert all(sorted([*row, source]) == list(range(120)) for source, row in enumerate(everyone.ids.tolist()))
    left = run.recommend([3], k=119)
    known = set(run.graph.indices[run.graph.dst == 3].tolist())
    num = int((left.ids >= 0).sum())
    assert num < 119 - len(known) + 1 and left.ids[0, num:].tolist() == [-1] * (119 - num)
    assert not known & set(left.ids[0].tolist())


def test_new_nodes_get_recommendations() -> None:
    run = opened("link_prediction")
    larger = add_nodes(run.graph, run.graph.x[:1] + 0.1, [[4, 120], [120, 4]])
    found = run.on(larger).recommend([120], 5)
    assert 4 not in found.ids[0].tolist() and len(set(found.ids[0].tolist())) == 5


def test_learnt_embeddings_score_pairs(tmp_path) -> None:
    graph = replace(graph_of("link_prediction"), x=None)
    model = gnnkit.build_model("sage", graph, hidden_channels=8, out_channels=8, embedding_channels=8)
    trainer = gnnkit.Trainer(device="cpu", task="link_prediction", epochs=2, run_dir=tmp_path / "run", progress=False)
    trainer.fit(model, graph)
    run = open_run(tmp_path / "run", graph=graph, device="cpu")
    assert torch.isfinite(run.predict_pairs([[0, 5]]).outputs).all() and run.recommend([0], 2).ids.shape == (1, 2)
    with pytest.raises(DataError, match="the graph has none"):
        add_nodes(graph, torch.zeros(1, 8))


def test_classes_in_another_order_are_the_models() -> None:
    graph = graph_of("edge_classification")
    links = graph.links
    turned = replace(links, y={split: 1 - y for split, y in links.y.items()}, class_names=NAMES[::-1])
    run = opened("edge_classification", graph=replace(graph, links=turned))
    assert run.graph.links.class_names == NAMES
    assert torch.equal(run.graph.links.y["test"], links.y["test"])
    unknown = replace(turned, class_names=("new", "apart"))
    assert opened("edge_classification", graph=replace(graph, links=unknown)).graph.links.y["test"].min() == -100


def test_edges_without_labels_can_be_asked_for_theirs(caplog: pytest.LogCaptureFixture) -> None:
    graph = graph_of("edge_classification")
    plain = from_edge_index(graph.edge_index, 120, x=graph.x)
    with caplog.at_level(logging.WARNING):
        run = opened("edge_classification", graph=plain)
    assert "all of its edges carry messages" in caplog.text
    assert run.predict_pairs([[0, 1]]).outputs.shape == (1, 2)


def test_a_graph_is_split_as_the_run_split_its_own(tmp_path) -> None:
    graph = communities(120)
    model = gnnkit.build_model("gcn", graph, out_channels=8, hidden_channels=8)
    folder = tmp_path / "run"
    trainer = gnnkit.Trainer(device="cpu", task="link_prediction", epochs=1, seed=3, run_dir=folder, progress=False)
    trainer.fit(model, graph)
    assert open_run(folder, graph=graph, device="cpu").differences == []


def test_what_does_not_fit_the_run_is_refused(tmp_path) -> None:
    run = opened("link_prediction")
    with pytest.raises(ConfigError, match=r"'link_prediction', which is about pairs of nodes.*--pairs FILE.*embed"):
        run.predict()
    with pytest.raises(ConfigError, match="'edge_classification'; recommend needs one that says which pairs"):
        opened("edge_classification").recommend()
    trainer = gnnkit.Trainer(device="cpu", epochs=1, run_dir=tmp_path / "nodes", progress=False)
    trainer.fit(gnnkit.build_model("gcn", communities(120)), communities(120))
    of_nodes = open_run(tmp_path / "nodes", graph=communities(120), device="cpu")
    assert of_nodes.learned.level == "nodes" and not (tmp_path / "nodes" / "links.safetensors").exists()
    for ask in (lambda: of_nodes.predict_pairs([[0, 1]]), of_nodes.recommend, lambda: of_nodes.pair_head):
        with pytest.raises(ConfigError, match="which is about nodes"):
            ask()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([], ConfigError, "No pairs"),
        ([[0, 120]], DataError, "destination 120 is out of range"),
        ([[-1, 2]], DataError, "source -1 is out of range"),
        ([0, 1], DataError, r"shape \[2\], expected integer node ids \[n, 2\]"),
        ([[0.0, 1.0]], DataError, "float64"),
        ([[0, 1, 2]], DataError, r"shape \[1, 3\]"),
    ],
)
def test_wrong_pairs_are_refused(wrong, error, message) -> None:
    with pytest.raises(error, match=message):
        opened("link_prediction").predict_pairs(wrong)


@pytest.mark.parametrize(
    ("settings", "message"), [({"k": 0}, "k is 0"), ({"k": 2.5}, "k is 2.5"), ({"known": "x"}, "known is 'x'")]
)
def test_wrong_recommendations_are_refused(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        opened("link_prediction").recommend([0], **settings)
