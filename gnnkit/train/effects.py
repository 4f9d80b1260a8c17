"""When a setting of the training has an effect, so that one without is refused instead of taken.

Rules: what is not in the table always has one. ``overflow`` and ``overflow_rate`` ask for devices with fixed shapes and
are taken on others too, because one configuration serves several devices; ``save_every`` asks for a run folder, which
is chosen elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Callable, Collection, Dict, Mapping, Optional, Tuple

from gnnkit.options import settle_idle
from gnnkit.sampling import Fanouts, takes_all
from gnnkit.train.settings import EVAL_BATCH_SIZE, TrainConfig


def _is_sampled(config: TrainConfig) -> bool:
    return config.is_sampled


def _is_in_batches(config: TrainConfig) -> bool:
    return config.is_sampled or config.is_clustered


def _evaluates_samples(config: TrainConfig) -> bool:
    return config.evaluation == "sampled"


def _evaluates_batches(config: TrainConfig) -> bool:
    return config.evaluation in ("layerwise", "sampled") or (config.evaluation == "auto" and _is_in_batches(config))


def _draws(config: TrainConfig) -> bool:
    """Whether neighbours are drawn anywhere, instead of all taken."""
    training = config.is_sampled and _has_limit(config.fanouts, default=True)
    return training or (_evaluates_samples(config) and _has_limit(config.eval_fanouts, default=training))


def _has_limit(fanouts: Optional[Fanouts], default: bool) -> bool:
    return default if fanouts is None else not takes_all(fanouts)


_SAMPLED = "sampled training (train.batch_size or train.fanouts)"
_IN_BATCHES = "training in batches (train.batch_size, train.fanouts or train.clusters)"
_DRAWN = "fan-outs other than -1"
_IN_PARTS = "training on parts of the graph (train.clusters)"
_BATCHES = "evaluation 'layerwise' or 'sampled'"
EFFECTS: Mapping[str, Tuple[str, Callable[[TrainConfig], bool]]] = {
    "replace": (_DRAWN, _draws),
    "weighted": (_DRAWN, _draws),
    "shuffle": (_IN_BATCHES, _is_in_batches),
    "drop_last": (_SAMPLED, _is_sampled),
    "accumulate": (_IN_BATCHES, _is_in_batches),
    "clusters_per_batch": (_IN_PARTS, lambda config: config.is_clustered),
    "partition": (_IN_PARTS, lambda config: config.is_clustered),
    # 0 is what is true of a whole graph.
    "num_threads": (_IN_BATCHES, lambda config: _is_in_batches(config) or config.num_threads == 0),
    "prefetch": (f"{_IN_BATCHES}, with threads", lambda config: _is_in_batches(config) and config.num_threads != 0),
    "fuse_first_layer": (
        "sampled training or evaluation",
        lambda config: config.is_sampled or _evaluates_samples(config),
    ),
    "packing": ("tasks about graphs", lambda config: False),
    "overflow": (_SAMPLED, _is_sampled),
    "overflow_rate": (_SAMPLED, _is_sampled),
    "eval_fanouts": ("evaluation 'sampled'", _evaluates_samples),
    "eval_batch_size": (_BATCHES, _evaluates_batches),
    "eval_memory": (_BATCHES, _evaluates_batches),
}
"""For each setting that depends on others: what it is for, and whether a training is of that kind."""


_OF_GRAPHS = frozenset({"batch_size", "shuffle", "drop_last", "accumulate", "num_threads", "prefetch", "packing"})
"""Settings that concern batches and have an effect on batches of whole graphs."""


def idle_train_settings(config: TrainConfig, level: str = "nodes") -> Dict[str, str]:
    """The settings that have no effect on a training, with what they are for.

    Args:
        config: The training.
        level: What the task is about: "nodes", "edges" or "graphs".

    Example:
        >>> ["prefetch" in idle_train_settings(TrainConfig(batch_size=size)) for size in (None, 8)]
        [True, False]
    """
    if level == "graphs":
        names = {*EFFECTS, "fanouts", "clusters"} - _OF_GRAPHS - {"eval_batch_size"}
        # "full" is what is true of whole graphs, and what recorded configurations have.
        names |= set() if config.evaluation == "full" else {"evaluation"}
        return dict.fromkeys(names, "tasks about nodes or edges")
    return {name: purpose for name, (purpose, has_effect) in EFFECTS.items() if not has_effect(config)}


def settled_training(
    config: TrainConfig,
    preset: Mapping[str, Any],
    given: Collection[str],
    owner: str = "",
    level: str = "nodes",
) -> TrainConfig:
    """A training with its defaults in place of settings without effect.

    Args:
        config: Not resolved yet.
        preset: Defaults of the model.
        given: Names of the settings that the user gave.
        owner: What messages put before a name.
        level: What the task is about.

    Raises:
        ConfigError: The user gave one without effect.
    """
    values, idle = asdict(config), idle_train_settings(config, level)
    if "eval_batch_size" in idle and config.eval_batch_size == EVAL_BATCH_SIZE:
        values["eval_batch_size"] = None  # Recorded configurations are resolved ones.
    defaults = {**asdict(TrainConfig()), **preset}
    return TrainConfig(**settle_idle(values, defaults, idle, given, owner))
