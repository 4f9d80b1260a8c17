"""Running a recorded program on the processor: steps, updates, outputs."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from .errors import Error
from .recording import Graph, Place


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
                args, kwargs = tree_map(lambda v: env[v.number] if isinstance(v, Place) else v, (args, kwargs))
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
STATE = {
    "step": "Step",
    "exp_avg": "Accl1",
    "exp_avg_sq": "Accl2",
    "momentum_buffer": "Accl3",
    "square_avg": "Accl1",
    "grad_avg": "Accl2",
}
KEPT = {
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
