"""The IPU for gnnkit: PopTorch where the Poplar SDK is installed, an emulator of it where it is not.

Rules: importing this package imports neither PopTorch nor PyTorch Geometric. :mod:`gnnkit_ipu.poptorch` alone knows
whether PopTorch is the real one; backend and devices are one code path above it.
"""

__version__ = "0.1.0"
