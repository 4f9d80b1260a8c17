"""Checks of a backend on whole graphs: pooling, virtual nodes, and trainings that use them.

Rules: pooling is message passing from nodes to graphs, which are not among the nodes; results are held to formulas
that add up the nodes of each graph by themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.backends import Backend, build_model, load_backend
from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import StepOptions, load_device
from gnnkit.loading import PadSpec, pad_batch
from gnnkit.nn import CONVS, GNN
from gnnkit.nn.pooling import POOLINGS, Pooling, VirtualNode
from gnnkit.testing.backend_base import BackendBase
from gnnkit.testing.compare import compare
from gnnkit.testing.graphs import FLOWS, draw, many_graphs
from gnnkit.testing.suite import Undeclared, check
from gnnkit.testing.training import compare_losses, fit, losses

_WIDTH = 5
READOUTS = POOLINGS[1:]
"""Ways to pool."""


class GraphChecks(BackendBase):
    """Checks of what models of graphs are made of."""

    @check(needs=["message-passing primitives"], over=READOUTS)
    def test_pooling(self, case: str) -> None:
        """Pooling equals its formula.

        Pooled features, and the gradients of features and parameters, are the formula's, with graphs that have no
        nodes, with more graphs than nodes, without any nodes, and with thousands of nodes in a graph; padded where the
        device asks for it.
        """
        for name, block in FLOWS.items():
            if block.num_src or not self.declared_by_device.static_shapes:
                self._compare(partial(_PoolingModule, self.make_backend(), case), block, f"of {name!r}")

    @check(needs=["message-passing primitives"])
    def test_virtual_node(self) -> None:
        """A virtual node equals its formula.

        What nodes hear from it, and it from them, and the gradients of features and parameters, are the formula's.
        """
        for name, block in FLOWS.items():
            if block.num_src or not self.declared_by_device.static_shapes:
                self._compare(partial(_VirtualModule, self.make_backend()), block, f"of {name!r}")

    @check(needs=["message-passing primitives"], over=[*READOUTS, "virtual node"])
    def test_graph_losses(self, case: str) -> None:
        """The same losses from whole graphs.

        Training and validation losses of three epochs on graphs, packed alike, equal those of the reference backend to
        1e-3.
        """
        how: Dict[str, Any] = {"task": "graph_classification", "batch_size": 16, "packing": "always"}
        found = []
        for backend, device in (
            (self.make_backend(), self.make_device()),
            (load_backend("reference"), load_device("cpu")),
        ):
            found.append(losses(fit(self._model(case, backend), device, many_graphs(), **how)))
        compare_losses("the training", found[0], found[1], 1e-3)

    def _model(self, case: str, backend: Backend) -> GNN:
        """A small model of graphs, of the first convolution that is declared."""
        conv = next(
            name for name in ("gin", "gcn", "sage", "gat", *sorted(self.declared.convs)) if name in self.declared.convs
        )
        settings: Dict[str, Any] = {"pooling": "sum" if case == "virtual node" else case}
        if conv == "sage" and "mean" not in self.declared.aggregations:
            settings["aggregation"] = sorted(self.declared.aggregations)[0]
        if case == "virtual node":
            settings.update(virtual_node=True, encoder_channels=8)
        kind = CONVS[conv]
        if kind.is_propagation and case == "virtual node":
            raise Undeclared("a convolution between whose layers a virtual node can stand")
        if not kind.is_propagation:
            settings.update(norm="layer", dropout=0.0)
        if kind.has_heads:
            settings.update(heads=1, attention_dropout=0.0)
        if not kind.needs_edges:
            settings["edge_channels"] = None
        common = {"hidden_channels": 8, "num_layers": 2, "out_channels": 3, **settings}
        return build_model(conv, many_graphs(), backend=backend, seed=3, **common)

    def _compare(self, make: Any, block: Block, where: str) -> None:
        """Refuse outputs and gradients of a module over a flow that are not those of its formula."""
        module = make(block.num_src)
        x, y = draw(block.num_src, _WIDTH, seed=4), draw(block.num_dst, _WIDTH, seed=5)
        values = {name: value.detach().clone() for name, value in module.named_parameters() if name != "shift"}
        batch = Batch((block,), x, Targets(y, num=block.num_dst), torch.arange(block.num_dst), graphs=block)
        device = self.make_device()
        if device.capabilities.static_shapes:
            batch = _padded(batch)
            module = make(batch.x.shape[0])
            module.load_state_dict({**module.state_dict(), **values})
        step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=1.0), StepOptions())
        out = step(device.put(batch)).outputs
        device.synchronize()
        step.pull()
        leaves = {name: value.double().requires_grad_() for name, value in values.items()}
        features = x.double().requires_grad_()
        expected = module.formula(leaves, block, features)
        compare(f"the output {where}", out.detach().cpu()[: block.num_dst], expected, 1e-4)
        total = (expected * y).sum()
        if total.requires_grad:
            total.backward()
        after = {name: value.detach().cpu() for name, value in module.named_parameters()}
        device.close()
        compare(f"the gradient of features {where}", -after["shift"][: block.num_src], _gradient(features), 1e-4)
        for name, leaf in leaves.items():
            compare(f"the gradient of {name} {where}", values[name] - after[name], _gradient(leaf), 1e-3)


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _padded(batch: Batch) -> Batch:
    """The batch with a few slots more than it needs."""
    assert batch.graphs is not None
    nodes, graphs = batch.graphs.num_src, batch.graphs.num_dst
    square = Block(torch.arange(nodes + 1), torch.arange(nodes), nodes)
    padded = pad_batch(
        Batch((square,), batch.x, batch.targets, batch.nodes, graphs=batch.graphs),
        PadSpec((nodes + 3, nodes + 3), (nodes + 2,), num_graphs=graphs + 2),
    )
    loud = padded.x.clone()
    loud[nodes:] = 50.0  # Whoever reads padding is heard.
    return Batch(padded.blocks, loud, padded.targets, padded.nodes, graphs=padded.graphs)


class _Measured(nn.Module, ABC):
    """What is measured, as a module that a device can prepare; its loss is the sum of outputs times labels."""

    def __init__(self, backend: Backend, num_nodes: int) -> None:
        super().__init__()
        self.backend = backend
        self.shift = nn.Parameter(torch.zeros(num_nodes, _WIDTH))

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Loss and outputs."""
        assert batch.graphs is not None and batch.targets is not None and batch.targets.y is not None
        out = self.outputs(self.backend.lower(batch.graphs), batch.x + self.shift, batch.graphs.dst_mask)
        weights = batch.targets.y
        if batch.targets.mask is not None:
            weights = weights * batch.targets.mask[:, None]
        # Without nodes there need be nothing to differentiate.
        return (out * weights).sum() + 0 * self.shift.sum(), out

    @abstractmethod
    def outputs(self, lowered: Any, h: Tensor, mask: Optional[Tensor]) -> Tensor:
        """Shape [num_graphs, width]."""


