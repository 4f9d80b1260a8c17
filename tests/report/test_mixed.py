"""A report of mixed runs in a browser: groups, whole labels, values under the pointer, light and dark."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gnnkit.report import Report, write_report
from gnnkit.train import load_config
from gnnkit.train.assembling import assemble
from tests.report.browser import opened

RUNS = {
    "gcn": {"dataset": {"name": "karate"}, "train": {"schedule": "cosine", "clip_norm": 1.0}},
    "sage": {"dataset": {"name": "karate"}, "model": {"name": "sage"}},
    "motifs": {"dataset": {"name": "motifs", "options": {"num_graphs": 40}}, "task": "graph_classification"},
    "embeddings": {"dataset": {"name": "karate"}, "task": "unsupervised"},
    "links": {"dataset": {"name": "karate"}, "task": "link_prediction"},
}
GROUPS = {
    "karate: node classification by accuracy": ["gcn", "sage"],
    "motifs: graph classification by accuracy (motifs)": ["motifs"],
    "karate: unsupervised by accuracy of a probe (embeddings)": ["embeddings"],
    "karate: link prediction by AUC (links)": ["links"],
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    home = tmp_path_factory.mktemp("mixed")
    for name, settings in RUNS.items():
        train = {**settings.get("train", {}), "epochs": 3}
        config = load_config({**settings, "train": train, "device": "cpu", "run_dir": str(home / name)})
        trainer, model, graph = assemble(config)
        trainer.fit(model, graph)
    return write_report([home / name for name in RUNS], home / "page.html", map="pca", batches=0)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_whole(browser: Any, mixed: Report, width: int, scheme: str) -> None:
    with opened(browser, mixed.file, width, scheme) as view:
        view.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert view.complaints == [] and view.requests == [] and mixed.warnings == []
        assert view.page.evaluate("document.documentElement.scrollWidth") == width
        assert view.cut(width) == [] and view.overlaps() == [] and view.squeezed() == []
        assert all(image["loaded"] and image["alt"] for image in view.images())


def test_nothing_is_compared_across_groups(browser: Any, mixed: Report) -> None:
    with opened(browser, mixed.file, 1440, "light") as view:
        tables = view.page.locator("#runs table").all()
        columns = [[cell.inner_text() for cell in table.locator("thead th").all()[1:]] for table in tables]
        assert columns == list(GROUPS.values())
        assert [table.locator(".best").count() > 0 for table in tables] == [True, False, False, False]
        assert list(dict.fromkeys(view.page.locator("#runs h3").all_inner_texts())) == list(GROUPS)
        assert view.page.locator("#training h3").all_inner_texts() == list(GROUPS)
        for image in view.images():
            named = {name for name in RUNS if re.search(rf"\b(of|run) {name}\b|\. {name}:", image["alt"])}
            assert len(named) < 2 or named == {"gcn", "sage"}, image["alt"]


def test_curves_of_losses_and_rates_have_axes_of_their_own(mixed: Report) -> None:
    home = mixed.file.parent
    plots = {name: {file.stem for file in mixed.figures if file.parent == home / name / "plots"} for name in RUNS}
    assert {"loss", "valid-loss"} <= plots["embeddings"] and "valid-loss" not in plots["links"]
    shared = {file.stem for file in mixed.figures if file.parent == home / "page-plots"}
    assert shared == {"loss-1", "metric-1", "learning-rate-1", "gradient-norm-1", "scores-1"}
    text = mixed.file.read_text()
    assert "loss of the probe, on its own axes" in text and "Unsupervised loss, training" in text


def test_values_are_said_under_the_pointer(browser: Any, mixed: Report) -> None:
    with opened(browser, mixed.file, 390, "light") as view:
        picture = view.page.locator("#training .picture").first
        area = picture.locator("span").nth(1)
        assert re.fullmatch(
            r"epoch 2\ngcn: training [\d.]+\ngcn: validation [\d.]+\nsage: training [\d.]+\nsage: validation [\d.]+",
            area.get_attribute("data-says"),
        )
        said = "element => getComputedStyle(element, '::after').content"
        assert area.evaluate(said) == "none"
        area.hover()
        assert "epoch 2" in area.evaluate(said)
        assert view.page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_follows_the_system_until_it_is_used(browser: Any, mixed: Report, scheme: str) -> None:
    def colour(view: Any) -> str:
        return view.page.evaluate("getComputedStyle(document.body).backgroundColor")

    def shown(view: Any) -> set[str]:
        return set(
            view.page.eval_on_selector_all("img", "all => all.filter(x => x.checkVisibility()).map(x => x.className)")
        )

    seen = {}
    with opened(browser, mixed.file, 390, scheme) as view:
        seen["system"] = colour(view)
        for name in ("light", "dark", "system"):
            view.page.get_by_text(name.capitalize(), exact=True).click()
            assert shown(view) == {scheme if name == "system" else name}
            if name != "system":
                seen[name] = colour(view)
        assert colour(view) == seen["system"] == seen[scheme] and seen["light"] != seen["dark"]
        assert view.page.evaluate("Object.keys(document.cookie).length") == 0
