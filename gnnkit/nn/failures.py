"""Failures of layers that are nobody's mistake."""

from __future__ import annotations

from typing import Tuple, Type

import torch

OUT_OF_MEMORY: Tuple[Type[BaseException], ...] = (MemoryError, torch.cuda.OutOfMemoryError)
"""What says by itself that memory has run out. Callers look for it by its type, so it is never turned into another."""
