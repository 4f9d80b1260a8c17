"""The checks of what a task learns from: its loss and its targets.

Rules: a loss is a mean over the targets that are known; what is drawn is keyed by the seed, the epoch and the items.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, Dict, List

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Targets
from gnnkit.tasks.base import EMBEDDINGS, SCORES
from gnnkit.testing.compare import compare_states
from gnnkit.testing.suite import check
from gnnkit.testing.task_base import (
    WAYS,
    TaskBase,
    close,
    loss_of,
    missing_label,
    outputs_like,
    unchanged_generators,
)


class LossChecks(TaskBase):
    """The loss is a mean over the targets that are known."""

    @check(needs=["the way of training"], over=list(WAYS))
    def test_loss(self, case: str) -> None:
        """The loss is a finite number that outputs can be improved by.

        On training batches it is one finite number, with finite gradients that are not all 0. Computed again it is the
        same, and no global generator has a part in it.
        """
        module = self.module()
        for what, batch in self.batches(case):
            assert batch.targets is not None, f"{what} has no targets."
            outputs = outputs_like(module, batch)
            first, second = unchanged_generators(partial(loss_of, module.task, outputs, batch.targets), "the loss")
            assert math.isfinite(float(first.detach())), f"the loss of {what} is {float(first.detach())}."
            assert torch.equal(first, second), f"the loss of {what} is {first:.6g}, and computed again {second:.6g}."
            (gradient,) = torch.autograd.grad(first, outputs)
            assert bool(gradient.isfinite().all()), f"the gradients of {what} are not all finite."
            assert bool((gradient != 0).any()), f"the loss of {what} has no gradients: nothing can be learned."

    @check()
    def test_nothing(self) -> None:
        """Nothing to learn is a loss of 0.

        Where no target counts, or no label is known, loss and gradients are 0 and finite.
        """
        module = self.module()
        for what, batch in self.batches():
            targets = batch.targets
            assert targets is not None
            nobody = torch.zeros(targets.size, dtype=torch.bool)
            y = targets.y
            if y is not None and module.task.outputs != EMBEDDINGS:
                y = torch.full_like(y, missing_label(y))
            outputs = outputs_like(module, batch)
            loss = loss_of(module.task, outputs, replace(targets, y=y, mask=nobody, num=0))
            (gradient,) = torch.autograd.grad(loss, outputs, allow_unused=True)
            sums = 0.0 if gradient is None else float(gradient.abs().sum())
            received = f"{float(loss.detach()):g}, with gradients of {sums:g} together"
            assert float(loss.detach()) == 0 and sums == 0, (
                f"without anything to learn the loss of {what} is {received}."
            )

    @check()
    def test_mean(self) -> None:
        """The loss is a mean.

        All targets of a batch twice, with their outputs, have the loss of the batch.
        """
        module = self.module()
        for what, batch in self.batches():
            targets = batch.targets
            assert targets is not None
            outputs = outputs_like(module, batch)
            once = loss_of(module.task, outputs, targets)
            twice = loss_of(module.task, _moved(outputs, targets, _twice(targets)), _taken(targets, _twice(targets)))
            told = f"the loss of {what} is {once:.6g}, of its targets twice {twice:.6g}"
            assert close(twice, once, 1e-4), f"{told}: it is no mean over the targets."

    @check()
    def test_order(self) -> None:
        """The order of targets does not matter.

        Targets in another order, with their outputs, have the same loss to 1e-5.
        """
        module = self.module()
        for what, batch in self.batches():
            targets = batch.targets
            assert targets is not None
            outputs = outputs_like(module, batch)
            order = torch.from_numpy(np.random.default_rng(0).permutation(targets.size))
            moved = _moved(outputs, targets, order)
            first, second = (
                loss_of(module.task, *each) for each in ((outputs, targets), (moved, _taken(targets, order)))
            )
            assert close(second, first, 1e-5), f"the loss of {what} is {first:.6g}, in another order {second:.6g}."

    @check(needs=["labels in its loss"])
    def test_missing(self) -> None:
        """What is not known takes no part.

        With every other label missing, the loss is that of the others alone, to 1e-5, whatever the outputs are.
        """
        module = self.module()
        for what, batch in self.batches():
            targets = batch.targets
            assert targets is not None and targets.y is not None
            outputs = outputs_like(module, batch).detach()
            kept = torch.arange(targets.size) % 2 == 0
            y = targets.y.clone()
            y[~kept] = missing_label(targets.y)
            wild = torch.where(kept[:, None], outputs, outputs * 7 + 5) if _is_each(outputs, targets) else outputs
            alone = _moved(outputs, targets, kept.nonzero()[:, 0])
            received = loss_of(module.task, wild, replace(targets, y=y))
            expected = loss_of(module.task, alone, _taken(targets, kept.nonzero()[:, 0]))
            told = f"with every other label missing the loss of {what} is {received:.6g}"
            assert close(received, expected, 1e-5), f"{told}, that of the others alone {expected:.6g}."

    @check(needs=["fixed shapes", "the way of training"], over=list(WAYS))
    def test_padding(self, case: str) -> None:
        """Padding changes nothing.

        Padded batches have the same loss and the same gradients of all parameters, to 1e-5.
        """
        for number, (batch, padded) in enumerate(self.padded(case)):
            found = []
            for each in (batch, padded):
                module = self.module()
                loss, _ = module(each)
                loss.backward()
                gradients = {n: p.grad for n, p in module.parameters_by_name().items() if p.grad is not None}
                found.append((loss, gradients))
            told = f"the loss of batch {number} is {found[0][0]:.6g}, padded {found[1][0]:.6g}"
            assert close(found[1][0], found[0][0], 1e-5), f"{told}: padding counts."
            compare_states(found[1][1], found[0][1], "as gradients of a padded batch", 1e-4)


class DrawChecks(TaskBase):
    """What an epoch goes through."""

    @check()
    def test_items(self) -> None:
        """Items belong to their split.

        What is judged in the validation and test split is theirs, each once. Training is on the training split alone,
        but for embeddings, which learn without labels. Of triples, items are questions: a pair in either direction.
        """
        graph, task = self.labelled(), self.task()
        for split in ("train", "valid", "test"):
            items = task.items(graph, split)
            assert items.level == task.level, f"the items of {split!r} are {items.level}, declared are {task.level}."
            ids = items.ids
            assert ids.dtype == torch.int64 and ids.numel(), f"the items of {split!r} are {ids.dtype} of {ids.numel()}."
            listed = [tuple(each) if items.level == "edges" else each for each in ids.tolist()]
            assert len(set(listed)) == len(listed), f"an item of {split!r} is there twice."
            if split == "train" and task.outputs == EMBEDDINGS:
                continue
            splits = graph.graph_splits if items.level == "graphs" else graph.splits
            own = set(splits[split].tolist() if graph.links is None else map(tuple, graph.links.pairs[split].tolist()))
            if task.needs_relations:
                own |= {(tail, head) for head, tail in own}
            strange = set(listed) - own
            assert not strange, f"item {next(iter(strange))} of {split!r} is not in the split."

    @check(needs=["draws"])
    def test_draws(self) -> None:
        """What is drawn is keyed by the seed, the epoch and the items.

        Drawn twice it is the same, whatever the global generators' states; another seed gives something else, unless
        all nodes are negatives. Rows point at seeds, and the number of targets is right.
        """
        graph, task = self.labelled(), self.task()
        items = self.numbers()[:40]

        def drawn(seed: int, epoch: int) -> List[Tensor]:
            draw = task.draw(graph, seed)
            assert draw is not None
            seeds, targets, _ = draw(items, slice(None), epoch, 0)
            for name, rows in targets.rows.items():
                inside = bool(((rows >= 0) & (rows < len(seeds))).all())
                assert inside, f"rows {name!r} point beyond the {len(seeds)} seeds."
            count = targets.size if targets.y is None else int((~_is_missing(targets.y)).sum())
            assert targets.num == count, f"num says {targets.num} targets, {count} are known."
            return [torch.from_numpy(np.asarray(seeds)), *targets.tensors]

        first, second = unchanged_generators(partial(drawn, 5, 3), "what is drawn")
        assert _same(first, second), "drawn twice with one seed in one epoch, targets differ."
        if task.level == "edges" and task.outputs != SCORES:
            return  # What is true of pairs is given: nothing need be drawn.
        draw = task.draw(graph, 5)
        assert draw is not None
        shared = draw(items, slice(None), 3, 0).targets.rows.get("negatives")
        if shared is not None and shared.ndim == 1 and len(shared) == graph.num_nodes:
            return  # All nodes are negatives: nothing is left to chance.
        assert not (_same(first, drawn(6, 3)) and _same(first, drawn(5, 4))), "neither seed nor epoch matters."

    @check(needs=["draws"])
    def test_parts(self) -> None:
        """The parts of a batch draw what the whole would.

        A batch that is too large for fixed sizes is split. What its halves draw for their items is what the whole draws
        for them, in the same order; negatives that all targets share are the same.
        """
        graph, task = self.labelled(), self.task()
        draw, items = task.draw(graph, 5), self.numbers()[:40]
        assert draw is not None
        parts_of_batch = (slice(None), slice(0, 20), slice(20, None))
        whole, *halves = (_resolved(*draw(items, part, 3, 2)[:2]) for part in parts_of_batch)
        for name, values in whole.items():
            shared = name == "negatives" and values.ndim == 1
            parts = [halves[0][name]] if shared else [half[name] for half in halves]
            same = _same([torch.cat(parts)], [values])
            assert same, f"{name}: the halves of a batch draw other targets than the whole. Key what is drawn by item."


def _taken(targets: Targets, places: Tensor) -> Targets:
    """Some targets, in the order of their places."""
    shared = {name for name, rows in targets.rows.items() if name == "negatives" and rows.ndim == 1}
    rows = {name: value if name in shared else value[places] for name, value in targets.rows.items()}
    y, mask = (None if value is None else value[places] for value in (targets.y, targets.mask))
    return Targets(y, rows, mask, 0)


def _twice(targets: Targets) -> Tensor:
    return torch.arange(targets.size).repeat(2)


def _is_each(outputs: Tensor, targets: Targets) -> bool:
    """Whether each target has an output of its own, because it is a node, or because the head has read its rows."""
    return not targets.rows or ("src" in targets.rows and len(outputs) == targets.size)


def _moved(outputs: Tensor, targets: Targets, places: Tensor) -> Tensor:
    """Outputs of the targets at these places; those that rows point at stay where they are."""
    return outputs[places] if _is_each(outputs, targets) else outputs


def _resolved(seeds: Any, targets: Targets) -> Dict[str, Tensor]:
    """What was drawn, as nodes instead of positions."""
    nodes = torch.from_numpy(np.asarray(seeds))
    found = {name: nodes[rows] for name, rows in targets.rows.items()}
    return {**found, **({} if targets.y is None else {"y": targets.y})}


def _same(first: List[Tensor], second: List[Tensor]) -> bool:
    return len(first) == len(second) and all(
        a.shape == b.shape and torch.equal(a.nan_to_num(7.25), b.nan_to_num(7.25)) for a, b in zip(first, second)
    )


def _is_missing(y: Tensor) -> Tensor:
    missing = y.isnan() | (y == -100)
    return missing if missing.ndim == 1 else missing.all(dim=1)
