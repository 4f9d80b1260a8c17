"""A stand-in for PopTorch's compiled core: records a program on fake tensors, and runs it on the processor.

Rules: it has the functions that the Python layer calls, as far as training and evaluating on one IPU needs them. A
program is the list of torch's operators that forward made; running it is doing them again, with autograd on. Numbers
are the processor's; nothing is said about a chip. Everything is counted in :data:`CALLS`.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CALLS: Counter = Counter()
_IPU = torch.device("ipu:0")


class Error(Exception):
    """PopTorch's error."""

    type = message = location = ""


class RecoverableError(Error):
    """Never raised here."""


class UnrecoverableError(Error):
    """Never raised here."""


class TracingMode:
    """How a program is made."""

    PopART = 0

    def __init__(self, mode) -> None:
        self.mode = mode


class CompilerOptions:
    """Settings of the compiler, without effect."""


def _fake(mode: FakeTensorMode, like: Tensor, dtype: Optional[torch.dtype] = None) -> FakeTensor:
    """A tensor without values that says to be on the IPU."""
    with no_dispatch():
        meta = torch.empty(like.shape, dtype=dtype or like.dtype, device="meta")
    return _on_ipu(FakeTensor(mode, meta, torch.device("cpu")))


def _on_ipu(tensor: Any) -> Any:
    # Torch's own code takes it for one of the processor: for an IPU's it would ask for parts that torch has not.
    tensor.says_ipu = True
    return tensor


def _device(tensor: Any) -> torch.device:
    own = torch._C._TensorBase.device.__get__(tensor)  # "meta" while torch works out shapes.
    return _IPU if own.type == "cpu" and hasattr(tensor, "says_ipu") and not _WORKING else own


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


class _Recorder(TorchDispatchMode):
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
        if name == "aten::_to_copy" and kwargs.get("device") == _IPU and not hasattr(first, "says_ipu"):
            return self._move(first, kwargs.get("dtype"))
        if name == "aten::detach" and not graph.detaches and id(first) in graph.places:
            out = _like(
                first, _made(func, (first,), {})
            )  # Torch's own, of views and new parameters; forward's are functions.
            graph.place(out, of=graph.places[id(first)])
            return out
        made_there = kwargs.get("device") == _IPU
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
        return _Place(self.graph.places[id(value)])

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


class _Functions(TorchFunctionMode):
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


class _Place:
    """Where a tensor stood among the arguments of an operator."""

    def __init__(self, number: int) -> None:
        self.number = number


class Executable:
    """A compiled program with its weights and its optimiser's state."""

    def __init__(self, graph: Graph, options, training: bool, optimizer) -> None:
        self.graph, self.options, self.training = graph, options, training
        self.attached = options["connection_type"] != 2
        self.weights: Dict[str, Tensor] = {}
        self.settings = optimizer
        self.optimizer: Optional[torch.optim.Optimizer] = None
        self.random = torch.get_rng_state()

    def load(self, names, tensors) -> None:
        """Take over weights; those that are there keep their identity."""
        trained = {self.graph.names[place] for group in self.graph.groups.values() for place in group}
        for name, tensor in zip(names, tensors):
            with torch._C.DisableTorchFunction():  # What is made of the layer's own classes would be one of them.
                value = tensor.detach().clone()
            if name in self.weights:
                self.weights[name].data.copy_(value)
            else:
                self.weights[name] = value.requires_grad_(self.training and name in trained)
        if self.training and self.optimizer is None:
            self.optimizer = self._make_optimizer()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        kind = _KINDS[self.settings["optimizer_type"].name]
        groups = [
            {"params": [self.weights[self.graph.names[place]] for place in self.graph.groups[index]], **_values(group)}
            for index, group in enumerate(self.settings["groups"])
        ]
        if kind is torch.optim.RMSprop:
            groups = [{**group, "centered": "CENTERED" in self.settings["optimizer_type"].name} for group in groups]
        return kind(groups, lr=0.0)

    def update(self, settings) -> None:
        """Take over rates; the state stays."""
        self.settings = settings
        for group, values in zip(self.optimizer.param_groups if self.optimizer else [], settings["groups"]):
            group.update(_values(values))

    def run(self, inputs) -> List[Tensor]:
        """All steps of a call."""
        options = self.options
        replicas, accumulation = options["replication_factor"], options["gradient_accumulation"]
        parts = options["device_iterations"] * accumulation * replicas
        pieces = list(zip(*[tensor.chunk(parts) if parts > 1 else [tensor] for tensor in inputs])) or [()] * parts
        results = []
        for number, piece in enumerate(pieces):
            results.append(self._step(piece, accumulation * replicas))
            if self.training and (number + 1) % (accumulation * replicas) == 0:
                self._update()
        return self._joined(results)

    def _step(self, piece, share: int) -> List[Tensor]:
        graph = self.graph
        env: Dict[int, Tensor] = {place: value.clone() for place, value in graph.constants.items()}
        env.update(zip(graph.inputs, (tensor.clone() for tensor in piece)))
        for place, name in graph.names.items():
            env[place] = self.weights[name]
        state, own = torch.get_rng_state(), self.random
        torch.set_rng_state(own)
        with torch.enable_grad() if self.training else torch.no_grad():
            for func, args, kwargs, places in graph.steps:
                args, kwargs = tree_map(lambda v: env[v.number] if isinstance(v, _Place) else v, (args, kwargs))
                for place, value in zip(places, tree_flatten(func(*args, **kwargs))[0]):
                    if place is not None:
                        env[place] = value
            if self.training:
                if graph.loss is None:
                    raise Error("The model has no loss.")
                (env[graph.loss].sum() / share).backward()
        self.random = torch.get_rng_state()
        torch.set_rng_state(state)
        return [_narrow(env[place]) for place in graph.outputs]

    def _update(self) -> None:
        limit = self.settings.get("maxGradNorm", float("inf"))
        for group in self.optimizer.param_groups:
            if limit != float("inf"):
                torch.nn.utils.clip_grad_norm_(group["params"], limit)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _joined(self, results) -> List[Tensor]:
        mode = self.options["output_mode"]
        if mode == 0:
            results = results[-self.options["replication_factor"] :]
        elif mode == 3:
            results = [[torch.stack(column).sum(0) for column in zip(*results)]]
        if len(results) == 1:
            return results[0]
        return [torch.stack(c) if c[0].dim() == 0 else torch.cat(c) for c in zip(*results)]


