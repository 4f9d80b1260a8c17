"""A device for gnnkit that compiles each step with ``torch.compile``."""

__version__ = "0.1.0"
