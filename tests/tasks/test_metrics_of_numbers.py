"""Metrics of numbers are scikit-learn's, over what is known."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics as theirs

from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.tasks import METRICS
from gnnkit.tasks.metrics import chosen_metrics


def test_metrics_are_scikit_learns() -> None:
    outputs, y = torch.randn(40, 3), torch.randn(40, 3) * 4 + 7
    assert METRICS["mae"](outputs, y) == pytest.approx(theirs.mean_absolute_error(y, outputs))
    assert METRICS["r2"](outputs, y) == pytest.approx(theirs.r2_score(y, outputs))
    roots = [math.sqrt(theirs.mean_squared_error(y[:, column], outputs[:, column])) for column in range(3)]
    assert METRICS["rmse"](outputs, y) == pytest.approx(sum(roots) / 3)


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_what_is_missing_takes_no_part(name) -> None:
    outputs, y = torch.randn(9, 2), torch.randn(9, 2)
    y[3:, 1] = y[7, 0] = float("nan")
    first, second = (METRICS[name](outputs[k, c], y[k, c]) for c, k in ((0, ~y[:, 0].isnan()), (1, slice(0, 3))))
    assert METRICS[name](outputs, y) == pytest.approx((first + second) / 2)
    assert math.isnan(METRICS[name](outputs, torch.full_like(y, float("nan"))))


def test_a_column_that_is_the_same_everywhere_has_no_r2() -> None:
    outputs, y = torch.randn(5, 2), torch.randn(5, 2)
    y[:, 1] = 3.0
    assert METRICS["r2"](outputs, y) == pytest.approx(METRICS["r2"](outputs[:, 0], y[:, 0]))
    assert math.isnan(METRICS["r2"](outputs[:, 1], y[:, 1]))


def test_which_is_better() -> None:
    assert {name for name, metric in METRICS.items() if not metric.higher_is_better} == {"rmse", "mae"}


def test_names() -> None:
    assert list(chosen_metrics("numbers", ["rmse", "mae"], ["r2", "mae"])) == ["r2", "mae"]
    assert list(chosen_metrics("numbers", ["rmse"], best="mae")) == ["mae", "rmse"]
    with pytest.raises(UnknownNameError, match="metric of numbers"):
        chosen_metrics("numbers", ["rmse"], ["accuracy"])
    with pytest.raises(ConfigError, match="each once"):
        chosen_metrics("numbers", ["rmse"], ["mae", "mae"])
