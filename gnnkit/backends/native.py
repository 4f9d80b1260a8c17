"""What the layers of most backends have in common: a thin module around a library's own layer."""

from __future__ import annotations

from typing import ClassVar, Dict, Mapping

from torch import nn

from gnnkit.nn import ConvSpec, NativeParameter


class NativeConv(nn.Module):
    """Base of a module that hands gnnkit's arguments to a library's own layer.

    Subclasses make the layer in ``__init__`` and define ``forward(lowered, h_src, h_dst)`` as
    :meth:`gnnkit.backends.Backend.conv` says.

    Attributes:
        names: Dotted name of each parameter in this module, by canonical name.
        spec: The convolution.

    Example:
        >>> class Linear(NativeConv):
        ...     names = {"lin.weight": "layer.weight"}
        ...     def __init__(self, spec):
        ...         super().__init__(spec)
        ...         self.layer = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        >>> Linear.parameter_map(ConvSpec("gcn", 2, 3))["lin.weight"].name
        'layer.weight'
    """

    names: ClassVar[Mapping[str, str]]

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """Where each canonical parameter lies; override it for one that lies there in another layout."""
        return {name: NativeParameter(native) for name, native in cls.names.items()}
