"""Run a PopTorch script on the emulator: ``python -m gnnkit_ipu.emulate SCRIPT``.

Rules: the script is not changed. ``import poptorch`` and ``import poptorch_geometric`` find the emulator while it runs,
whether or not the packages are installed; what it leaves out raises and says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import Dict, Iterator, List, Optional

from gnnkit.errors import ConfigError
from gnnkit_ipu.emulator.counting import Counts, counting

_NAMES = {
    "poptorch": "gnnkit_ipu.emulator",
    "poptorch.enums": "gnnkit_ipu.emulator.enums",
    "poptorch.ops": "gnnkit_ipu.emulator.ops",
    "poptorch.optim": "gnnkit_ipu.emulator.optim",
    "poptorch.options": "gnnkit_ipu.emulator.options",
}
_GEOMETRIC = ("collate", "dataloader", "fixed_size_options", "stream_packing_sampler")


@contextmanager
def emulated() -> Iterator[Counts]:
    """A context in which ``import poptorch`` and ``import poptorch_geometric`` find the emulator.

    Modules that were imported under these names before are back at its end.

    Yields:
        Counts of compilations and copies of weights so far.

    Example:
        >>> with emulated() as counts:
        ...     import poptorch
        ...     poptorch.Options().deviceIterations(2).device_iterations
        2
    """
    own = {name: module for name, module in sys.modules.items() if name.split(".")[0] in _PACKAGES}
    for name in own:
        del sys.modules[name]
    sys.modules.update(_stand_ins())
    try:
        with counting() as counts:
            yield counts
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] in _PACKAGES]:
            del sys.modules[name]
        sys.modules.update(own)


_PACKAGES = ("poptorch", "poptorch_geometric")


def _stand_ins() -> Dict[str, ModuleType]:
    """Modules by the names that scripts import; without PyTorch Geometric, PopTorch's alone."""
    found = {name: importlib.import_module(path) for name, path in _NAMES.items()}
    if importlib.util.find_spec("torch_geometric") is not None:
        geometric = "gnnkit_ipu.emulator.geometric"
        found["poptorch_geometric"] = importlib.import_module(geometric)
        for name in _GEOMETRIC:
            found[f"poptorch_geometric.{name}"] = importlib.import_module(f"{geometric}.{name}")
    return found


def main(argv: Optional[List[str]] = None) -> int:
    """Run a script as ``python SCRIPT ARGUMENTS`` would, and say on the standard error stream what was counted.

    Args:
        argv: The script and its arguments; None takes the command line's.

    Raises:
        ConfigError: There is no such script.
    """
    given = sys.argv[1:] if argv is None else argv
    if not given or not os.path.isfile(given[0]):
        raise ConfigError(f"{given[0]!r} is no file." if given else "Usage: python -m gnnkit_ipu.emulate SCRIPT [...]")
    arguments, path = sys.argv, list(sys.path)
    sys.argv = list(given)
    sys.path.insert(0, os.path.dirname(os.path.abspath(given[0])))
    try:
        with emulated() as counts:
            runpy.run_path(given[0], run_name="__main__")
    finally:
        sys.argv, sys.path[:] = arguments, path
    print(
        f"Emulated: {counts.compilations} programs, {counts.executions} calls, weights copied {counts.to_device} times "
        f"to the device and {counts.to_host} times to the host. No IPU was used.",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigError as error:
        sys.exit(str(error))
