"""Settings of an evaluation: those of the run, with what is asked for in their place."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping, Optional

from gnnkit.errors import ConfigError
from gnnkit.sampling import Fanouts, check_fanout_lists, check_fanouts, num_hops, plain_fanouts
from gnnkit.train.settings import TrainConfig

METHODS = ("layerwise", "full", "sampled")
"""Ways to compute outputs: layer by layer over all neighbours in bounded memory; in one pass; with fan-outs."""


def evaluation_settings(
    recorded: TrainConfig,
    num_layers: int,
    *,
    method: str,
    fanouts: Optional[Fanouts],
    batch_size: Optional[int],
    static_shapes: bool,
) -> TrainConfig:
    """The settings of a run for an evaluation.

    Args:
        recorded: Settings of the training.
        num_layers: Number of the model's layers.
        method: One of ``METHODS``.
        fanouts: Neighbours per layer for "sampled", seeds first. None: those of the run.
        batch_size: Nodes per batch. None: the run's, where it was evaluated in the same way.
        static_shapes: Whether the device has fixed shapes.

    Raises:
        ConfigError: No such method, or fan-outs or a batch size that do not fit.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}, expected one of {', '.join(METHODS)}.")
    taken = _fanouts(recorded, num_layers, method, fanouts)
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"The batch size is {batch_size}, expected at least 1.")
    if batch_size is None and method == recorded.evaluation:
        batch_size = recorded.eval_batch_size
    config = replace(recorded, evaluation=method, eval_fanouts=taken, eval_batch_size=batch_size)
    return config.resolved(num_layers, static_shapes=static_shapes)


def _fanouts(recorded: TrainConfig, num_layers: int, method: str, given: Optional[Fanouts]) -> Optional[Fanouts]:
    """The fan-outs asked for, or the run's; None for methods that sample nothing."""
    if method != "sampled":
        if given is not None:
            raise ConfigError(f"Fan-outs are for method 'sampled', not for {method!r}. Leave one of them out.")
        return None
    fanouts = (recorded.eval_fanouts or recorded.fanouts) if given is None else given
    if fanouts is None:
        raise ConfigError("The run sampled no neighbours, so it has no fan-outs. Give them, seeds first.")
    check_fanout_lists(plain_fanouts(fanouts), "fanouts")
    if not isinstance(fanouts, Mapping):
        check_fanouts(fanouts)
    if num_hops(fanouts) != num_layers:
        raise ConfigError(
            f"Received {num_hops(fanouts)} fan-outs for a model of {num_layers} layers. Give one for each, seeds first."
        )
    taken: Fanouts = plain_fanouts(fanouts)
    return taken
