"""A server of DGL as a process: ``python -m gnnkit_dgl.serving``, with the environment of :class:`DglStore`."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout

from gnnkit_dgl.compat import import_dgl


def main() -> None:
    """Serve the part that the environment names, until the process is ended."""
    dgl = import_dgl()
    import dgl.distributed

    os.environ["DGL_ROLE"] = "server"
    with redirect_stdout(sys.stderr):
        dgl.distributed.initialize(os.environ["DGL_IP_CONFIG"])


if __name__ == "__main__":
    main()
