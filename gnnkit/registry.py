"""Finding plugins: names are read from package metadata, code is loaded only by name.

Rules: listing never imports a plugin; whatever a plugin raises while it loads becomes a ``BrokenPluginError``; our own
backends, devices and data sets are registered through the same entry points as anyone else's.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any, Dict, Generic, List, Optional, Type, TypeVar

from gnnkit.errors import BrokenPluginError, NotInstalledError, UnknownNameError

API_VERSION = 1
"""Version of the plugin interfaces. A plugin states the one that it was written for."""

T = TypeVar("T")


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

    def entry_points(self) -> List[Any]:
        """All entry points of the group, straight from the metadata of what is installed now."""
        found = importlib.metadata.entry_points()
        group = found.select(group=self.group) if hasattr(found, "select") else found.get(self.group, ())
        unique = {(point.name, point.value): point for point in group}
        return [unique[key] for key in sorted(unique)]

    def names(self) -> List[str]:
        """Names of all installed plugins, sorted; nothing is imported."""
        return sorted({point.name for point in self.entry_points()})

    def load(self, name: str) -> Type[T]:
        """Import one plugin and check it.

        Args:
            name: The plugin's name.

        Returns:
            The plugin's class.

        Raises:
            UnknownNameError: Nobody registered the name.
            NotInstalledError: The name belongs to a known distribution that is not installed.
            BrokenPluginError: The plugin fails to import, is of another kind, was written for another version of
                the interface, or two distributions claim its name.
        """
        points = [point for point in self.entry_points() if point.name == name]
        if not points:
            if name in self.official:
                raise NotInstalledError(f"{self.what.capitalize()} {name!r}", f"pip install {self.official[name]}")
            raise UnknownNameError(self.what, name, {*self.names(), *self.official})
        title = f"{self.what.capitalize()} {name!r}"
        if len(points) > 1:
            values = " and ".join(point.value for point in points)
            raise BrokenPluginError(title, f"two plugins claim this name: {values}.", "uninstall one of them.")
        return self._check(title, self._import(title, points))

    def _import(self, title: str, points: List[Any]) -> Any:
        # stevedore keeps a cache on disk whose time stamps are too coarse to see a plugin installed a minute ago, so
        # it is given the entry points that were just read.
        from stevedore import DriverManager, ExtensionManager

        ExtensionManager.ENTRY_POINT_CACHE[self.group] = points

        def reraise(_manager: Any, _point: Any, error: BaseException) -> None:
            raise error

        try:
            return DriverManager(self.group, points[0].name, on_load_failure_callback=reraise).driver
        except (Exception, SystemExit) as error:
            # Any exception at all may escape from a stranger's import; the user needs the name of the culprit.
            cause = f"{type(error).__name__}: {error}"
            raise BrokenPluginError(title, cause, "see 'gnnkit doctor'.") from error

    def _check(self, title: str, plugin: Any) -> Type[T]:
        if not (isinstance(plugin, type) and issubclass(plugin, self.base)):
            raise BrokenPluginError(title, f"its entry point is {plugin!r}, not a {self.base.__name__} class.")
        version = getattr(plugin, "api_version", None)
        if version != API_VERSION:
            raise BrokenPluginError(
                title,
                f"it was written for version {version} of the plugin interface, this is version {API_VERSION}.",
                "install versions of gnnkit and the plugin that belong together.",
            )
        return plugin
