"""The emulated device: its own copy of the weights, micro-batches, accumulation, replicas, the update, the outputs.

Rules: micro-batches of a call are taken in the order (device iteration, accumulation, replica). Parameters are shared
by all replicas; buffers are each replica's own. 64-bit integers are kept in 64 bits, because CPU kernels index with
them; their values fit in 32 bits and they leave as 32 bits.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .dataloader import micro_batches, split
from .device_optim import device_optimizer, hyper_parameters, load_state
from .enums import OutputMode, ReductionType
from .errors import Error
from .options import Options
from .restrictions import refuse
from .session import Session
from .structure import map_tensors, rebuild, tensors_of, to_device, to_host
from .tracing import Program, run_forward

#: What torch and PyG say about an index that is too large.
_INDEX_ERRORS = ("out of bounds", "out of range", "invalid 'dim_size'", "point to valid indices")


class EmulatedDevice:
    """One program on the emulated device.

    Args:
        module: The user's module; its forward runs with the device's weights in place of its own.
        program: What compilation found.
        options: Options of the model.
        optimizer: The user's optimiser; None in inference.
    """

    def __init__(
        self, module: nn.Module, program: Program, options: Options, optimizer: Optional[torch.optim.Optimizer]
    ) -> None:
        self._module = module
        self._program = program
        self._options = options
        self._training = optimizer is not None
        self._parameters: Dict[str, Tensor] = {}
        self._buffers: List[Dict[str, Tensor]] = []
        self._places = _places(module)
        self.upload()
        self._optimizer: Optional[torch.optim.Optimizer] = None
        if optimizer is not None:
            on_device = {id(p): self._parameters[name] for name, p in module.named_parameters()}
            self._optimizer = device_optimizer(optimizer, on_device)
        self.random_seed: int = self._options.random_seed or 0
        self.random_state = self._first_random_state()

    def _first_random_state(self) -> Tensor:
        seed = self._options.random_seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() if seed is None else seed)
            return torch.get_rng_state()

    def upload(self) -> None:
        """Copy the module's weights to the device; parameters already there keep their identity."""
        with torch.no_grad():
            for name, parameter in self._module.named_parameters():
                if name in self._parameters:
                    self._parameters[name].copy_(parameter)
                else:
                    self._parameters[name] = nn.Parameter(to_device(parameter), parameter.requires_grad)
        self.upload_buffers(None)

    def upload_buffers(self, names: Optional[List[str]]) -> None:
        """Copy the module's buffers, all or by name, to every replica."""
        replicas = self._options.replication_factor
        self._buffers = self._buffers or [{} for _ in range(replicas)]
        for name, buffer in self._module.named_buffers():
            if names is None or name in names:
                for own in self._buffers:
                    own[name] = to_device(buffer)

    def download(self) -> None:
        """Copy the weights into the module; buffers come from the first replica.

        Torch does not count that as a change of the tensors, as the real copy goes to their memory.
        """
        for name, parameter in self._module.named_parameters():
            parameter.data.copy_(self._parameters[name].data)
        for name, buffer in self._module.named_buffers():
            buffer.data.copy_(self._buffers[0][name].data)

    def set_hyper_parameters(self, optimizer: torch.optim.Optimizer) -> None:
        """Take over another optimiser's hyper-parameters; the state stays."""
        assert self._optimizer is not None
        for group, values in zip(self._optimizer.param_groups, hyper_parameters(optimizer)):
            group.update({k: v for k, v in values.items() if k in group and k not in ("foreach", "fused")})

    def optimizer_state(self) -> Dict[str, Any]:
        """State of the optimiser on the device."""
        assert self._optimizer is not None
        state = self._optimizer.state_dict()
        return {"ipu_state": state["state"], "ipu_param": state["param_groups"]}

    def load_optimizer_state(self, state: Dict[str, Any]) -> None:
        """Take over a state of the optimiser; hyper-parameters stay."""
        assert self._optimizer is not None
        load_state(self._optimizer, state)

    def run(self, arguments: Dict[str, Any], call: Callable[[Dict[str, Any]], Tuple[Any, Dict[str, Any]]]) -> Any:
        """Make one call.

        Args:
            arguments: All micro-batches' arguments, by name.
            call: Turns named arguments into positional and named ones.
        """
        given = tensors_of(arguments)
        tensors = [to_device(t) for t in given]
        before = [t._version for t in tensors]
        parts = micro_batches(self._options)
        pieces = list(zip(*[split(t, parts) for t in tensors])) or [()] * parts
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.random_state)
            outputs = self._loop([call(rebuild(arguments, list(piece))) for piece in pieces])
            self.random_state = torch.get_rng_state()
        for own, mine, version in zip(given, tensors, before):
            if mine._version != version:
                own.copy_(mine)  # What forward changes in place, the caller sees.
        return join_outputs(outputs, self._options, self._training)

    def _loop(self, calls: List[Tuple[Any, Dict[str, Any]]]) -> List[List[Any]]:
        """Outputs by micro-step and replica."""
        options = self._options
        replicas, accumulation = options.replication_factor, options.Training.gradient_accumulation
        mean = options.Training.accumulation_and_replication_reduction_type is ReductionType.Mean
        outputs: List[List[Any]] = []
        for step in range(options.device_iterations * accumulation):
            outputs.append([])
            for replica in range(replicas):
                args, kwargs = calls[step * replicas + replica]
                out, loss = self._forward(replica, args, kwargs)
                if self._training:
                    self._backward(loss.sum() / (accumulation * replicas if mean else 1))
                outputs[-1].append(map_tensors(to_host, out))
            if self._training and (step + 1) % accumulation == 0:
                self._update()
        return outputs

    def _forward(self, replica: int, args: Any, kwargs: Dict[str, Any]) -> Tuple[Any, Any]:
        values = {**self._parameters, **self._buffers[replica]}
        weights = {place: values[name] for place, name in self._places.items()}
        session = Session(self._training, tracing=False)
        with torch.enable_grad() if self._training else torch.no_grad():
            try:
                out = run_forward(
                    session,
                    lambda *a, **k: functional_call(self._module, weights, a, k, tie_weights=False),
                    args,
                    kwargs,
                )
            except (IndexError, RuntimeError, ValueError) as error:
                if not any(words in str(error) for words in _INDEX_ERRORS):
                    raise
                refuse(38, f"an index is too large ({str(error).splitlines()[0]})", where="")
        check_operators(self._program, session)
        self._check_finite("an output", tensors_of(out))
        return out, session.losses[self._program.loss] if self._training else None

    def _backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self._check_finite("a gradient", [p.grad for p in self._parameters.values() if p.grad is not None])

    def _update(self) -> None:
        assert self._optimizer is not None
        for group in self._optimizer.param_groups:
            if group.get("max_grad_norm") is not None:
                torch.nn.utils.clip_grad_norm_(group["params"], group["max_grad_norm"])
        self._optimizer.step()
        for parameter in self._parameters.values():
            parameter.grad = None

    def _check_finite(self, what: str, tensors: List[Tensor]) -> None:
        if not self._options.Precision.floating_point_exceptions:
            return
        if any(t.is_floating_point() and not bool(torch.isfinite(t).all()) for t in tensors):
            raise Error(
                f"Floating-point exception: {what} is NaN or infinite. Lower the learning rate, or look for a "
                "division by zero or a logarithm of zero."
            )


