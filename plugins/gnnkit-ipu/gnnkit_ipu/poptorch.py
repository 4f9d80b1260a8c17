"""Where the name ``poptorch`` comes from: the Poplar SDK's package, or the emulator.

Rules: this is the only file that tells the two apart. Whoever needs PopTorch takes a module from here and uses its
documented names. PopTorch is imported when a device is asked for, never when this module is.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
from typing import Any, Optional

import torch

from gnnkit.availability import BROKEN, NO_HARDWARE, NOT_INSTALLED, READY, Availability
from gnnkit.errors import BrokenPluginError, NotInstalledError

SDK_RELEASE = "3.4"
"""The last release of the Poplar SDK, and the one that this plugin was written for."""

SDK_TORCH = "2.0.1"
"""The torch that PopTorch 3.3 and 3.4 were built for."""

_ENABLE = "run 'source <sdk>/enable' (or the enable.sh of poplar and popart in it) in this shell, then try again."
_INSTALL = (
    f"unpack the Poplar SDK {SDK_RELEASE}, source its enable scripts, make an environment with Python 3.8 and "
    f"torch {SDK_TORCH}, and pip install the poptorch and poptorch_geometric wheels that lie in the SDK."
)


def hardware() -> Any:
    """PopTorch itself.

    Returns:
        The module ``poptorch``; ``poptorch_geometric`` is imported with it where it is installed, because it keeps
        PyTorch Geometric to fixed shapes while a model is compiled.

    Raises:
        NotInstalledError: PopTorch is not installed.
        BrokenPluginError: It is installed and cannot be imported.
    """
    answer = _importable()
    if answer is None:
        return importlib.import_module("poptorch")
    if answer.status == NOT_INSTALLED:
        raise NotInstalledError("PopTorch", answer.fix)
    raise BrokenPluginError("PopTorch", answer.detail, answer.fix)


def emulator() -> Any:
    """The emulator, which has PopTorch's names."""
    return importlib.import_module("gnnkit_ipu.emulator")


def numbers_state(module: Any) -> bool:
    """Whether optimisers of this PopTorch give their state as torch's do: by number of the parameter.

    The emulator's do. PopTorch's own names for the state that an IPU holds are not documented.
    """
    return _is_emulator(module)


def has_ipus(module: Any, number: int) -> bool:
    """Whether a machine has so many IPUs, in use or not; the emulator has any number.

    Args:
        module: PopTorch or its emulator.
        number: How many; PopTorch gives them out in powers of two.
    """
    return _is_emulator(module) or bool(module.ipuHardwareIsAvailable(1 << (number - 1).bit_length()))


def probe_hardware() -> Availability:
    """Say whether an IPU can be used: SDK, wheel, the torch that it was built for, hardware. Never raises."""
    answer = _importable()
    if answer is not None:
        return answer
    try:
        is_there = bool(importlib.import_module("poptorch").ipuHardwareIsAvailable())
    except Exception as error:
        return Availability(BROKEN, f"PopTorch cannot look for hardware: {_words(error)}.", _ENABLE)
    versions = f"PopTorch {version() or 'of unknown version'}, torch {torch.__version__}"
    if is_there:
        return Availability(READY, versions)
    if os.environ.get("POPTORCH_IPU_MODEL", "0") not in ("", "0"):
        return Availability(READY, f"{versions}, the IPU Model (POPTORCH_IPU_MODEL is set)")
    return Availability(
        NO_HARDWARE,
        f"{versions} are installed, but no IPU was found.",
        "check 'gc-info -l' and IPUOF_VIPU_API_PARTITION_ID; for the SDK's software model add "
        "device_options.ipu_model=true; for gnnkit's emulator choose --device ipu-emulator.",
    )


def version() -> Optional[str]:
    """Version of the installed PopTorch; None if there is none."""
    try:
        return importlib.metadata.version("poptorch")
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_emulator(module: Any) -> bool:
    return bool(module.__name__ == "gnnkit_ipu.emulator")


def _importable() -> Optional[Availability]:
    """None if PopTorch imports, else what is wrong."""
    has_sdk = bool(os.environ.get("POPLAR_SDK_ENABLED"))
    sdk = f"the Poplar SDK {'is' if has_sdk else 'is not'} enabled in this shell (POPLAR_SDK_ENABLED)"
    if importlib.util.find_spec("poptorch") is None:
        return Availability(NOT_INSTALLED, f"PopTorch is not installed; {sdk}.", _INSTALL)
    built_for = _built_for()
    if built_for and torch.__version__.split("+")[0] != built_for:
        return _wrong_torch(built_for)
    try:
        importlib.import_module("poptorch")
        if importlib.util.find_spec("poptorch_geometric") is not None:
            importlib.import_module("poptorch_geometric")
    except AssertionError as error:  # What PopTorch raises on another torch than its own.
        return _wrong_torch(built_for or SDK_TORCH, f" ({_words(error)})")
    except ImportError as error:
        fix = (
            "pip install the wheels of the SDK that is enabled; a wheel fits one Python version."
            if has_sdk
            else _ENABLE
        )
        return Availability(BROKEN, f"PopTorch does not import: {_words(error)}; {sdk}.", fix)
    except Exception as error:  # Nothing that a stranger's import raises may end a 'gnnkit doctor'.
        return Availability(BROKEN, f"PopTorch does not import: {_words(error)}; {sdk}.", _INSTALL)
    return None


def _wrong_torch(built_for: str, said: str = "") -> Availability:
    detail = f"PopTorch was built for torch {built_for}, this is torch {torch.__version__}{said}."
    return Availability(BROKEN, detail, f"pip install torch=={built_for}")


def _built_for() -> Optional[str]:
    """Version of torch that the wheel asks for."""
    try:
        needs = importlib.metadata.requires("poptorch") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [re.match(r"torch\s*\(?==\s*([\w.]+)", need) for need in needs]
    return next((match.group(1) for match in found if match), None)


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
