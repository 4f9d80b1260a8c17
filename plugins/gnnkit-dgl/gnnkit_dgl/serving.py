"""A server of DGL as a process: ``python -m gnnkit_dgl.serving``, with the environment of :class:`DglStore`."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from gnnkit_dgl.compat import import_dgl
from gnnkit_dgl.store import remove_memory, reserved


def main() -> None:
    """Serve the part that the environment names, until the process is ended."""
    folder = Path(os.environ["DGL_CONF_PATH"]).parent
    lock = reserved(folder)  # Held to the end.
    if lock is None:
        sys.exit("Another job of this machine serves the same parts. Wait for it, or cut the data again for this one.")
    remove_memory(folder)
    import_dgl()
    from dgl import distributed

    os.environ["DGL_ROLE"] = "server"
    with redirect_stdout(sys.stderr):
        distributed.initialize(os.environ["DGL_IP_CONFIG"])


if __name__ == "__main__":
    main()
