"""A page in a real browser: what it asks for, what it complains of, and where its text lies."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

TEXT = """() => {
  // One box for each line of each piece of text that is shown.
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const parent = node.parentElement;
    if (!node.textContent.trim() || !parent.checkVisibility()) continue;
    if (getComputedStyle(parent.closest("thead") || parent).clipPath !== "none") continue;  // For screen readers only.
    const range = document.createRange();
    range.selectNodeContents(node);
    const home = parent.closest("section, .tiles div, header, footer").getBoundingClientRect();
    for (const box of range.getClientRects())
      if (box.width > 1) found.push({text: node.textContent.trim(), x0: box.left, x1: box.right, y0: box.top,
        y1: box.bottom, left: home.left, right: home.right});
  }
  return found;
}"""

NARROW = """() => {
  // Text whose lines have one or two letters each, because it has too little room.
  const found = [];
  for (const part of document.querySelectorAll("h1, h2, h3, p, a, dt, dd, th, td, caption, figcaption, li, summary")) {
    const range = document.createRange();
    range.selectNodeContents(part);
    const lines = new Set(Array.from(range.getClientRects(), box => Math.round(box.bottom))).size;
    const text = part.textContent.trim();
    if (part.checkVisibility() && lines > 2 && text.length / lines < 3) found.push(text);
    if (/^[\\d.,%]+$/.test(text) && lines > 1) found.push(text);
  }
  return found;
}"""

IMAGES = """() => Array.from(document.images).filter(image => image.checkVisibility()).map(image => ({
  // Those of the other scheme are hidden.
  alt: image.alt, source: image.currentSrc, loaded: image.complete && image.naturalWidth > 0,
  width: image.getBoundingClientRect().width, height: image.getBoundingClientRect().height,
  ratio: image.naturalWidth / image.naturalHeight}))"""


@dataclass
class View:
    """What the browser shows of a page.

    Attributes:
        page: Playwright's.
        complaints: Errors and warnings of the console.
        requests: Addresses outside of the page that were asked for.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self) -> list[dict]:
        return self.page.evaluate(TEXT)

    def images(self) -> list[dict]:
        return self.page.evaluate(IMAGES)

    def overlaps(self) -> list[tuple[str, str]]:
        """Pairs of lines of text that lie on each other."""
        lines = sorted(self.texts(), key=lambda line: line["y0"])
        pairs = []
        for i, line in enumerate(lines):
            for other in lines[i + 1 :]:
                if other["y0"] >= line["y1"] - 3:  # Boxes of lines are a little higher than their letters.
                    break
                if min(line["x1"], other["x1"]) - max(line["x0"], other["x0"]) > 1:
                    pairs.append((line["text"], other["text"]))
        return pairs

    def squeezed(self) -> list[str]:
        """Text that is broken into letters, and numbers that are broken."""
        return self.page.evaluate(NARROW)

    def cut(self, width: int) -> list[str]:
        """Lines of text that reach beyond the window or the card they are in."""
        return [
            line["text"]
            for line in self.texts()
            if line["x0"] < max(0, line["left"] - 0.5) or line["x1"] > min(width, line["right"] + 0.5)
        ]


@contextmanager
def opened(browser: Any, file: Path, width: int, scheme: str) -> Iterator[View]:
    """A page in a window of so many pixels, for people who like it light or dark, without a network."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    try:
        view = View(context.new_page())
        view.page.on("console", lambda message: view.complaints.append(message.text))
        view.page.on("pageerror", lambda error: view.complaints.append(str(error)))
        view.page.on("request", lambda request: view.requests.append(request.url))
        view.page.on("dialog", lambda dialog: view.complaints.append(f"dialog: {dialog.message}"))
        view.page.goto(file.as_uri())
        view.requests = [url for url in view.requests if url != file.as_uri() and not url.startswith("data:")]
        yield view
    finally:
        context.close()
