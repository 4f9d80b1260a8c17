"""Writing files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a temporary file beside ``file``, renamed to it when the block ends well and removed when it does not."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, file)
    finally:
        if temporary.exists():
            temporary.unlink()


def write_text(file: Path, text: str) -> None:
    """Replace the content of a text file."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
