"""Fan-outs: how many neighbours a hop takes of a node, or of each of its relations.

Rules: fan-outs are given for the seeds first. -1 takes all.
"""

from __future__ import annotations

import operator
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from gnnkit.data import Schema
from gnnkit.errors import ConfigError

Fanouts = Union[Sequence[int], Mapping[str, Sequence[int]]]
"""One number a hop; or such a list for each relation."""

OTHERS = "*"
"""Stands for all relations that are not named."""

_EXPECTED = "expected one integer per layer, the seeds' first, each from 0, or -1 for all neighbours"


def check_fanouts(fanouts: Sequence[int]) -> Tuple[int, ...]:
    """Check fan-outs: at least one, each an integer from 0, or -1 for all neighbours.

    Raises:
        ConfigError: They are anything else.
    """
    return _checked(fanouts, "")


def _checked(fanouts: Sequence[int], of: str) -> Tuple[int, ...]:
    try:
        checked = tuple(operator.index(fanout) for fanout in fanouts)
    except TypeError:
        raise ConfigError(f"Got fan-outs {fanouts!r}{of}; {_EXPECTED}, for example [15, 10].") from None
    if not checked or any(fanout < 0 and fanout != -1 for fanout in checked):
        raise ConfigError(f"Got fan-outs {list(checked)}{of}; {_EXPECTED}, for example [15, 10].")
    return checked


def relation_fanouts(fanouts: Mapping[str, Sequence[int]], schema: Optional[Schema]) -> List[NDArray[np.int64]]:
    """Fan-outs by relation.

    Args:
        fanouts: For each relation by its name one number a hop, 0 for none of it. ``"*"`` stands for all others.
        schema: The relations of the graph. None: it has none.

    Returns:
        For each hop the fan-out of every relation, in the schema's order. Each [R], int64.

    Raises:
        ConfigError: Not one number a hop for every relation, or a graph without relations.
        UnknownNameError: There is no such relation.

    Example:
        >>> from gnnkit.data import Relation
        >>> schema = Schema(("a", "b"), (Relation("a", "likes", "b"), Relation("b", "owns", "b")))
        >>> [hop.tolist() for hop in relation_fanouts({"likes": [5, 2], "*": [1, 0]}, schema)]
        [[5, 1], [2, 0]]
    """
    if schema is None:
        raise ConfigError(
            f"Got fan-outs by relation ({', '.join(fanouts)}), but the graph has no relations. Give one list, for "
            "example [15, 10]."
        )
    given: Dict[int, Tuple[int, ...]] = {}
    for name, values in fanouts.items():
        checked = _checked(values, f" for relation {name!r}")
        for relation in range(len(schema.relations)) if name == OTHERS else [schema.relation(name)]:
            if name != OTHERS or relation not in given:
                given[relation] = checked
    missing = [str(each) for i, each in enumerate(schema.relations) if i not in given]
    if missing:
        raise ConfigError(
            f"Got no fan-outs for relation {missing[0]!r}. Name every relation, or give those of all others under "
            f"{OTHERS!r}."
        )
    lengths = {len(values) for values in given.values()}
    if len(lengths) != 1:
        raise ConfigError(
            f"Got lists of {', '.join(map(str, sorted(lengths)))} fan-outs; expected one number per layer for each "
            "relation."
        )
    return [np.array([given[i][hop] for i in range(len(given))], dtype=np.int64) for hop in range(lengths.pop())]


def check_fanout_lists(fanouts: Any, name: str) -> None:
    """Refuse settings that are no fan-outs, before the graph is known.

    Args:
        fanouts: What was received.
        name: What messages call the setting.

    Raises:
        ConfigError: It is no list of numbers, nor such lists by relation, all of one length.
    """
    lists = list(fanouts.values()) if isinstance(fanouts, Mapping) else [fanouts]
    for values in lists:
        if not isinstance(values, (list, tuple)) or not all(type(each) is int for each in values):
            raise ConfigError(
                f"{name} is {fanouts!r}, expected a list of whole numbers, seeds first, such as [15, 10], or for a "
                "typed graph such lists by relation: {cites: [15, 10], '*': [5, 5]}."
            )
    if not lists or len(set(map(len, lists))) != 1:
        raise ConfigError(f"{name} is {fanouts!r}, expected one number per layer for each relation.")


def num_hops(fanouts: Fanouts) -> int:
    """How many hops fan-outs are for, once they are checked."""
    return len(next(iter(fanouts.values())) if isinstance(fanouts, Mapping) else fanouts)


def takes_all(fanouts: Fanouts) -> bool:
    """Whether all neighbours are taken."""
    lists = fanouts.values() if isinstance(fanouts, Mapping) else [fanouts]
    return all(fanout == -1 for values in lists for fanout in values)


def plain_fanouts(fanouts: Fanouts) -> Any:
    """Fan-outs as lists, for files and messages."""
    if isinstance(fanouts, Mapping):
        return {name: list(values) for name, values in fanouts.items()}
    return list(fanouts)
