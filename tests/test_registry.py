"""The registry on stevedore, with fabricated plugins on the path of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gnnkit.backends import Backend, backends
from gnnkit.datasets import datasets
from gnnkit.devices import devices
from gnnkit.errors import BrokenPluginError, ConfigError, NotInstalledError, UnknownNameError
from gnnkit.probing import probe_all, seconds_allowed
from gnnkit.registry import Registry
from gnnkit.tasks import tasks
from tests.plugins import environment_with, install

BACKEND = """
from gnnkit.backends.reference import ReferenceBackend
class Plugin(ReferenceBackend):
    name = {name!r}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the path; what is installed there is gone after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_listing_and_loading_import_nothing_else(site: Path) -> None:
    install(site, "wild", "raise RuntimeError('imported')")
    install(site, "tame", BACKEND.format(name="tame"))
    assert {"wild", "tame", "reference"} <= set(backends.names())
    assert backends.load("tame")().name == "tame"
    assert "plugin_wild" not in sys.modules


@pytest.mark.parametrize(
    "name, source, words",
    [
        ("asserts", "assert False, 'built for torch 1.0'", "AssertionError: built for torch 1.0"),
        ("missing", "import a_library_that_nobody_has", "a_library_that_nobody_has"),
        ("other", "Plugin = object()", "not a Backend class"),
        ("renamed", BACKEND.format(name="another"), "its entry point is called 'renamed', its class 'another'"),
        ("old", BACKEND.format(name="old") + "    api_version = 0", "version 0 of the plugin .*, this is version 1"),
    ],
)
def test_one_that_cannot_be_used_is_named_with_the_cause(site: Path, name: str, source: str, words: str) -> None:
    install(site, name, source)
    with pytest.raises(BrokenPluginError, match=f"Backend '{name}' is installed but cannot be used: .*{words}"):
        backends.load(name)


def test_each_of_many_with_one_name_is_loaded_by_its_distribution(site: Path) -> None:
    # Names of the group are unsorted and interleaved on the path, which deceives a search for neighbours.
    for name, distribution in (("b", "one"), ("a", "two"), ("b", "three"), ("c", "four"), ("b", "five")):
        install(site, name, BACKEND.format(name=name), distribution=distribution)
    assert {"a", "c", "b@one", "b@three", "b@five"} <= set(backends.names())
    assert "b" not in backends.names()
    with pytest.raises(BrokenPluginError, match="3 distributions .* b@five or b@one or b@three"):
        backends.load("b")
    for distribution in ("one", "three", "five"):
        assert backends.load(f"b@{distribution}").__module__ == distribution
    assert backends.load("a").__module__ == backends.load("a@two").__module__ == "two"
    with pytest.raises(UnknownNameError, match="b@five"):
        backends.load("b@fve")


def test_a_distribution_that_is_on_the_path_twice_counts_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = site / "second"
    second.mkdir()
    install(site, "twice", BACKEND.format(name="twice"))
    install(second, "twice", "raise RuntimeError('the shadowed one')")
    monkeypatch.setattr(sys, "path", [*sys.path, str(second)])
    assert backends.load("twice").name == "twice"


def test_a_stale_cache_on_disk_hides_no_plugin(tmp_path: Path) -> None:
    install(tmp_path, "before", BACKEND.format(name="before"))
    # stevedore's cache is filled, and its entries are kept whatever happens to the path afterwards.
    script = """
import pathlib, sys
import stevedore._cache as cache
sys.path.insert(0, {tests!r})
from stevedore import ExtensionManager
assert "before" in ExtensionManager("gnnkit.backends", on_load_failure_callback=lambda *_: None).names()
old = cache._c._get_data_for_path(tuple(sys.path))
cache._c._get_data_for_path = lambda path: old
from tests.plugins import install
install(pathlib.Path({site!r}), "after", {source!r})
from gnnkit.backends import backends
assert "after" in backends.names()
print(backends.load("after").name)
"""
    source = BACKEND.format(name="after")
    script = script.format(tests=str(Path(__file__).parent.parent), site=str(tmp_path), source=source)
    environment = environment_with(tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == "after", done.stderr


def test_an_official_backend_that_is_not_installed_gives_the_install_line() -> None:
    registry = Registry("gnnkit.no_such_group", "backend", Backend, official={"dgl": "gnnkit-dgl"})
    with pytest.raises(NotInstalledError, match="pip install gnnkit-dgl"):
        registry.load("dgl")


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNNKIT_PROBE_SECONDS", text)
    with pytest.raises(ConfigError, match="expected a positive number of seconds"):
        seconds_allowed()


def test_gnnkits_own_names_and_auto_are_not_free(site: Path) -> None:
    install(site, "reference", "raise RuntimeError('imported')", distribution="stranger")
    install(site, "auto", "raise RuntimeError('imported')", distribution="other")
    assert backends.load("reference").__module__ == "gnnkit.backends.reference"
    assert backends.is_ours("reference") and "reference" in backends.names()
    for name, words in (
        ("reference@stranger", "stranger calls it 'reference', which is the name of gnnkit's own.*another name"),
        ("auto", "other calls it 'auto', which leaves the choice to gnnkit.*another name"),
        ("auto@other", "other calls it 'auto', which leaves the choice to gnnkit.*another name"),
    ):
        with pytest.raises(BrokenPluginError, match=words):
            backends.load(name)


def test_what_takes_a_name_that_is_not_free_is_listed_as_broken(site: Path) -> None:
    # Of tasks, whose own are quickly asked.
    install(site, "unsupervised", "raise RuntimeError('imported')", group="tasks", distribution="stranger")
    install(site, "auto", "raise RuntimeError('imported')", group="tasks", distribution="other")
    reports = probe_all(tasks)
    assert reports["unsupervised"].availability.is_ready
    for name in ("unsupervised@stranger", "auto@other"):
        assert reports[name].availability.status == "broken" and "calls it" in reports[name].availability.detail


@pytest.mark.parametrize(("group", "registry", "name"), [("devices", devices, "cpu"), ("datasets", datasets, "karate")])
def test_nobody_takes_the_name_of_a_device_or_data_set_of_gnnkit(site: Path, group: str, registry, name: str) -> None:
    install(site, name, "raise RuntimeError('imported')", group=group, distribution="stranger")
    assert registry.load(name).__module__.startswith("gnnkit.")
    with pytest.raises(BrokenPluginError, match="is the name of gnnkit's own"):
        registry.load(f"{name}@stranger")
