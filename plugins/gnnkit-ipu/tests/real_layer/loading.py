"""Importing PopTorch's Python layer from a folder, with our core in place of its compiled one."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Sequence

import torch

from . import core

VARIABLE = "GNNKIT_POPTORCH"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``poptorch`` and ``poptorch_geometric`` below a folder.

    In a checkout the packages are called ``python`` and have marks that its build fills in.
    """

    def __init__(self, folder: Path) -> None:
        self.roots = {
            "poptorch": _first(folder / "poptorch", folder / "python"),
            "poptorch_geometric": _first(folder / "poptorch_geometric" / "python", folder / "poptorch_geometric"),
        }

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Any = None) -> Any:
        """See :class:`importlib.abc.MetaPathFinder`."""
        package, *rest = name.split(".")
        if package not in self.roots:
            return None
        if name == "poptorch.poptorch_core":
            return importlib.util.spec_from_loader(name, _Core())
        place = self.roots[package].joinpath(*rest)
        if place.is_dir():
            where = [str(place)]
            return importlib.util.spec_from_file_location(
                name,
                place / "__init__.py",
                loader=_Source(name, place / "__init__.py"),
                submodule_search_locations=where,
            )
        file = place.with_suffix(".py")
        return importlib.util.spec_from_file_location(name, file, loader=_Source(name, file)) if file.exists() else None


class _Source(importlib.abc.SourceLoader):
    """Reads a file and fills in what the build of the package would."""

    def __init__(self, name: str, file: Path) -> None:
        self.name, self.file = name, file

    def get_filename(self, fullname: str) -> str:
        """See :class:`importlib.abc.SourceLoader`."""
        return str(self.file)

    def get_data(self, path: Any) -> bytes:
        """See :class:`importlib.abc.SourceLoader`; nothing is written beside the file."""
        if not str(path).endswith(".py"):
            raise OSError(path)
        text = self.file.read_text(encoding="utf-8")
        for mark, value in (
            ("TORCH_VERSION", torch.__version__.split("+")[0]),
            ("VERSION", "3.4.0"),
            ("SNAPSHOT", "0"),
        ):
            text = text.replace(f"@{mark}@", value)
        return text.encode()

    def load_module(self, fullname: Optional[str] = None) -> ModuleType:  # type: ignore[override]
        """What the layer calls on loaders of its own modules: the one that is there."""
        return importlib.import_module(fullname or self.name)


class _Core(importlib.abc.Loader):
    """Gives our core for the compiled one."""

    def create_module(self, spec: Any) -> ModuleType:
        """See :class:`importlib.abc.Loader`."""
        return core

    def exec_module(self, module: ModuleType) -> None:
        """It is there already."""


def _first(*folders: Path) -> Path:
    return next((folder for folder in folders if (folder / "__init__.py").exists()), folders[0])


def install() -> bool:
    """Let ``import poptorch`` find the layer that lies in the folder; whether there is one."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return False
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        core.prepare_torch()
        sys.meta_path.insert(0, _Finder(Path(folder)))
    return True
