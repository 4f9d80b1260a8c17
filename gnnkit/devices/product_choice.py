"""How matrices are multiplied fastest on this machine: measured once, and kept.

torch gives float32 products to MKL; oneDNN, which comes with torch, is more than twice as fast on some processors and a
sixth slower on others, where it may still be faster at layers of wide features. Products in bfloat16 are twice as fast
as those in float32 on some processors, and twenty times slower on others. Nothing but a measurement tells which.

Rules: the choice is kept in the cache for each processor, version of torch and number of threads, so runs on a machine
repeat their bits; runs record it, and go on with what they recorded. oneDNN is taken where it is clearly faster at
every size that was measured, or for wide layers only where it is faster at these, and bfloat16 is widened to float32
where that is clearly faster; else torch does what it does by itself. What the file says counts, whoever wrote it.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.devices.eager import torch_products
from gnnkit.devices.processor import processor_name
from gnnkit.devices.products import has_onednn, has_packing, onednn_products
from gnnkit.devices.widened import widened_products
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
"""Who multiplies in float32. "mixed" is torch, but oneDNN for layers of wide features (:mod:`gnnkit.nn.packed`)."""
WIDENED = "widened"
"""How matrices in bfloat16 are multiplied, if not by torch: widened to float32 (:mod:`gnnkit.nn.widening`)."""
FILE = "products.json"
"""Name of the file in the cache."""
_SIZES = ((8000, 256, 256), (8000, 128, 128), (4000, 512, 128))
"""Rows, inputs and outputs of the linear layers that are measured: those of batches on which products take the time."""
_WIDE_SIZE = (10_000, 512, 128)
"""The same of a layer of two products with wide inputs, forward only."""
_BFLOAT16_SIZE = (2048, 128, 128)
"""The same of a layer in bfloat16; where torch is slow, it takes 40 ms."""
_ROUNDS = 3
_LONGEST = 0.6
"""Seconds after which no further round begins."""
_OWN = 0.85
"""Which part of its threads' time this process must have had in a round; else other programs had the rest."""
_CLEARLY = 1.1
"""How many times faster oneDNN must be at every size, and widened products than torch's in bfloat16."""
_CLEARLY_WIDE = 1.05
"""The same of wide layers, where nothing is lost besides."""


@dataclass(frozen=True)
class ProductChoice:
    """How matrices are multiplied.

    Attributes:
        library: In float32, by "torch", "onednn" or "mixed".
        bfloat16: In bfloat16, by "torch" or "widened".
        speedups: How many times faster the other way is than torch, by size "rows x inputs x outputs": a layer's
            product and its two gradients by oneDNN, only the products if the name ends with ", wide", or the layer
            widened if it ends with ", bfloat16". Sizes are missing where torch has no oneDNN.
        measured: The day of the measurement.
        file: Where the choice is kept; None if it is not.
    """

    library: str
    bfloat16: str
    speedups: Mapping[str, float]
    measured: str = ""
    file: Optional[Path] = None

    @property
    def chosen(self) -> Dict[str, str]:
        """The choice as the options of the device ``cpu``."""
        return {"products": self.library, "bfloat16_products": self.bfloat16}

    @property
    def is_measured(self) -> bool:
        """Whether it is what its measurement speaks for; somebody may have written another one into the file."""
        return self._is_best() and self._is_best_in_bfloat16()

    def _is_best(self) -> bool:
        return self.library == best_library(self.speedups)

    def _is_best_in_bfloat16(self) -> bool:
        return self.bfloat16 == best_in_bfloat16(self.speedups)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        file = None if self.file is None else str(self.file)
        return {**asdict(self), "file": file, "is_measured": self.is_measured}

    def __str__(self) -> str:
        """In words, in float32."""
        whole, wide = _of_layers(self.speedups), self.speedups.get(_WIDE_NAME)
        if not whole:
            return f"{self.library}, as this torch has no other way"
        found = f"oneDNN was {min(whole):.2f} to {max(whole):.2f} times as fast as torch"
        found += "" if wide is None else f", and {wide:.2f} times for wide layers,"
        return f"{self.library}, because {self._reason(self._is_best(), found)}"

    def in_bfloat16(self) -> str:
        """In words, in bfloat16."""
        found = f"products widened to float32 were {self.speedups[_BFLOAT16_NAME]:.2f} times as fast as torch's"
        return f"{self.bfloat16}, because {self._reason(self._is_best_in_bfloat16(), found)}"

    def _reason(self, is_best: bool, found: str) -> str:
        found = f"{found} on {self.measured}"
        return found if is_best else f"the file says so, although {found}"


def product_choice() -> ProductChoice:
    """The choice for this processor, torch and number of threads; it is measured if nobody has yet.

    Example:
        >>> product_choice().library in ("torch", "onednn", "mixed")
        True
    """
    try:
        file: Optional[Path] = cache_root() / FILE
    except ConfigError:  # A cache that cannot be named is refused where data sets are kept in it.
        file = None
    return _choice(file, f"{processor_name()}, torch {torch.__version__}, {torch.get_num_threads()} threads")


def best_library(speedups: Mapping[str, float]) -> str:
    """What a measurement speaks for in float32."""
    if min(_of_layers(speedups), default=0.0) >= _CLEARLY:
        return ONEDNN
    return MIXED if speedups.get(_WIDE_NAME, 0.0) >= _CLEARLY_WIDE else TORCH


