"""A stand-in for PopTorch's compiled core: records a program on fake tensors, and runs it on the processor.

Rules: it has the functions that the Python layer calls, as far as training and evaluating on one IPU needs them. A
program is the list of torch's operators that forward made; running it is doing them again, with autograd on. Numbers
are the processor's; nothing is said about a chip. Everything is counted in :data:`CALLS`.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from .errors import Error, RecoverableError, UnrecoverableError
from .executing import KEPT, STATE, Executable
from .recording import IPU, Functions, Graph, Recorder, device_of

__all__ = ["CALLS", "Error", "Executable", "RecoverableError", "UnrecoverableError"]

CALLS: Counter = Counter()


class TracingMode:
    """How a program is made."""

    PopART = 0

    def __init__(self, mode) -> None:
        self.mode = mode


class CompilerOptions:
    """Settings of the compiler, without effect."""


# What the layer calls, in the order of a compilation

_ACTIVE: List[Tuple[Graph, List[Any]]] = []


def createGraph(mode, inputs, options) -> None:
    """Begin to record."""
    CALLS["createGraph"] += 1
    graph = Graph(inputs)
    # Without gradients: autograd itself asks for a device that torch has not.
    modes = [torch.no_grad(), graph.fakes, Recorder(graph), Functions(graph)]
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


def copyNamedBuffersToDevice_impl(executable, names, tensors) -> None:
    """Some buffers from the host to the device."""
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
                state[f"{STATE[key]}___{names[id(tensor)]}"] = torch.as_tensor(value).detach().clone()
    rates = {f"lr___{i}": torch.tensor(float(g["lr"])) for i, g in enumerate(executable.optimizer.param_groups)}
    return {"ipu_state": state, "ipu_param": rates}


def writeOptimizerState(executable, state) -> None:
    """Take over a state that was read."""
    for name, value in state["ipu_state"].items():
        key, _, weight = name.partition("___")
        own = {kind: name for name, kind in STATE.items() if name in KEPT[type(executable.optimizer)]}
        executable.optimizer.state[executable.weights[weight]][own[key]] = value.clone()


def getRandomSeed(executable) -> int:
    """Seed of the device."""
    return 0


def getRngState(executable) -> List[int]:
    """State of the device's random numbers."""
    return executable.random.tolist()


def setRngState(executable, seed, state) -> None:
    """Take over a state, or begin from a seed."""
    if state:
        executable.random = torch.tensor(state, dtype=torch.uint8)
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
    FakeTensor.device = property(device_of)
    _LIBRARY = torch.library.Library("poptorch", "DEF")
    for schema, function in _OPERATORS.items():
        _LIBRARY.define(schema)
        _LIBRARY.impl(schema.split("(")[0], function, "CompositeImplicitAutograd")
    make = torch.tensor

    def tensor(data, **kwargs):
        device = kwargs.get("device")
        if not _ACTIVE or device is None or torch.device(device).type != "ipu":
            return make(data, **kwargs)
        return make(data, **{**kwargs, "device": "cpu"}).to(IPU)

    torch.tensor = tensor
