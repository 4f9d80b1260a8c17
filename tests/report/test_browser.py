"""Reports in a real browser, on a phone and on a wide screen, in light and dark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import gnnkit
from gnnkit.report import Report, write_report
from tests.graphs import communities
from tests.report.browser import opened

SIZES = pytest.mark.parametrize("width", [390, 1440])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
SECTIONS = ["Training", "Predictions", "Embeddings", "Data", "Time", "Configuration"]
MARKUP = (
    "<script>document.title = 'taken'</script>",
    "</style><b>bold</b>",
    "\"><img src=x onerror=alert(1)>'",
    "{{ 7 * 7 }}",
    "&lt;i&gt; $x_1$",
)


@pytest.fixture(scope="module")
def cora(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("cora") / "cora-gcn"
    graph = gnnkit.load_dataset("cora", data_dir=data_dir)
    trainer = gnnkit.Trainer(
        device="cpu", run_dir=folder, epochs=8, progress=False, facts={"dataset": {"name": "cora"}}
    )
    trainer.fit(gnnkit.build_model("gcn", graph), graph)
    return write_report(folder, data_dir=data_dir, map_nodes=150, batches=1)


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Runs on data whose names contain markup, in folders whose names do, one on other data; too many for a phone."""
    home = tmp_path_factory.mktemp("strange")
    graph = replace(
        communities(120), y=torch.arange(120) % len(MARKUP), class_names=MARKUP, name="<h1>data & 'more' <u>\"</h1>"
    )
    runs = [home / "<em>a_long_name_of_a_run_that_goes_on_and_on_without_an_end", home / "b&amp;", home / "c"]
    for run, data in zip(runs, (graph, replace(graph, x=graph.x + 1), graph)):
        trainer = gnnkit.Trainer(device="cpu", run_dir=run, epochs=3, progress=False)
        trainer.fit(gnnkit.build_model("gcn", data, num_layers=1), data)
    return write_report(runs, home / "report.html", graph=graph, map="pca", batches=0)


def check(browser: Any, report: Report, width: int, scheme: str, num_figures: int) -> None:
    with opened(browser, report.file, width, scheme) as view:
        assert view.complaints == [] and view.requests == []
        assert view.page.locator("h2").all_inner_texts()[-len(SECTIONS) :] == SECTIONS
        images = view.images()
        assert len(images) == num_figures
        for image in images:
            assert image["loaded"] and image["alt"] and image["width"] >= 300, image["alt"]
            assert image["width"] / image["height"] == pytest.approx(image["ratio"], rel=0.02)
        assert view.page.evaluate("document.documentElement.scrollWidth") == width
        assert view.cut(width) == [] and view.overlaps() == [] and view.squeezed() == []
        view.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert view.page.evaluate("document.documentElement.scrollWidth") == width
        assert view.cut(width) == [] and view.overlaps() == [] and view.squeezed() == []


@SIZES
@SCHEMES
def test_cora(browser: Any, cora: Report, width: int, scheme: str) -> None:
    check(browser, cora, width, scheme, num_figures=9)


@SIZES
def test_several_runs_and_names_with_markup(browser: Any, strange: Report, width: int) -> None:
    # Of two groups: curves (2) and data (2) of each, scores and maps (3) of each run, and a figure that compares.
    check(browser, strange, width, "light", num_figures=2 * 4 + 3 * 3 + 1)
    with opened(browser, strange.file, width, "light") as view:
        text = view.page.inner_text("body")
        for name in MARKUP:
            assert f"{MARKUP.index(name)} {name}" in text
        assert "<h1>data & 'more' <u>\"</h1>" in text and "b&amp;" in text
        assert "<h1>data" in view.page.title()
        assert view.page.locator("main h1, main b, main em, main u, main script, main i").count() == 0
        assert "what differs: features" in view.page.locator("[role=alert]").first.inner_text()


def test_the_dark_version_is_another_picture(browser: Any, cora: Report) -> None:
    shown = {}
    for scheme in ("light", "dark"):
        with opened(browser, cora.file, 390, scheme) as view:
            shown[scheme] = [image["source"] for image in view.images()]
            shown[f"{scheme} page"] = view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert all(light != dark for light, dark in zip(shown["light"], shown["dark"]))
    assert shown["light page"] != shown["dark page"]


def test_the_page_can_be_read_aloud(browser: Any, cora: Report) -> None:
    with opened(browser, cora.file, 390, "light") as view:
        tree = view.page.locator("body").aria_snapshot()
    for line in ('heading "gcn on cora" [level=1]', 'heading "Training" [level=2]', 'table "Scores by class"'):
        assert line in tree
    assert 'columnheader "precision"' in tree and 'rowheader "0 Theory"' in tree
