"""Layer classes, ``module:Class``: custom layers, and those of a library."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NoReturn

from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec
from gnnkit.nn.message_passing import custom_layer, is_custom_layer


class LayerClass(Convolution):
    """A layer that brings its own parameters. Whether there is such a class is asked when the model is built.

    Args:
        path: ``module:Class``.
    """

    name = "a layer class"
    reads_weights = True  # It may.

    def __init__(self, path: str) -> None:
        if is_custom_layer(path):
            self.self_loops = custom_layer(path).self_loops
            self.gcn_norm = custom_layer(path).gcn_norm

    def make_options(self, values: Mapping[str, Any]) -> Dict[str, Any]:
        """Whatever the library's layer takes; it is checked when the layer is made."""
        return dict(values)

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """None of them is canonical."""
        return {}

    def dense(self, *_: Any) -> NoReturn:
        """Nobody knows its formula."""
        raise AssertionError("a layer class is asked for no formula")

    def reference(self, *_: Any) -> NoReturn:
        """It has no other form than its own."""
        raise AssertionError("a layer class is made by the model")
