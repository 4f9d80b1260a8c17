"""Checks of a device's step, one at a time, against forward, loss, backward and update in plain torch on the host.

Rules: both start from the same weights and take the same batches; on a device with fixed shapes these are padded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from gnnkit.backends import load_backend, move_model
from gnnkit.data import Batch, BatchKey
from gnnkit.devices import Device, StepOptions, load_device
from gnnkit.nn import GNN
from gnnkit.tasks import LossModule
from gnnkit.testing.compare import compare, compare_states
from gnnkit.testing.device_base import DeviceBase, evaluated, loss_of
from gnnkit.testing.global_state import unchanged_settings
from gnnkit.testing.graphs import communities, draw, many_graphs
from gnnkit.testing.suite import check
from gnnkit.testing.training import (
    HOW,
    batches,
    batches_of_sizes,
    compare_losses,
    graph_batches,
    outputs,
    plain_step,
    task,
)

# Adam divides by the root of the squared gradient, which scales rounding up where a gradient is nearly 0; a larger eps
# keeps that from hiding what is compared.
_OPTIMIZERS: Mapping[str, Tuple[Callable[[Any], Optimizer], Optional[float]]] = {
    "sgd": (lambda parameters: SGD(parameters, lr=0.5), None),
    "sgd, clipped": (lambda parameters: SGD(parameters, lr=0.5), 0.05),
    "adam": (lambda parameters: Adam(parameters, lr=0.01, eps=1e-3), None),
    "adam, weight decay": (lambda parameters: Adam(parameters, lr=0.01, eps=1e-3, weight_decay=0.1), None),
}


class StepChecks(DeviceBase):
    """Checks of steps."""

    @check(over=list(HOW))
    def test_put(self, case: str) -> None:
        """A batch arrives as it was sent.

        ``put`` changes no value, no dtype, no shape and not the order of blocks, wherever in memory features lie; the
        number of targets and the batch's key arrive too; layers that share a block
        share one still; the host's batch stays as it was and can be put again.
        """
        with self.device() as device:
            (batch,) = batches(self.model(), device, case, 1)
            _compare_put(device, batch)

    @check()
    def test_graphs(self) -> None:
        """Batches of whole graphs are batches like others.

        A batch of graphs arrives as it was sent, the flow from nodes to graphs included; three training steps give the
        losses, outputs and weights of plain torch, padded where the device asks for it.
        """
        settings = {"graph": many_graphs(), "pooling": "sum", "out_channels": 3}
        model, reference = self._pair(**settings)
        optimizer = SGD(reference.parameters(), lr=0.1)
        with self.device() as device:
            step = self.training_step(device, model)
            for i, batch in enumerate(graph_batches(model, device, 3)):
                _compare_put(device, batch)
                result = step(device.put(batch))
                device.synchronize()
                loss, out = plain_step(reference, optimizer, batch)
                real = batch.nodes >= 0
                compare(f"the loss of graphs in step {i + 1}", result.loss.reshape(()), torch.tensor(loss), 1e-4)
                compare(f"an output of a graph in step {i + 1}", result.outputs.cpu()[real], out[real], 1e-3)
            step.pull()
            compare_states(model.canonical_state(), reference.canonical_state(), "after three steps on graphs", 1e-3)

    @check(over=[f"{optimizer}; {how}" for optimizer in _OPTIMIZERS for how in HOW])
    def test_steps(self, case: str) -> None:
        """A step is the plain torch step.

        Three training steps in a row give the losses, outputs and, after ``pull``, the weights that plain torch gives,
        with gradient descent, clipped or not, and Adam, with weight decay or not.
        """
        name, how = case.split("; ")
        make, clip = _OPTIMIZERS[name]
        with self.device() as device:
            model, reference = self.model(), move_model(self.model(), load_backend("reference"))
            step = device.prepare(LossModule(model, task()), make(model.parameters()), StepOptions(clip_norm=clip))
            plain = make(reference.parameters())
            for i, batch in enumerate(batches(model, device, how, 3)):
                result = step(device.put(batch))
                device.synchronize()
                loss, out = plain_step(reference, plain, batch, clip)
                assert result.loss.numel() == 1, f"the loss has shape {list(result.loss.shape)}, expected a scalar."
                assert not result.loss.requires_grad, "the loss is not detached."
                assert result.num_targets == batch.num_targets, f"num_targets is {result.num_targets}."
                compare(f"the loss of step {i + 1}", result.loss.reshape(()), torch.tensor(loss), 1e-4)
                real = batch.nodes >= 0
                compare(f"an output of step {i + 1}", result.outputs.detach().cpu()[real], out[real], 1e-3)
            step.pull()
            compare_states(model.canonical_state(), reference.canonical_state(), "after three steps", 1e-3)

    @check()
    def test_evaluating(self) -> None:
        """Evaluating changes nothing.

        A step without an optimiser gives the outputs of the model with dropout off, twice the same, and leaves
        weights and running statistics as they were.
        """
        model = self.model(dropout=0.5, input_dropout=0.5, norm="batch")
        before = model.canonical_state()
        with self.device() as device:
            first, second = outputs(model, device), outputs(model, device)
        compare_states(model.canonical_state(), before, "after evaluating", 0.0)
        compare("an output of the second evaluation", second, first, 1e-6)
        plain = move_model(model, load_backend("reference"))
        compare("an output", first, outputs(plain, load_device("cpu")), 1e-4)

    @check()
    def test_pull(self) -> None:
        """Training, evaluation and the host see the same weights.

        After ``pull`` an evaluating step, made before the training, uses the trained weights; weights that the host
        sets afterwards are used by the next evaluation and by the next training step.
        """
        with self.device() as device:
            model = self.model()
            start = model.canonical_state()
            (batch,) = batches(model, device, "full graph", 1)
            evaluate = device.prepare(LossModule(model, task()), None, StepOptions())
            train = device.prepare(LossModule(model, task()), SGD(model.parameters(), lr=0.5), StepOptions())
            untrained = evaluated(device, evaluate, batch)
            losses_of = [loss_of(device, train, batch)]
            train.pull()
            trained = evaluated(device, evaluate, batch)
            compare("an output after training", trained, outputs(model, load_device("cpu")), 1e-4)
            assert not torch.allclose(trained, untrained, atol=1e-4), "evaluation does not see the trained weights."
            model.load_canonical(start)
            compare("an output with weights set", evaluated(device, evaluate, batch), untrained, 1e-4)
            losses_of.append(loss_of(device, train, batch))
        compare_losses("training from weights set", losses_of[1:], losses_of[:1], 1e-4)

    @check()
    def test_learning_rate(self) -> None:
        """A learning rate that changes counts.

        With the optimiser's learning rate set to 0 between two steps, the weights stay where they are.
        """
        with self.device() as device:
            model = self.model()
            optimizer = SGD(model.parameters(), lr=0.5)
            (batch,) = batches(model, device, "full graph", 1)
            step = device.prepare(LossModule(model, task()), optimizer, StepOptions())
            states: List[Dict[str, Tensor]] = []
            for rate in (0.5, 0.0):
                optimizer.param_groups[0]["lr"] = rate
                loss_of(device, step, batch)
                step.pull()
                states.append(model.canonical_state())
        compare_states(states[1], states[0], "after a step with learning rate 0", 1e-7)

    @check()
    def test_batch_sizes(self) -> None:
        """Batches of every size count, the smaller last one too.

        Steps on batches of 50, 20, 1 and 50 targets, in that order, give the losses and weights of plain torch. On a
        device with fixed shapes all are padded to the size of the largest.
        """
        self._compare_with_plain([50, 20, 1, 50])

    @check()
    def test_large_batches(self) -> None:
        """Large batches are computed in full.

        A step on a graph with more than 5,000 edges and 100 features gives the outputs and weights of plain torch.
        """
        graph = communities(1500)
        assert graph.x is not None
        graph = replace(graph, x=torch.cat([graph.x, draw(1500, 92, seed=5)], 1))
        model, reference = self._pair(graph=graph)
        with self.device() as device:
            (batch,) = batches(model, device, "full graph", 1, graph)
            step = self.training_step(device, model)
            received = evaluated(device, step, batch)
            step.pull()
            _, out = plain_step(reference, SGD(reference.parameters(), lr=0.1), batch)
            what = f"{graph.num_edges:,} edges and 100 features"
            compare(f"an output with {what}", received, out[batch.nodes >= 0], 1e-4)
            compare_states(model.canonical_state(), reference.canonical_state(), f"after a step with {what}", 1e-4)

    @check()
    def test_many_steps(self) -> None:
        """A step goes on for ever.

        After 150 training steps, each compared, losses and weights are still those of plain torch.
        """
        self._compare_with_plain([50] * 150)

    @check(needs=["float64"])
    def test_float64(self) -> None:
        """float64 is float64.

        Where float64 is declared, three training steps and an evaluation give the numbers of plain torch to 1e-9:
        nothing on the way is rounded to float32.
        """
        model, reference = (model.double() for model in self._pair())
        with self.device() as device:
            (batch,) = batches(model, device, "full graph", 1)
            batch = replace(batch, x=batch.x.double())
            step, optimizer = (
                self.training_step(device, model, precision="float64"),
                SGD(reference.parameters(), lr=0.1),
            )
            for i in range(3):
                received = loss_of(device, step, batch)
                loss, _ = plain_step(reference, optimizer, batch)
                compare(f"the loss of step {i + 1}", torch.tensor(received), torch.tensor(loss), 1e-9)
            step.pull()
            expected = reference.canonical_state()
            compare_states(model.canonical_state(), expected, "after three steps in float64", 1e-9)
            out = evaluated(device, self.evaluating_step(device, model, "float64"), batch)
            expected_out = LossModule(reference.eval(), task())(batch)[1]
            assert out.dtype == torch.float64, f"outputs are {out.dtype}, expected torch.float64."
            compare("an output", out, expected_out[batch.nodes >= 0], 1e-9)

    @check()
    def test_seed(self) -> None:
        """Random numbers come from the seed.

        With dropout, training steps after ``seed`` with another number draw other masks, also where an evaluation came
        in between. With the same number they draw the same; a device with fixed shapes may have random numbers of its
        own.
        """
        with self.device() as device:
            model = self.model(dropout=0.5, input_dropout=0.5)
            (batch,) = batches(model, device, "full graph", 1)
            step = self.training_step(device, model, SGD(model.parameters(), lr=0.0))
            evaluate = self.evaluating_step(device, model)
            found = []
            for seed in (1, 2, 1):
                loss_of(device, evaluate, batch)
                device.seed(seed)
                found.append(loss_of(device, step, batch))
        assert found[0] != found[1], "training steps with dropout have one loss, whatever the seed."
        repeats = self.plugin_class().capabilities.static_shapes or found[0] == found[2]
        assert repeats, f"with the same seed a step has the loss {found[0]:.6g}, then {found[2]:.6g}."

    @check()
    def test_global_state(self) -> None:
        """Settings of the whole process are left as they are.

        Preparing a step, putting a batch, training, evaluating, ``pull`` and ``close`` change neither torch's modes
        (gradients, autocast, default dtype, threads, deterministic algorithms, denormal numbers) nor the state of
        anybody's random numbers: there is no dropout here. What ``training()`` changes for its block is put back.
        """
        model = self.model()
        with self.device() as device:
            (batch,) = batches(model, device, "full graph", 1)
            with unchanged_settings("prepare"):
                train, evaluate = self.training_step(device, model), self.evaluating_step(device, model)
            with unchanged_settings("put"):
                arrived = device.put(batch)
            for what, step in (("a training step", train), ("an evaluating step", evaluate)):
                for mode in (torch.enable_grad(), torch.no_grad()):
                    with mode, unchanged_settings(what):
                        step(arrived)
                        device.synchronize()
            with unchanged_settings("the context of training()"), device.training("float32"):
                train(arrived)
                device.synchronize()
            for precision in sorted(self.plugin_class().capabilities.dtypes & {"bfloat16"}):
                step = self.training_step(device, self.model(), precision=precision)
                with unchanged_settings(f"a training step in {precision}"):
                    step(arrived)
            with unchanged_settings("pull"):
                train.pull()
            with unchanged_settings("close"):
                device.close()

    def _pair(self, **settings: Any) -> Tuple[GNN, GNN]:
        """The same model twice: on the backend, and on the reference one for plain torch."""
        model = self.model(**settings)
        return model, move_model(model, load_backend("reference"))

    def _compare_with_plain(self, sizes: Sequence[int]) -> None:
        """Refuse steps on batches with so many targets whose losses, or weights at the end, are not plain torch's."""
        model, reference = self._pair()
        with self.device() as device:
            of_size = dict(zip(sorted(set(sizes)), batches_of_sizes(model, device, sorted(set(sizes)))))
            step, optimizer = self.training_step(device, model), SGD(reference.parameters(), lr=0.1)
            for i, size in enumerate(sizes):
                where = f"step {i + 1}, on a batch of {size} targets"
                result = step(device.put(of_size[size]))
                device.synchronize()
                loss, _ = plain_step(reference, optimizer, of_size[size])
                compare(f"the loss of {where}", result.loss.reshape(()), torch.tensor(loss), 1e-3)
                assert result.num_targets == size, f"num_targets of a batch of {size} is {result.num_targets}."
                if i < 4 or i == len(sizes) - 1:
                    step.pull()
                    expected = reference.canonical_state()
                    compare_states(model.canonical_state(), expected, f"after {where}", 1e-3)


