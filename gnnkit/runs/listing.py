"""Which runs there are: found, filtered, sorted and compared, without opening a model.

Rules: a run that cannot be read is listed with what is wrong with it, so that nothing is hidden and one damaged folder
does not keep others from being listed.
"""

from __future__ import annotations

import operator
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from gnnkit.errors import ConfigError, GnnkitError, UnknownNameError
from gnnkit.paths import PathLike, is_folder, user_path
from gnnkit.runs.records import read_manifest
from gnnkit.runs.run_folder import MANIFEST, recorded_config

_DEPTH = 4
"""How many folders deep runs are looked for: those of a summary or a sweep lie in it."""
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_WHERE = re.compile(r"\s*([\w.-]+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*")


@dataclass(frozen=True)
class ListedRun:
    """What is known of a run without opening it.

    Attributes:
        path: Its folder.
        values: By name: "name", "status", "started", "seconds", "tags", "notes", "dataset", "model", "backend",
            "device", "task", "metric", "best_epoch", results such as "valid_accuracy" and "test_accuracy", and all
            settings by their dotted names, such as "model.hidden_channels". Missing where the run does not say.
    """

    path: Path
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name that it was given, or that of its folder."""
        return str(self.values["name"])


def list_runs(places: Sequence[PathLike] = ("runs",)) -> List[ListedRun]:
    """Find runs, the newest first.

    Args:
        places: Run folders, and folders that hold some, at most four levels down.

    Raises:
        ConfigError: A place is no folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     list_runs([empty])
        []
    """
    found: Dict[Path, ListedRun] = {}
    for place in places:
        folder = user_path(place)
        if not is_folder(folder):
            raise ConfigError(f"{folder} is no folder, so there are no runs in it. Name one that holds run folders.")
        for run in _run_folders(folder, _DEPTH):
            found.setdefault(run.resolve(), ListedRun(run, _values(run)))
    return sorted(found.values(), key=lambda run: (str(run.values.get("started") or ""), run.path), reverse=True)


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders at or below a folder. Links to folders are not followed; what cannot be read is passed over."""
    if (folder / MANIFEST).is_file():
        yield folder
        return
    if depth == 0:
        return
    try:
        entries = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for entry in entries:
        yield from _run_folders(Path(entry), depth - 1)


def _values(run: Path) -> Dict[str, Any]:
    try:
        manifest = read_manifest(run / MANIFEST)
        config = recorded_config(run)
    except GnnkitError as error:
        return {"name": run.name, "status": "damaged", "error": str(error)}
    result = dict(manifest.get("result") or {})
    known = {
        "name": config.get("name") or run.name,
        "status": manifest["status"],
        "started": manifest.get("started"),
        "tags": config.get("tags") or [],
        "notes": config.get("notes"),
        "dataset": manifest["data"]["name"],
        "model": _short(manifest["model"].get("conv", manifest["model"].get("name"))),
        "backend": (manifest.get("backend") or {}).get("name"),
        "device": (manifest.get("device") or {}).get("name"),
        "task": manifest.get("task"),
        "metric": (manifest.get("metric") or {}).get("name"),
        "error": manifest.get("error"),
    }
    results = {key: value for key, value in result.items() if key not in known and isinstance(value, (int, float, str))}
    settings = {key: value for key, value in flat_settings(config) if key not in ("name", "tags", "notes")}
    merged = {**settings, **results, **known}
    return {key: value for key, value in merged.items() if value is not None}


def _short(conv: Any) -> str:
    """A model's convolutions in a word."""
    return conv if isinstance(conv, str) else ",".join(map(str, conv or ["?"]))


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[Tuple[str, Any]]:
    """Nested settings by dotted name; a section without any stays one.

    Example:
        >>> dict(flat_settings({"seed": 1, "train": {"lr": 0.1}, "task_options": {}}))
        {'seed': 1, 'train.lr': 0.1, 'task_options': {}}
    """
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat_settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def where(runs: Sequence[ListedRun], conditions: Sequence[str]) -> List[ListedRun]:
    """The runs that meet all conditions.

    Args:
        runs: As :func:`list_runs` gives them.
        conditions: Such as "model=gcn", "test_accuracy>=0.8", "tags~baseline", "status!=complete". ``~`` looks for text
            anywhere; the others compare numbers as numbers. A run without the value meets no condition but ``!=``.

    Raises:
        ConfigError: A condition is none.
        UnknownNameError: No run has such a value.
    """
    kept = list(runs)
    for condition in conditions:
        match = _WHERE.fullmatch(condition)
        if match is None:
            raise ConfigError(
                f"The condition {condition!r} is none. Write one such as model=gcn or test_accuracy>=0.8."
            )
        key, operation, wanted = match.groups()
        if runs:
            check_known(runs, [key])
        numeric = any(_is_number(run.values.get(key)) for run in runs)
        if numeric and operation in _ORDERS and _number(wanted) is None:
            raise ConfigError(
                f"The condition {condition!r} compares numbers, expected one, such as {key}{operation}0.8."
            )
        kept = [run for run in kept if _meets(run.values.get(key), operation, wanted)]
    return kept


def ordered(runs: Sequence[ListedRun], key: str) -> List[ListedRun]:
    """The runs in the order of a value: ascending, or with "-" in front descending. Those without it come last.

    Raises:
        UnknownNameError: No run has such a value.
    """
    name = key.lstrip("-")
    if runs:
        check_known(runs, [name])
    having = [run for run in runs if name in run.values]
    numeric = all(isinstance(run.values[name], (int, float)) for run in having)
    having.sort(key=lambda run: run.values[name] if numeric else str(run.values[name]), reverse=key.startswith("-"))
    return having + [run for run in runs if name not in run.values]


def differing(runs: Sequence[ListedRun]) -> List[str]:
    """Names of the settings in which runs differ, in their order."""
    keys = dict.fromkeys(key for run in runs for key in run.values)
    settings = [key for key in keys if "." in key or key in ("seed", "backend", "device", "dataset", "model", "task")]
    return [key for key in settings if len({repr(run.values.get(key)) for run in runs}) > 1]


def check_known(runs: Sequence[ListedRun], keys: Sequence[str]) -> None:
    """Refuse names of values that no run has.

    Raises:
        UnknownNameError: There is one.
    """
    known = {key for run in runs for key in run.values} | {"tags", "notes", "error"}
    for key in keys:
        if key not in known:
            raise UnknownNameError("value of a run", key, known)


def _meets(value: Any, operation: str, wanted: str) -> bool:
    if value is None:
        return operation == "!="
    if isinstance(value, list) and operation in ("=", "!="):
        return (wanted in map(str, value)) == (operation == "=")
    if operation == "~":
        return wanted.casefold() in _text(value)
    if operation in ("=", "!="):
        number = _number(wanted)
        is_number = _is_number(value) and number is not None
        return (value == number if is_number else _text(value) == wanted.casefold()) == (operation == "=")
    return _compared(value, operation, wanted)


def _text(value: Any) -> str:
    return (",".join(map(str, value)) if isinstance(value, list) else str(value)).casefold()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None


def _compared(value: Any, operation: str, wanted: str) -> bool:
    number = _number(wanted)
    if number is None or not isinstance(value, (int, float)):
        return bool(_ORDERS[operation](str(value), wanted))
    return bool(_ORDERS[operation](value, number))


def local_time(started: str) -> str:
    """When a run began, as a table shows it: local date and time.

    Example:
        >>> local_time("no date")
        'no date'
    """
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return started
