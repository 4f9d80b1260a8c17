"""The configuration of a run, and how its layers are merged.

Rules: every setting has one place, one type and one default here; a key that is not here is refused with the nearest
ones. Later layers win: defaults, the model's preset, the file, flags, ``key=value``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Type, Union

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gnnkit.classes import import_class
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.io.files import read_yaml, shielded, unshielded
from gnnkit.nn import PRESETS, ModelSpec, Preset, idle_model_settings
from gnnkit.options import check_numbers, plain_value, settle_idle, whole_numbers
from gnnkit.paths import PathLike, user_path
from gnnkit.tasks import DEFAULT_TASK, Task, task_class, task_options
from gnnkit.train.effects import idle_train_settings
from gnnkit.train.settings import EVAL_BATCH_SIZE, TrainConfig


@dataclass
class DatasetConfig:
    """Which data.

    Attributes:
        name: A data set, see ``gnnkit datasets``, or the path of a folder with your own data.
        data_dir: Where its files are looked for first.
        download: Whether missing files may be downloaded.
        options: Settings of the data set itself.
    """

    name: str = "digits"
    data_dir: Optional[str] = None
    download: bool = True
    options: Dict[str, Any] = field(default_factory=dict)

    def arguments(self, seed: int, data_dir: Union[str, Path, None] = None) -> Dict[str, Any]:
        """What loads the data: ``load_dataset(**config.dataset.arguments(config.seed))``.

        Args:
            seed: The run's.
            data_dir: Where files are looked for first. None: where the configuration says.

        Raises:
            ConfigError: The options hold a setting that has a place of its own.
        """
        where = self.data_dir if data_dir is None else data_dir
        own = {"name": self.name, "data_dir": where, "download": self.download, "seed": seed}
        for key in own.keys() & self.options.keys():
            place = key if key == "seed" else f"dataset.{key}"
            raise ConfigError(f"'dataset.options.{key}' is no option of a data set. Give '{place}' instead.")
        return {**own, **self.options}


@dataclass
class ModelConfig:
    """Which model; what is not described here is described at :class:`gnnkit.nn.ModelSpec`.

    Attributes:
        name: "gcn", "sage", "gat", "gatv2" or "gin", which bring defaults of their own for the settings below and for
            training; or a layer of the backend's library, such as "torch_geometric.nn:PNAConv".
        out_channels: Number of outputs per node, which tasks without classes leave open: the width of embeddings. None:
            one for each class.
    """

    name: str = "gcn"
    out_channels: Optional[int] = None
    hidden_channels: int = 64
    num_layers: int = 2
    aggregation: str = "mean"
    heads: int = 1
    out_heads: int = 1
    dropout: float = 0.5
    input_dropout: float = 0.0
    attention_dropout: float = 0.0
    activation: str = "relu"
    norm: str = "none"
    residual: bool = False
    jumping_knowledge: str = "none"
    conv_options: Dict[str, Any] = field(default_factory=dict)


@dataclass
class RunConfig:
    """Everything that ``gnnkit run`` can be told.

    Attributes:
        dataset: Which data.
        model: Which model.
        train: How to train.
        task: What to learn: "node_classification", "node_regression", "unsupervised" for embeddings that are learned
            from the graph without labels, or a plugin's. A task brings defaults for some settings.
        task_options: Settings of the task itself.
        backend: Which graph library computes the convolutions.
        backend_options: Settings of the backend itself.
        device: Where steps run; "auto" takes the best that is ready.
        device_options: Settings of the device itself.
        seed: Seed of splits, initial weights, shuffling, sampling and dropout.
        run_dir: Folder of this run. None: a new one under ``runs``.
        init_from: A run folder whose best weights training starts from, or a file of weights. None: initial weights of
            the seed.
        tensorboard: Whether to write TensorBoard event files into the run folder.
    """

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    task: str = DEFAULT_TASK
    task_options: Dict[str, Any] = field(default_factory=dict)
    backend: str = "reference"
    backend_options: Dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    device_options: Dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    run_dir: Optional[str] = None
    init_from: Optional[str] = None
    tensorboard: bool = False


_SETTLED = ("model", "train")
"""Sections with settings that have no effect on some models and trainings."""

_SECTIONS: Mapping[str, Type[Any]] = {"dataset": DatasetConfig, "model": ModelConfig, "train": TrainConfig}
_FANOUTS = ("fanouts", "eval_fanouts")


def _names(section: Type[Any]) -> List[str]:
    return [item.name for item in fields(section)]


def train_config(model: str, settings: Mapping[str, Any], task: Union[str, Type[Task]] = DEFAULT_TASK) -> TrainConfig:
    """Training settings: defaults, then the presets of the model and of the task, then what was given.

    Args:
        model: Name of a model.
        settings: Fields of :class:`TrainConfig`.
        task: What is learned.

    Raises:
        UnknownNameError: A setting or a task that does not exist.
        ConfigError: A value that cannot be used, or that has no effect.
    """
    preset = PRESETS[model].train if model in PRESETS else {}
    given = {name: plain_value(value) for name, value in settings.items()}
    learned = task_class(task)
    merged = _merge(OmegaConf.structured(TrainConfig), [dict(preset), dict(learned.preset.get("train", {})), given])
    config = TrainConfig(**_values(merged))
    config.check()
    check_batches(config, learned)
    return settled_training(config, preset, given)


def check_batches(config: TrainConfig, task: Type[Task]) -> None:
    """Refuse a training on the full graph of a task that learns from batches.

    Raises:
        ConfigError: It is one.
    """
    if task.needs_batches and not config.is_sampled:
        raise ConfigError(
            f"The task {task.name!r} learns from sampled batches. Give train.batch_size or train.fanouts; fan-outs of "
            "-1 take all neighbours."
        )


def settled_training(
    config: TrainConfig, preset: Mapping[str, Any], given: Collection[str], owner: str = ""
) -> TrainConfig:
    """A training with its defaults in place of settings without effect.

    Args:
        config: Not resolved yet.
        preset: Defaults of the model.
        given: Names of the settings that the user gave.
        owner: What messages put before a name.

    Raises:
        ConfigError: The user gave one without effect.
    """
    values, idle = asdict(config), idle_train_settings(config)
    if "eval_batch_size" in idle and config.eval_batch_size == EVAL_BATCH_SIZE:
        values["eval_batch_size"] = None  # Recorded configurations are resolved ones.
    defaults = {**asdict(TrainConfig()), **preset}
    return TrainConfig(**settle_idle(values, defaults, idle, given, owner))


def settled_model(values: Mapping[str, Any], preset: Mapping[str, Any], given: Collection[str]) -> Dict[str, Any]:
    """The section "model" with its defaults in place of settings without effect.

    Args:
        values: The section.
        preset: Defaults of the model.
        given: Names of the settings that the user gave.

    Raises:
        ConfigError: A value cannot be used, or the user gave one without effect.
    """
    settings = {**values, "out_channels": values["out_channels"] or 1}
    spec = ModelSpec.from_dict({"conv": settings.pop("name"), "in_channels": 1, **settings})
    defaults, idle = {**asdict(ModelConfig()), **preset}, idle_model_settings(spec)
    return settle_idle(values, defaults, idle, given, "model.", f"on this model of {values['name']!r}")


def model_settings(spec: ModelSpec, *, keep_outputs: bool = False) -> Dict[str, Any]:
    """A model's specification as the section "model" of a configuration: without what the data decide.

    Args:
        spec: The specification.
        keep_outputs: Whether the number of outputs is a setting, too, because the data do not decide it.
    """
    values = spec.to_dict()
    del values["in_channels"]
    if not keep_outputs:
        del values["out_channels"]
    return {"name": values.pop("conv"), **values}


def load_config(
    file: Optional[PathLike] = None,
    flags: Optional[Mapping[str, Any]] = None,
    overrides: Sequence[str] = (),
    *,
    base: Optional[Mapping[str, Any]] = None,
) -> RunConfig:
    """Merge the layers of a run's configuration.

    Args:
        file: A YAML file with the structure of :class:`RunConfig`.
        flags: Nested values from command-line flags.
        overrides: Dotted settings such as ``"model.hidden_channels=32"``.
        base: Nested values below all these, such as the configuration of another run.

    Raises:
        UnknownNameError: A key that does not exist; the message has the nearest ones.
        ConfigError: The file cannot be read, or a value has the wrong type, or has no effect.

    Example:
        >>> load_config(overrides=["model.name=gat"]).model.heads
        8
    """
    written = read_yaml(user_path(file)) if file else {}
    layers = [upgraded(base or {}), upgraded(written), dict(flags or {}), _parse(overrides)]
    user = _merge(OmegaConf.structured(RunConfig), layers)
    name = unshielded(user.model.name)
    if name not in PRESETS and ":" not in name:
        raise UnknownNameError("model", name, PRESETS)
    defaults = PRESETS.get(name, Preset())
    task = task_class(unshielded(user.task))
    presets = [
        {"model": dict(defaults.model), "train": dict(defaults.train)},
        {section: dict(task.preset.get(section, {})) for section in ("model", "train")},
    ]
    values = _values(_merge(OmegaConf.structured(RunConfig), [*presets, *layers]))
    _import_classes(layers[1:])
    config = RunConfig(**{**values, **{name: make(**values[name]) for name, make in _SECTIONS.items()}})
    check_numbers(asdict(config))
    config.train.check()
    check_batches(config.train, task)
    task_options(task, config.task_options)
    # Recorded configurations may hold what has no effect, and so may a preset beside what the user gave.
    given = {section: {name for layer in layers[1:] for name in layer.get(section, {})} for section in _SETTLED}
    model = settled_model(asdict(config.model), defaults.model, given["model"])
    train = settled_training(config.train, defaults.train, given["train"], owner="train.")
    return replace(config, model=ModelConfig(**model), train=train)


def _import_classes(given: Sequence[Mapping[str, Any]]) -> None:
    """Import the optimiser and the schedule that the user names by ``module:Class``; a recorded one is not imported."""
    for layer in given:
        for name in ("optimizer", "schedule"):
            value = (layer.get("train") or {}).get(name)
            if isinstance(value, str) and ":" in value:
                import_class(value, f"train.{name}")


def _values(merged: DictConfig) -> Dict[str, Any]:
    """Merged settings as plain values."""
    return unshielded(OmegaConf.to_container(merged))  # type: ignore[no-any-return]


_MOVED = ("walk_length", "num_negatives", "negative_weight")
"""Settings that gnnkit 0.1.0 had in the section "train", of the task "unsupervised" alone."""


def upgraded(config: Mapping[str, Any]) -> Dict[str, Any]:
    """A configuration as it is written now, from one that gnnkit 0.1.0 may have written.

    Example:
        >>> upgraded({"train": {"task": "unsupervised", "walk_length": 3, "num_negatives": 100}})
        {'train': {}, 'task': 'unsupervised', 'task_options': {'walk_length': 3, 'num_negatives': 100}}
    """
    train = config.get("train")
    if not isinstance(train, Mapping) or not {"task", *_MOVED} & set(train):
        return dict(config)
    task = train.get("task", config.get("task", DEFAULT_TASK))
    moved = {name: train[name] for name in _MOVED if name in train} if task == "unsupervised" else {}
    kept = {name: value for name, value in train.items() if name not in ("task", *_MOVED)}
    options = {**moved, **(config.get("task_options") or {})}
    return {**config, "train": kept, "task": task, "task_options": options}


def _merge(base: DictConfig, layers: Sequence[Mapping[str, Any]]) -> DictConfig:
    for layer in layers:
        _check_keys(base, layer)
        try:
            base = OmegaConf.merge(base, OmegaConf.create(shielded(_with_lists(layer))))  # type: ignore[assignment]
        except OmegaConfBaseException as error:
            raise ConfigError(f"Setting {error.full_key!r}: {unshielded(str(error).splitlines()[0])}.") from error
    return base


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


def _check_keys(base: DictConfig, layer: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse unknown keys with the nearest known ones, which OmegaConf would not name."""
    if prefix.endswith("options."):  # What these hold is known where it is used.
        return
    known = [str(key) for key in base]
    for key, value in layer.items():
        if key not in known:
            elsewhere = [f"{name}.{key}" for name, section in _SECTIONS.items() if key in _names(section)]
            elsewhere += [key] if prefix and key in _names(RunConfig) else []
            elsewhere += [f"task_options.{key}"] if key in _MOVED else []
            names = elsewhere or [f"{prefix}{name}" for name in known]
            raise UnknownNameError("setting", f"{prefix}{key}", names)
        if isinstance(base[key], DictConfig):
            if not isinstance(value, Mapping):
                raise ConfigError(f"Setting '{prefix}{key}' is {value!r}, expected a section with settings of its own.")
            _check_keys(base[key], value, f"{prefix}{key}.")


def _parse(overrides: Sequence[str]) -> Dict[str, Any]:
    for item in overrides:
        if "=" not in item or item.startswith("="):
            raise ConfigError(f"{item!r} is not a setting. Write key=value, for example train.lr=0.01.")
    try:
        return unshielded(OmegaConf.to_container(OmegaConf.from_dotlist(shielded(overrides))))  # type: ignore[no-any-return]
    except Exception as error:  # As above; and OmegaConf reads values as YAML here.
        problem = unshielded(" ".join(str(error).split()))
        raise ConfigError(f"Cannot read the settings {' '.join(overrides)}: {problem}") from error
