"""What processor this is."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path

_PARTS = ("cpu family", "model")


@lru_cache(maxsize=None)
def processor_name() -> str:
    """Name of the processor, with family and model where the system tells them.

    Virtual machines often hide which model it is: an "AMD EPYC" may be of any generation, which its family shows.

    Example:
        >>> processor_name() != ""
        True
    """
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    name = _field(text, "model name")
    if not name:
        return platform.processor() or platform.machine()
    numbers = [f"{part.split()[-1]} {_field(text, part)}" for part in _PARTS if _field(text, part)]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found[1].strip() if found else ""