def _narrow(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().to({torch.int64: torch.int32}.get(tensor.dtype, tensor.dtype))


_KINDS = {
    "SGD1": torch.optim.SGD,
    "SGD2": torch.optim.SGD,
    "ADAM": torch.optim.Adam,
    "ADAMW": torch.optim.AdamW,
    "RMSPROP": torch.optim.RMSprop,
    "RMSPROP_CENTERED": torch.optim.RMSprop,
}
_STATE = {
    "step": "Step",
    "exp_avg": "Accl1",
    "exp_avg_sq": "Accl2",
    "momentum_buffer": "Accl3",
    "square_avg": "Accl1",
    "grad_avg": "Accl2",
}
_KEPT = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.RMSprop: ("step", "square_avg", "grad_avg", "momentum_buffer"),
}
_PLAIN = {"learningRate": "lr", "weightDecay": "weight_decay"}
_TAKEN = ("lr", "weight_decay", "momentum", "dampening", "nesterov", "eps", "alpha")


def _values(group) -> Dict[str, Any]:
    values = {_PLAIN.get(name, name): value[0] for name, value in group.items() if isinstance(value, tuple)}
    found = {name: values[name] for name in _TAKEN if name in values}
    return {**found, "betas": (values["beta1"], values["beta2"])} if "beta1" in values else found


# What the layer calls, in the order of a compilation

_ACTIVE: List[Tuple[Graph, List[Any]]] = []


def createGraph(mode, inputs, options) -> None:
    """Begin to record."""
    CALLS["createGraph"] += 1
    graph = Graph(inputs)
    # Without gradients: autograd itself asks for a device that torch has not.
    modes = [torch.no_grad(), graph.fakes, _Recorder(graph), _Functions(graph)]
    for each in modes:
        each.__enter__()
    _ACTIVE.append((graph, modes))


def startParametersMove() -> None:
    """Weights are moved from here on."""
    # Else torch would put the tensors without values into the host's own parameters.
    torch.__future__.set_overwrite_module_params_on_conversion(True)


def endParametersMove() -> None:
    """Up to here."""
    torch.__future__.set_overwrite_module_params_on_conversion(False)


def mapParamsToNames(names, tensors) -> None:
    """Say what weights are called."""
    graph = _ACTIVE[-1][0]
    for name, tensor in zip(names, tensors):
        place = graph.places[id(tensor)]
        graph.names[place] = name
        graph.constants.pop(place, None)


def startDispatch() -> None:
    """Forward follows; what was recorded by now moved weights."""
    _ACTIVE[-1][0].steps.clear()


def startOutputsMove() -> None:
    """Outputs are moved from here on."""
    _ACTIVE[-1][0].moves_outputs = True


def endOutputsMove() -> None:
    """Up to here."""
    _ACTIVE[-1][0].moves_outputs = False


def finalizeGraph() -> None:
    """The program is whole."""


def endDispatch(failed) -> None:
    """Stop recording."""
    if _ACTIVE:
        for each in reversed(_ACTIVE[-1][1]):
            each.__exit__(None, None, None)
        _ACTIVE[-1][1].clear()


def destroyDispatcher() -> None:
    """Forget what was recorded."""
    endDispatch(True)
    _ACTIVE.clear()


def compileWithManualTracing(options, attributes, training, optimizer, anchors) -> Executable:
    """Make the program that was recorded."""
    CALLS["compile"] += 1
    return Executable(_ACTIVE[-1][0], options, training, optimizer)


