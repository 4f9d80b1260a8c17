"""Which library multiplies float32 matrices fastest on this machine: measured once, and kept.

torch gives float32 products to MKL; oneDNN, which comes with torch, is more than twice as fast on some processors and a
sixth slower on others. Nothing but a measurement tells which.

Rules: the choice is kept in the cache for each processor, version of torch and number of threads, so runs on a machine
repeat their bits; runs record it, and go on with what they recorded. oneDNN is taken where it is clearly faster at
every size that was measured, else torch does what it does by itself. What the file says counts, whoever wrote it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch

from gnnkit.devices.base import Way
from gnnkit.devices.eager import torch_products
from gnnkit.devices.processor import processor_name
from gnnkit.devices.products import has_onednn, onednn_products
from gnnkit.errors import ConfigError, FileError, GnnkitError
from gnnkit.io.files import write_text
from gnnkit.io.text import read_json
from gnnkit.paths import cache_root
from gnnkit.stages import stage
from gnnkit.strict_json import to_json

_LOG = logging.getLogger(__name__)

TORCH, ONEDNN = "torch", "onednn"
FILE = "products.json"
"""Name of the file in the cache."""
_SIZES = ((8000, 256, 256), (8000, 128, 128), (4000, 512, 128))
"""Rows, inputs and outputs of the linear layers that are measured: those of batches on which products take the time."""
_ROUNDS = 4
_LONGEST = 0.6
"""Seconds after which no further round begins."""
_CLEARLY = 1.1
"""How many times faster oneDNN must be at every size."""


@dataclass(frozen=True)
class ProductChoice:
    """Who multiplies.

    Attributes:
        library: "torch" or "onednn".
        speedups: How many times faster oneDNN is than torch, by size "rows x inputs x outputs": a layer's product and
            its two gradients. Empty where there was nothing to choose.
        measured: The day of the measurement.
        file: Where the choice is kept; None if it is not.
    """

    library: str
    speedups: Mapping[str, float]
    measured: str = ""
    file: Optional[Path] = None

    @property
    def is_measured(self) -> bool:
        """Whether it is what its measurement speaks for; somebody may have written another one into the file."""
        return self.library == (best_library(self.speedups) if self.speedups else TORCH)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        file = None if self.file is None else str(self.file)
        return {**asdict(self), "file": file, "is_measured": self.is_measured}

    def __str__(self) -> str:
        """In words."""
        if not self.speedups:
            return f"{self.library}, as this torch has no other way"
        low, high = min(self.speedups.values()), max(self.speedups.values())
        found = f"oneDNN was {low:.2f} to {high:.2f} times as fast as torch on {self.measured}"
        return f"{self.library}, because {found if self.is_measured else f'the file says so, although {found}'}"


def product_choice() -> ProductChoice:
    """The choice for this processor, torch and number of threads; it is measured if nobody has yet.

    Example:
        >>> product_choice().library in ("torch", "onednn")
        True
    """
    if not has_onednn():
        return ProductChoice(TORCH, {})
    try:
        file: Optional[Path] = cache_root() / FILE
    except ConfigError:  # A cache that cannot be named is refused where data sets are kept in it.
        file = None
    return _choice(file, f"{processor_name()}, torch {torch.__version__}, {torch.get_num_threads()} threads")


def best_library(speedups: Mapping[str, float]) -> str:
    """What a measurement speaks for."""
    return ONEDNN if min(speedups.values()) >= _CLEARLY else TORCH


@lru_cache(maxsize=None)
def _choice(file: Optional[Path], machine: str) -> ProductChoice:
    kept = {} if file is None else _read(file)
    if machine in kept:
        return kept[machine]
    with stage("measuring who multiplies fastest"):
        speedups = measure_products()
    choice = ProductChoice(best_library(speedups), speedups, date.today().isoformat(), file)
    if file is not None:
        values = {
            name: {"library": each.library, "speedups": each.speedups, "measured": each.measured}
            for name, each in {**kept, machine: choice}.items()
        }
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, to_json(values, indent=1) + "\n")
        except (OSError, FileError) as error:  # The next process measures again.
            _LOG.debug("The choice of products is not kept: %s", error)
            return ProductChoice(choice.library, speedups, choice.measured)
    return choice


def _read(file: Path) -> Dict[str, ProductChoice]:
    """The choices in a file; those that cannot be used are left out."""
    try:
        values = read_json(file) if file.is_file() else {}
        return {machine: _checked(value, file) for machine, value in values.items()}
    except (GnnkitError, AttributeError, KeyError, TypeError, ValueError, OSError):
        _LOG.warning("%s holds no choice of products that can be used. It is measured again.", file)
        return {}


def _checked(value: Any, file: Path) -> ProductChoice:
    if value["library"] not in (TORCH, ONEDNN):
        raise ValueError(value["library"])
    speedups = {str(size): float(speedup) for size, speedup in value["speedups"].items()}
    if not speedups or not min(speedups.values()) > 0:
        raise ValueError(speedups)
    return ProductChoice(value["library"], speedups, str(value["measured"]), file)


def measure_products() -> Dict[str, float]:
    """How many times faster oneDNN is than torch at sizes that matter, in about half a second.

    The libraries take turns, and the fastest round of each counts: what disturbs a round only ever makes it slower.

    Returns:
        By size, "rows x inputs x outputs".
    """
    generator = torch.Generator().manual_seed(0)
    began = time.perf_counter()
    speedups = {}
    with torch.no_grad():
        for rows, inputs, outputs in _SIZES:
            shapes = ((rows, inputs), (outputs, inputs), (rows, outputs))
            x, weight, grad = (torch.randn(shape, generator=generator) for shape in shapes)
            seconds: Dict[str, List[float]] = {library: [] for library in _WAYS}
            for number in range(_ROUNDS):
                if number > 1 and time.perf_counter() - began > _LONGEST:
                    break
                for library, products in _WAYS.items():
                    start = time.perf_counter()
                    products(x, weight, grad, True)
                    seconds[library].append(time.perf_counter() - start)
            # The first round compiles and warms up.
            speedup = min(seconds[TORCH][1:]) / min(seconds[ONEDNN][1:])
            speedups[f"{rows} x {inputs} x {outputs}"] = round(speedup, 3)
    return speedups


_WAYS: Mapping[str, Way] = {TORCH: torch_products, ONEDNN: onednn_products}