def best_in_bfloat16(speedups: Mapping[str, float]) -> str:
    """What a measurement speaks for in bfloat16."""
    return WIDENED if speedups[_BFLOAT16_NAME] >= _CLEARLY else TORCH


def _of_layers(speedups: Mapping[str, float]) -> List[float]:
    """What was measured of whole layers in float32."""
    return [speedup for name, speedup in speedups.items() if name not in (_WIDE_NAME, _BFLOAT16_NAME)]


def _name(size: Tuple[int, int, int], *more: str) -> str:
    return ", ".join([" x ".join(map(str, size)), *more])


_WIDE_NAME = _name(_WIDE_SIZE, "wide")
_BFLOAT16_NAME = _name(_BFLOAT16_SIZE, "bfloat16")


@lru_cache(maxsize=None)
def _choice(file: Optional[Path], machine: str) -> ProductChoice:
    kept = None if file is None else _kept(file, machine)
    if kept is not None:
        return kept
    with stage("measuring who multiplies fastest"):
        speedups = measure_products()
    today = date.today().isoformat()
    choice = ProductChoice(best_library(speedups), best_in_bfloat16(speedups), speedups, today)
    if file is None:
        return choice
    try:
        return _keep(replace(choice, file=file), file, machine)
    except (OSError, FileError) as error:
        _LOG.warning(
            "The choice of products cannot be kept: %s. Each run measures again, and results may differ in their last "
            "bits. Set GNNKIT_CACHE to a folder that can be written.",
            error,
        )
        return choice


def _kept(file: Path, machine: str) -> Optional[ProductChoice]:
    """The choice that a file holds for a machine; None if it has to be measured."""
    entries = _entries(file)
    choice = None if entries is None or machine not in entries else _usable(entries[machine], file)
    if entries is None or (machine in entries and choice is None):
        _LOG.warning("%s holds no choice of products that can be used. It is measured again.", file)
    return choice if choice is not None and set(choice.speedups) == set(_sizes()) else None


def _keep(choice: ProductChoice, file: Path, machine: str) -> ProductChoice:
    """Put a choice into a file beside those of other machines; the one of a process that was faster stays."""
    entries = _entries(file) or {}
    first = _usable(entries.get(machine), file)
    if first is not None and set(first.speedups) == set(choice.speedups):
        return first
    own = {name: getattr(choice, name) for name in ("library", "bfloat16", "speedups", "measured")}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, to_json({**entries, machine: own}, indent=1) + "\n")
    return choice


def _entries(file: Path) -> Optional[Dict[str, Any]]:
    """What a file holds, by machine; None if it cannot be read."""
    try:
        values = read_json(file) if file.is_file() else {}
    except (GnnkitError, ValueError, OSError):
        return None
    return values if isinstance(values, dict) else None


def _usable(entry: Any, file: Path) -> Optional[ProductChoice]:
    """An entry of a file as a choice; None if it is none."""
    try:
        return _checked(entry, file)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _checked(value: Any, file: Path) -> ProductChoice:
    in_bfloat16 = value.get("bfloat16", TORCH)  # Files of old had none, and are measured again for their sizes.
    if value["library"] not in (TORCH, ONEDNN, MIXED) or in_bfloat16 not in (TORCH, WIDENED):
        raise ValueError(value)
    speedups = {str(size): float(speedup) for size, speedup in value["speedups"].items()}
    if not speedups or not min(speedups.values()) > 0:
        raise ValueError(speedups)
    return ProductChoice(value["library"], in_bfloat16, speedups, str(value["measured"]), file)


def measure_products() -> Dict[str, float]:
    """How many times faster other ways are than torch at sizes that matter, in about half a second.

    Threads that share a product wait for each other, ten times as long as it takes where other programs have some of
    the cores. Then one thread is measured instead, by the time in which it really computed.

    Returns:
        By size; see :class:`ProductChoice`.
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
            ways = _ways(name, x, weight, grad)
            rounds = _rounds(ways, clock, counts, until)
            if not rounds:
                return None
            first, second = (min(seconds) for seconds in zip(*rounds))
            speedups[name] = round(first / second, 3)
    return speedups


def _sizes() -> Dict[str, Tuple[int, int, int]]:
    """What is measured, by name."""
    of_layers = {_name(size): size for size in _SIZES} if has_onednn() else {}
    wide = {_WIDE_NAME: _WIDE_SIZE} if has_packing() else {}
    return {**of_layers, **wide, _BFLOAT16_NAME: _BFLOAT16_SIZE}


def _ways(name: str, x: Tensor, weight: Tensor, grad: Tensor) -> List[Callable[[], object]]:
    """torch's way to multiply, and the other one."""
    if name == _WIDE_NAME:
        terms = [(x, weight.t())] * 2
        return [partial(affine, terms, None), partial(packed_affine, terms, None, None)]
    other = onednn_products
    if name == _BFLOAT16_NAME:
        x, weight, grad, other = x.bfloat16(), weight.bfloat16(), grad.bfloat16(), widened_products
    return [partial(way, x, weight, grad, True) for way in (torch_products, other)]


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
