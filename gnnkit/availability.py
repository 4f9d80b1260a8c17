"""What a plugin says when it is asked whether it can work here, and what it declares not to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

READY = "ready"
NOT_INSTALLED = "not installed"
BROKEN = "broken"
NO_HARDWARE = "no hardware"
AMBIGUOUS = "ambiguous"
NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Availability:
    """The answer of a plugin's ``probe``.

    Attributes:
        status: "ready", "not installed", "broken" or "no hardware". gnnkit itself says "ambiguous" of a plugin
            that shares its name with another, and "not asked" of one that need not be probed.
        detail: When ready, versions and anything worth knowing; else what is wrong.
        fix: What to do about it. Empty when ready.
    """

    status: str
    detail: str = ""
    fix: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether the plugin can be used."""
        return self.status == READY


Combination = Mapping[str, str]
"""Values by what they are for; see ``COMBINED``."""

COMBINED = ("backend", "device", "conv", "aggregation", "precision", "task")
"""What a combination may name: names of plugins, a convolution, how "sage" aggregates, a precision, a task."""


def first_excluded(excluded: Sequence[Combination], wanted: Combination) -> Optional[Combination]:
    """The first excluded combination that what is wanted falls under; None if it falls under none.

    Args:
        excluded: Combinations that a plugin does not do. One holds for all values of what it does not name.
        wanted: What a run needs.

    Example:
        >>> wanted = {"conv": "gat", "precision": "bfloat16", "device": "cpu"}
        >>> first_excluded([{"conv": "gcn"}, {"conv": "gat", "precision": "bfloat16"}], wanted)
        {'conv': 'gat', 'precision': 'bfloat16'}
    """
    for combination in excluded:
        if all(wanted.get(key) == value for key, value in combination.items()):
            return combination
    return None
