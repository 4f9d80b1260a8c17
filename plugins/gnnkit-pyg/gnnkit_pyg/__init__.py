"""The PyTorch Geometric backend of gnnkit.

Rules: importing this package, or the module that holds the backend, does not import PyTorch Geometric, so that asking
for the backend is quick and an installation that cannot be loaded hurts only those who use it.
"""

__version__ = "0.1.0"
