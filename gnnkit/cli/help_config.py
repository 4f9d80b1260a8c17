"""``gnnkit run --help-config``: every setting with its type, its default and what it means, plugins' included."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence

from gnnkit.cli.output import print_json, print_table
from gnnkit.options import Option, describe_options

_SECTIONS = ("dataset", "model", "train")


def show_settings(json: bool) -> None:
    """Print all settings.

    Args:
        json: Whether to print one line of JSON instead of tables.
    """
    sections = settings_by_section()
    if json:
        print_json({title: {o.name: _facts(o) for o in options} for title, options in sections.items()})
        return
    for title, options in sections.items():
        print_table(title, ["setting", "type", "default", "meaning"], [_row(option) for option in options])


def settings_by_section() -> Dict[str, List[Option]]:
    """All settings under their full keys, by a title that says whose they are."""
    from gnnkit.backends import backends
    from gnnkit.datasets import datasets
    from gnnkit.devices import devices
    from gnnkit.nn import CONVS, ModelSpec
    from gnnkit.tasks import tasks
    from gnnkit.train.config import DatasetConfig, RunConfig
    from gnnkit.train.model_config import ModelConfig
    from gnnkit.train.settings import TrainConfig

    meanings = {option.name: option.meaning for option in describe_options(ModelSpec, leave_out=())}
    model = describe_options(ModelConfig, leave_out=["conv_options"])
    plugins = ("task_options", "backend_options", "device_options")
    sections = {
        "Run": describe_options(RunConfig, leave_out=[*_SECTIONS, *plugins]),
        "Data": _keyed("dataset", describe_options(DatasetConfig, leave_out=["options"])),
        "Model": _keyed(
            "model",
            [
                Option(o.name, o.type.replace("Any", "str or list"), o.default, meanings.get(o.name, o.meaning))
                for o in model
            ],
        ),
        **{
            f"Convolution {kind}": _keyed("model", options)
            for kind, conv in CONVS.items()
            for options in [describe_options(conv.options_class)]
            if options
        },
        "Training": _keyed("train", describe_options(TrainConfig)),
    }
    for registry, key in zip((datasets, tasks, backends, devices), ("dataset.options", *plugins)):
        sections.update(_of_plugins(registry, key))
    return sections


def _described(option: Option, meanings: Mapping[str, str]) -> Option:
    """An option of a model in the words of its specification."""
    kind = "str or list" if option.name == "name" else option.type
    return Option(option.name, kind, option.default, meanings.get(option.name, option.meaning))


def _of_plugins(registry: Any, key: str) -> Dict[str, List[Option]]:
    from gnnkit.probing import overview

    found = {}
    for name, report in overview(registry).items():
        if report.options:
            found[f"{registry.what.capitalize()} {name}"] = _keyed(key, report.options)
    return found


def _keyed(key: str, options: Sequence[Option]) -> List[Option]:
    return [Option(f"{key}.{o.name}", o.type, o.default, o.meaning) for o in options]


def _facts(option: Option) -> Dict[str, str]:
    return {"type": option.type, "default": option.default, "meaning": _words(option.meaning)}


def _row(option: Option) -> List[str]:
    return [option.name, option.type, option.default, _words(option.meaning)]


def _words(meaning: str) -> str:
    """Plain text without the marks of a docstring."""
    return re.sub(r":\w+:`[~.]*([^`]*)`", r"\1", meaning).replace("``", "")
