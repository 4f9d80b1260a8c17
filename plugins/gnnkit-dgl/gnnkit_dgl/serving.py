"""A server of DGL as a process: ``python -m gnnkit_dgl.serving``, with the environment of :class:`DglStore`."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from gnnkit_dgl.compat import import_dgl
from gnnkit_dgl.store import DglStore, name_of


def main() -> None:
    """Serve the part that the environment names, until the process is ended."""
    folder = Path(os.environ["DGL_CONF_PATH"]).parent
    # Shared memory has the name of the parts: two servers of the same would write to the same.
    lock = Path(tempfile.gettempdir(), f"{name_of(folder)}.lock").open("w")  # noqa: SIM115  # Held to the end.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("Another job of this machine serves the same parts. Wait for it, or cut the data again for this one.")
    DglStore().clean(folder)
    import_dgl()
    from dgl import distributed

    os.environ["DGL_ROLE"] = "server"
    with redirect_stdout(sys.stderr):
        distributed.initialize(os.environ["DGL_IP_CONFIG"])


if __name__ == "__main__":
    main()
