"""The example scripts run, on small settings and on every backend where it makes sense."""

from __future__ import annotations

from pathlib import Path

import bring_your_own_data
import custom_layers
import large_graph
import link_prediction
import molecules
import neighbor_sampling
import numpy as np
import ogbl_ddi
import packed_graphs
import products_case_study
import pytest
import research_code
import salient_pipeline
import wn18rr
from common import launch

from gnnkit.errors import ConfigError
from gnnkit.runs import read_run

EXAMPLES = Path(__file__).parent.parent / "examples"
BACKENDS = ("reference", "pyg", "dgl")


@pytest.fixture
def place(backend_name: str, tmp_path: Path) -> list:
    """Options of a run on a backend that samples."""
    if backend_name not in BACKENDS:
        pytest.skip(f"the examples are for {', '.join(BACKENDS)}")
    return ["--backend", backend_name, "--device", "cpu", "--out", str(tmp_path / "out")]


def test_neighbor_sampling(place: list, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = neighbor_sampling.main([*place, "--epochs", "4"])
    assert found["test"] > 0.85
    said = capsys.readouterr().out
    assert "1,024 outputs need the features of" in said and "epoch   4  loss" in said
    assert (tmp_path / "out" / "checkpoints" / "best.safetensors").is_file()
    settings = read_run(tmp_path / "out").manifest["result"]
    assert settings["epochs"] == 4


def test_salient_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    place = ["--device", "cpu", "--out", str(tmp_path / "out")]
    found = salient_pipeline.main([*place, "--epochs", "3", "--batches", "2", "--threads", "1"])
    assert found["test"] > 0.8
    assert list(found["stages"]) == ["sample", "reduce", "transfer", "forward", "backward", "update"]
    said = capsys.readouterr().out
    assert "0.5 MB as torch.float32, 0.2 MB as torch.float16" in said and "backward" in said


def test_research_code(place: list) -> None:
    assert research_code.main([*place, "--epochs", "8"])["test"] > 0.9


def test_bring_your_own_data(tmp_path: Path) -> None:
    found = bring_your_own_data.main(["--device", "cpu", "--out", str(tmp_path / "out"), "--epochs", "30"])
    assert found["test"] > 0.9 and found["predicted"] > 0.9
    again = ["--folder", str(tmp_path / "out" / "tables"), "--out", str(tmp_path / "again"), "--epochs", "2"]
    assert bring_your_own_data.main([*again, "--device", "cpu"])["predicted"] is None
    files = [tmp_path / name / "predictions.csv" for name in ("out", "again")]
    lines = [file.read_text().splitlines() for file in files]
    assert [line.split(",")[0] for line in lines[0]] == [line.split(",")[0] for line in lines[1]]
    with pytest.raises(ConfigError, match="tables exists"):
        bring_your_own_data.main(["--out", str(tmp_path / "out")])
    assert len(lines[0]) > 400 and lines[0][1].startswith("image-")


def test_products_case_study(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = products_case_study.main(["--device", "cpu", "--out", str(out), "--epochs", "5", "--points", "300"])
    assert found["test"] > 0.9 and list(found["purity"]) == [1, 2, 3] and min(found["purity"].values()) > 0.8
    assert (out / "maps.png").read_bytes().startswith(b"\x89PNG")
    table = np.load(out / "embeddings.npy")
    assert table["layer_1"].shape == table["layer_2"].shape == (300, 256) and table["layer_3"].shape == (300, 10)


def test_molecules(place: list) -> None:
    pytest.importorskip("rdkit")
    found = molecules.main([*place, "--epochs", "3"])
    assert found["r2"] > 0.7 and len(found["predicted"]) == 3


def test_packed_graphs(tmp_path: Path) -> None:
    found = packed_graphs.main(["--epochs", "6", "--out", str(tmp_path / "out")])
    assert found["test"] > 0.85 and found["alone"] < 0.85 and found["packed"] > 0.93


def test_custom_layers() -> None:
    found = custom_layers.main(["--device", "cpu", "--dataset", "digits", "--epochs", "40"])
    assert list(found) == ["SAGEConv", "WeightedSAGEConv", "MessageSAGEConv"]
    assert min(found.values()) > 0.9


def test_link_prediction(place: list, capsys: pytest.CaptureFixture) -> None:
    found = link_prediction.main([*place, "--epochs", "3"])
    scores = {name: values["auc"] for name, values in found["test"].items()}
    assert list(scores) == ["common_neighbors", "adamic_adar", "resource_allocation", "gcn"]
    assert min(scores.values()) > 0.95, "digits are linked to digits that have links to them"
    assert found["alike"] > 0.9, "recommended digits look alike"
    said = capsys.readouterr().out
    assert "1,489 pairs that are judged carry no message" in said and "node 2: " in said


def test_ogbl_ddi_on_data_of_its_form(place: list, tmp_path: Path) -> None:
    pytest.importorskip("ogb")
    from tests.datasets.test_ogb_links import ddi

    found = ogbl_ddi.main([*place, "--data-dir", str(ddi(tmp_path).parent), "--epochs", "1"])
    assert found["valid"] == found["test"] == 1, "there are fewer than 20 negatives"


def test_ogbl_ddi_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ogb")
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GNNKIT_DATA", raising=False)
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    monkeypatch.setenv("http_proxy", "http://localhost:9")
    with pytest.raises(SystemExit, match="error: .*ogbl-ddi"):
        launch(lambda: ogbl_ddi.main(["--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]))
    assert not (tmp_path / "out").exists()


def test_large_graph(tmp_path: Path) -> None:
    sizes = ["--nodes", "2000", "--edges", "9000", "--features", "8", "--train", "500"]
    graph = large_graph.main([str(tmp_path / "large"), *sizes])
    assert (graph.num_nodes, graph.num_edges, graph.num_features) == (2000, 9000, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["large"], "what was converted is removed"


@pytest.mark.parametrize(
    "example, name",
    [
        (neighbor_sampling, "ogbn-arxiv"),
        (salient_pipeline, "ogbn-arxiv"),
        (products_case_study, "ogbn-products"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_examples_take_data_of_the_open_graph_benchmark(
    example, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("ogb")
    from tests.datasets.test_ogb import save

    save(tmp_path, monkeypatch, name=name)
    place = ["--data-dir", str(tmp_path), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert 0 <= example.main(["--dataset", name, *place, "--epochs", "1"])["test"] <= 1
    assert f"Graph('{name}', num_nodes=40" in capsys.readouterr().out


def test_an_example_says_in_a_line_what_is_wrong() -> None:
    with pytest.raises(SystemExit, match="error: .*'digit'.*digits"):
        launch(lambda: research_code.main(["--dataset", "digit"]))


@pytest.mark.long
@pytest.mark.parametrize("example", [neighbor_sampling, salient_pipeline, products_case_study, research_code])
def test_sampled_examples_on_the_facebook_pages(place: list, example, data_dir: Path) -> None:
    assert example.main([*place, "--dataset", "facebook_large", "--data-dir", str(data_dir)])["test"] >= 0.93


@pytest.mark.long
@pytest.mark.parametrize("epochs, split, least", [(30, "valid", 0.35), (140, "test", 0.45)])
def test_ogbl_ddi_reaches_what_its_page_says(
    epochs: int, split: str, least: float, data_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ogb")
    if not (data_dir / "ogbl_ddi").is_dir():
        pytest.skip(f"there is no ogbl_ddi in {data_dir}")
    place = ["--data-dir", str(data_dir), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert ogbl_ddi.main([*place, "--epochs", str(epochs)])[split] >= least


@pytest.mark.long
def test_custom_layers_on_cora(backend_name: str, data_dir: Path) -> None:
    arguments = ["--backend", backend_name, "--data-dir", str(data_dir)]
    if backend_name != "ipu":
        arguments += ["--device", "cpu"]
    assert min(custom_layers.main(arguments).values()) >= 0.75


def test_every_example_has_a_page() -> None:
    pages = {page.stem for page in (EXAMPLES.parent / "docs" / "examples").glob("*.md")} - {"index"}
    scripts = {script.stem for script in EXAMPLES.glob("*.py")} - {"common"}
    assert scripts == pages
    navigation = (EXAMPLES.parent / "mkdocs.yml").read_text()
    for name in scripts:
        assert f"examples/{name}.md" in navigation
        page = (EXAMPLES.parent / "docs" / "examples" / f"{name}.md").read_text()
        assert f"examples/{name}.py" in page


def test_wn18rr(backend_name: str) -> None:
    if backend_name not in BACKENDS:
        pytest.skip(f"the examples are for {', '.join(BACKENDS)}")
    found = wn18rr.main(["--synthetic", "--backend", backend_name, "--epochs", "20", "--width", "16"])
    assert found["mrr"] > 0.1
