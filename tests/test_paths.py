"""What the helpers for paths promise to the code that uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnkit.errors import ConfigError, FileError
from gnnkit.io.files import replacing
from gnnkit.paths import check_writable, user_path, writing


def test_writing_leaves_no_folder_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"Cannot write .*f: .*Free some space"), writing(tmp_path / "a" / "b" / "f"):
        raise OSError(28, "No space left on device")
    with pytest.raises(RuntimeError, match="half"), replacing(tmp_path / "a" / "f") as temporary:
        fail_after_writing(temporary)
    assert not list(tmp_path.iterdir())


def fail_after_writing(file: Path) -> None:
    file.write_text("half")
    raise RuntimeError("half of it is written")


def test_a_device_is_written_to_and_not_replaced() -> None:
    with replacing(Path("/dev/null")) as file:
        file.write_text("gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("path", ["", 5, None, "a\0b", b"bytes"])
def test_what_is_no_path_is_told(path: object) -> None:
    with pytest.raises(ConfigError, match="expected"):
        user_path(path)


def test_a_place_is_checked_before_work_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    check_writable(tmp_path / "new" / "f")
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "link")  # A file takes the place of the link.
    for path, as_folder in ((tmp_path, False), (tmp_path / "file", True), (tmp_path / "link", True)):
        with pytest.raises(FileError, match="Cannot write"):
            check_writable(path, as_folder=as_folder)
