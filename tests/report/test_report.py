"""``write_report``: what is on the page, what is said where something is missing, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gnnkit.errors import ConfigError, GnnkitError
from gnnkit.report import write_report
from tests.graphs import multi_label
from tests.report.runs import StopAfter, train

QUICK = {"map": "pca", "batches": 0}
FIGURES = ["classes", "confusion", "degrees", "embeddings-layer-1", "embeddings-layer-2", "loss", "metric", "scores"]


class Words(HTMLParser):
    """The text of a page, and everything that it refers to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.text, self.references, self.tags = "", [], []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_data(self, data):
        self.text += data


def test_one_run(run: Path, graph) -> None:
    report = write_report(run, graph=graph, map="pca", batches=1)
    assert report.file == run / "report.html" and report.warnings == [] and report.missing == {}
    assert sorted(file.stem for file in report.figures) == sorted([*FIGURES, "stages"])
    for file in report.figures:
        assert file.parent == run / "plots" and file.read_bytes().startswith(b"\x89PNG")
    assert (run / "plots" / "curves.png").exists()  # The run's own.
    page = Words(report.file)
    result = json.loads((run / "manifest.json").read_text())["result"]
    assert f"{result['test_accuracy']:.3f}" in page.text and f"Accuracy {result['test_accuracy']:.3f}" in page.text
    assert f"{graph.num_edges:,}" in page.text and "adjusted homophily" in page.text
    assert "train.weight_decay" in page.text and "measured for this page" in page.text
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert "script" not in page.tags


def test_a_page_that_is_there_is_kept_unless_forced(run: Path, graph) -> None:
    page = run / "report.html"
    page.write_text("mine")
    with pytest.raises(ConfigError, match=r"report.html exists.*force"):
        write_report(run, graph=graph, **QUICK)
    assert page.read_text() == "mine" and not (run / "plots" / "loss.png").exists()
    with pytest.raises(ConfigError, match="is a folder"):
        write_report(run, run, graph=graph, **QUICK)
    write_report(run, force=True, **QUICK)
    assert "gcn on communities" in page.read_text()


def test_where_a_page_goes(run: Path, graph, tmp_path: Path, monkeypatch) -> None:
    other = train(tmp_path / "two", graph, "sage")
    monkeypatch.chdir(tmp_path)
    report = write_report([run, other], graph=graph, **QUICK)
    assert report.file == Path("report.html") and report.file.exists() and not (run / "report.html").exists()
    shared = [file.name for file in report.figures if file.parent == Path("report-plots")]
    assert shared == ["loss.png", "metric.png", "scores.png"]
    text = Words(report.file).text
    assert "All runs have these data." in text and "F1 score by class on the test nodes" in text


def test_a_run_without_a_checkpoint(run: Path, graph) -> None:
    shutil.rmtree(run / "checkpoints")
    report = write_report(run, graph=graph, map="pca", batches=1)
    assert list(report.missing["one"]) == ["predictions"]
    text = Words(report.file).text
    assert "No predictions: The run" in text and "No maps: The run" in text and "has no folder checkpoints" in text
    assert sorted(file.stem for file in report.figures) == ["classes", "degrees", "loss", "metric", "stages"]


def test_a_run_that_was_never_evaluated(tmp_path: Path, graph) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", graph, callbacks=[StopAfter(2)], epochs=9, eval_every=9)
    report = write_report(tmp_path / "cut", graph=graph, **QUICK)
    assert len(report.warnings) == 1 and "did not come to its end (interrupted" in report.warnings[0]
    text = Words(report.file).text
    assert text.index(report.warnings[0]) < text.index("Training")
    assert "has no validation curve: none of its epochs was evaluated" in text and "No predictions" in text
    assert sorted(file.stem for file in report.figures) == ["classes", "degrees", "loss"]


def test_multi_label_data(tmp_path: Path) -> None:
    data = multi_label()
    report = write_report(train(tmp_path / "many", data), graph=data, **QUICK)
    text = Words(report.file).text
    assert report.missing == {} and "they were not to be measured" in text
    assert "so there is no confusion matrix" in text and "not defined: a node can have several classes" in text
    assert "(of several, the first)" in text and "Test ROC AUC" in text


def test_a_graph_made_in_a_program_is_missed_in_words(run: Path) -> None:
    report = write_report(run, **QUICK)
    assert set(report.missing["one"]) == {"data", "predictions", "maps", "stages"}
    assert "its graph was made in a program" in Words(report.file).text
    assert sorted(file.stem for file in report.figures) == ["loss", "metric"]


def test_folders_that_cannot_be_written_to(run: Path, graph, caplog, tmp_path: Path) -> None:
    shutil.rmtree(run / "plots")
    (run / "plots").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        report = write_report(run, **QUICK)
    assert report.file.exists() and report.figures == [] and "is on the page only" in caplog.text


@pytest.mark.parametrize(
    "options, message",
    [
        ({"backend": "pygg"}, "pygg"),
        ({"device": "gpu"}, "gpu"),
        ({"data_dir": "nowhere"}, "data folder nowhere does not exist"),
        ({"map": "mds"}, "expected auto, umap, tsne, pca"),
        ({"map_nodes": 0}, "expected at least 1"),
        ({"batches": -1}, "expected at least 0"),
    ],
)
def test_impossible_options(run: Path, graph, options: dict, message: str) -> None:
    before = sorted(run.rglob("*"))
    with pytest.raises(GnnkitError, match=message):
        write_report(run, graph=graph, **options)
    assert sorted(run.rglob("*")) == before


def test_folders_that_are_no_runs(run: Path, tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nowhere", run / "manifest.json"):
        with pytest.raises(ConfigError, match="no run folder"):
            write_report([run, wrong], tmp_path / "page.html")
    with pytest.raises(ConfigError, match="given twice"):
        write_report([run, tmp_path / "." / "one"], tmp_path / "page.html")
    with pytest.raises(ConfigError, match="No run is given"):
        write_report([])
    assert not (tmp_path / "page.html").exists()


def test_progress_is_told(run: Path, graph) -> None:
    told = []
    write_report(run, graph=graph, map="pca", batches=1, progress=lambda what, share: told.append((what, share)))
    assert [what for what, _ in told] == [
        "one: data",
        "one: predictions",
        "one: maps",
        "one: stages of a batch",
        "figures",
    ]
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1
