"""The DGL backend of gnnkit.

Rules: importing this package imports neither DGL nor torch's extensions for it, so that asking for it is quick and a
DGL that cannot be loaded hurts only those who use it.
"""

from gnnkit_dgl.compat import import_dgl

__version__ = "0.1.0"

__all__ = ["import_dgl"]
