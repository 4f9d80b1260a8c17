"""A backend for gnnkit on the sparse matrices of torch."""

__version__ = "0.1.0"
