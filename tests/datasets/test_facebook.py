"""facebook_large, as published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import scipy.linalg  # noqa: F401  # Loads what the test of threads limits.
import torch
from threadpoolctl import threadpool_limits

from gnnkit.datasets import load_dataset
from gnnkit.errors import ConfigError, DatasetError

FILES = ("facebook_edges.csv", "facebook_features.json", "facebook_target.csv")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Six pages in the published layout."""
    folder = tmp_path / "facebook_large"
    folder.mkdir()
    (folder / "facebook_edges.csv").write_text("id_1,id_2\n0,1\n1,0\n2,2\n3,4\n")
    words = {"1": [0, 2], "0": [3], "2": [], "3": [1, 1], "4": [2], "5": [0]}
    (folder / "facebook_features.json").write_text(json.dumps(words))
    kinds = ["tvshow", "company", "tvshow", "politician", "company", "politician"]
    rows = "".join(f'{page},9,"A, {page}",{kind}\n' for page, kind in enumerate(kinds))
    (folder / "facebook_target.csv").write_text("id,facebook_id,page_name,page_type\n" + rows)
    return folder


def test_the_published_graph(data_dir):
    graph = load_dataset("facebook_large", data_dir=data_dir, num_features=16, download=False)
    assert (graph.num_nodes, graph.num_edges, graph.num_features) == (22470, 341646, 16)
    assert graph.class_names == ("company", "government", "politician", "tvshow")
    assert graph.y.bincount().tolist() == [6495, 6880, 5768, 3327]
    assert [ids.numel() for ids in graph.splits.values()] == [13482, 4494, 4494]
    assert graph.x.std() == pytest.approx(1, abs=0.01)


def test_features_do_not_depend_on_the_number_of_threads(data_dir, tmp_path):
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            settings = {"num_features": 96, "cache_dir": tmp_path / str(threads)}
            found.append(load_dataset("facebook_large", data_dir=data_dir, download=False, **settings).x)
    assert torch.equal(*found)


def test_words_as_published(small, tmp_path):
    graph = load_dataset("facebook_large", data_dir=tmp_path, num_features=0, download=False)
    expected = [[0, 0, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
    assert graph.x.tolist() == expected
    assert graph.edge_index.t().tolist() == [[1, 0], [0, 1], [4, 3], [3, 4]]
    assert graph.y.tolist() == [2, 0, 2, 1, 0, 1]


def test_the_split_follows_the_seed_and_shares_the_cache(small, tmp_path, cache):
    splits = {
        tuple(load_dataset("facebook_large", data_dir=tmp_path, num_features=2, seed=seed).splits["test"].tolist())
        for seed in range(10)
    }
    assert len(splits) > 1
    assert len(list((cache / "prepared").iterdir())) == 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.0, 0.4, 0.97])
def test_a_file_cut_short_is_named(name, kept, small, tmp_path):
    content = (small / name).read_bytes()
    (small / name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DatasetError, match=r"facebook_\w+\.\w+.*(cut short|cannot be read|names page)"):
        load_dataset("facebook_large", data_dir=tmp_path, num_features=2, download=False)


def test_bad_options_and_ids_are_told(small, tmp_path):
    with pytest.raises(ConfigError, match="0 to 4000"):
        load_dataset("facebook_large", data_dir=tmp_path, num_features=-1)
    (small / "facebook_edges.csv").write_text("id_1,id_2\n0,6\n")
    with pytest.raises(DatasetError, match="facebook_edges.csv names page 6"):
        load_dataset("facebook_large", data_dir=tmp_path, num_features=2)
    shutil.rmtree(small)
