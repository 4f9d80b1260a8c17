"""What a plugin says when it is asked whether it can work here."""

from __future__ import annotations

from dataclasses import dataclass

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
