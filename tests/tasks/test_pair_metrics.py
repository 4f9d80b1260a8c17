"""Metrics of pairs: their definitions written out, scikit-learn's and the Open Graph Benchmark's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.tasks.pair_metrics import chosen_pair_metrics, ogb_link_metric, pair_metric, rank_metric

KINDS = st.sampled_from([torch.float32, torch.float64])
NAMES = ["auc", "average_precision", "mrr", "hits@1", "hits@3"]
# Whole numbers of a small range, so that many scores are equal.
score = st.integers(-3, 3)


@st.composite
def scored(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Scores of pairs and of negatives, which all pairs share or each has for itself."""
    num, kind = draw(st.integers(1, 8)), draw(KINDS)
    positive = torch.tensor(draw(st.lists(score, min_size=num, max_size=num)), dtype=kind)
    width = draw(st.integers(1, 6))
    is_own = draw(st.booleans())
    count = num * width if is_own else width
    negative = torch.tensor(draw(st.lists(score, min_size=count, max_size=count)), dtype=kind)
    # A column of a table, as scores of pairs beside those of their negatives are.
    column = torch.stack([positive, positive], dim=1)[:, 0]
    return column, negative.reshape(num, width) if is_own else negative


def by_hand(name: str, positive: Tensor, negative: Tensor) -> float:
    """The definition, one pair after another."""
    if name in ("auc", "average_precision"):
        labels = np.r_[np.ones(len(positive)), np.zeros(negative.numel())]
        scores = np.r_[positive.numpy(), negative.reshape(-1).numpy()]
        judge = roc_auc_score if name == "auc" else average_precision_score
        return float(judge(labels, scores))
    found = []
    for i, own in enumerate(positive.tolist()):
        others = (negative if negative.ndim == 1 else negative[i]).tolist()
        best = 1 + sum(other > own for other in others)
        worst = 1 + sum(other >= own for other in others)
        rank = worst if name != "mrr" and negative.ndim == 1 else (best + worst) / 2
        found.append(1 / rank if name == "mrr" else float(rank <= int(name[5:])))
    return sum(found) / len(found)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(scored())
def test_metrics_are_their_definitions(name: str, scores: tuple[Tensor, Tensor]) -> None:
    assert pair_metric(name)(*scores) == pytest.approx(by_hand(name, *scores), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(50,), (4, 50)])
def test_equal_scores_are_no_success(name: str, shape: tuple[int, ...]) -> None:
    chance = {"auc": 0.5, "average_precision": 4 / (4 + math.prod(shape)), "mrr": 1 / 26}.get(name, 0.0)
    assert pair_metric(name)(torch.zeros(4), torch.zeros(shape)) == pytest.approx(chance)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_said_of_nothing(name: str) -> None:
    some, none = torch.ones(2), torch.empty(0)
    unknown = torch.tensor([math.nan, 1.0])
    for positive, negative in [(none, some), (some, none), (some, torch.empty(2, 0)), (unknown, some), (some, unknown)]:
        assert math.isnan(pair_metric(name)(positive, negative))
    if pair_metric(name).of_ranks is not None:
        assert math.isnan(rank_metric(pair_metric(name), torch.empty(0, 3)))


def test_both_precisions_may_meet() -> None:
    positive, negative = torch.tensor([0.5, 0.1]), torch.tensor([0.1, 0.7]).double()
    for name in NAMES:
        assert pair_metric(name)(positive, negative) == pytest.approx(by_hand(name, positive.double(), negative))


@pytest.mark.parametrize("dataset", ["ogbl-ddi", "ogbl-collab", "ogbl-ppa", "ogbl-citation2", "ogbl-vessel"])
def test_ogb_judges_alike(dataset: str) -> None:
    pytest.importorskip("ogb.linkproppred")
    ((name, official),) = ogb_link_metric(dataset).items()
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(300, generator=generator) + 2
    negative = torch.randn((300, 40) if name == "mrr" else (2000,), generator=generator)
    # Rounded, so that some are equal.
    for scores in [(positive, negative), (positive.round(decimals=1), negative.round(decimals=1))]:
        value = official(*scores)
        assert 0.02 < value < 0.98
        assert value == pytest.approx(pair_metric(name)(*scores), abs=1e-6)


def test_an_evaluator_refuses_negatives_of_another_form() -> None:
    pytest.importorskip("ogb.linkproppred")
    with pytest.raises(ConfigError, match=r"mrr from negatives of each pair, \[n, K\], and these have shape \[7\]"):
        ogb_link_metric("ogbl-citation2")["mrr"](torch.ones(3), torch.ones(7))
    with pytest.raises(ConfigError, match=r"hits@20 from negatives that all pairs are told from, \[m\]"):
        ogb_link_metric("ogbl-ddi")["hits@20"](torch.ones(3), torch.ones(3, 7))
    assert ogb_link_metric("ogbn-arxiv") == ogb_link_metric("ogbl-none") == {}


@pytest.mark.parametrize("name", ["hits@0", "hits@x", "hits@", "hits@-1", "hits@1.5", "hits@ 3"])
def test_hits_need_a_number(name: str) -> None:
    with pytest.raises(ConfigError, match="expected a number from 1"):
        pair_metric(name)


def test_unknown_names_are_told_what_comes_near() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'average_precision'"):
        pair_metric("averge_precision")
    with pytest.raises(UnknownNameError, match="'hits@K'"):
        pair_metric("hit@20")


def test_metrics_are_chosen_in_order() -> None:
    usual = ["auc", "mrr"]
    assert list(chosen_pair_metrics(usual)) == usual
    assert list(chosen_pair_metrics(usual, default="mrr")) == ["mrr", "auc"]
    assert list(chosen_pair_metrics(usual, default="accuracy")) == usual
    assert list(chosen_pair_metrics(usual, ["hits@5"], default="mrr")) == ["hits@5"]
    assert list(chosen_pair_metrics(usual, ["hits@5"], "auc", default="mrr")) == ["auc", "hits@5"]
    assert list(chosen_pair_metrics(["mrr"], default="auc", ranked=True)) == ["mrr"]
    for wanted in ([], ["auc", "auc"]):
        with pytest.raises(ConfigError, match="each once"):
            chosen_pair_metrics(usual, wanted)
    with pytest.raises(ConfigError, match="'auc' cannot be computed from ranks"):
        chosen_pair_metrics(usual, ranked=True)


def test_the_official_metric_is_chosen() -> None:
    pytest.importorskip("ogb.linkproppred")
    chosen = chosen_pair_metrics(["auc"], default="hits@20", evaluator="ogbl-ddi")
    assert list(chosen) == ["hits@20", "auc"]
    with pytest.raises(ConfigError, match="OGB's evaluator"):
        chosen["hits@20"](torch.ones(3), torch.ones(3, 7))
    ranked = chosen_pair_metrics(["mrr"], default="hits@20", evaluator="ogbl-ddi", ranked=True)
    assert list(ranked) == ["hits@20", "mrr"]


@pytest.mark.parametrize(
    ("name", "expected"), [("mrr", (1 + 1 / 2.5 + 1 / 4) / 3), ("hits@2", 1 / 3), ("hits@3", 2 / 3)]
)
def test_ranks_are_judged_by_the_middle_of_equals(name: str, expected: float) -> None:
    ranks = torch.tensor([[1, 1, -0.1], [2, 3, -0.1], [4, 4, -0.1]])
    assert rank_metric(pair_metric(name), ranks) == pytest.approx(expected)