# Running


def loadEngineAndConnectStreams(executable) -> None:
    """Nothing to load."""


def isAttachedToDevice(executable) -> bool:
    """Whether the program holds the device."""
    return executable.attached


def attachToDevice(executable) -> None:
    """Take the device."""
    executable.attached = True


def detachFromDevice(executable) -> None:
    """Let the device go."""
    executable.attached = False


def copyWeightsToDevice_impl(executable, names, tensors) -> None:
    """From the host to the device."""
    CALLS["to_device"] += 1
    executable.load(names, tensors)


def copyWeightsToHost_impl(executable, names, tensors) -> None:
    """From the device into the host's memory, which torch does not notice."""
    CALLS["to_host"] += 1
    for name, tensor in zip(names, tensors):
        tensor.data.copy_(executable.weights[name].data)


def execute(executable, inputs) -> List[Tensor]:
    """Make a call."""
    CALLS["execute"] += 1
    return executable.run(inputs)


def updateOptimizers(executable, settings) -> None:
    """Take over rates."""
    executable.update(settings)


def readOptimizerState(executable) -> Dict[str, Dict[str, Tensor]]:
    """State of the optimiser, by names such as the real core's."""
    state = {}
    names = {id(tensor): name for name, tensor in executable.weights.items()}
    for tensor, values in executable.optimizer.state.items():
        for key, value in values.items():
            if value is not None:
                state[f"{_STATE[key]}___{names[id(tensor)]}"] = torch.as_tensor(value).detach().clone()
    rates = {f"lr___{i}": torch.tensor(float(g["lr"])) for i, g in enumerate(executable.optimizer.param_groups)}
    return {"ipu_state": state, "ipu_param": rates}


def writeOptimizerState(executable, state) -> None:
    """Take over a state that was read."""
    for name, value in state["ipu_state"].items():
        key, _, weight = name.partition("___")
        own = {kind: name for name, kind in _STATE.items() if name in _KEPT[type(executable.optimizer)]}
        executable.optimizer.state[executable.weights[weight]][own[key]] = value.clone()


def getRandomSeed(executable) -> int:
    """Seed of the device."""
    return 0


def getRngState(executable) -> List[Any]:
    """State of the device's random numbers."""
    return [executable.random]


def setRngState(executable, seed, state) -> None:
    """Take over a state, or begin from a seed."""
    if state:
        executable.random = state[0]
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        executable.random = torch.get_rng_state()


def ipuHardwareVersion(num_ipus=1) -> int:
    """As if there were hardware of the second generation."""
    return 2


def getIpuTensorId(tensor) -> int:
    """What tells tensors apart."""
    return id(tensor)


def setLogLevel(level) -> None:
    """Nothing is logged."""


def setPopartLogLevel(level) -> None:
    """Nothing is logged."""


def setCustomCodeletsPath(path) -> None:
    """There are no codelets."""


def poptorchAtExit() -> None:
    """Nothing is left."""


def importPoptorchMetadataFromFile(filename):
    """Executables need a chip's compiler."""
    raise Error("This core keeps no executables.")


def _identity_loss(x, reduction):
    out = (torch.sum, torch.mean, torch.clone)[reduction](x)
    graph = _ACTIVE[-1][0]
    graph.loss = graph.places[id(out)]
    return out


def _optimizer_group(group, parameters) -> None:
    graph = _ACTIVE[-1][0]
    graph.groups[group] = [graph.places[id(parameter)] for parameter in parameters]


def _echo(x):
    return x.clone()


def _nothing(*_) -> None:
    return None


_OPERATORS = {
    "identity_loss(Tensor x, int reduction) -> Tensor": _identity_loss,
    "nop(Tensor x) -> Tensor": _echo,
    "optimizer_group(int group, Tensor[] parameters) -> ()": _optimizer_group,
    "push_name_scope(str name) -> ()": _nothing,
    "pop_name_scope() -> ()": _nothing,
    "begin_ipu_block(int stage, int phase, int ipu) -> ()": _nothing,
    "end_ipu_block() -> ()": _nothing,
}
_LIBRARY = None


def prepare_torch() -> None:
    """Define the operators that the layer calls, and let ``torch.tensor`` put its numbers on the device."""
    global _LIBRARY
    FakeTensor.device = property(_device)
    _LIBRARY = torch.library.Library("poptorch", "DEF")
    for schema, function in _OPERATORS.items():
        _LIBRARY.define(schema)
        _LIBRARY.impl(schema.split("(")[0], function, "CompositeImplicitAutograd")
    make = torch.tensor

    def tensor(data, **kwargs):
        device = kwargs.get("device")
        if not _ACTIVE or device is None or torch.device(device).type != "ipu":
            return make(data, **kwargs)
        return make(data, **{**kwargs, "device": "cpu"}).to(_IPU)

    torch.tensor = tensor
