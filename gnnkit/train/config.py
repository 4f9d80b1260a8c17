"""The configuration of a run, and how its layers are merged.

Rules: every setting has one place, one type and one default here; a key that is not here is refused with the nearest
ones. Later layers win: defaults, the model's preset, the file, flags, ``key=value``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Type, Union

from gnnkit.engine.heuristics import HEURISTICS, is_heuristic
from gnnkit.errors import ConfigError
from gnnkit.io.yaml_files import read_yaml, unshielded
from gnnkit.nn import (
    Kinds,
    model_kinds,
    preset_of,
)
from gnnkit.options import check_numbers, plain_value
from gnnkit.paths import PathLike, user_path
from gnnkit.tasks import DEFAULT_TASK, Task, task_class, task_options
from gnnkit.train.effects import settled_training
from gnnkit.train.heuristics import HEURISTIC_TASK, check_heuristic
from gnnkit.train.merging import import_classes, merged, parsed, plain_values, upgraded, without_options_of_others
from gnnkit.train.model_config import ModelConfig, joined_sections, settled_model
from gnnkit.train.settings import TrainConfig


@dataclass
class DatasetConfig:
    """Which data.

    Attributes:
        name: A data set, see ``gnnkit datasets``, or the path of a folder with your own data.
        data_dir: Where its files are looked for first.
        download: Whether missing files may be downloaded.
        options: Settings of the data set itself.
        parts: A folder of 'gnnkit data partition': training reads edges and features from servers of its parts. Other
            commands read the data set itself. None: training does, too.
        graph_store: The backend whose library serves the parts.
    """

    name: str = "digits"
    data_dir: Optional[str] = None
    download: bool = True
    options: Dict[str, Any] = field(default_factory=dict)
    parts: Optional[str] = None
    graph_store: Optional[str] = None

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
        track: Other programs that are told what happens: "wandb", "mlflow" or "tensorboard".
        name: What the run is called, in the name of its folder as well. None: by its data, model and backend.
        tags: Words to find the run by, see ``gnnkit runs``.
        notes: Anything that is worth remembering.
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
    track: List[str] = field(default_factory=list)
    name: Optional[str] = None
    tags: List[str] = field(default_factory=list)
    notes: Optional[str] = None

    @property
    def labels(self) -> Dict[str, Any]:
        """Name, tags and notes, as far as they are given; a run is the same with others."""
        given = {"name": self.name, "tags": self.tags, "notes": self.notes}
        return {key: value for key, value in given.items() if value}


_SECTIONS: Mapping[str, Type[Any]] = {"dataset": DatasetConfig, "model": ModelConfig, "train": TrainConfig}


def train_config(model: Kinds, settings: Mapping[str, Any], task: Union[str, Type[Task]] = DEFAULT_TASK) -> TrainConfig:
    """Training settings: defaults, then the presets of the model and of the task, then what was given.

    Args:
        model: Its convolutions.
        settings: Fields of :class:`TrainConfig`.
        task: What is learned.

    Raises:
        UnknownNameError: A setting or a task that does not exist.
        ConfigError: A value that cannot be used, or that has no effect.
    """
    preset = preset_of(model).train
    given = {name: plain_value(value) for name, value in settings.items()}
    learned = task_class(task)
    layered = merged(TrainConfig, [dict(preset), dict(learned.preset.get("train", {})), given])
    config = TrainConfig(**plain_values(layered))
    config.check()
    check_batches(config, learned)
    return settled_training(config, preset, given, level=learned.level)


def check_batches(config: TrainConfig, task: Type[Task]) -> None:
    """Refuse a training on the full graph of a task that learns from batches, and fan-outs of one about whole graphs.

    Raises:
        ConfigError: It is one.
    """
    if task.needs_batches and not config.is_sampled:
        raise ConfigError(
            f"The task {task.name!r} learns from sampled batches. Give train.batch_size or train.fanouts; fan-outs of "
            "-1 take all neighbours."
        )


def load_config(
    file: Union[PathLike, Mapping[str, Any], None] = None,
    flags: Optional[Mapping[str, Any]] = None,
    overrides: Sequence[str] = (),
    *,
    base: Optional[Mapping[str, Any]] = None,
) -> RunConfig:
    """Merge the layers of a run's configuration.

    Args:
        file: A YAML file with the structure of :class:`RunConfig`, or what one holds.
        flags: Nested values from command-line flags.
        overrides: Dotted settings such as ``"model.hidden_channels=32"``.
        base: Nested values below all these, such as the configuration of another run.

    Raises:
        UnknownNameError: A key that does not exist; the message has the nearest ones.
        ConfigError: The file cannot be read, or a value has the wrong type, or has no effect.

    Example:
        >>> load_config(overrides=["model.name=gat"]).model.conv_options["heads"]
        8
    """
    written = dict(file) if isinstance(file, Mapping) else read_yaml(user_path(file)) if file else {}
    layers = [upgraded(base or {}), upgraded(written), dict(flags or {}), parsed(overrides)]
    user = merged(RunConfig, layers)
    name = plain_values(user)["model"]["name"]
    if is_heuristic(name):
        check_heuristic(name, layers[1:])
        values = {**plain_values(user), "task": HEURISTIC_TASK}
        return RunConfig(**{**values, **{section: make(**values[section]) for section, make in _SECTIONS.items()}})
    kinds = model_kinds(name, others=HEURISTICS)
    layers[0] = without_options_of_others(layers[0], kinds, unshielded(user.task))
    defaults = preset_of(kinds)
    if not isinstance(kinds, str):
        layers.insert(0, {"model": {"num_layers": len(kinds)}})
    task = task_class(unshielded(user.task))
    presets = [
        {"model": dict(defaults.model), "train": dict(defaults.train)},
        {section: dict(task.preset.get(section, {})) for section in ("model", "train")},
    ]
    values = plain_values(merged(RunConfig, [*presets, *layers], kinds))
    import_classes(layers[-2:])  # A file, whoever names it, may be one that was recorded.
    config = RunConfig(**{**values, **{name: make(**values[name]) for name, make in _SECTIONS.items()}})
    check_numbers(asdict(config))
    config.train.check()
    check_batches(config.train, task)
    task_options(task, config.task_options)
    # Recorded configurations may hold what has no effect, and so may a preset beside what the user gave.
    told = layers[-3:]
    model = settled_model(
        asdict(config.model), defaults.model, joined_sections(layer.get("model", {}) for layer in told)
    )
    trained = {name for layer in told for name in layer.get("train", {})}
    train = settled_training(config.train, defaults.train, trained, owner="train.", level=task.level)
    return replace(config, model=ModelConfig(**model), train=train)
