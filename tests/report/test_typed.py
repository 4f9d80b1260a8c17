"""Reports about typed graphs: the schema as a picture, counts by type and relation."""

from __future__ import annotations

import pytest

import gnnkit
from gnnkit.data import add_reverses, from_edge_index, from_typed
from gnnkit.report import write_report
from gnnkit.report.style import DARK, LIGHT, themed
from gnnkit.report.typed import count_types, draw_schema, schema_in_words, type_tables


def many_types() -> gnnkit.Graph:
    names = [f"type {i}" for i in range(20)]
    return from_typed({(a, f"to $x$ {i}", b): [[], []] for i, (a, b) in enumerate(zip(names, names[1:]))})


GRAPHS = {
    "built in": lambda: gnnkit.load_dataset("publications"),
    "one type": lambda: add_reverses(from_typed({f"a:r{i}:a": [[0], [1]] for i in range(30)})),
    "many types": many_types,
    "no relation": lambda: from_typed({}, num_nodes={"lost": 3}),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_any_schema_is_drawn(name, theme):
    counts = count_types(GRAPHS[name]())
    with themed(theme):
        figure = draw_schema(counts, theme)
        figure.canvas.draw()
    assert schema_in_words(counts).startswith("Schema of ") and len(type_tables(counts)) == 2


def test_counts_and_what_has_none():
    counts = count_types(gnnkit.load_dataset("publications"))
    types, relations = type_tables(counts)
    assert types.rows[:2] == [["paper", "400", "16", "400"], ["author", "160", "learned", "none"]]
    assert relations.rows[0] == ["writes", "author", "paper", "796", "paper:written_by:author"]
    assert relations.rows[2][-1] == "none"
    assert "paper to author" not in schema_in_words(counts)
    assert count_types(from_edge_index([[0], [1]])) is None


@pytest.mark.long
def test_the_page_of_a_run_on_a_typed_graph(tmp_path):
    graph = gnnkit.load_dataset("publications", num_papers=60)
    trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=tmp_path / "run", progress=False)
    trainer.fit(gnnkit.build_model("rgcn", graph, backend="reference"), graph)
    report = write_report(tmp_path / "run", graph=graph, map="pca", batches=0)
    page = report.file.read_text()
    assert "Types and relations" in page and "venue" in page
    assert (tmp_path / "run" / "plots" / "schema.png") in report.figures
