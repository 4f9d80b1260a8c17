"""Finding plugins: names are read from package metadata, code is loaded only by name.

Rules: listing never imports a plugin; whatever a plugin raises while it loads becomes a ``BrokenPluginError``; of two
plugins with one name neither is loaded until the user says which; our own backends, devices and data sets are
registered through the same entry points as anyone else's, but nobody else can take their names.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, Generic, List, Optional, Sequence, Tuple, Type, TypeVar

from gnnkit.errors import BrokenPluginError, NotInstalledError, UnknownNameError

API_VERSION = 1
"""Version of the plugin interfaces. A plugin states the one that it was written for."""

T = TypeVar("T")

AUTO = "auto"
"""The word by which users leave the choice to gnnkit; no plugin can be called so."""

_OURS = "gnnkit"


@dataclass(frozen=True)
class Plugin:
    """What the metadata say about one installed plugin; its code is not loaded.

    Attributes:
        name: What users call it.
        distribution: The distribution that brought it, in lower case with dashes.
        point: Its entry point.
    """

    name: str
    distribution: str
    point: Any

    @property
    def full_name(self) -> str:
        """``name@distribution``, which no other plugin has."""
        return f"{self.name}@{self.distribution}"


class Registry(Generic[T]):
    """The plugins of one entry-point group.

    Args:
        group: Entry-point group, for example ``"gnnkit.backends"``.
        what: What a plugin of this group is called in messages, for example ``"backend"``.
        base: Class that every plugin of the group derives from.
        official: Names provided by distributions that may not be installed, with the name to install.

    Example:
        >>> from gnnkit.backends import backends
        >>> "reference" in backends.names()
        True
    """

    def __init__(self, group: str, what: str, base: Type[T], official: Optional[Dict[str, str]] = None) -> None:
        self.group = group
        self.what = what
        self.base = base
        self.official = official or {}

    def plugins(self) -> List[Plugin]:
        """All plugins of the group by name and distribution, from the metadata of what is installed now."""
        return list(_installed(self.group, tuple(_state(folder) for folder in sys.path)))

    def claims(self, name: str) -> List[Plugin]:
        """Who provides a name: one plugin, none, or several that share it.

        Args:
            name: A plugin's name, or ``name@distribution``.
        """
        plugins = self.plugins()
        return [p for p in plugins if name in (p.name, p.full_name) and not _is_taken(p, plugins)]

    def refused(self, name: str) -> List[Plugin]:
        """Who claims a name that is not free: "auto", or one that gnnkit's own plugins have.

        Args:
            name: A plugin's name, or ``name@distribution``.
        """
        plugins = self.plugins()
        return [p for p in plugins if name in (p.name, p.full_name) and _is_taken(p, plugins)]

    def name_of(self, loaded: Type[T]) -> str:
        """What to call a plugin so that :meth:`load` finds it again: ``name@distribution`` where others share its name.

        Args:
            loaded: The plugin's class.
        """
        name: str = loaded.name  # type: ignore[attr-defined]
        shared = self.claims(name)
        if len(shared) > 1:
            for plugin in shared:
                # Of the others nothing must be imported; the class that is asked about is here already.
                if plugin.point.value.split(":")[0] in sys.modules and plugin.point.load() is loaded:
                    return plugin.full_name
        return name

    def entry_points(self) -> List[Any]:
        """The entry points of all plugins of the group."""
        return [plugin.point for plugin in self.plugins()]

    def names(self) -> List[str]:
        """Names that :meth:`load` takes, sorted; nothing is imported.

        A name that several distributions claim is there once for each, as ``name@distribution``; so is one that is
        not free, of which :meth:`load` says so.
        """
        plugins = self.plugins()
        claims = [plugin.name for plugin in plugins if not _is_taken(plugin, plugins)]
        return sorted(
            plugin.name if claims.count(plugin.name) == 1 and not _is_taken(plugin, plugins) else plugin.full_name
            for plugin in plugins
        )

    def is_ours(self, name: str) -> bool:
        """Whether a name is claimed by gnnkit itself, or by an official distribution, alone."""
        ours = {"gnnkit", *self.official.values()}
        claims = [plugin.distribution for plugin in self.claims(name)]
        return len(claims) == 1 and claims[0] in ours

    def load(self, name: str) -> Type[T]:
        """Import one plugin and check it.

        Args:
            name: The plugin's name, or ``name@distribution``.

        Returns:
            The plugin's class.

        Raises:
            UnknownNameError: Nobody registered the name.
            NotInstalledError: The name belongs to a known distribution that is not installed.
            BrokenPluginError: The plugin fails to import, is of another kind, was written for another version of
                the interface, several distributions claim its name, or its name is not free.
        """
        claims = self.claims(name)
        if not claims:
            for plugin in self.refused(name):
                raise BrokenPluginError(f"{self.what.capitalize()} {name!r}", *name_is_taken(plugin))
            if name in self.official:
                raise NotInstalledError(f"{self.what.capitalize()} {name!r}", f"pip install {self.official[name]}")
            raise UnknownNameError(self.what, name, {*self.names(), *self.official})
        title = f"{self.what.capitalize()} {name!r}"
        if len(claims) > 1:
            raise BrokenPluginError(title, f"{len(claims)} distributions claim this name.", pick_one(claims))
        return self._check(title, claims[0], self._import(title, claims[0]))

    def _import(self, title: str, plugin: Plugin) -> Any:
        # stevedore keeps a cache on disk whose time stamps are too coarse to see a plugin installed a minute ago, and
        # it does not tell two distributions apart, so it is given the one entry point that was just read.
        from stevedore import DriverManager, ExtensionManager

        ExtensionManager.ENTRY_POINT_CACHE[self.group] = [plugin.point]

        def reraise(_manager: Any, _point: Any, error: BaseException) -> None:
            raise error

        try:
            return DriverManager(self.group, plugin.name, on_load_failure_callback=reraise).driver
        except (Exception, SystemExit) as error:
            # Any exception at all may escape from a stranger's import; the user needs the name of the culprit.
            cause = f"{type(error).__name__}: {error}"
            raise BrokenPluginError(title, cause, "see 'gnnkit doctor'.") from error

    def _check(self, title: str, plugin: Plugin, loaded: Any) -> Type[T]:
        if not (isinstance(loaded, type) and issubclass(loaded, self.base)):
            raise BrokenPluginError(title, f"its entry point is {loaded!r}, not a {self.base.__name__} class.")
        version = getattr(loaded, "api_version", None)
        if version != API_VERSION:
            raise BrokenPluginError(
                title,
                f"it was written for version {version} of the plugin interface, this is version {API_VERSION}.",
                f"install versions of gnnkit and {plugin.distribution} that belong together.",
            )
        if getattr(loaded, "name", None) != plugin.name:
            raise BrokenPluginError(
                title,
                f"its entry point is called {plugin.name!r}, its class {getattr(loaded, 'name', None)!r}.",
                f"{loaded.__name__}.name must be the name of the entry point.",
            )
        return loaded


def _state(folder: str) -> Tuple[int, ...]:
    """What changes when something is installed into a folder of the path, or removed from it."""
    try:
        found = os.stat(folder or os.curdir)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_nlink)


# The metadata of everything that is installed are hundreds of files, and a training asks for its plugins several times.
@lru_cache(maxsize=32)
def _installed(group: str, _path: Tuple[Tuple[int, ...], ...]) -> Tuple[Plugin, ...]:
    """The plugins of a group, for a path in one state."""
    found: Dict[Any, Plugin] = {}
    for distribution in importlib.metadata.distributions():
        for point in distribution.entry_points:
            if point.group == group:
                # A distribution that is on the path twice counts once, as the first of them is imported.
                plugin = Plugin(point.name, _normalized(distribution.metadata["Name"]), point)
                found.setdefault((plugin.name, plugin.distribution), plugin)
    return tuple(found[key] for key in sorted(found))


def name_is_taken(plugin: Plugin) -> Tuple[str, str]:
    """What is wrong with a plugin that is called what it cannot be called, and what to do about it."""
    owner = "leaves the choice to gnnkit" if plugin.name == AUTO else "is the name of gnnkit's own"
    return (
        f"distribution {plugin.distribution} calls it {plugin.name!r}, which {owner}.",
        "give it another name, as entry point and as the class's name; or uninstall it.",
    )


def _is_taken(plugin: Plugin, plugins: Sequence[Plugin]) -> bool:
    """Whether a plugin claims a name that is not free."""
    ours = plugin.distribution != _OURS and any(p.name == plugin.name and p.distribution == _OURS for p in plugins)
    return plugin.name == AUTO or ours


def pick_one(claims: List[Plugin]) -> str:
    """What to do about several plugins with one name."""
    names = " or ".join(plugin.full_name for plugin in claims)
    return f"say which one you mean, {names}, or uninstall the others."


def _normalized(distribution: str) -> str:
    """The name of a distribution in the form that PEP 503 gives it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
