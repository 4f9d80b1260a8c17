"""Settings of the whole process that a plugin has to leave as it finds them.

Rules: each has a name for people, how it is read and how it is put back; who changes one is told which.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Mapping

import numpy as np
import torch

from gnnkit.devices.autocast import is_autocast
from gnnkit.devices.denormals import is_flushing_denormals


@dataclass(frozen=True)
class _Setting:
    read: Callable[[], Any]
    put_back: Callable[[Any], object]


def _switch_autocast(place: str, value: bool) -> None:
    if hasattr(torch, "get_autocast_dtype"):
        torch.set_autocast_enabled(place, value)
    elif place == "cpu":
        torch.set_autocast_cpu_enabled(value)
    else:
        torch.set_autocast_enabled(value)


def _torch_generator() -> bytes:
    return bytes(torch.get_rng_state().numpy())


def _put_torch_generator_back(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _numpy_generator() -> Any:
    name, keys, *rest = np.random.get_state(legacy=True)
    return (name, np.asarray(keys).tobytes(), *rest)


def _put_numpy_generator_back(state: Any) -> None:
    name, keys, *rest = state
    np.random.set_state((name, np.frombuffer(keys, dtype=np.uint32), *rest))


SETTINGS: Mapping[str, _Setting] = {
    "grad mode (torch.is_grad_enabled)": _Setting(
        torch.is_grad_enabled, lambda value: torch._C._set_grad_enabled(value)
    ),
    "autocast on the processor": _Setting(lambda: is_autocast("cpu"), lambda value: _switch_autocast("cpu", value)),
    "autocast on GPUs": _Setting(lambda: is_autocast("cuda"), lambda value: _switch_autocast("cuda", value)),
    "torch's default dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype),
    "torch's choice of deterministic algorithms": _Setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    ),
    "torch's number of threads": _Setting(torch.get_num_threads, torch.set_num_threads),
    "torch's precision of float32 products": _Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "torch's denormal numbers (torch.set_flush_denormal)": _Setting(is_flushing_denormals, torch.set_flush_denormal),
    "anomaly detection": _Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "torch's global generator of random numbers": _Setting(_torch_generator, _put_torch_generator_back),
    "Python's random numbers": _Setting(random.getstate, random.setstate),
    "NumPy's random numbers": _Setting(_numpy_generator, _put_numpy_generator_back),
}
"""Settings by their names for people."""


def read_settings() -> Dict[str, Any]:
    """All settings as they are now."""
    return {name: setting.read() for name, setting in SETTINGS.items()}


@contextmanager
def restored_settings() -> Iterator[Dict[str, Any]]:
    """Put every setting back at the end, so that a change does not spoil what comes after; gives those before."""
    before = read_settings()
    try:
        yield before
    finally:
        for name, value in read_settings().items():
            if value != before[name]:
                SETTINGS[name].put_back(before[name])


@contextmanager
def unchanged_settings(who: str) -> Iterator[None]:
    """Refuse a change of any setting, which is then put back.

    Args:
        who: What runs inside, for the message: ``"the layer"``.

    Raises:
        AssertionError: With the first setting that is another afterwards.
    """
    with restored_settings() as before:
        yield
        for name, value in read_settings().items():
            is_short = isinstance(value, (bool, int, str, torch.dtype))
            change = f": it was {before[name]}, it is {value}" if is_short else ""
            assert value == before[name], f"{who} changes {name}{change}. It has to leave that as it was."
