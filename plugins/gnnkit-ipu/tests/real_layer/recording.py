"""Recording what forward does, on tensors without values.

Rules: tensors say to be on the IPU, and torch's own code takes them for the processor's: it has no parts for an IPU.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from .errors import Error

IPU = torch.device("ipu:0")


def _fake(mode: FakeTensorMode, like: Tensor, dtype: Optional[torch.dtype] = None) -> FakeTensor:
    """A tensor without values that says to be on the IPU."""
    with no_dispatch():
        meta = torch.empty(like.shape, dtype=dtype or like.dtype, device="meta")
    return _on_ipu(FakeTensor(mode, meta, torch.device("cpu")))


def _on_ipu(tensor: Any) -> Any:
    # Torch's own code takes it for one of the processor: for an IPU's it would ask for parts that torch has not.
    tensor.says_ipu = True
    return tensor


def device_of(tensor: Any) -> torch.device:
    own = torch._C._TensorBase.device.__get__(tensor)  # "meta" while torch works out shapes.
    return IPU if own.type == "cpu" and hasattr(tensor, "says_ipu") and not _WORKING else own


_WORKING: List[bool] = []
"""Not empty while torch makes a tensor without values, which is to be one of the processor."""


class Graph:
    """A program that is being recorded.

    Attributes:
        steps: Operators with places of tensors for their arguments and results.
        constants: Tensors of the host by place.
        inputs: Places of the inputs, in order.
        outputs: Places of the outputs, in order.
        names: Names of parameters and buffers by place.
        groups: Places of the parameters of each group of the optimiser.
        loss: Place of the last loss.
    """

    def __init__(self, inputs: List[Tensor]) -> None:
        self.given = list(inputs)
        self.fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self.steps: List[Tuple[Any, Any, Any, List[Optional[int]]]] = []
        self.constants: Dict[int, Tensor] = {}
        self.inputs: List[int] = []
        self.outputs: List[int] = []
        self.names: Dict[int, str] = {}
        self.groups: Dict[int, List[int]] = {}
        self.loss: Optional[int] = None
        self.places: Dict[int, int] = {}
        self.alive: List[Any] = []
        self.moves_outputs = self.detaches = False

    def place(self, tensor: Tensor, of: Optional[int] = None) -> int:
        """The place of a new tensor; of one that shares another's, that."""
        self.alive.append(tensor)
        self.places[id(tensor)] = len(self.alive) if of is None else of
        return self.places[id(tensor)]


class Recorder(TorchDispatchMode):
    """Notes every operator of a graph."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        graph, name = self.graph, func._schema.name
        if name == "prim::device":
            return func(*args, **kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name == "aten::_to_copy" and kwargs.get("device") == IPU and not hasattr(first, "says_ipu"):
            return self._move(first, kwargs.get("dtype"))
        if name == "aten::detach" and not graph.detaches and id(first) in graph.places:
            out = _like(
                first, _made(func, (first,), {})
            )  # Torch's own, of views and new parameters; forward's are functions.
            graph.place(out, of=graph.places[id(first)])
            return out
        made_there = getattr(kwargs.get("device"), "type", None) == IPU.type  # The layer says "ipu", without a number.
        if not made_there and not any(isinstance(t, FakeTensor) for t in tree_flatten((args, kwargs))[0]):
            with no_dispatch():  # The host's own.
                return func(*args, **kwargs)
        if isinstance(kwargs.get("device"), torch.device):
            kwargs["device"] = torch.device("cpu")
        out = _made(func, args, kwargs)
        if made_there or any(hasattr(t, "says_ipu") for t in tree_flatten((args, kwargs))[0]):
            tree_map(lambda t: _on_ipu(t) if isinstance(t, Tensor) else t, out)
        self._note(func, args, kwargs, out)
        return out

    def _note(self, func, args, kwargs, out) -> None:
        graph = self.graph
        described = tree_map(self._described, (args, kwargs))
        flat, _ = tree_flatten(out)
        places = [
            (graph.places[id(t)] if id(t) in graph.places else graph.place(t)) if isinstance(t, Tensor) else None
            for t in flat
        ]
        graph.steps.append((func, *described, places))
        if "loss" in func._schema.name and places[0] is not None:
            graph.loss = places[0]

    def _described(self, value):
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self.graph.places:
            self.graph.constants[self.graph.place(value)] = value
        return Place(self.graph.places[id(value)])

    def _move(self, tensor: Tensor, dtype: Optional[torch.dtype]) -> Tensor:
        """A tensor of the host on the device: a weight, an input or a constant."""
        graph = self.graph
        out = _fake(graph.fakes, tensor, dtype)
        if id(tensor) in graph.places:
            graph.place(out, of=graph.places[id(tensor)])
            return out
        place = graph.place(out)
        if any(tensor is each for each in graph.given):
            graph.inputs.append(place)
        else:
            with no_dispatch():  # Else it would have no values.
                graph.constants[place] = tensor.detach()
        return out


def _made(func, args, kwargs):
    _WORKING.append(True)
    try:
        return func(*args, **kwargs)
    finally:
        _WORKING.pop()


def _like(source: Tensor, tensor: Tensor) -> Tensor:
    return _on_ipu(tensor) if hasattr(source, "says_ipu") else tensor


class Functions(TorchFunctionMode):
    """Tells forward's own ``detach`` from torch's, and sees what is moved to the host."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __torch_function__(self, func, types, args=(), kwargs=None):
        graph = self.graph
        if getattr(func, "__name__", "") == "cpu" and hasattr(args[0], "says_ipu"):
            if not graph.moves_outputs:
                raise Error("A tensor was moved to the CPU in forward.")
            graph.outputs.append(graph.places[id(args[0])])
            return args[0]
        before, self.graph.detaches = self.graph.detaches, getattr(func, "__name__", "") in ("detach", "detach_")
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.graph.detaches = before


class Place:
    """Where a tensor stood among the arguments of an operator."""

    def __init__(self, number: int) -> None:
        self.number = number
