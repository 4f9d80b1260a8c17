"""Attributes of nodes, edges or graphs of networkx, each taken once: as an array, or named where it is none.

Rules: what a description says of an attribute applies where the values at hand still fit it; else values win.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

import numpy as np

from gnnkit.data.convert import restore
from gnnkit.data.labels import is_missing
from gnnkit.errors import DataError

_OWN = ("x", "y", "weight", "edge_attr")


class Records:
    """The attributes of all nodes or of all edges, each of which is taken once.

    Args:
        records: Attributes of each; their names become text, as all names of arrays are.
        what: What one of them is called.
        layouts: Dtype and shape of each array by name, as ``describe`` wrote them; empty for a foreign graph.

    Attributes:
        text: Attributes of text, which were left out.
        left_out: What is no array, with the reason.
        warnings: What is probably not meant.
    """

    def __init__(self, records: Sequence[Mapping[Any, Any]], what: str, layouts: Mapping[str, Any]) -> None:
        self.records = [{str(name): value for name, value in record.items()} for record in records]
        self.what = what
        self.layouts = layouts
        self.used: Set[str] = set()
        self.text: List[str] = []
        self.left_out: List[str] = []
        self.warnings: List[str] = []
        self.count = Counter(name for record in self.records for name in record)

    def cells(self, name: str) -> List[Any]:
        """An attribute of each, None where it is missing."""
        self.used.add(str(name))
        return [record.get(str(name)) for record in self.records]

    def take(self, name: str, field: str, *, default: Any = None, is_partial: bool = False) -> Any:
        """The values of an attribute as a tensor, if they are as described, else as a list; None if there are none.

        Args:
            name: Of the attribute.
            field: Which array its description is of.
            default: Stands where the attribute is missing.
            is_partial: Whether it may be missing on some.
        """
        cells = self.cells(name)
        if not self.count[str(name)] and (self.records or field not in self.layouts):
            if field in self.layouts:
                self.warnings.append(f"attribute {name!r} of every {self.what} is gone.")
            return None
        values = [default if cell is None else cell for cell in cells]
        if not is_partial:
            for row, value in enumerate(values):
                if value is None:
                    fix = f"Set it on every {self.what} or on none."
                    raise DataError(str(name), f"this {self.what} has no attribute {name!r}.", row=row, fix=fix)
        layout = self.layouts.get(field)
        if layout is None:
            return values
        made = None if None in values else restore(values, layout)
        if made is None:
            self.warnings.append(f"attribute {name!r} no longer holds {layout['dtype']} of shape {layout['shape']}.")
        return values if made is None else made

    def rest(self, names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Further attributes: those named, else every one of numbers on each node or edge; the others are noted."""
        if names is not None:
            return {str(name): self.take(name, str(name)) if self.records else [] for name in names}
        arrays: Dict[str, Any] = {}
        described = [name for name in self.layouts if name not in _OWN]
        for name in dict.fromkeys([*described, *self.count]):
            if name in self.used:
                continue
            if not self.records or (self.count[name] == len(self.records) and self._is_numeric(name)):
                arrays[name] = self.take(name, name)
            elif not self.count[name]:
                self.warnings.append(f"attribute {name!r} of every {self.what} is gone.")
            else:
                self.left_out.append(f"attribute {name!r} of {self.what}s ({self._reason(name)})")
        return arrays

    def _is_numeric(self, name: str) -> bool:
        try:
            return np.asarray([record[name] for record in self.records]).dtype.kind in "biuf"
        except ValueError:
            return False

    def _reason(self, name: str) -> str:
        if any(isinstance(record.get(name), str) for record in self.records):
            self.text.append(name)
            return "text"
        held = sum(not is_missing(record.get(name)) for record in self.records)
        return "no numbers" if held == len(self.records) else f"on {held:,} of {len(self.records):,}"
