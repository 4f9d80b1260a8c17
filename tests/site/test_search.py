"""A reader who has never seen the project finds the way within the site, opened from the disk.

Rules: ``make docs`` names the site that it has built in GNNKIT_SITE; without it the pages are built here, without
what takes long: the API's docstrings and the notebooks.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

ROOT = Path(__file__).parents[2]
QUESTIONS = {
    "change the loss": ("tasks.html", "loss="),
    "stop a training": ("callbacks.html", "self.stop("),
    "your own data": ("data.html", "edges.csv"),
    "list runs": ("cli.html", "gnnkit runs"),
}
"""What is looked for, the page that answers, and words of the answer."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if os.environ.get("GNNKIT_SITE"):
        return Path(os.environ["GNNKIT_SITE"]).resolve()
    pytest.importorskip("material", reason="what builds the site is not installed; 'make docs' checks it")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=False, plugins=["search", "offline"])
    build(config)
    return folder


@pytest.fixture(scope="module")
def sections(site: Path) -> List[Dict[str, str]]:
    """The search index: sections of pages with place, title and text."""
    return json.loads((site / "search" / "search_index.json").read_text())["docs"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_index_has_an_answer(question: str, site: Path, sections: List[Dict[str, str]]) -> None:
    page, says = QUESTIONS[question]
    found = [part for part in sections if all(word in _words(part) for word in question.split())]
    assert any(part["location"].startswith(page) for part in found)
    assert says in re.sub("<[^>]*>", "", (site / page).read_text())


def _words(section: Dict[str, str]) -> str:
    return f"{section['title']} {section['text']}".casefold()


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_search_finds_it_without_a_server(question: str, site: Path, browser: Any) -> None:
    page = browser.new_page()
    asked: List[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.click("input.md-search__input", force=True)
    page.keyboard.type(question)
    page.wait_for_selector(".md-search-result__item")
    first = [link.get_attribute("href") for link in page.query_selector_all(".md-search-result__item > a")[:3]]
    assert any(QUESTIONS[question][0] in str(link) for link in first), first
    assert all(url.startswith("file:") for url in asked), "nothing is fetched from elsewhere"
    page.close()


def test_pages_lead_to_the_next_one(site: Path) -> None:
    page = (site / "training.html").read_text()
    assert "md-footer__link--next" in page and "md-footer__link--prev" in page
