"""Explanations: exact where they can be checked, equal on every backend, and right where the reason is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnnkit
from gnnkit.errors import ConfigError, DataError
from gnnkit.explain import METHODS, explain_nodes
from gnnkit.explain.masked import MaskedModel, neighbourhood, on_masked_primitives
from tests.commands import answer, gnnkit_here
from tests.graphs import communities

KINDS = ("gcn", "sage", "gat", "gin", "graphconv", "gatv2")


def model_of(graph, kind: str = "graphconv", backend="reference", **settings):
    return gnnkit.build_model(kind, graph, backend=backend, hidden_channels=8, num_layers=3, **settings)


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_explained_is_what_the_model_computes(kind: str, backend) -> None:
    graph = communities()
    model = model_of(graph, kind, backend).eval()
    prepared = model.spec.prepare(graph)
    with torch.no_grad():
        block = gnnkit.data.full_block(prepared, edge_features=model.spec.reads_edges)
        whole = model([block] * 3, prepared.x)
        for node in (0, 7):
            masked = MaskedModel(*on_masked_primitives(model), prepared, node)
            assert torch.allclose(masked.outputs(), whole[node], atol=1e-5)
            assert torch.allclose(masked.outputs(torch.ones(masked.block.num_edges)), whole[node], atol=1e-5)


@settings(max_examples=30)
@given(st.integers(2, 9), st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=25), st.integers(1, 3))
def test_the_neighbourhood_holds_all_that_can_reach_the_node(num_nodes: int, pairs: list, layers: int) -> None:
    kept = sorted({(a, b) for a, b in pairs if max(a, b) < num_nodes})
    graph = gnnkit.from_edge_index(np.array(kept, dtype=np.int64).reshape(-1, 2).T, num_nodes)
    block, nodes = neighbourhood(graph, 0, layers)
    hops = {0: 0}
    for hop in range(layers):
        for a, b in kept:
            if hops.get(b) == hop and a not in hops:
                hops[a] = hop + 1
    assert nodes[0] == 0 and set(nodes.tolist()) == set(hops) and len(nodes) == len(hops)
    edges = nodes[torch.stack([block.indices, block.dst])].T.tolist()
    assert sorted(map(tuple, edges)) == [(a, b) for a, b in kept if hops.get(b, layers) < layers]


def test_an_edge_without_which_nothing_changes_does_not_matter() -> None:
    graph = gnnkit.from_edge_index(
        [[0, 1, 3], [1, 2, 2]], 4, x=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]], y=[0] * 4
    )
    model = model_of(graph)
    for method in ("gradient", "integrated_gradients"):
        (found,) = explain_nodes(model, graph, [2], method, is_class=False, output=0)
        scores = dict(zip(map(tuple, found.edges.T.tolist()), found.edge_scores.tolist()))
        assert set(scores) == {(0, 1), (1, 2), (3, 2)}
        # Node 3 has only zeros and biases of 0 to send in the first layer; its edge matters in later ones at most.
        assert scores[(1, 2)] != 0


@pytest.mark.parametrize("kind", ["gcn", "graphconv", "sage"])
def test_integrated_gradients_add_up(kind: str, backend) -> None:
    graph = communities()
    model = model_of(graph, kind, backend)
    (found,) = explain_nodes(model, graph, [3], "integrated_gradients", is_class=False, output=1)
    masked = MaskedModel(*on_masked_primitives(model), model.spec.prepare(graph), 3)
    with torch.no_grad():
        nothing = masked.outputs(torch.zeros(masked.block.num_edges), torch.zeros_like(masked.x))[1]
    total = float(found.edge_scores.sum() + found.feature_scores.sum())
    # Self-loops are no edges to explain, so that their part is missing.
    assert total == pytest.approx(found.score - float(nothing), rel=0.05, abs=0.05)


@pytest.mark.in_turn
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["gcn", "graphconv", "gat"])
def test_explanations_are_the_same_on_every_backend(method: str, kind: str, backend) -> None:
    graph = communities()
    ours = explain_nodes(model_of(graph, kind, backend), graph, [5, 20], method)
    theirs = explain_nodes(model_of(graph, kind), graph, [5, 20], method)
    for one, other in zip(ours, theirs):
        assert torch.equal(one.edges, other.edges) and one.output == other.output
        assert torch.allclose(one.edge_scores, other.edge_scores, atol=1e-4)
        assert torch.allclose(one.feature_scores, other.feature_scores, atol=1e-4)
        assert one.fidelity_plus == pytest.approx(other.fidelity_plus, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_both_directions_of_an_undirected_edge_have_one_score(method: str) -> None:
    graph = gnnkit.load_dataset("karate")
    (found,) = explain_nodes(model_of(graph, "sage"), graph, [5], method)
    scores = dict(zip(map(tuple, found.edges.T.tolist()), found.edge_scores.tolist()))
    both = [(score, scores[b, a]) for (a, b), score in scores.items() if (b, a) in scores]
    assert len(both) > 10 and all(one == other for one, other in both)


def test_the_model_stays_as_it_is() -> None:
    graph = communities()
    model = model_of(graph, "gat").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain_nodes(model, graph, [0])
    assert model.training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_wrong_input_is_named() -> None:
    graph = communities()
    model = model_of(graph)
    with pytest.raises(ConfigError, match="method is 'magic', expected one of gradient"):
        explain_nodes(model, graph, [0], "magic")
    with pytest.raises(ConfigError, match="output is 99"):
        explain_nodes(model, graph, [0], output=99)
    with pytest.raises(DataError, match="nodes"):
        explain_nodes(model, graph, [10**6])
    with pytest.raises(ConfigError, match="expected a model"):
        explain_nodes(torch.nn.Linear(2, 2), graph, [0])


def area(truth: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; ties count half."""
    above = scores[truth][:, None] - scores[~truth][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


@pytest.fixture(scope="module")
def trained():
    """BA-Shapes and a model that tells its classes apart."""
    graph = gnnkit.load_dataset("ba_shapes")
    model = gnnkit.build_model(
        "graphconv", graph, hidden_channels=20, num_layers=3, dropout=0.0, norm="batch", jumping_knowledge="cat"
    )
    trainer = gnnkit.Trainer(device="cpu", epochs=300, lr=0.01, weight_decay=0.0, progress=False)
    result = trainer.fit(model, graph)
    assert result.test["accuracy"] >= 0.9
    return graph, result.model


@pytest.mark.long
@pytest.mark.parametrize("method", ["gradient", "gnn_explainer"])
def test_the_house_is_found(trained, backend, method: str) -> None:
    graph, model = trained
    ours = gnnkit.nn.GNN(model.spec, backend)
    ours.load_canonical(model.canonical_state())
    house = dict(zip(map(tuple, graph.edge_index.T.tolist()), graph.edge_data["house"].tolist()))
    nodes = range(300, 700, 10)
    truths, scores = [], []
    for found, known in zip(explain_nodes(ours, graph, nodes, method), explain_nodes(model, graph, nodes, method)):
        truth = np.array([house[edge] == (found.node - 300) // 5 for edge in map(tuple, found.edges.T.tolist())])
        truths.append(truth)
        scores.append(found.edge_scores.numpy())
        assert torch.allclose(found.edge_scores, known.edge_scores, atol=1e-4)
    each = np.mean([area(*pair) for pair in zip(truths, scores)])
    # Over the edges of all nodes together, as Ying et al. and later work report it.
    together = area(np.concatenate(truths), np.concatenate(scores))
    print(f"{backend.name}, {method}: {together:.3f}; mean of the nodes {each:.3f}")
    assert together >= 0.9


def test_the_command(tmp_path: Path) -> None:
    run = gnnkit_here(
        "run", "--dataset", "karate", "--device", "cpu", "--epochs", "3", "--run-dir", "run", cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    done = gnnkit_here("explain", "run", "--nodes", "0,33", "--output", "out", "--json", cwd=tmp_path)
    values = answer(done)
    assert [each["node"] for each in values["explanations"]] == [0, 33]
    rows = (tmp_path / "out" / "edges.csv").read_text().splitlines()
    assert rows[0] == "node,source,destination,score" and len(rows) > 20
    assert (tmp_path / "out" / "node-0.png").stat().st_size > 1000
    again = gnnkit_here("explain", "run", "--nodes", "0", "--output", "out", cwd=tmp_path)
    assert again.returncode == 2 and "exists" in again.stderr


MISTAKES = {
    "no node": (["--nodes", "99"], "99"),
    "no method": (["--nodes", "0", "--method", "magic"], "expected one of gradient"),
    "no run": (["--nodes", "0", "nowhere"], "nowhere"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_give_one_line(name: str, tmp_path: Path) -> None:
    gnnkit_here("run", "--dataset", "karate", "--device", "cpu", "--epochs", "1", "--run-dir", "run", cwd=tmp_path)
    arguments, words = MISTAKES[name]
    run = [] if "nowhere" in arguments else ["run"]
    done = gnnkit_here("explain", *run, *arguments, "--output", "out", cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
