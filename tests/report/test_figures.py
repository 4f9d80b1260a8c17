"""Text in figures: none is cut off, none lies on another, and names are drawn as they are.

Whatever matplotlib draws as text is caught on its way, so labels that it leaves out do not count.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from gnnkit.data.statistics import describe_graph
from gnnkit.report import figures
from gnnkit.report.curves import Curve, draw_loss, draw_quantity
from gnnkit.report.scores import score_classes
from gnnkit.report.style import DARK, LIGHT, as_png, themed
from gnnkit.runs import EpochRecord
from tests.graphs import communities, multi_label

PLAIN = ["Theory", "Rule Learning", "Genetic Algorithms"]
STRANGE = [
    "$\\frac{1}{$",
    "_underscored",
    "<b>WWWWWWWWWWWWWWWWWWWWWWWWWWWW</b>",
    "图",
    "a\nb",
    "日本 語",
    "%s {x} &amp;",
]
MANY = [f"Category {i} of a Long List & More" for i in range(47)]


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Texts that reach the picture, with their boxes in pixels."""
    found = []
    draw = Text.draw

    def catch(self: Text, renderer: object, *args: object, **kwargs: object) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **kwargs)

    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")  # A character that the font lacks.
        figure.canvas.draw()  # Lays out.
        patch.setattr(Text, "draw", catch)
        figure.canvas.draw()
    return found


def check_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts = drawn_texts(figure, monkeypatch)
    for text, box in texts:
        inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert inside and figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, f"{text!r} is cut"
    for (text, box), (other, others_box) in combinations(texts, 2):
        width = min(box.x1, others_box.x1) - max(box.x0, others_box.x0)
        height = min(box.y1, others_box.y1) - max(box.y0, others_box.y0)
        assert width <= 0.5 or height <= 0.5, f"{text!r} and {other!r} overlap"
    return [text for text, _ in texts]


def curves(*labels: str, num_epochs: int = 30, evaluated: bool = True) -> list[Curve]:
    history = [
        EpochRecord(i, 2 / i, 0.1, 1e3, 0.01, 2.5 / i if evaluated else None, 1 - 0.8 / i if evaluated else None)
        for i in range(1, num_epochs + 1)
    ]
    return [Curve(label, history, num_epochs - 1 if evaluated else None) for label in labels]


def scores_of(names: list[str], seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, len(names), (400,), generator=generator)
    outputs = torch.nn.functional.one_hot(y, len(names)) * 3 + torch.randn(400, len(names), generator=generator)
    return score_classes(outputs, y, "test")


@pytest.mark.parametrize("names", [PLAIN, STRANGE, MANY], ids=["plain", "strange", "many"])
def test_labels_of_classes_are_whole_and_apart(names, monkeypatch) -> None:
    theme = DARK if names is STRANGE else LIGHT
    graph = replace(communities(400), y=torch.arange(400) % len(names), class_names=tuple(names))
    statistics = describe_graph(graph)
    scores = scores_of(names)
    points = np.random.default_rng(0).normal(size=(400, 2))
    with themed(theme):
        for figure in (
            figures.draw_degrees(statistics, theme),
            figures.draw_classes(statistics, theme),
            figures.draw_confusion(scores, names, theme),
            figures.draw_class_scores({"one": scores}, names, theme),
            figures.draw_class_scores({"first run": scores, "second run": scores_of(names, 1)}, names, theme),
        ):
            check_texts(figure, monkeypatch)
        bare = figures.draw_map(points, graph.y.numpy(), names, theme, legend=False)
        assert check_texts(bare, monkeypatch) == []
        legend = check_texts(figures.draw_map(points, graph.y.numpy(), names, theme, legend=True), monkeypatch)
        assert len(legend) == len(names)  # Every class is named.


def test_names_are_drawn_as_they_are(monkeypatch) -> None:
    with themed(LIGHT):
        texts = check_texts(figures.draw_class_scores({"x": scores_of(STRANGE)}, STRANGE, LIGHT), monkeypatch)
    assert {"0 $\\frac{1}{$", "1 _underscored", "3", "4 a b", "6 %s {x} &amp;"} <= set(texts)


@pytest.mark.parametrize(
    "shown",
    [
        curves("one"),
        curves("one", num_epochs=1),
        curves("one", evaluated=False),
        curves("_cora-gcn", "<b>$x$</b>", "20240101-120000-cora-gcn-pyg"),
        curves(*(f"20240101-12000{i}-ogbn-products" for i in range(9)), num_epochs=500),
    ],
    ids=["one", "one epoch", "not evaluated", "three", "nine"],
)
def test_curves(shown, monkeypatch) -> None:
    with themed(LIGHT):
        texts = check_texts(draw_loss(shown, LIGHT), monkeypatch)
        if len(shown) > 1:
            assert all(any(text.startswith(curve.label) for text in texts) for curve in shown)
        check_texts(draw_quantity(shown, "valid_metric", "accuracy", LIGHT), monkeypatch)


def test_losses_that_are_not_finite_are_left_out(monkeypatch) -> None:
    history = [EpochRecord(i, float("nan") if i > 2 else 1.0, 0.1, 1e3, 0.01) for i in range(1, 6)]
    with themed(LIGHT):
        check_texts(draw_loss([Curve("x", history, None)], LIGHT), monkeypatch)


@pytest.mark.parametrize("largest", [0, 1, 3, 50, 51, 200_000])
def test_degrees_of_any_range(largest, monkeypatch) -> None:
    degrees = np.zeros(largest + 1, dtype=np.int64)
    degrees[0] = 4
    degrees[-1] = 2_000_000
    statistics = replace(describe_graph(communities(30)), degrees=degrees)
    with themed(LIGHT):
        check_texts(figures.draw_degrees(statistics, LIGHT), monkeypatch)


@pytest.mark.parametrize("stages", [{"step": 12.5}, {"sample": 1e-5, "forward": 0.0021, "update": 0.9}])
def test_stages(stages, monkeypatch) -> None:
    with themed(LIGHT):
        assert set(stages) <= set(check_texts(figures.draw_stages(stages, LIGHT), monkeypatch))


def test_multi_label_data(monkeypatch) -> None:
    graph = multi_label()
    scores = score_classes(torch.randn(240, 3), graph.y, "test")
    with themed(LIGHT):
        check_texts(figures.draw_classes(describe_graph(graph), LIGHT), monkeypatch)
        check_texts(figures.draw_class_scores({"x": scores}, PLAIN, LIGHT), monkeypatch)


def test_settings_of_the_user_change_nothing_and_are_left_alone() -> None:
    import matplotlib

    def picture() -> bytes:
        with themed(LIGHT):
            return as_png(draw_loss(curves("one"), LIGHT))

    before = picture()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "legend.fontsize": 30}):
        assert picture() == before
        assert matplotlib.rcParams["font.size"] == 30


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_few_colours_are_enough(theme) -> None:
    """Pictures have 256 colours: the background is the page's exactly, and every class keeps its own."""
    points = np.random.default_rng(0).normal(size=(600, 2))
    with themed(theme):
        png = as_png(figures.draw_map(points, np.arange(600) % 10, MANY, theme, legend=False))
    picture = np.asarray(Image.open(BytesIO(png)).convert("RGB")).reshape(-1, 3).astype(int)
    assert to_hex(picture[0] / 255) == theme.background
    for colour in theme.classes:
        assert (np.abs(picture - np.array(to_rgb(colour)) * 255).max(axis=1) <= 6).sum() > 1000
