"""The configuration of a run, and how its layers are merged.

Rules: every setting has one place, one type and one default here; a key that is not here is refused with the nearest
ones. Later layers win: defaults, the model's preset, the file, flags, ``key=value``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Type, Union

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.nn import PRESETS, ModelSpec, Preset
from gnnkit.options import whole_numbers
from gnnkit.paths import PathLike, user_path
from gnnkit.tasks import TASKS, NodeClassification
from gnnkit.train.files import read_yaml, shielded, unshielded


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
class TrainConfig:
    """How to train.

    Training is on the full graph unless ``fanouts`` or ``batch_size`` is given.

    Attributes:
        task: What to learn: "node_classification", or "unsupervised" for embeddings that are learned from the graph
            without labels. A task brings defaults for some settings.
        epochs: Passes over the training nodes. None: 200 on the full graph, 20 when sampled.
        lr: Learning rate of Adam.
        weight_decay: L2 penalty on all parameters.
        schedule: Learning rate over time: "constant", "cosine" (to 0 at the last epoch), or "plateau" (halved after
            10 epochs without a better validation metric).
        clip_norm: Largest norm of the gradients. None: no clipping.
        patience: Stop after this many epochs without a better validation metric. None: never.
        precision: "float32", "bfloat16" for matrix products in bfloat16, or "float64" for everything in float64, which
            tells rounding from mistakes.
        batch_size: Training nodes per batch. None: 1,024 when sampled.
        fanouts: Neighbours sampled per layer, seeds first; -1 takes all. None: 10 for every layer when sampled.
        replace: Whether neighbours are drawn with replacement.
        weighted: Whether neighbours are drawn in proportion to edge weights.
        shuffle: Whether training nodes are shuffled in every epoch.
        drop_last: Whether a last, smaller batch is left out.
        num_threads: Threads that prepare batches; 0 prepares them between steps. None: so many that they keep up with
            the steps of the first epoch.
        prefetch: Batches prepared ahead.
        fuse_first_layer: Whether the first layer's sum over neighbours is done while loading sampled batches: "auto"
            where the model begins with one ("sage" with mean, "gcn", "gin", without input dropout), "always" to
            insist, "never". Changes results by rounding only.
        walk_length: Steps of the random walks that pair nodes; for unsupervised learning.
        num_negatives: Nodes drawn at random that the pairs of a batch are told from; for unsupervised learning.
        negative_weight: Weight of these in the loss, the paper's Q; for unsupervised learning.
        keep_memory: Whether the process keeps freed memory for the next batch instead of giving it back to the system
            (glibc only). Steps are up to 1.6 times faster, resident memory is larger. It cannot be undone.
        overflow: On devices with fixed shapes, what to do with a batch that is too large for the planned sizes:
            "carry" splits it, so that what does not fit comes in a batch of its own; "error" stops.
        overflow_rate: On devices with fixed shapes, share of batches that may be too large, from 0 up to below 1.
            With 0, sizes are those of all batches of the training, up to 4,096 of them, so that none is too large.
        evaluation: "full" (one pass over the whole graph), "layerwise" (over all neighbours, layer by layer, in
            chunks), "sampled" (with ``eval_fanouts``), or "auto": "layerwise" after sampled training, but "full" after
            training on the full graph and on devices with fixed shapes, which compile every layer apart.
        eval_fanouts: Fan-outs of sampled evaluation. None: those of training.
        eval_batch_size: Nodes per batch of evaluation. None: 4,096, and for sampled evaluation those of training.
        eval_memory: Gigabytes (10^9 bytes) that the result of one layer may take in memory in layer-wise evaluation; a
            larger one lies in a temporary file, in the folder that the environment variable TMPDIR names.
        eval_every: Epochs from one evaluation to the next.
        save_every: Epochs from one saved state, from which a run can be resumed, to the next; the last is always saved.
            None: at the end of the first epoch, and of every other that ends a second or more after the last save.
        deterministic: Whether two runs on the same backend and device must give the same bits.
    """

    task: str = NodeClassification.name
    epochs: Optional[int] = None
    lr: float = 0.01
    weight_decay: float = 0.0
    schedule: str = "constant"
    clip_norm: Optional[float] = None
    patience: Optional[int] = None
    precision: str = "float32"
    batch_size: Optional[int] = None
    fanouts: Optional[List[int]] = None
    replace: bool = False
    weighted: bool = False
    shuffle: bool = True
    drop_last: bool = False
    num_threads: Optional[int] = None
    prefetch: int = 2
    fuse_first_layer: str = "auto"
    walk_length: int = 5
    num_negatives: int = 100
    negative_weight: float = 1.0
    keep_memory: bool = True
    overflow: str = "carry"
    overflow_rate: float = 0.0
    evaluation: str = "auto"
    eval_fanouts: Optional[List[int]] = None
    eval_batch_size: Optional[int] = None
    eval_memory: float = 2.0
    eval_every: int = 1
    save_every: Optional[int] = None
    deterministic: bool = False

    @property
    def is_sampled(self) -> bool:
        """Whether training is on sampled batches instead of the full graph."""
        return self.fanouts is not None or self.batch_size is not None

    @property
    def planned_epochs(self) -> range:
        """Epochs of a training with these resolved settings that have batches of their own: one on the full graph."""
        assert self.epochs is not None
        return range(1, self.epochs + 1 if self.is_sampled else 2)

    def resolved(self, num_layers: int, *, static_shapes: bool = False) -> TrainConfig:
        """Fill in what depends on other settings, and check everything.

        Args:
            num_layers: Number of the model's layers.
            static_shapes: Whether the device has fixed shapes. It then evaluates by one program unless told otherwise.

        Raises:
            ConfigError: A value cannot be used, or values contradict each other.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.epochs is None:
            values["epochs"] = 20 if self.is_sampled else 200
        if self.evaluation == "auto":
            values["evaluation"] = "layerwise" if self.is_sampled and not static_shapes else "full"
        if self.is_sampled:
            values["batch_size"] = 1024 if self.batch_size is None else self.batch_size
            values["fanouts"] = [10] * num_layers if self.fanouts is None else list(self.fanouts)
        if values["evaluation"] == "sampled" and self.eval_fanouts is None:
            values["eval_fanouts"] = values["fanouts"] or [-1] * num_layers
        if self.eval_batch_size is None:
            values["eval_batch_size"] = (values["batch_size"] or 1024) if values["evaluation"] == "sampled" else 4096
        config = TrainConfig(**values)
        config._check(num_layers)
        return config

    def _check(self, num_layers: int) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        if TASKS[self.task].needs_batches and not self.is_sampled:
            raise ConfigError(
                f"The task {self.task!r} learns from sampled batches. Give train.batch_size or train.fanouts; fan-outs "
                "of -1 take all neighbours."
            )
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ConfigError(f"{name} is {value}, expected at least {smallest}.")
        if self.lr <= 0:
            raise ConfigError(f"lr is {self.lr}, expected a positive number.")
        if not 0 <= self.overflow_rate < 1:
            raise ConfigError(f"overflow_rate is {self.overflow_rate}, expected a share from 0 up to below 1.")
        for name in _FANOUTS:
            fanouts = getattr(self, name)
            if fanouts is not None and len(fanouts) != num_layers:
                raise ConfigError(
                    f"{name} is {list(fanouts)}: {len(fanouts)} fan-outs for a model of {num_layers} layers. "
                    "Give one for each layer, seeds first."
                )


