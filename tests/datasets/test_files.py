"""Where files are looked for, and downloads from a real server."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gnnkit.datasets import DataFile, Finder, load_dataset
from gnnkit.datasets.files import download
from gnnkit.errors import DatasetError
from gnnkit.paths import cache_root

CONTENT = b"0123456789" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_a_download_arrives_whole_and_leaves_no_other_file(server, tmp_path):
    (server.folder / "a.bin").write_bytes(CONTENT)
    download(DataFile("a.bin", server.url + "a.bin", SHA), tmp_path / "new" / "a.bin")
    assert (tmp_path / "new" / "a.bin").read_bytes() == CONTENT
    assert leftovers(tmp_path / "new") == ["a.bin"]


def test_a_wrong_checksum_discards_the_download(server, tmp_path):
    (server.folder / "a.bin").write_bytes(CONTENT)
    with pytest.raises(DatasetError, match=f"SHA-256 {SHA}, expected {'0' * 64}"):
        download(DataFile("a.bin", server.url + "a.bin", "0" * 64), tmp_path / "new" / "a.bin")
    assert leftovers(tmp_path / "new") == []


def test_a_download_that_is_cut_short_is_discarded(server, tmp_path):
    (server.folder / "a.bin").write_bytes(CONTENT)
    server.handler.cut = True
    with pytest.raises(DatasetError, match="a.bin"):
        download(DataFile("a.bin", server.url + "a.bin"), tmp_path / "new" / "a.bin")
    assert leftovers(tmp_path / "new") == []


def test_a_missing_address_and_a_closed_port_are_told(server, tmp_path):
    with pytest.raises(DatasetError, match="HTTP 404"):
        download(DataFile("a.bin", server.url + "a.bin"), tmp_path / "a.bin")
    with pytest.raises(DatasetError, match="127.0.0.1:9/a.bin cannot be downloaded"):
        download(DataFile("a.bin", "http://127.0.0.1:9/a.bin"), tmp_path / "a.bin")


@pytest.mark.parametrize("place", ["toy/a.bin", "toy/raw/a.bin", "a.bin", "raw/a.bin"])
@pytest.mark.parametrize("named", ["data_dir", "environment"])
def test_files_are_found_in_every_place(place, named, tmp_path, monkeypatch):
    file = tmp_path / "data" / place
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    if named == "environment":
        monkeypatch.setenv("GNNKIT_DATA", str(tmp_path / "data"))
    data_dir = tmp_path / "data" if named == "data_dir" else None
    found = Finder("toy", data_dir, tmp_path / "cache", False).find([DataFile("a.bin")])
    assert found == {"a.bin": file}


def test_files_of_two_places_are_not_mixed(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a.bin").write_bytes(b"half")
    for name in ("a.bin", "b.bin"):
        (tmp_path / "two" / name).write_bytes(CONTENT)
    monkeypatch.setenv("GNNKIT_DATA", str(tmp_path / "two"))
    found = Finder("toy", tmp_path / "one", tmp_path / "cache", False).find([DataFile("a.bin"), DataFile("b.bin")])
    assert {path.parent for path in found.values()} == {tmp_path / "two"}


def test_only_what_is_missing_in_the_cache_is_downloaded(server, tmp_path):
    files = [DataFile(name, server.url + name, SHA) for name in ("a.bin", "b.bin")]
    finder = Finder("toy", None, tmp_path / "cache", True)
    (server.folder / "a.bin").write_bytes(CONTENT)
    with pytest.raises(DatasetError, match="HTTP 404"):
        finder.find(files)
    (server.folder / "a.bin").unlink()
    (server.folder / "b.bin").write_bytes(CONTENT)
    assert sorted(finder.find(files)) == ["a.bin", "b.bin"]


def test_the_message_names_files_places_and_origin(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.bin").write_bytes(CONTENT)
    monkeypatch.setenv("GNNKIT_DATA", str(tmp_path / "shared"))
    files = [DataFile("a.bin", "http://127.0.0.1:9/toy/a.bin"), DataFile("b.bin", "http://127.0.0.1:9/toy/b.bin")]
    for may_download in (False, True):
        with pytest.raises(DatasetError) as caught:
            Finder("toy", tmp_path / "data", tmp_path / "cache", may_download).find(files)
        message = str(caught.value)
        for part in (str(tmp_path / "data" / "toy"), str(tmp_path / "shared"), str(tmp_path / "cache")):
            assert part in message
        assert "files not found: a.bin. Looked in" in message
        assert "They come from http://127.0.0.1:9/toy/." in message
        assert f"{tmp_path / 'data'} lacks a.bin." in message
        assert "\n" not in message


def test_a_data_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="typo does not exist"):
        load_dataset("cora", data_dir=tmp_path / "typo", cache_dir=tmp_path)


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    assert cache_root(tmp_path / "x") == tmp_path / "x"
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "y"))
    assert cache_root() == tmp_path / "y"
    monkeypatch.delenv("GNNKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "z"))
    assert cache_root() == tmp_path / "z" / "gnnkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path(os.path.expanduser("~")) / ".cache" / "gnnkit"
