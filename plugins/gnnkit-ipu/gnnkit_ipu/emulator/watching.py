"""Two modes of torch that watch a forward: the functions that the user calls, and the operators that result.

Rules: this file and :mod:`.tracing` are the only ones that use torch's private interfaces. The modes change no result,
except for functions whose CPU form reads values (``one_hot``, ``bincount``, ``repeat_interleave`` by
a number): these get a form of fixed shape.
"""

# ruff: noqa: SIM905, N812 - PopTorch's names; lists of names read better as text.
from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Iterable, List

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from .operators import DYNAMIC, PLUMBING, READS_VALUE, TAKEN_APART, UNCOMPARED, VIEWS, base_name, supported
from .restrictions import refuse
from .session import Session

_LOSS_NAMES = (
    "cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss binary_cross_entropy binary_cross_entropy_with_logits "
    "kl_div poisson_nll_loss hinge_embedding_loss cosine_embedding_loss margin_ranking_loss triplet_margin_loss "
    "ctc_loss soft_margin_loss multilabel_soft_margin_loss"
).split()
LOSSES = frozenset(getattr(F, name) for name in _LOSS_NAMES)
_WEIGHTED = frozenset({F.cross_entropy, F.nll_loss})
_ON_HOST = "_gnnkit_ipu_on_host"
_READERS = frozenset({"item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__"})
_SLICERS = frozenset({"__getitem__", "narrow", "slice"})


