"""Names and types of the Trainer's settings, which editors complete and type checkers check.

A test holds that they are those of :class:`gnnkit.train.TrainConfig`, which says what they mean.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, TypedDict


class TrainSettings(TypedDict, total=False):
    """Settings that ``Trainer(...)`` takes by name; see :class:`gnnkit.train.TrainConfig`.

    ``optimizer`` and ``schedule`` are not among them, because the Trainer also takes classes and functions for these.
    """

    epochs: Optional[int]
    optimizer_options: Dict[str, Any]
    lr: float
    weight_decay: float
    schedule_options: Dict[str, Any]
    warmup: int
    accumulate: int
    average: Optional[float]
    clip_norm: Optional[float]
    sparse_embeddings: Optional[bool]
    patience: Optional[int]
    precision: str
    batch_size: Optional[int]
    fanouts: Any
    clusters: Optional[int]
    clusters_per_batch: int
    partition: str
    replace: bool
    weighted: bool
    shuffle: bool
    drop_last: bool
    num_threads: Optional[int]
    prefetch: int
    fuse_first_layer: str
    keep_memory: bool
    packing: str
    overflow: str
    overflow_rate: float
    evaluation: str
    eval_fanouts: Any
    eval_batch_size: Optional[int]
    eval_memory: float
    eval_every: int
    save_every: Optional[int]
    save_every_batches: Optional[int]
    save_every_minutes: Optional[float]
    keep_last: int
    deterministic: bool