def _places(module: nn.Module) -> Dict[str, str]:
    """Every place of a module that holds a weight, with the weight's first name.

    A weight may have several places; a place that has several names, in a module that several others hold, is listed
    once, because torch before 2.1 does not put back what it swapped there twice.
    """
    first = {id(tensor): name for name, tensor in [*module.named_parameters(), *module.named_buffers()]}
    places = {}
    for path, layer in module.named_modules():
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        for name, tensor in own:
            places[f"{path}.{name}" if path else name] = first[id(tensor)]
    return places


def check_operators(program: Program, session: Session) -> None:
    """Refuse a run whose operators are not those of compilation."""
    before, now = program.operators, session.operators
    if tuple(now) == before:
        return
    for position, (compiled, found) in enumerate(zip(before, now)):
        if compiled != found:
            refuse(9, f"operator {position} was {compiled} at compilation and is {found} now", where="")
    refuse(9, f"forward had {len(before)} operators at compilation and has {len(now)} now", where="")


def join_outputs(outputs: List[List[Any]], options: Options, training: bool) -> Any:
    """Join the outputs that the output mode returns, along dimension 0.

    Args:
        outputs: By micro-step and replica.
        options: Options of the model.
        training: The default mode is Final in training and All in inference.
    """
    mode = options.output_mode
    if mode is OutputMode.Default:
        mode = OutputMode.Final if training else OutputMode.All
    period = options.output_return_period
    if mode is OutputMode.Final:
        outputs = outputs[-1:]
    elif mode is OutputMode.EveryN:
        outputs = outputs[period - 1 :: period]
        if not outputs:
            raise Error(f"outputMode EveryN with period {period} returns nothing: a call makes fewer micro-steps.")
    elif mode is OutputMode.Sum:
        columns = [list(zip(*[tensors_of(step[r]) for step in outputs])) for r in range(len(outputs[0]))]
        summed = [
            rebuild(outputs[0][r], [torch.stack(c).sum(0, dtype=c[0].dtype) for c in columns[r]])
            for r in range(len(outputs[0]))
        ]
        outputs = [summed]
    flat = [out for step in outputs for out in step]
    if len(flat) == 1:
        return flat[0]
    joined = [torch.stack(c) if c[0].dim() == 0 else torch.cat(c) for c in zip(*[tensors_of(out) for out in flat])]
    return rebuild(flat[0], joined)
