"""Weights of models that were written for a library."""

from gnnkit.convert.conversion import Conversion, convert_weights
from gnnkit.convert.state_files import read_state_dict

__all__ = [
    "Conversion",
    "convert_weights",
    "read_state_dict",
]
