"""Checks of what a device can do about updates of weights, against plain torch on the host.

Rules: only what ``DeviceCapabilities.updates`` declares is checked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Mapping, Optional, Tuple

import torch
from torch import Tensor
from torch.optim import SGD

from gnnkit.backends import load_backend, move_model
from gnnkit.devices import Device, StepOptions, UpdatingStep
from gnnkit.loading.base import without_targets
from gnnkit.nn import GNN
from gnnkit.parallel import World
from gnnkit.tasks import LossModule
from gnnkit.testing.compare import compare_states
from gnnkit.testing.device_base import DeviceBase, loss_of
from gnnkit.testing.graphs import communities
from gnnkit.testing.processes import as_processes
from gnnkit.testing.suite import check
from gnnkit.testing.training import batches_of_sizes, plain_step, task

_CLIP = 0.05
_DECAY = 0.7


class UpdateChecks(DeviceBase):
    """Checks of accumulation, of the moving average of weights and of sparse gradients."""

    @check(needs=["accumulate"])
    def test_accumulate(self) -> None:
        """Batches that are joined to one update count by their targets.

        Where ``updates`` declares "accumulate", two batches of 50 targets and one, and a last one of 20 after which
        ``finish`` is called, give the weights of plain torch on the joined batches, clipped; before an update the
        weights stay as they are.
        """
        model, reference = self.model(), move_model(self.model(), load_backend("reference"))
        optimizer = SGD(reference.parameters(), lr=0.5)
        with self.device() as device:
            first, second, last = batches_of_sizes(model, device, [50, 1, 20])
            step = _updating_step(device, model, StepOptions(clip_norm=_CLIP, accumulate=2))
            for number, group in enumerate(([first, second], [last]), 1):
                before = reference.canonical_state()
                losses, count = [], sum(batch.num_targets for batch in group)
                for batch in group:
                    step.pull()
                    compare_states(model.canonical_state(), before, f"before update {number}", 1e-3)
                    loss_of(device, step, batch)
                    loss, _ = LossModule(reference.train(), task())(batch)
                    losses.append(loss * batch.num_targets / count)
                if number == 2:
                    step.finish()
                optimizer.zero_grad()
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(reference.parameters(), _CLIP)
                optimizer.step()
                step.pull()
                compare_states(model.canonical_state(), reference.canonical_state(), f"after update {number}", 1e-3)
            step.finish()
            step.pull()
            compare_states(model.canonical_state(), reference.canonical_state(), "after finish with nothing left", 1e-3)

    @check(needs=["average"])
    def test_average(self) -> None:
        """The moving average of weights is that of plain torch, and is resumed.

        Where ``updates`` declares "average", the module has the average within ``averaged`` and its own weights after
        it, and a step that takes the state of another goes on with its average.
        """
        model, reference = self.model(), move_model(self.model(), load_backend("reference"))
        optimizer = SGD(reference.parameters(), lr=0.5)
        average = reference.canonical_state()
        with self.device() as device:
            (batch,) = batches_of_sizes(model, device, [50])
            step: Optional[UpdatingStep] = None
            for number in range(1, 5):
                if number in (1, 3):  # The second step goes on from the first one's state.
                    state = {} if step is None else step.state_dict()
                    step = _updating_step(device, model, StepOptions(average=_DECAY))
                    step.load_state_dict(state)
                assert step is not None
                loss_of(device, step, batch)
                plain_step(reference, optimizer, batch)
                now = reference.canonical_state()
                average = {name: _DECAY * value + (1 - _DECAY) * now[name] for name, value in average.items()}
                with step.averaged():
                    step.pull()
                    compare_states(model.canonical_state(), average, f"averaged after step {number}", 1e-3)
                step.pull()
                compare_states(model.canonical_state(), now, f"after the average of step {number}", 1e-3)

    @check(needs=["sparse"])
    def test_sparse(self) -> None:
        """Sparse gradients of embeddings update as dense ones do.

        Where ``updates`` declares "sparse", gradient descent on embeddings with sparse gradients, clipped and joined
        from two batches, gives the weights of plain torch with dense gradients.
        """
        spec = replace(self.model().spec, num_embeddings=communities().num_nodes)
        model, reference = GNN(spec, self.make_backend()), GNN(spec, load_backend("reference"))
        model.embedding.sparse = True
        optimizer = SGD(reference.parameters(), lr=0.5)
        with self.device() as device:
            step = _updating_step(device, model, StepOptions(clip_norm=_CLIP, accumulate=2))
            group = batches_of_sizes(model, device, [50, 20])
            losses, count = [], sum(batch.num_targets for batch in group)
            for batch in group:
                loss_of(device, step, batch)
                loss, _ = LossModule(reference.train(), task())(batch)
                losses.append(loss * batch.num_targets / count)
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(reference.parameters(), _CLIP)
            optimizer.step()
            step.pull()
            compare_states(model.canonical_state(), reference.canonical_state(), "after an update", 1e-3)

    @check(needs=["processes"])
    def test_processes(self) -> None:
        """Two processes with parts of a batch update as one with all of it.

        Where ``updates`` declares "processes", steps of two processes on 50 targets and one, and on 20 and none, give
        both of them the loss and the weights of plain torch on the joined targets, clipped. They talk by
        ``StepOptions.world`` alone: here it is of two threads.
        """
        with self.device() as device:
            some = batches_of_sizes(self.model(), device, [50, 1, 20])
        groups = [some[:2], [some[2], without_targets(some[2])]]
        reference = move_model(self.model(), load_backend("reference"))
        optimizer = SGD(reference.parameters(), lr=0.5)
        expected: List[Tuple[float, Mapping[str, Tensor]]] = []
        for group in groups:
            learnt = [batch for batch in group if batch.num_targets]
            count = sum(batch.num_targets for batch in learnt)
            parts = [LossModule(reference.train(), task())(batch)[0] * batch.num_targets / count for batch in learnt]
            loss = torch.stack(parts).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(reference.parameters(), _CLIP)
            optimizer.step()
            state = {name: value.clone() for name, value in reference.canonical_state().items()}
            expected.append((float(loss.detach()), state))

        def work(world: World) -> None:
            with self.device() as device:
                model = self.model()
                step = _updating_step(device, model, StepOptions(clip_norm=_CLIP, world=world))
                for number, (group, (loss, state)) in enumerate(zip(groups, expected), 1):
                    received = loss_of(device, step, group[world.rank])
                    where = f"of process {world.rank} after step {number} of two processes"
                    assert abs(received - loss) < 1e-3, f"the loss {where} is {received:.6g}, expected {loss:.6g}."
                    step.pull()
                    compare_states(model.canonical_state(), state, where, 1e-3)

        as_processes(2, work)


def _updating_step(device: Device, model: GNN, options: StepOptions) -> UpdatingStep:
    step = device.prepare(LossModule(model, task()), SGD(model.parameters(), lr=0.5), options)
    assert isinstance(step, UpdatingStep), "updates are declared, and the step has no finish() and averaged()."
    return step
