"""The backend: PyTorch Geometric's own layers and records behind gnnkit's interface.

Rules: torch_geometric is imported when it is first used, never when this module is; what goes wrong there is said by
``probe``, which never raises.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.availability import BROKEN, NOT_INSTALLED, READY, Availability
from gnnkit.backends import Backend, BackendCapabilities
from gnnkit.data import Block, Graph
from gnnkit.errors import BrokenPluginError, NotInstalledError
from gnnkit.nn import CONVS, PER_RELATION, ConvSpec, MessageOps, NativeParameter
from gnnkit_pyg.block import PygBlock

_INSTALL = "pip install 'torch-geometric>=2.3'"
_REINSTALL = "pip install --upgrade --force-reinstall --no-deps torch-geometric"


class PygBackend(Backend):
    """PyTorch Geometric (Fey and Lenssen, 2019, arXiv:1903.02428).

    Args:
        use_csr: Whether layers are fed sparse matrices (True) or lists of edges (False). None takes what is right for
            the device that a block is on. False is for what only understands lists of edges, such as a compiler.
        fixed_shapes: Whether shapes within a layer may depend on those of its block alone, never on values.

    Raises:
        NotInstalledError: PyTorch Geometric is not installed.
        BrokenPluginError: PyTorch Geometric cannot be imported.

    Example:
        >>> from gnnkit.backends import load_backend
        >>> "torch_geometric" in load_backend("pyg").versions()
        True
    """

    name: ClassVar[str] = "pyg"
    api_version: ClassVar[int] = 1
    capabilities: BackendCapabilities = BackendCapabilities(
        convs=frozenset(CONVS),
        edge_convs=frozenset({"gatv2", "gine", "pna", "transformer"}),
        relational=PER_RELATION,
        devices=frozenset({"cpu", "cuda"}),
        dtypes=frozenset({"float32", "bfloat16", "float64"}),
        exports=frozenset({"torch", "onnx"}),
    )

    layer_module: ClassVar[str] = "torch_geometric.nn"
    layer_marks: ClassVar[Mapping[str, str]] = {
        "gcn": "lin.weight",
        "sage": "lin_l.weight",
        "gat": "att_src",
        "gatv2": "att",
        "gin": "nn.0.weight",
    }

    def __init__(self, use_csr: Optional[bool] = None, *, fixed_shapes: bool = False) -> None:
        answer = self.probe()
        if answer.status == NOT_INSTALLED:
            raise NotInstalledError("PyTorch Geometric", answer.fix)
        if not answer.is_ready:
            raise BrokenPluginError("PyTorch Geometric", answer.detail, answer.fix)
        self._use_csr = use_csr
        self._fixed_shapes = fixed_shapes

    @classmethod
    def probe(cls) -> Availability:
        """Import PyTorch Geometric and say what was found. Never raises."""
        try:
            if importlib.util.find_spec("torch_geometric") is None:
                return Availability(NOT_INSTALLED, "PyTorch Geometric is not installed", _INSTALL)
            version = importlib.import_module("torch_geometric").__version__
            # The layers pull in much more than the package's top does, and with it most of what can fail.
            importlib.import_module("gnnkit_pyg.layers")
        except Exception as error:  # A probe never raises; what an import of another library may raise is not known.
            return Availability(BROKEN, f"{type(error).__name__}: {error}", _REINSTALL)
        parts = [f"torch_geometric {version}", f"torch {torch.__version__}"]
        parts += [f"{name} {'present' if _has(name) else 'absent'}" for name in ("pyg_lib", "torch_sparse")]
        return Availability(READY, ", ".join(parts))

    def lower(self, block: Block) -> PygBlock:
        """A view of the block that makes sparse matrices and lists of edges when they are asked for.

        On the CPU layers get sparse matrices, whose product with the features never stores a message. On CUDA they
        get lists of edges: there torch has no maximum over a sparse matrix, and its gradient of a product would sort
        the transposed matrix anew in every step. Exported programs have lists of edges, because their formats have
        no sparse matrices.
        """
        use_csr = self._use_csr
        if use_csr is None:
            use_csr = block.indptr.device.type == "cpu" and not _is_exporting()
        return PygBlock(block, use_csr, self._fixed_shapes or _is_exporting())

    def conv(self, spec: ConvSpec) -> nn.Module:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_pyg.layers import LAYERS

        return LAYERS[spec.kind](spec) if spec.kind in LAYERS else self.on_primitives(spec)

    def library_layer(self, spec: ConvSpec) -> nn.Module:
        """Any layer of ``torch_geometric.nn`` that takes features and a list of edges."""
        from gnnkit_pyg.library import PygLayer

        return PygLayer(spec)

    def parameter_map(self, spec: ConvSpec) -> Mapping[str, NativeParameter]:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_pyg.layers import LAYERS

        return LAYERS[spec.kind].parameter_map(spec) if spec.kind in LAYERS else super().parameter_map(spec)

    def ops(self) -> MessageOps:
        """Message passing with PyTorch Geometric's primitives."""
        from gnnkit_pyg.ops import PygOps

        return PygOps()

    def to_native(self, graph: Graph) -> Any:
        """Turn a graph into a ``Data``, many graphs into a ``Batch``. See :func:`gnnkit_pyg.convert.to_pyg`."""
        from gnnkit_pyg.convert import to_pyg

        return to_pyg(graph)

    def from_native(self, obj: Any) -> Graph:
        """Turn a ``Data``, a ``Batch`` or a list of ``Data`` into a graph. See :func:`gnnkit_pyg.convert.from_pyg`."""
        from gnnkit_pyg.convert import from_pyg

        return from_pyg(obj)

    def read_layer(
        self, kind: str, state: Mapping[str, Tensor], *, concat: bool = True, aggregation: Optional[str] = None
    ) -> Tuple[ConvSpec, Dict[str, Tensor]]:
        """See :class:`gnnkit.backends.Backend` and :mod:`gnnkit_pyg.weights`."""
        from gnnkit_pyg import weights

        return weights.read(kind, state, concat, aggregation)

    def write_layer(self, spec: ConvSpec, values: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_pyg import weights

        return weights.write(spec, values)

    def apply_layer(self, spec: ConvSpec, state: Mapping[str, Tensor], graph: Graph, h: Tensor) -> Tensor:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_pyg import weights

        return weights.apply(spec, state, graph, h)

    def versions(self) -> Dict[str, str]:
        """Versions of PyTorch Geometric and torch, and of the extensions that are present."""
        found = {"torch_geometric": importlib.import_module("torch_geometric").__version__, "torch": torch.__version__}
        for name in ("pyg_lib", "torch_sparse"):
            if _has(name):
                found[name] = str(getattr(importlib.import_module(name), "__version__", "unknown"))
        return {name: str(version) for name, version in found.items()}


def _is_exporting() -> bool:
    """Whether torch is writing the model down; releases before 2.7 do not tell, and are not exported with."""
    ask = getattr(getattr(torch, "compiler", None), "is_exporting", None)
    return ask is not None and bool(ask())


def _has(module: str) -> bool:
    """Whether an extension of PyTorch Geometric imports; one built for another torch may raise anything."""
    try:
        return importlib.util.find_spec(module) is not None and bool(importlib.import_module(module))
    except Exception:
        return False
