"""``gnnkit new-plugin``: a complete package for a custom backend, device, data set or task."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from string import Template
from typing import Any, Dict

import typer

from gnnkit.cli.output import reports_errors
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.paths import check_writable, user_path, writing

EXAMPLE = "Example: gnnkit new-plugin swift --kind backend"

KINDS = ("backend", "device", "dataset", "task")
_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_RUN = {
    "backend": "gnnkit run --backend {name} --dataset karate",
    "device": "gnnkit run --device {name} --dataset karate",
    "dataset": "gnnkit run --dataset {name}",
    "task": "gnnkit run --task {name} --dataset karate",
}


@reports_errors
def new_plugin(
    name: str = typer.Argument(..., help="Name that users will type: lower-case letters, digits and dashes."),
    kind: str = typer.Option(..., help="backend, device, dataset or task."),
    dir: Path = typer.Option(Path(), "--dir", help="Folder in which to create the package."),
) -> None:
    """Create a package with source, tests, README and CI; its tests pass from the start."""
    folder = write_plugin(name, kind, dir)
    print(f"{folder} is written. Next:\n  pip install --editable '{folder}[test]'\n  pytest {folder}")


def write_plugin(name: str, kind: str, parent: Path) -> Path:
    """Write a package.

    Args:
        name: What users will type.
        kind: "backend", "device", "dataset" or "task".
        parent: Folder in which the package's folder is made; it is made itself if it is not there.

    Returns:
        The package's folder, ``gnnkit-NAME``.

    Raises:
        UnknownNameError: No such kind.
        ConfigError: The name cannot be used.
        FileError: The folder cannot be made.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of plugin", kind, KINDS)
    _check_name(name, kind)
    folder = user_path(parent, "--dir") / f"gnnkit-{name}"
    check_writable(folder, as_folder=True)
    if folder.exists():
        raise ConfigError(f"{folder} is there already and is left as it is. Choose another name or another --dir.")
    # Written beside its place and renamed, so that nobody finds half a package.
    with writing(folder), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        draft = Path(scratch) / "package"
        for path, text in _files(name, kind).items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_text(text, encoding="utf-8")
        shutil.move(str(draft), str(folder))
    return folder


def _check_name(name: str, kind: str) -> None:
    from gnnkit.backends import backends
    from gnnkit.datasets import datasets
    from gnnkit.devices import devices
    from gnnkit.registry import Registry
    from gnnkit.tasks import tasks

    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"The name is {name!r}, expected lower-case letters, digits and single dashes, such as 'my-graphs'."
        )
    if name.split("-")[0] == "gnnkit":
        raise ConfigError(f"The name is {name!r}; leave out 'gnnkit', which the package's name begins with anyway.")
    registries: Dict[str, Registry[Any]] = {"backend": backends, "device": devices, "dataset": datasets, "task": tasks}
    registry = registries[kind]
    taken = {"auto", *registry.official, *(plugin.name for plugin in registry.plugins())}
    if name in taken:
        raise ConfigError(f"The name {name!r} is taken. Choose one that is not among {', '.join(sorted(taken))}.")


def _files(name: str, kind: str) -> Dict[str, str]:
    """The text of every file by its path in the package's folder."""
    import gnnkit
    from gnnkit.registry import API_VERSION

    package = f"gnnkit_{name.replace('-', '_')}"
    words = {
        "name": name,
        "kind": kind,
        "distribution": f"gnnkit-{name}",
        "package": package,
        "class_name": "".join(part.capitalize() for part in name.split("-")) + kind.capitalize(),
        "version": gnnkit.__version__,
        "api_version": str(API_VERSION),
        "example": _RUN[kind].format(name=name),
    }
    places = {
        "common/pyproject.toml": "pyproject.toml",
        "common/README.md": "README.md",
        "common/gitignore": ".gitignore",
        "common/test.yml": ".github/workflows/test.yml",
        "common/__init__.py": f"{package}/__init__.py",
        f"{kind}/{kind}.py": f"{package}/{kind}.py",
        f"{kind}/test_{kind}.py": f"tests/test_{kind}.py",
    }
    texts = {
        place: Template((_TEMPLATES / f"{source}.txt").read_text(encoding="utf-8")).substitute(words)
        for source, place in places.items()
    }
    return {**texts, f"{package}/py.typed": ""}
