"""Importing DGL 2.1.0 beside a torch that it was not built for.

DGL's package imports ``dgl.graphbolt``, its newer data loader, whose C++ library exists for torch up to 2.2.1 only and
which uses modules that torchdata dropped. The rest of DGL talks to torch through DLPack and works with any version.

Rules: where GraphBolt can work, nothing here does anything. Where it cannot, a stand-in is placed in ``sys.modules``
before DGL is imported. It may be imported, named in annotations and asked about by ``isinstance``, which is what DGL
itself does with it; using anything in it raises :class:`gnnkit.errors.CapabilityError`. Nothing happens before
:func:`import_dgl` is called, and an import that fails leaves nothing behind.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, List, NoReturn

import torch

from gnnkit.errors import BrokenPluginError, CapabilityError, NotInstalledError

_GRAPHBOLT = "dgl.graphbolt"
_INSTALL = "pip install gnnkit-dgl"


def import_dgl() -> ModuleType:
    """Import DGL, with a stand-in for GraphBolt where GraphBolt cannot work.

    After one call, a plain ``import dgl`` works everywhere in the process. Sets the environment variable
    ``DGLBACKEND`` to "pytorch" if it is not set, because DGL would otherwise write its choice to
    ``~/.dgl/config.json``.

    Returns:
        The module ``dgl``.

    Raises:
        NotInstalledError: DGL is not installed.
        BrokenPluginError: DGL is installed but fails to import; the message has the cause and the fix.

    Example:
        >>> from gnnkit_dgl import import_dgl
        >>> dgl = import_dgl()
        >>> dgl.graph(([0, 1], [1, 2])).num_nodes()
        3
    """
    if not is_installed():
        raise NotInstalledError("DGL", _INSTALL)
    if os.environ.setdefault("DGLBACKEND", "pytorch") != "pytorch":
        chosen = os.environ["DGLBACKEND"]
        raise BrokenPluginError("DGL", f"the environment variable DGLBACKEND is {chosen!r}.", "set it to pytorch.")
    before = set(sys.modules)
    lacking = [] if "dgl" in sys.modules else missing_for_graphbolt()
    if lacking:
        sys.modules[_GRAPHBOLT] = _StandIn(_GRAPHBOLT, f"it needs {', '.join(lacking)}")
    try:
        dgl = importlib.import_module("dgl")
    except Exception as error:  # A library that does not fit torch may fail with anything.
        for name in set(sys.modules) - before:
            if name.split(".")[0] == "dgl":
                del sys.modules[name]
        raise _broken(error) from error
    if lacking:
        # The import system sets this attribute only for modules that it loaded itself.
        dgl.graphbolt = sys.modules[_GRAPHBOLT]  # type: ignore[attr-defined]
    return dgl


def is_installed() -> bool:
    """Whether DGL is installed. Does not import it."""
    return sys.modules.get("dgl") is not None or importlib.util.find_spec("dgl") is not None


def has_stand_in() -> bool:
    """Whether the imported DGL has the stand-in instead of GraphBolt."""
    return isinstance(sys.modules.get(_GRAPHBOLT), _StandIn)


def missing_for_graphbolt() -> List[str]:
    """What GraphBolt needs and does not find here. Empty if it can be imported. Imports nothing of DGL."""
    spec = importlib.util.find_spec("dgl")
    assert spec is not None and spec.origin is not None
    torch_version = torch.__version__.split("+")[0]
    libraries = Path(spec.origin).parent.glob(f"graphbolt/*graphbolt_pytorch_{torch_version}.*")
    lacking = [] if any(libraries) else [f"a C++ library built for torch {torch_version}"]
    modules = ("torchdata.datapipes", "torchdata.dataloader2", "pandas", "pydantic", "yaml")
    return lacking + [f"the module {name}" for name in modules if not _can_find(name)]


def has_cuda(dgl: ModuleType) -> bool:
    """Whether this DGL was built with CUDA. The wheel on PyPI was not."""
    return "device_api.cuda" in dgl.list_global_func_names()


def _can_find(name: str) -> bool:
    # find_spec on a dotted name would import the parent; torchdata's takes long and warns.
    parent, _, child = name.partition(".")
    spec = importlib.util.find_spec(parent)
    if spec is None or not child:
        return spec is not None
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    return any((folder / child).is_dir() or (folder / f"{child}.py").is_file() for folder in folders)


def _broken(error: BaseException) -> BrokenPluginError:
    # DGL answers a missing module by trying another one; the first is the one to install.
    while isinstance(error.__context__, ModuleNotFoundError):
        error = error.__context__
    fix = f"pip install --force-reinstall --no-deps dgl==2.1.0, or {_INSTALL} in a new environment."
    if isinstance(error, ModuleNotFoundError) and error.name:
        fix = f"pip install {error.name.split('.')[0]}"
    return BrokenPluginError("DGL", f"its import fails with {type(error).__name__}: {error}", fix)


class _Placeholder(type):
    """Type of the stand-in's members: classes that can be named but not used."""

    reason: str

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(cls)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(cls)


def _refuse(placeholder: _Placeholder) -> NoReturn:
    raise CapabilityError(
        f"{_GRAPHBOLT}.{placeholder.__name__} cannot be used here: {placeholder.reason}. "
        "Use dgl.dataloading or gnnkit's own loaders instead, or install a torch that DGL was built for (2.2.1)."
    )


def _refuse_subclass(cls: _Placeholder, **_: Any) -> NoReturn:
    _refuse(cls)


class _StandIn(ModuleType):
    """Stands where GraphBolt would be.

    Its members are placeholders instead of errors because tools that walk through ``sys.modules``, pickle among them,
    look at the attributes of every module.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, f"Stand-in placed by gnnkit_dgl: {reason}.")
        self._reason = reason

    def __getattr__(self, name: str) -> _Placeholder:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        members = {"reason": self._reason, "__module__": self.__name__, "__init_subclass__": _refuse_subclass}
        placeholder = _Placeholder(name, (), members)
        setattr(self, name, placeholder)
        return placeholder