class _PoolingModule(_Measured):
    def __init__(self, backend: Backend, kind: str, num_nodes: int) -> None:
        super().__init__(backend, num_nodes)
        self.pooling = Pooling(kind, _WIDTH, backend.ops())
        _set_parameters(self)

    def outputs(self, lowered: Any, h: Tensor, mask: Optional[Tensor]) -> Tensor:
        out: Tensor = self.pooling(lowered, h)
        return out

    def formula(self, values: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """Each graph by itself."""
        return torch.stack([self._pooled(values, rows) for rows in _rows(block, h)])

    def _pooled(self, values: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        if not len(rows):
            return rows.new_zeros(rows.shape[1])
        if self.pooling.kind == "attention":
            scores = rows @ values["pooling.gate.weight"].T + values["pooling.gate.bias"]
            return (scores.softmax(0) * rows).sum(0)
        reduce = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}[self.pooling.kind]
        pooled: Tensor = reduce(rows, 0)  # type: ignore[operator]
        return pooled


class _VirtualModule(_Measured):
    """A virtual node of two layers: nodes hear what it starts with, and it hears them."""

    def __init__(self, backend: Backend, num_nodes: int) -> None:
        super().__init__(backend, num_nodes)
        self.node = VirtualNode(_WIDTH, 2, lambda width: nn.Identity(), backend.ops())
        self.ops = backend.ops()
        _set_parameters(self)

    def outputs(self, lowered: Any, h: Tensor, mask: Optional[Tensor]) -> Tensor:
        state = self.node.initial(self.num_graphs(lowered, h, mask))
        h = h + self.node.to_nodes(lowered, state)
        state = self.node.update(0, lowered, state, h, mask)
        return self.ops.aggregate(lowered, h + self.node.to_nodes(lowered, state), "mean")

    def num_graphs(self, lowered: Any, h: Tensor, mask: Optional[Tensor]) -> int:
        """How many graphs there are; a lowered block does not say."""
        return len(mask) if mask is not None else len(self.ops.aggregate(lowered, h.detach(), "sum"))

    def formula(self, values: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """Each graph by itself."""
        found = []
        for rows in _rows(block, h):
            state = values["node.start"][0]
            own = rows + state
            for part in ("first", "second"):
                state = state + own.sum(0) if part == "first" else state
                state = (values[f"node.{part}.0.weight"] @ state + values[f"node.{part}.0.bias"]).relu()
            found.append((own + state).mean(0) if len(rows) else rows.new_zeros(rows.shape[1]))
        return torch.stack(found)


def _set_parameters(module: nn.Module) -> None:
    """Values of parameters that are the same at every call; the shift of features stays 0."""
    with torch.no_grad():
        for i, (name, parameter) in enumerate(module.named_parameters()):
            if name != "shift":
                parameter.copy_(draw(*parameter.shape, seed=60 + i) / 3)


def _rows(block: Block, h: Tensor) -> List[Tensor]:
    """The features of every graph's nodes."""
    return list(torch.split(h, block.indptr.diff().tolist()))
