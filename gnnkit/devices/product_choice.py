"""Which library multiplies float32 matrices fastest on this machine: measured once, and kept.

torch gives float32 products to MKL; oneDNN, which comes with torch, is more than twice as fast on some processors and a
sixth slower on others, where it may still be faster at layers of wide features. Nothing but a measurement tells which.

Rules: the choice is kept in the cache for each processor, version of torch and number of threads, so runs on a machine
repeat their bits; runs record it, and go on with what they recorded. oneDNN is taken where it is clearly faster at
every size that was measured, or for wide layers only where it is faster at these; else torch does what it does by
itself. What the file says counts, whoever wrote it.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from gnnkit.devices.eager import torch_products
from gnnkit.devices.processor import processor_name
from gnnkit.devices.products import has_onednn, has_packing, onednn_products
from gnnkit.errors import ConfigError, FileError, GnnkitError
from gnnkit.io.files import write_text
from gnnkit.io.text import read_json
from gnnkit.nn.packed import packed_affine
from gnnkit.nn.tall import affine
from gnnkit.paths import cache_root
from gnnkit.stages import stage
from gnnkit.strict_json import to_json

_LOG = logging.getLogger(__name__)

TORCH, ONEDNN, MIXED = "torch", "onednn", "mixed"
"""Who multiplies. "mixed" is torch, but oneDNN for layers of wide features (:mod:`gnnkit.nn.packed`)."""
FILE = "products.json"
"""Name of the file in the cache."""
_SIZES = ((8000, 256, 256), (8000, 128, 128), (4000, 512, 128))
"""Rows, inputs and outputs of the linear layers that are measured: those of batches on which products take the time."""
_WIDE_SIZE = (10_000, 512, 128)
"""The same of a layer of two products with wide inputs, forward only."""
_ROUNDS = 3
_LONGEST = 0.6
"""Seconds after which no further round begins."""
_OWN = 0.85
"""Which part of its threads' time this process must have had in a round; else other programs had the rest."""
_CLEARLY = 1.1
"""How many times faster oneDNN must be at every size."""
_CLEARLY_WIDE = 1.05
"""The same of wide layers, where nothing is lost besides."""


@dataclass(frozen=True)
class ProductChoice:
    """Who multiplies.

    Attributes:
        library: "torch", "onednn" or "mixed".
        speedups: How many times faster oneDNN is than torch, by size "rows x inputs x outputs": a layer's product and
            its two gradients, or only the products if the name ends with ", wide". Empty where there was nothing to
            choose.
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
        whole, wide = _whole_and_wide(self.speedups)
        found = f"oneDNN was {min(whole):.2f} to {max(whole):.2f} times as fast as torch"
        found += f"{f', and {wide:.2f} times for wide layers,' if wide else ''} on {self.measured}"
        return f"{self.library}, because {found if self.is_measured else f'the file says so, although {found}'}"


def product_choice() -> ProductChoice:
    """The choice for this processor, torch and number of threads; it is measured if nobody has yet.

    Example:
        >>> product_choice().library in ("torch", "onednn", "mixed")
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
    whole, wide = _whole_and_wide(speedups)
    if min(whole) >= _CLEARLY:
        return ONEDNN
    return MIXED if wide >= _CLEARLY_WIDE else TORCH


def _whole_and_wide(speedups: Mapping[str, float]) -> Tuple[List[float], float]:
    """What was measured of whole layers, and of wide ones; 0 where there is no such way."""
    wide = _name(_WIDE_SIZE, "wide")
    return [speedup for name, speedup in speedups.items() if name != wide], speedups.get(wide, 0.0)


def _name(size: Tuple[int, int, int], *more: str) -> str:
    return ", ".join([" x ".join(map(str, size)), *more])


@lru_cache(maxsize=None)
def _choice(file: Optional[Path], machine: str) -> ProductChoice:
    kept = {} if file is None else _read(file)
    if machine in kept and set(kept[machine].speedups) == set(_sizes()):
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
    if value["library"] not in (TORCH, ONEDNN, MIXED):
        raise ValueError(value["library"])
    speedups = {str(size): float(speedup) for size, speedup in value["speedups"].items()}
    if not speedups or not min(speedups.values()) > 0:
        raise ValueError(speedups)
    return ProductChoice(value["library"], speedups, str(value["measured"]), file)


def measure_products() -> Dict[str, float]:
    """How many times faster oneDNN is than torch at sizes that matter, in about half a second.

    Threads that share a product wait for each other, ten times as long as it takes where other programs have some of
    the cores. Then one thread is measured instead, by the time in which it really computed.

    Returns:
        By size, "rows x inputs x outputs", and ", wide" after it for the products of a layer with wide inputs.
    """
    speedups = _measured(time.perf_counter, is_alone)
    if speedups is None:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as executor:
            speedups = executor.submit(_measured, time.thread_time, lambda _elapsed, _own: True).result()
        # A thread's own number is also that of threads to come, until another thread says its own.
        torch.set_num_threads(torch.get_num_threads())
    assert speedups is not None, "every round counts"
    return speedups


def is_alone(elapsed: float, own: float) -> bool:
    """Whether other programs left the cores to the threads of this process.

    Args:
        elapsed: Seconds that went by.
        own: Seconds that this process computed, of all threads together.

    Example:
        >>> is_alone(2.0, own=2.0 * torch.get_num_threads()), is_alone(2.0, own=0.0)
        (True, False)
    """
    return own >= _OWN * elapsed * torch.get_num_threads()


def _measured(clock: Callable[[], float], counts: Callable[[float, float], bool]) -> Optional[Dict[str, float]]:
    """Measure all sizes by a clock; None if there is one of which no round counts."""
    generator = torch.Generator().manual_seed(0)
    until = time.perf_counter() + _LONGEST
    speedups = {}
    with torch.no_grad():
        for name, (rows, inputs, outputs) in _sizes().items():
            shapes = ((rows, inputs), (outputs, inputs), (rows, outputs))
            x, weight, grad = (torch.randn(shape, generator=generator) for shape in shapes)
            ways: List[Callable[[], object]]
            if name == _name(_WIDE_SIZE, "wide"):
                terms = [(x, weight.t())] * 2
                ways = [partial(affine, terms, None), partial(packed_affine, terms, None, None)]
            else:
                ways = [partial(way, x, weight, grad, True) for way in (torch_products, onednn_products)]
            rounds = _rounds(ways, clock, counts, until)
            if not rounds:
                return None
            first, second = (min(seconds) for seconds in zip(*rounds))
            speedups[name] = round(first / second, 3)
    return speedups


def _sizes() -> Dict[str, Tuple[int, int, int]]:
    """What is measured, by name."""
    wide = {_name(_WIDE_SIZE, "wide"): _WIDE_SIZE} if has_packing() else {}
    return {**{_name(size): size for size in _SIZES}, **wide}


def _rounds(
    ways: Sequence[Callable[[], object]],
    clock: Callable[[], float],
    counts: Callable[[float, float], bool],
    until: float,
) -> List[List[float]]:
    """What each way takes by a clock, in the rounds that count.

    They take turns, and the fastest round of each is the best: what disturbs a round only ever makes it slower.
    """
    found: List[List[float]] = []
    for number in count():
        if len(found) == _ROUNDS or (number > 1 and time.perf_counter() > until):
            break
        own, elapsed, seconds = time.process_time(), time.perf_counter(), []
        for way in ways:
            start = clock()
            way()
            seconds.append(clock() - start)
        # The first round compiles and warms up.
        if number and counts(time.perf_counter() - elapsed, time.process_time() - own):
            found.append(seconds)
    return found
