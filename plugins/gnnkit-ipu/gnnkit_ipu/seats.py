"""Who holds IPUs: all programs side by side where there are enough, else one at a time.

Rules: weights go from one program to another over the host. A program that stays attached keeps its own meanwhile; one
that is attached again gets the host's, as PopTorch does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from gnnkit_ipu.poptorch import has_ipus

if TYPE_CHECKING:
    from gnnkit_ipu.program import Program


class Seats:
    """The programs of a device, and the IPUs that they hold.

    Args:
        poptorch: PopTorch or its emulator.

    Attributes:
        programs: All of them, attached or not.
        most: IPUs that may be held at a time. None: as many as there are.
        fetched: How often weights have come to the host so far. PopTorch writes them past torch, which counts changes
            of its own alone.
    """

    def __init__(self, poptorch: Any) -> None:
        self.programs: List[Program] = []
        self.most: Optional[int] = None
        self.fetched = 0
        self._poptorch = poptorch
        self._known: Dict[int, bool] = {}

    def take(self, program: Program) -> None:
        """Bring the newest weights to the host, and make room for a program that is not attached."""
        others = [other for other in self.programs if other is not program and other.is_attached]
        for other in others:
            other.fetch()
        if not program.is_attached and not self._have(sum(each.num_ipus for each in [program, *others])):
            for other in others:
                other.release()

    def _have(self, number: int) -> bool:
        if self.most is not None and number > self.most:
            return False
        if number not in self._known:
            self._known[number] = has_ipus(self._poptorch, number)
        return self._known[number]