def _tensors(value: Any, found: List[Tensor]) -> List[Tensor]:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _tensors(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _tensors(item, found)
    return found


def _describe(value: Any) -> str:
    """Everything about an argument that is fixed by compilation."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype)[6:]}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return "(" + ",".join([_describe(item) for item in value]) + ")"
    if isinstance(value, (torch.device, torch.layout, torch.memory_format, torch.Generator)):
        return "-"
    return repr(value)


def _caller_path() -> str:
    """File of the frame that called into torch: the innermost one that is neither torch's nor ours."""
    frame = sys._getframe(2)
    here = __file__.rsplit("/", 1)[0]
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(here) or "/torch/" in frame.f_code.co_filename
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _from_library() -> bool:
    return "/torch_geometric/" in _caller_path()


class OperatorRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator and, while tracing, refuses what has no fixed shape or no lowering."""

    def __init__(self, session: Session) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.session = session

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Check, record, run, follow the marks."""
        kwargs = kwargs or {}
        session = self.session
        name = base_name(func) if hasattr(func, "_schema") else str(func)
        if name == "prim::device":
            return func(*args, **kwargs)
        if session.tracing:
            self._check(func, name, args, kwargs)
        if name not in UNCOMPARED:
            session.operators.append(name + _describe(args) + (repr(sorted(kwargs)) if kwargs else ""))
        if not session.in_block and name not in PLUMBING and not session.outside_blocks:
            session.outside_blocks = name
        out = func(*args, **kwargs)
        if "batch_norm" in name and any(a is True for a in args):
            # Its schema does not say that it writes the running statistics.
            session.written.update(id(t) for t in _tensors(args, []))
        if session.tracing:
            outputs = _tensors(out, [])
            if self._stays_on_host(name, args, kwargs):
                for tensor in outputs:
                    setattr(tensor, _ON_HOST, True)
                return out
            for tensor in outputs:
                session.learn_device(tensor.device)
            if name == "aten::slice" and outputs[0].numel() == 0 and args[0].numel() > 0:
                refuse(33, "a slice is empty")
            session.follow(_tensors((args, kwargs), []), outputs, name not in VIEWS)
        return out

    def _stays_on_host(self, name: str, args: Any, kwargs: Dict[str, Any]) -> bool:
        """Whether the result is a tensor of the host: made there, or computed from such tensors alone."""
        inputs = _tensors((args, kwargs), [])
        if name == "aten::lift_fresh" or not inputs:
            session = self.session
            return not (session.placing or session.trusted or _from_library())
        return all(_is_on_host(tensor) for tensor in inputs)

    def _check(self, func: Any, name: str, args: Any, kwargs: Dict[str, Any]) -> None:
        inputs = _tensors((args, kwargs), [])
        hosts = [tensor for tensor in inputs if _is_on_host(tensor) and tensor.dim()]
        if hosts and not all(_is_on_host(tensor) for tensor in inputs):
            refuse(16, f"forward computes with a CPU tensor of shape {list(hosts[0].shape)} that it has made")
        if name != "aten::lift_fresh":
            for tensor in _tensors((args, kwargs), []):
                number = tensor.dim() == 0 and self.session.trusted  # torch 2.0 makes tensors of Python numbers
                if not isinstance(tensor, FakeTensor) and not number:
                    refuse(16, f"forward uses a CPU tensor of shape {list(tensor.shape)} from outside")
        if name in READS_VALUE:
            if self.session.slices:
                refuse(33, "a bound of a slice is read from a tensor")
            if _from_library():
                refuse(10, "PyTorch Geometric has to read a size out of an index")
            refuse(8, "forward reads the value of a tensor (.item(), int(), float(), bool(), an if or a while)")
        if name in DYNAMIC:
            refuse(7, f"{name} has an output whose size depends on the data")
        if name == "aten::index" and any(t.dtype in (torch.bool, torch.uint8) for t in _tensors(args[1], [])):
            refuse(7, "x[mask] with a boolean mask has a size that depends on the data")
        if name == "aten::repeat_interleave":
            refuse(7, "repeat_interleave by a tensor has a size that depends on the data")
        if (name == "aten::embedding" and len(args) > 4 and args[4]) or kwargs.get("sparse"):
            refuse(31, "an embedding is sparse")
        if not self.session.trusted and name not in supported():
            refuse(12, f"{name} has no lowering")


class FunctionWatcher(TorchFunctionMode):
    """Marks torch's losses and refuses calls that no operator would show."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Check the call, run it, mark its result if it is a loss."""
        kwargs = kwargs or {}
        session = self.session
        name = getattr(func, "__name__", "")
        if session.tracing:
            _check_call(session, func, name, args, kwargs)
        placing = kwargs.get("device") is not None or name.startswith("new_") or name.endswith("_like")
        loss, slicing = func in LOSSES, name in _SLICERS
        session.placing += placing
        known = loss or f"aten::{name.rstrip('_')}" in supported() or name in TAKEN_APART
        session.trusted += known
        session.inside_loss += loss
        session.slices += slicing
        try:
            out = _FIXED_SHAPE.get(func, func)(*args, **kwargs)
        finally:
            session.placing -= placing
            session.trusted -= known
            session.inside_loss -= loss
            session.slices -= slicing
        if session.tracing and name in ("to", "type_as", "as_tensor") and _is_on_host(out) and _moves(args, kwargs):
            out = _without_mark(out)
        if loss:
            session.mark(out)
        if name == "__get__" and isinstance(out, torch.device):
            session.learn_device(out)  # Older torch makes a new object for every question.
        return out


def _is_on_host(value: Any) -> bool:
    return getattr(value, _ON_HOST, False)


def _moves(args: Any, kwargs: Dict[str, Any]) -> bool:
    """Whether a conversion names a device, or a tensor of it."""
    values = (*args[1:], *kwargs.values())
    return any(isinstance(v, (str, torch.device)) or (isinstance(v, Tensor) and not _is_on_host(v)) for v in values)


def _without_mark(tensor: Tensor) -> Tensor:
    """The tensor as one of the device's: fake tensors of both have the same device, so that nothing was copied."""
    tensor.__dict__.pop(_ON_HOST, None)
    return tensor


def _check_call(session: Session, func: Any, name: str, args: Any, kwargs: Dict[str, Any]) -> None:
    if name in _READERS and not session.slices:
        if _from_library():
            refuse(10, "PyTorch Geometric has to read a size out of an index")
        refuse(8, f"forward calls {name}() of a tensor")
    if name == "backward":
        refuse(21, "forward calls backward()")
    converts = func is torch.as_tensor and isinstance(args[0], Tensor)
    moves = name == "to" or converts
    if name == "cpu" or (moves and _names_cpu(session, (*args[1:], *kwargs.values()))):
        refuse(20, "forward moves a tensor to the CPU")
    if not moves and _names_cpu(session, (kwargs.get("device"),)):
        refuse(17, f"{name}() is told to make its tensor on the CPU")
    if func in _WEIGHTED and (kwargs.get("weight") is not None or (len(args) > 2 and args[2] is not None)):
        refuse(29, f"{name} is called with class weights")
    if func is F.one_hot and (args[1] if len(args) > 1 else kwargs.get("num_classes", -1)) < 1:
        refuse(30, "one_hot is called without num_classes")
    if name == "bincount" and not (args[2] if len(args) > 2 else kwargs.get("minlength", 0)):
        refuse(30, "bincount is called without minlength")


def _names_cpu(session: Session, values: Iterable[Any]) -> bool:
    """Whether one of the arguments is the CPU by name; what ``y.device`` gave is the device of ``y``, the IPU."""
    named = [v for v in values if isinstance(v, (str, torch.device)) and str(v).startswith("cpu")]
    return any(not session.knows_device(v) for v in named) and not _from_library()


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    out = torch.zeros((*tensor.shape, num_classes), dtype=torch.int64, device=tensor.device)
    try:
        return out.scatter_(-1, tensor.unsqueeze(-1).to(torch.int64), 1)
    except (IndexError, RuntimeError) as error:
        if "out of bounds" not in str(error):
            raise
        refuse(38, f"one_hot has a class outside of 0 to {num_classes - 1} ({str(error).splitlines()[0]})")


def _bincount(input: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    ones = torch.ones_like(input) if weights is None else weights
    return torch.zeros(minlength, dtype=ones.dtype, device=input.device).scatter_add_(0, input, ones)


def _repeat_interleave(input: Tensor, repeats: Any = None, dim: Any = None, **kwargs: Any) -> Tensor:
    """By a number: torch 2.0 goes through the form for tensors, whose size depends on the data."""
    if not isinstance(repeats, int):
        given = [] if repeats is None else [repeats]
        return torch.repeat_interleave(input, *given, dim=dim, **kwargs)  # type: ignore[call-overload,no-any-return]
    tensor, dim = (input.reshape(-1), 0) if dim is None else (input, dim % input.dim())
    shape = list(tensor.shape)
    shape.insert(dim + 1, repeats)
    return tensor.unsqueeze(dim + 1).expand(shape).flatten(dim, dim + 1)


_FIXED_SHAPE: Dict[Any, Callable[..., Any]] = {
    F.one_hot: _one_hot,
    torch.bincount: _bincount,
    Tensor.bincount: _bincount,
    torch.repeat_interleave: _repeat_interleave,
    Tensor.repeat_interleave: _repeat_interleave,
}
