"""The layers of a configuration: what was typed, read and recorded, checked and laid over each other."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Sequence, Type

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from gnnkit.classes import import_class
from gnnkit.errors import ConfigError, MisplacedSettingError, UnknownNameError
from gnnkit.io.yaml_files import shielded, unshielded
from gnnkit.nn import ALL_OPTIONS, Kinds, model_kinds, option_defaults, place_options
from gnnkit.options import whole_numbers
from gnnkit.tasks import DEFAULT_TASK
from gnnkit.train.model_config import ModelConfig

MOVED = ("walk_length", "num_negatives", "negative_weight")
"""Settings that gnnkit 0.1.0 had in the section "train", of the task "unsupervised" alone."""

_CONVERSION = re.compile(
    r"Value (?P<value>.*?)(?: of type '.*?')? (?:could not be converted to|is not a valid) "
    r"(?P<kind>\w+)(?: \(type \w+\))?"
)
_EXPECTED = {"float": "a number", "integer": "a whole number", "bool": "true or false", "string": "text"}
_OTHER_WORDS = {
    "hidden": "hidden_channels",
    "layers": "num_layers",
    "learning_rate": "lr",
    "num_epochs": "epochs",
}
"""What the command line, or other libraries, call a setting."""
_REPLACED = {"tensorboard": "Write track=[tensorboard]."}
"""Settings that are gone, with what to write instead. Files that have them are upgraded."""
_FANOUTS = ("fanouts", "eval_fanouts")
_OPTIONS = "options"
"""What the names of mappings end with whose keys are known where they are used."""


def merged(schema: Type[Any], layers: Sequence[Mapping[str, Any]], kinds: Kinds = ()) -> DictConfig:
    """A structured configuration with layers over it; later ones win.

    Args:
        schema: A dataclass that has every key that there is, with its default.
        layers: Nested values.
        kinds: Of convolution; options in the section "model" find their place if these have them.

    Raises:
        UnknownNameError: A key that does not exist; the message has the nearest ones.
        ConfigError: A value of the wrong type.
    """
    base, above = _defaults(schema), []  # type: ignore[arg-type]  # mypy does not see that a class is hashable.
    for layer in layers:
        _check_keys(base, base, layer)
        if "model" in layer:
            layer = {**layer, "model": place_options(layer["model"], kinds)}
        above.append(shielded(_with_lists(layer)))
    try:
        return OmegaConf.merge(base, *filter(None, above))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        problem = unshielded(str(error).splitlines()[0])
        if isinstance(error, ValidationError) and "is not a ListConfig" in problem:
            raise ConfigError(f"Setting {error.full_key!r} is no list. Write {error.full_key}=[A,B].") from error
        told = _CONVERSION.fullmatch(problem)
        kind = None if told is None else _EXPECTED.get(told["kind"].casefold())
        words = f": {problem}" if told is None or kind is None else f" is {told['value']}, expected {kind}"
        if "Cannot convert 'DictConfig'" in problem:
            options = f"{error.full_key}_{_OPTIONS}"
            more = f", and its options as {options}.KEY=VALUE" if options in base else ""
            words = f" has one value and no settings of its own. Write it as {error.full_key}=VALUE{more}"
        raise ConfigError(f"Setting {error.full_key!r}{words}.") from error


@lru_cache(maxsize=None)
def _defaults(schema: Type[Any]) -> DictConfig:
    """A dataclass as a configuration, which nobody writes to: making it takes longer than all else here."""
    config: DictConfig = OmegaConf.structured(schema)
    OmegaConf.set_readonly(config, True)
    return config


def upgraded(config: Mapping[str, Any]) -> Dict[str, Any]:
    """A configuration as it is written now, from one that gnnkit 0.1.0 may have written.

    Example:
        >>> upgraded({"train": {"task": "unsupervised", "walk_length": 3, "num_negatives": 100}})
        {'train': {}, 'task': 'unsupervised', 'task_options': {'walk_length': 3, 'num_negatives': 100}}
    >>> upgraded({"tensorboard": True})
    {'track': ['tensorboard']}
    """
    config = dict(config)
    if config.pop("tensorboard", False):
        config["track"] = [*(config.get("track") or []), "tensorboard"]
    train = config.get("train")
    if not isinstance(train, Mapping) or not {"task", *MOVED} & set(train):
        return config
    task = train.get("task", config.get("task", DEFAULT_TASK))
    moved = {name: train[name] for name in MOVED if name in train} if task == "unsupervised" else {}
    kept = {name: value for name, value in train.items() if name not in ("task", *MOVED)}
    options = {**moved, **(config.get("task_options") or {})}
    return {**config, "train": kept, "task": task, "task_options": options}


def without_options_of_others(config: Mapping[str, Any], kinds: Kinds, task: str) -> Dict[str, Any]:
    """A recorded configuration for a run with another model or task, whose options are not those of the recorded one.

    Args:
        config: The configuration.
        kinds: The run's convolutions; of the recorded options those remain that these have.
        task: The run's task.

    Example:
        >>> recorded = {"model": {"name": "gat", "conv_options": {"heads": 8}}, "task_options": {"log": True}}
        >>> without_options_of_others(recorded, "gcn", "unsupervised")
        {'model': {'name': 'gat', 'conv_options': {}}, 'task_options': {}}
    """
    kept, model = dict(config), config.get("model", {})
    if "conv_options" in model and model_kinds(model.get("name", kinds)) != kinds:
        own = {name for kind in ([kinds] if isinstance(kinds, str) else kinds) for name in option_defaults(kind)}
        options = {name: value for name, value in model["conv_options"].items() if name in own}
        kept["model"] = {**model, "conv_options": options}
    if "task_options" in config and config.get("task", DEFAULT_TASK) != task:
        kept["task_options"] = {}
    return kept


def plain_values(config: DictConfig) -> Dict[str, Any]:
    """Merged settings as plain values."""
    return unshielded(OmegaConf.to_container(config))  # type: ignore[no-any-return]


def parsed(overrides: Sequence[str]) -> Dict[str, Any]:
    """Dotted settings such as ``"model.hidden_channels=32"`` as a layer.

    Raises:
        ConfigError: One is no setting.
    """
    for item in overrides:
        if "=" not in item or item.startswith("="):
            raise ConfigError(f"{item!r} is not a setting. Write key=value, for example train.lr=0.01.")
    try:
        return unshielded(OmegaConf.to_container(OmegaConf.from_dotlist(shielded(overrides))))  # type: ignore[no-any-return]
    except Exception as error:  # OmegaConf reads values as YAML here, and lets the parser's own exceptions through.
        problem = unshielded(" ".join(str(error).split()))
        raise ConfigError(f"Cannot read the settings {' '.join(overrides)}: {problem}") from error


def import_classes(given: Sequence[Mapping[str, Any]]) -> None:
    """Import the optimiser and the schedule that the user names by ``module:Class``.

    Args:
        given: Layers that the user typed; those of files are not among them, because a file must not run code.

    Raises:
        ConfigError: A module cannot be imported.
    """
    for layer in given:
        for name in ("optimizer", "schedule"):
            value = (layer.get("train") or {}).get(name)
            if isinstance(value, str) and ":" in value:
                import_class(value, f"train.{name}")


def _with_lists(layer: Mapping[str, Any], prefix: str = "") -> Dict[str, Any]:
    """A layer in which fan-outs that were given as ``"10,5"`` or ``10`` are lists."""
    found = {}
    for key, value in layer.items():
        if key == "train" and isinstance(value, Mapping):
            value = _with_lists(value, "train.")
        elif key in _FANOUTS and isinstance(value, (str, int)):
            value = whole_numbers(str(value), f"Setting '{prefix}{key}'")
        found[key] = value
    return found


def _check_keys(root: DictConfig, base: DictConfig, layer: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse unknown keys with the nearest known ones, which OmegaConf would not name."""
    if prefix.endswith(f"{_OPTIONS}."):
        return
    known = [str(key) for key in base]
    for key, value in layer.items():
        if prefix == "model." and key in ALL_OPTIONS:
            continue
        if key not in known:
            places = _places(root, _OTHER_WORDS.get(key, key))
            if places:
                raise MisplacedSettingError(f"{prefix}{key}", places)
            names = [*known, *ALL_OPTIONS] if prefix == "model." else known
            of_models = {*ALL_OPTIONS, *(item.name for item in fields(ModelConfig))}
            of_model = f"It is one of the model: build_model(..., {key}=...)." if key in of_models else ""
            fix = _REPLACED.get(key, of_model)
            raise UnknownNameError("setting", f"{prefix}{key}", [f"{prefix}{name}" for name in names], fix)
        if isinstance(base[key], DictConfig):
            if not isinstance(value, Mapping):
                inner = f"name={value}" if "name" in base[key] else "KEY=VALUE"
                raise ConfigError(
                    f"Setting '{prefix}{key}' is {value!r}, expected a section. Write {prefix}{key}.{inner}."
                )
            _check_keys(root, base[key], value, f"{prefix}{key}.")


def _places(root: DictConfig, key: str) -> List[str]:
    """Where in a whole configuration a key belongs; nowhere if it is unknown."""
    sections = [str(name) for name in root if isinstance(root[name], DictConfig) and not str(name).endswith(_OPTIONS)]
    if not sections:  # Settings of the training alone.
        return [key] if key in root else []
    places = [f"{name}.{key}" for name in sections if key in root[name]]
    places += [f"model.{key}"] if key in ALL_OPTIONS else []
    places += [f"task_options.{key}"] if key in MOVED else []
    return places + ([key] if key in root else [])
