"""Where in a plugin's code something was raised."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any, Iterator, Optional

_KIT = Path(__file__).parent


def file_of(cls: Any) -> str:
    """The folder of the package that a class belongs to, or the file of its module if it is in none.

    Args:
        cls: The class of a plugin.

    Returns:
        A path; empty where the class has no file, as in a notebook.
    """
    module = sys.modules.get(cls.__module__)
    package = sys.modules.get(cls.__module__.split(".")[0])
    for found in (package, module):
        file = getattr(found, "__file__", None)
        if file:
            return str(Path(file).parent if Path(file).name == "__init__.py" else Path(file))
    return ""


def place_of(error: BaseException, plugin_file: str, is_finding: bool) -> str:
    """Where the plugin raised an error, or caused the one that was raised.

    Args:
        error: What a check ended with.
        plugin_file: As :func:`file_of` gives it.
        is_finding: Whether the check itself raised it, because what it compared is not right.

    Returns:
        ``file:line in function``. Where nothing was raised in the plugin, the last line outside of the kit; empty for a
        finding.
    """
    last = ""
    for cause in _chain(error):
        for frame, line in reversed(list(traceback.walk_tb(cause.__traceback__))):
            file = Path(frame.f_code.co_filename)
            if _KIT in file.parents:
                continue
            place = f"{_short(file, plugin_file)}:{line} in {frame.f_code.co_name}"
            if plugin_file and (Path(plugin_file) == file or Path(plugin_file) in file.parents):
                return place
            last = last or place
    return "" if is_finding else last


def whole_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, causes included."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: Optional[BaseException] = error
    while current is not None:
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _short(file: Path, plugin_file: str) -> str:
    """The path from the folder that the plugin's package is in, if it is there."""
    try:
        return str(file.relative_to(Path(plugin_file).parent)) if plugin_file else str(file)
    except ValueError:
        return str(file)
