"""What notebooks show of graphs, models and results."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Dict, List

import gnnkit
from tests.graphs import communities


class Cells(HTMLParser):
    """Texts of a table's cells, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: List[str] = []
        self.tags: List[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def table_of(thing: Any) -> Dict[str, str]:
    found = Cells()
    found.feed(thing._repr_html_())
    assert set(found.tags) == {"table", "caption", "tr", "th", "td"}
    title, *cells = found.texts
    return {"": title, **dict(zip(cells[::2], cells[1::2]))}


def test_graph_model_and_result_are_small_tables_of_text() -> None:
    graph = replace(communities(60), name="<script>alert(1)</script>")
    shown = table_of(graph)
    assert shown[""] == "Graph <script>alert(1)</script>"
    assert (shown["nodes"], shown["edges"]) == ("60", f"{graph.num_edges:,}")
    model = gnnkit.build_model("gcn", graph)
    shown = table_of(model)
    assert shown["convolution"] == "gcn" and shown["backend"] == "reference"
    assert shown["parameters"] == f"{sum(p.numel() for p in model.parameters()):,}"
    result = gnnkit.Trainer(device="cpu", epochs=2, progress=False).fit(model, graph)
    shown = table_of(result)
    assert shown["data set"] == graph.name and shown["test accuracy"] == f"{result.test['accuracy']:.4f}"


def test_a_typed_graph_names_its_types() -> None:
    assert "paper" in table_of(gnnkit.load_dataset("publications"))["types"]
