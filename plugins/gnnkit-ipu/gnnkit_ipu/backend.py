"""The backend ``ipu``: PyTorch Geometric's own layers with settings that keep every shape fixed.

Rules: layers come from gnnkit-pyg and are fed lists of edges: no sparse matrix, no self-loop added by a layer, sizes of
the destinations given by the shapes of the features, nothing that depends on values.
"""

from __future__ import annotations

from typing import ClassVar

from gnnkit.backends import BackendCapabilities
from gnnkit.nn import CONVS
from gnnkit_pyg.backend import PygBackend


class IpuBackend(PygBackend):
    """PyTorch Geometric for compilers with fixed shapes.

    It also runs on the processor, one operation at a time, which is the quickest way to look into a model.

    Raises:
        NotInstalledError: PyTorch Geometric is not installed.
        BrokenPluginError: PyTorch Geometric cannot be imported.
    """

    name: ClassVar[str] = "ipu"
    layer_module: ClassVar[str] = ""  # Most other layers make shapes that depend on values.
    capabilities: BackendCapabilities = BackendCapabilities(
        convs=frozenset(CONVS),
        edge_convs=frozenset({"gatv2", "gine", "pna", "transformer"}),
        devices=frozenset({"ipu", "cpu"}),
        dtypes=frozenset({"float32"}),
        note="IPUs compute in float32 here; take backend pyg for GPUs and other precisions.",
    )

    def __init__(self) -> None:
        super().__init__(use_csr=False, fixed_shapes=True)