def _compare_put(device: Device, batch: Batch) -> None:
    """Refuse a device that does not hand on a batch as it is, also a second time and from another place in memory."""
    batch = replace(batch, key=BatchKey(3, 7, 1))
    before = [tensor.clone() for tensor in batch.flatten()]
    for given in (batch, batch, replace(batch, x=batch.x.T.contiguous().T)):
        arrived = device.put(given)
        assert arrived.layout.order == batch.layout.order, "blocks that were shared are not, or in other order."
        assert arrived.layout == batch.layout, f"the layout arrives as {arrived.layout}, expected {batch.layout}."
        for name, ours, theirs in zip(_names(batch), arrived.flatten(), before):
            assert ours.dtype == theirs.dtype, f"{name} arrives as {ours.dtype}, it was sent as {theirs.dtype}."
            compare(name, ours, theirs, 0.0)
        for name in ("num_targets", "key"):
            ours, theirs = getattr(arrived, name), getattr(given, name)
            assert ours == theirs, f"{name} arrives as {ours!r}, it was sent as {theirs!r}."
        compare("a node id", arrived.nodes, batch.nodes, 0.0)
    for ours, theirs in zip(batch.flatten(), before):
        compare("an array of the host's batch", ours, theirs, 0.0)


def _names(batch: Batch) -> List[str]:
    """What the tensors of ``batch.flatten()`` are, in their order."""
    layout = batch.layout
    blocks = [f"{name} of block {i}" for i, block in enumerate(layout.blocks) for name in block.names]
    graphs = [] if layout.graphs is None else [f"{name} of the flow to graphs" for name in layout.graphs.names]
    return [*blocks, *graphs, "x", *(layout.targets or ())]
