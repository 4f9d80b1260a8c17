"""The settings of a training: every setting has one place, one type and one default here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Dict, Mapping, Optional, Sequence

from gnnkit.errors import ConfigError
from gnnkit.options import check_numbers
from gnnkit.sampling import check_fanout_lists, num_hops, plain_fanouts


@dataclass
class TrainConfig:
    """How to train.

    Training is on the full graph unless ``fanouts``, ``batch_size`` or ``clusters`` is given.

    Attributes:
        epochs: Passes over the training items. None: 200 on the full graph, 20 when sampled, 100 over whole graphs.
        optimizer: "adam", "adamw", "sgd", "rmsprop", or ``module:Class`` of an optimiser of torch or of your own.
        optimizer_options: Its other arguments, such as ``{"momentum": 0.9}``.
        lr: Learning rate.
        weight_decay: As the optimiser has it: L2 penalty on all parameters, in "adamw" apart from the gradient.
        schedule: Learning rate over epochs: "constant", "cosine" (to 0 at the last epoch), "plateau" (halved at the
            first evaluation that is more than 10 epochs after the best one or after the last halving), "step" (a tenth
            after each third of the epochs), "onecycle" (up and down again, Smith and Topin 2019), or ``module:Class``
            of a scheduler of torch or of your own.
        schedule_options: Arguments of the scheduler: those of torch's ReduceLROnPlateau, StepLR and OneCycleLR.
        warmup: Epochs over which the learning rate rises evenly to that of the schedule.
        accumulate: Batches whose gradients are joined to one update, weighted by their targets. The last update of an
            epoch takes what is left.
        average: Decay of a moving average of the weights, such as 0.99. The averages are what is evaluated and kept.
            None: no average.
        clip_norm: Largest norm of the gradients. None: no clipping.
        sparse_embeddings: Whether learnt embeddings of nodes get sparse gradients, so that an update costs what the
            batch's nodes cost and not what all nodes would: "adam" leaves the embeddings of other nodes as they are
            (torch's SparseAdam), "sgd" gives the same numbers. None: where a table has 2^24 values or more, training is
            sampled, and device and settings allow it.
        patience: Stop at the first evaluation that is this many epochs or more after the best one. None: never.
        precision: "float32", "bfloat16" for matrix products in bfloat16, or "float64" for everything in float64, which
            tells rounding from mistakes.
        batch_size: Training nodes per batch, or pairs, or graphs. None: 1,024 when sampled, 32 graphs.
        fanouts: Neighbours sampled per layer, seeds first; -1 takes all. None: 10 for every layer when sampled.
            On a typed graph also such a list for each relation, ``{cites: [10, 5], "*": [5, 5]}``.
        clusters: Parts that the graph is cut into (Cluster-GCN, Chiang et al., 2019): batches are some of these, with
            all edges inside. None: no such batches.
        clusters_per_batch: Parts in a batch.
        partition: How the graph is cut into parts: "grown", gnnkit's own way, which gives the same parts everywhere
            (:func:`gnnkit.loading.grown_parts`), or "metis" (Karypis and Kumar, 1998), which needs DGL.
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
        keep_memory: Whether the process keeps freed memory for the next batch instead of giving it back to the system,
            in large pages if possible (Linux with glibc only). Steps are up to 1.6 times faster, resident memory is
            larger. It cannot be undone.
        packing: For tasks about graphs, whether batches are bins of about the same number of nodes: "auto" on devices
            with fixed shapes, "always", or "never". See :func:`gnnkit.loading.propose_bins`.
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
        save_every_batches: Batches from one saved state to the next, besides. None: at the end of epochs alone.
        save_every_minutes: Minutes from one saved state to the next, besides. None: at the end of epochs alone.
        keep_last: How many of the last saved states are kept. Where the newest is damaged, an older one is taken.
        deterministic: Whether two runs on the same backend and device must give the same bits.
    """

    epochs: Optional[int] = None
    optimizer: str = "adam"
    optimizer_options: Dict[str, Any] = field(default_factory=dict)
    lr: float = 0.01
    weight_decay: float = 0.0
    schedule: str = "constant"
    schedule_options: Dict[str, Any] = field(default_factory=dict)
    warmup: int = 0
    accumulate: int = 1
    average: Optional[float] = None
    clip_norm: Optional[float] = None
    sparse_embeddings: Optional[bool] = None
    patience: Optional[int] = None
    precision: str = "float32"
    batch_size: Optional[int] = None
    fanouts: Any = None
    clusters: Optional[int] = None
    clusters_per_batch: int = 1
    partition: str = "grown"
    replace: bool = False
    weighted: bool = False
    shuffle: bool = True
    drop_last: bool = False
    num_threads: Optional[int] = None
    prefetch: int = 2
    fuse_first_layer: str = "auto"
    keep_memory: bool = True
    packing: str = "auto"
    overflow: str = "carry"
    overflow_rate: float = 0.0
    evaluation: str = "auto"
    eval_fanouts: Any = None
    eval_batch_size: Optional[int] = None
    eval_memory: float = 2.0
    eval_every: int = 1
    save_every: Optional[int] = None
    save_every_batches: Optional[int] = None
    save_every_minutes: Optional[float] = None
    keep_last: int = 1
    deterministic: bool = False

    @property
    def is_sampled(self) -> bool:
        """Whether training is on sampled batches instead of the full graph."""
        return self.fanouts is not None or self.batch_size is not None

    @property
    def is_clustered(self) -> bool:
        """Whether training is on parts of the graph."""
        return self.clusters is not None

    @property
    def planned_epochs(self) -> range:
        """Epochs of a training with these resolved settings that have batches of their own: one on the full graph."""
        assert self.epochs is not None
        return range(1, self.epochs + 1 if self.is_sampled or self.is_clustered else 2)

    def resolved(self, num_layers: int, *, static_shapes: bool = False, level: str = "nodes") -> TrainConfig:
        """Fill in what depends on other settings, and check everything.

        Args:
            num_layers: Number of the model's layers.
            static_shapes: Whether the device has fixed shapes. It then evaluates by one program unless told otherwise.
            level: What the task is about: "nodes", "edges" or "graphs".

        Raises:
            ConfigError: A value cannot be used, or values contradict each other.
        """
        if level == "graphs":
            return self._resolved_for_graphs(static_shapes)
        if self.is_clustered and self.is_sampled:
            raise ConfigError(
                "clusters excludes fanouts and batch_size: batches are parts of the graph. Give one of them."
            )
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        in_batches = self.is_sampled or self.is_clustered
        if self.epochs is None:
            values["epochs"] = 20 if in_batches else 200
        if self.evaluation == "auto":
            values["evaluation"] = "layerwise" if in_batches and not static_shapes else "full"
        if self.is_sampled:
            values["batch_size"] = 1024 if self.batch_size is None else self.batch_size
            values["fanouts"] = [10] * num_layers if self.fanouts is None else plain_fanouts(self.fanouts)
        if values["evaluation"] == "sampled" and self.eval_fanouts is None:
            values["eval_fanouts"] = values["fanouts"] or [-1] * num_layers
        if self.eval_batch_size is None:
            values["eval_batch_size"] = (
                (values["batch_size"] or 1024) if values["evaluation"] == "sampled" else EVAL_BATCH_SIZE
            )
        config = TrainConfig(**values)
        config.check()
        for name in ("fanouts", "eval_fanouts"):
            fanouts = getattr(config, name)
            if fanouts is not None and num_hops(fanouts) != num_layers:
                raise ConfigError(
                    f"{name} is {plain_fanouts(fanouts)}: {num_hops(fanouts)} fan-outs for a model of {num_layers} "
                    "layers. Give one for each layer, seeds first."
                )
        return config

    def _resolved_for_graphs(self, static_shapes: bool) -> TrainConfig:
        """Batches are of whole graphs, in training and evaluation."""
        batch_size = GRAPH_BATCH_SIZE if self.batch_size is None else self.batch_size
        config = replace(
            self,
            epochs=100 if self.epochs is None else self.epochs,
            batch_size=batch_size,
            eval_batch_size=batch_size if self.eval_batch_size is None else self.eval_batch_size,
            packing=("always" if static_shapes else "never") if self.packing == "auto" else self.packing,
            evaluation="full",
        )
        config.check()
        return config

    def check(self) -> None:
        """Check everything that needs no model and no device.

        Raises:
            ConfigError: A value cannot be used, or values contradict each other.
        """
        check_numbers(vars(self), "train.")
        for name in ("fanouts", "eval_fanouts"):
            if getattr(self, name) is not None:
                check_fanout_lists(getattr(self, name), name)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name, known in _OR_CLASS.items():
            value = getattr(self, name)
            if value not in known and ":" not in value:
                raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(known)}, or module:Class.")
        if self.average is not None and not 0 <= self.average < 1:
            raise ConfigError(f"average is {self.average}, expected a decay from 0 up to below 1; null keeps none.")
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ConfigError(f"{name} is {value}, expected at least {smallest}.")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}, expected a positive number{_POSITIVE[name]}.")
        if not 0 <= self.overflow_rate < 1:
            raise ConfigError(f"overflow_rate is {self.overflow_rate}, expected a share from 0 up to below 1.")


OPTIMIZER_NAMES = ("adam", "adamw", "sgd", "rmsprop")
"""Optimisers that need no module."""
SCHEDULES = ("constant", "cosine", "plateau", "step", "onecycle")
"""Schedules that need no module."""
_OR_CLASS: Mapping[str, Sequence[str]] = {"optimizer": OPTIMIZER_NAMES, "schedule": SCHEDULES}
_CHOICES: Mapping[str, Sequence[str]] = {
    "precision": ("float32", "bfloat16", "float64"),
    "fuse_first_layer": ("auto", "always", "never"),
    "partition": ("grown", "metis"),
    "packing": ("auto", "always", "never"),
    "overflow": ("carry", "error"),
    "evaluation": ("auto", "full", "layerwise", "sampled"),
}
_POSITIVE: Mapping[str, str] = {
    "lr": "",
    "clip_norm": "; null turns clipping off",
    "save_every_minutes": "",
}
_SMALLEST: Mapping[str, float] = {
    "epochs": 1,
    "weight_decay": 0,
    "warmup": 0,
    "accumulate": 1,
    "patience": 1,
    "batch_size": 1,
    "clusters": 1,
    "clusters_per_batch": 1,
    "num_threads": 0,
    "prefetch": 1,
    "eval_batch_size": 1,
    "eval_memory": 0,
    "eval_every": 1,
    "save_every": 1,
    "save_every_batches": 1,
    "keep_last": 1,
}
GRAPH_BATCH_SIZE = 32
"""Graphs per batch, unless told otherwise."""
EVAL_BATCH_SIZE = 4096
"""Nodes per batch of layer-wise evaluation, unless told otherwise."""