_CHOICES: Mapping[str, Sequence[str]] = {
    "schedule": ("constant", "cosine", "plateau"),
    "precision": ("float32", "bfloat16", "float64"),
    "fuse_first_layer": ("auto", "always", "never"),
    "overflow": ("carry", "error"),
    "evaluation": ("full", "layerwise", "sampled"),
}
_SMALLEST: Mapping[str, float] = {
    "epochs": 1,
    "weight_decay": 0,
    "clip_norm": 0,
    "patience": 1,
    "batch_size": 1,
    "num_threads": 0,
    "walk_length": 1,
    "num_negatives": 1,
    "negative_weight": 0,
    "prefetch": 1,
    "eval_batch_size": 1,
    "eval_memory": 0,
    "eval_every": 1,
    "save_every": 1,
}


@dataclass
class RunConfig:
    """Everything that ``gnnkit run`` can be told.

    Attributes:
        dataset: Which data.
        model: Which model.
        train: How to train.
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
    backend: str = "reference"
    backend_options: Dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    device_options: Dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    run_dir: Optional[str] = None
    init_from: Optional[str] = None
    tensorboard: bool = False


_SECTIONS: Mapping[str, Type[Any]] = {"dataset": DatasetConfig, "model": ModelConfig, "train": TrainConfig}
_FANOUTS = ("fanouts", "eval_fanouts")


def _names(section: Type[Any]) -> List[str]:
    return [item.name for item in fields(section)]


def train_config(model: str, settings: Mapping[str, Any]) -> TrainConfig:
    """Training settings: defaults, then the presets of the model and of the task, then what was given.

    Args:
        model: Name of a model.
        settings: Fields of :class:`TrainConfig`.

    Raises:
        UnknownNameError: A setting or a task that does not exist.
        ConfigError: A value of the wrong type.
    """
    preset = PRESETS[model].train if model in PRESETS else {}
    layers = [dict(preset), _task_preset(settings.get("task"), "train"), dict(settings)]
    merged = _merge(OmegaConf.structured(TrainConfig), layers)
    return TrainConfig(**_values(merged))


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
        ConfigError: The file cannot be read, or a value has the wrong type.

    Example:
        >>> load_config(overrides=["model.name=gat"]).model.heads
        8
    """
    layers = [dict(base or {}), read_yaml(user_path(file)) if file else {}, dict(flags or {}), _parse(overrides)]
    user = _merge(OmegaConf.structured(RunConfig), layers)
    name = unshielded(user.model.name)
    if name not in PRESETS and ":" not in name:
        raise UnknownNameError("model", name, PRESETS)
    defaults = PRESETS.get(name, Preset())
    presets = [
        {"model": dict(defaults.model), "train": dict(defaults.train)},
        {section: _task_preset(unshielded(user.train.task), section) for section in ("model", "train")},
    ]
    values = _values(_merge(OmegaConf.structured(RunConfig), [*presets, *layers]))
    return RunConfig(**{**values, **{name: make(**values[name]) for name, make in _SECTIONS.items()}})


def _values(merged: DictConfig) -> Dict[str, Any]:
    """Merged settings as plain values."""
    return unshielded(OmegaConf.to_container(merged))  # type: ignore[no-any-return]


def _task_preset(task: Optional[str], section: str) -> Dict[str, Any]:
    """What a task, if one is given, presets in a section."""
    if task is None:
        return {}
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    return dict(TASKS[task].preset.get(section, {}))


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
    if prefix in ("dataset.options.", "model.conv_options.", "backend_options.", "device_options."):
        return
    known = [str(key) for key in base]
    for key, value in layer.items():
        if key not in known:
            elsewhere = [f"{name}.{key}" for name, section in _SECTIONS.items() if key in _names(section)]
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
