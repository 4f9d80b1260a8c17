"""The pairs that a run judged, in its folder."""

from __future__ import annotations

import pytest
import torch

from gnnkit.data import Links
from gnnkit.errors import CheckpointError
from gnnkit.runs import judged_links, read_links
from gnnkit.runs.judged_links import write_links

PAIRS = torch.arange(12).reshape(6, 2)


def links(**more) -> Links:
    by_split = {"train": PAIRS[:2], "valid": PAIRS[2:4], "test": PAIRS[4:]}
    return Links(by_split, undirected=False, **more)


@pytest.mark.parametrize(
    "more",
    [
        {"negatives": {"valid": PAIRS[:1], "test": PAIRS[:3]}},
        {"negative_destinations": {"train": PAIRS[:2], "valid": PAIRS[:2], "test": PAIRS[2:4]}},
        {"y": {split: torch.tensor([0, 1]) for split in ("train", "valid", "test")}, "class_names": ("no", "yes")},
    ],
)
def test_what_is_judged_is_kept_as_it_was(tmp_path, more) -> None:
    given = links(**more)
    write_links(tmp_path / "links.safetensors", given)
    found = read_links(tmp_path)
    judged = {name: values for name, values in given.tensors.items() if not name.endswith("train")}
    assert found.tensors.keys() == judged.keys()
    assert all(torch.equal(found.tensors[name], values) for name, values in judged.items())
    assert (found.undirected, found.class_names) == (False, given.class_names)


def test_very_many_negatives_are_left_with_the_data(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged_links, "MOST_VALUES", 7)
    negatives = {"valid": PAIRS[:2], "test": PAIRS[:2]}
    write_links(tmp_path / "links.safetensors", links(negatives=negatives))
    assert sorted(read_links(tmp_path).tensors) == ["pairs.test", "pairs.valid"]


def test_a_damaged_or_missing_file_is_refused(tmp_path) -> None:
    file = tmp_path / "links.safetensors"
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_links(tmp_path)
    write_links(file, links())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        read_links(tmp_path)
