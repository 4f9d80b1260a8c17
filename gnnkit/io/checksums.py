"""Checksums of large files, which are not computed more often than they need to be.

Rules: a file of up to 1 GB is read whenever it is asked for. A larger one is read once, and again when the file system
says that it may be another: what is noted beside it is its size, inode, time of change and time of status.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List

from gnnkit.errors import ConfigError, DatasetError
from gnnkit.io.files import write_text
from gnnkit.io.limits import Raises, opened
from gnnkit.io.text import read_json
from gnnkit.strict_json import to_json

ALWAYS = 1 << 30
"""Bytes up to which a file is read every time."""

NOTE = "verified.json"
"""The file with notes, in the folder of what they are about."""

_CHUNK = 1 << 22


def checksum(file: Path, raises: Raises = DatasetError) -> int:
    """CRC-32 of a file, which differs for every single bit and every run of up to 32 bits that is changed.

    Args:
        file: The file.
        raises: The error for one that cannot be read.
    """
    found, buffer = 0, memoryview(bytearray(_CHUNK))
    with opened(file, raises) as (stream, _):
        while True:
            count = stream.readinto(buffer)  # type: ignore[attr-defined]
            if not count:
                return found
            found = zlib.crc32(buffer[:count], found)


class Verifier:
    """Compares the files of a folder with their checksums.

    Args:
        folder: The folder.
        always: Bytes up to which a file is read every time.
    """

    def __init__(self, folder: Path, always: int = ALWAYS) -> None:
        self._folder = folder
        self._always = always
        self._notes: Dict[str, List[int]] = {}
        self._is_new = False
        with suppress(ConfigError):
            notes: Any = read_json(folder / NOTE, ConfigError) if (folder / NOTE).is_file() else {}
            self._notes = notes if isinstance(notes, dict) else {}

    def check(self, file: Path, expected: int) -> None:
        """Compare a file with its checksum, unless it is large and was compared since it last changed.

        Raises:
            DatasetError: It is another.
        """
        now = _status(file, expected)
        is_large = now[0] > self._always
        if is_large and self._notes.get(file.name) == now:
            return
        if checksum(file) != expected:
            raise DatasetError(f"{file} is damaged: its content is not what was written.")
        if is_large and _status(file, expected) == now:
            self._notes[file.name] = now
            self._is_new = True

    def finish(self) -> None:
        """Note what was compared, if the folder can be written to."""
        if self._is_new:
            with suppress(ConfigError):
                write_text(self._folder / NOTE, to_json(self._notes))


def _status(file: Path, expected: int) -> List[int]:
    status = file.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, expected]
