"""The backend: DGL's own layers and graphs behind gnnkit's interface.

Rules: DGL is imported when it is first used, never when this module is.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple, Type

import torch
from torch import Tensor, nn

from gnnkit.availability import BROKEN, NOT_INSTALLED, READY, Availability
from gnnkit.backends import Backend, BackendCapabilities, GraphStore
from gnnkit.data import Block, Graph
from gnnkit.errors import BrokenPluginError, CapabilityError, NotInstalledError
from gnnkit.nn import CONVS, PER_RELATION, ConvSpec, MessageOps, NativeParameter
from gnnkit_dgl import compat
from gnnkit_dgl.block import DglBlock

_CPU_ONLY = (
    "This DGL computes on the CPU only: the wheel on PyPI is built without CUDA. DGL on CUDA needs DGL's own CUDA "
    "wheel, see https://www.dgl.ai/pages/start.html."
)


class DglBackend(Backend):
    """Deep Graph Library (Wang et al., 2019, arXiv:1909.01315).

    Raises:
        NotInstalledError: When made, if DGL is not installed.
        BrokenPluginError: When made, if DGL cannot be imported.

    Example:
        >>> from gnnkit.backends import load_backend
        >>> load_backend("dgl").versions()["dgl"]
        '2.1.0'
    """

    name: ClassVar[str] = "dgl"
    api_version: ClassVar[int] = 1
    capabilities = BackendCapabilities(
        convs=frozenset(CONVS),
        edge_convs=frozenset({"gatv2", "gine", "pna", "transformer"}),
        relational=PER_RELATION,
        devices=frozenset({"cpu", "cuda"}),
        dtypes=frozenset({"float32", "bfloat16", "float64"}),
    )

    layer_module: ClassVar[str] = "dgl.nn"
    layer_marks: ClassVar[Mapping[str, str]] = {
        "gcn": "weight",
        "sage": "fc_neigh.weight",
        "gat": "attn_l",
        "gatv2": "attn",
        "gin": "apply_func.0.weight",
    }

    def __init__(self) -> None:
        self._dgl = compat.import_dgl()
        if not compat.has_cuda(self._dgl):
            self.capabilities = replace(self.capabilities, devices=frozenset({"cpu"}), note=_CPU_ONLY)

    def __reduce__(self) -> Tuple[Any, ...]:
        """A copy, pickled or not, is made anew: modules cannot be pickled, and another machine may have another DGL."""
        return _made_anew, (type(self), self.options)

    @classmethod
    def probe(cls) -> Availability:
        """Import DGL and say what was found. Never raises."""
        try:
            dgl = compat.import_dgl()
            parts = [f"dgl {dgl.__version__}", f"torch {torch.__version__}"]
            if compat.has_stand_in():
                parts.append("stand-in for GraphBolt active")
            parts.append("CUDA build" if compat.has_cuda(dgl) else "CPU build")
            return Availability(READY, ", ".join(parts))
        except NotInstalledError as error:
            return Availability(NOT_INSTALLED, "DGL is not installed", error.install)
        except BrokenPluginError as error:
            return Availability(BROKEN, error.cause, error.fix)
        except Exception as error:  # A probe never raises, and asking a half-broken DGL for its functions may.
            return Availability(BROKEN, f"{type(error).__name__}: {error}", "pip install --force-reinstall gnnkit-dgl")

    def lower(self, block: Block) -> DglBlock:
        """The block for DGL's layers, which shares its memory.

        Raises:
            CapabilityError: The block is on a CUDA device and this DGL was built without CUDA.
        """
        if block.indptr.device.type not in self.capabilities.devices:
            raise CapabilityError(f"The block is on {block.indptr.device}. {self.capabilities.note}".rstrip())
        return DglBlock(block)

    def conv(self, spec: ConvSpec) -> nn.Module:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_dgl.layers import wrapper

        cls = wrapper(spec)
        return self.on_primitives(spec) if cls is None else cls(spec)

    def library_layer(self, spec: ConvSpec) -> nn.Module:
        """Any layer of ``dgl.nn`` that takes a graph and features."""
        from gnnkit_dgl.library import DglLayer

        return DglLayer(spec)

    def parameter_map(self, spec: ConvSpec) -> Mapping[str, NativeParameter]:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_dgl.layers import wrapper

        cls = wrapper(spec)
        return super().parameter_map(spec) if cls is None else cls.parameter_map(spec)

    def ops(self) -> MessageOps:
        """Message passing with DGL's kernels."""
        from gnnkit_dgl.ops import DglOps

        return DglOps()

    def to_native(self, graph: Graph) -> Any:
        """Turn a graph into a ``DGLGraph``, many into a batch. See :func:`gnnkit_dgl.convert.to_dgl`."""
        from gnnkit_dgl.convert import to_dgl

        return to_dgl(graph)

    def from_native(self, obj: Any) -> Graph:
        """Turn a ``DGLGraph``, a list of them or a data set into a graph. See :func:`gnnkit_dgl.convert.from_dgl`."""
        from gnnkit_dgl.convert import from_dgl

        return from_dgl(obj)

    def partition(self, graph: Graph, num_parts: int) -> Tensor:
        """Parts of a graph by METIS (Karypis and Kumar, 1998). See :class:`gnnkit.backends.Backend`."""
        if num_parts == 1:
            return torch.zeros(graph.num_nodes, dtype=torch.int64)
        dgl = self._dgl
        destinations = torch.repeat_interleave(torch.arange(graph.num_nodes), graph.indptr.diff())
        plain = dgl.graph((graph.indices, destinations), num_nodes=graph.num_nodes)
        with redirect_stdout(sys.stderr):  # DGL prints times, where results of commands go.
            parts: Tensor = dgl.metis_partition_assignment(plain, num_parts)
        return parts.long()

    def store(self) -> GraphStore:
        """Parts and servers of ``dgl.distributed``. See :class:`gnnkit.backends.Backend`."""
        from gnnkit_dgl.store import DglStore

        return DglStore()

    def read_layer(
        self, kind: str, state: Mapping[str, Tensor], *, concat: bool = True, aggregation: Optional[str] = None
    ) -> Tuple[ConvSpec, Dict[str, Tensor]]:
        """See :class:`gnnkit.backends.Backend` and :mod:`gnnkit_dgl.weights`."""
        from gnnkit_dgl import weights

        return weights.read(kind, state, concat, aggregation)

    def write_layer(self, spec: ConvSpec, values: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_dgl import weights

        return weights.write(spec, values)

    def apply_layer(self, spec: ConvSpec, state: Mapping[str, Tensor], graph: Graph, h: Tensor) -> Tensor:
        """See :class:`gnnkit.backends.Backend`."""
        from gnnkit_dgl import weights

        return weights.apply(spec, state, graph, h)

    def versions(self) -> Dict[str, str]:
        """Versions of DGL and torch."""
        return {"dgl": str(self._dgl.__version__), "torch": str(torch.__version__)}


def _made_anew(cls: Type[DglBackend], options: Any) -> DglBackend:
    backend = cls()
    backend.options = options
    return backend
