"""The loop over epochs: steps, evaluations, and what is kept of them.

Rules: random numbers (order, samples, dropout) depend on the seed, the epoch and the batch alone; a number that is
not finite ends the training.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Callable, ContextManager, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar

from torch import Tensor

from gnnkit.data import Batch, Targets
from gnnkit.devices import UpdatingStep
from gnnkit.loading import Loader
from gnnkit.nn import held_generator
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.state import Position, TrainState
from gnnkit.stages import stage
from gnnkit.train.finite import Losses, check_outputs, check_weights, diverged
from gnnkit.train.job import Job
from gnnkit.train.judging import batch_metric, head_outputs
from gnnkit.train.saver import Saver

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


def repeating_bits(job: Job) -> ContextManager[None]:
    """The device's deterministic context, if the settings ask for it; what it cannot repeat goes into the job."""

    def report(sentence: str) -> None:
        _LOG.warning("Not deterministic: %s", sentence)
        job.nondeterministic.append(sentence)

    return job.device.deterministic(report) if job.config.deterministic else nullcontext()


def train(job: Job, earlier: Optional[TrainState], run_dir: Optional[Path]) -> RunResult:
    """Train until the epochs or the patience are at an end, then judge the best weights.

    Args:
        job: A training made ready; its model has the best weights afterwards.
        earlier: The state that it goes on from, which has been put in.
        run_dir: The run folder, if there is one.

    Raises:
        TrainingError: A loss, a weight or an output became NaN or infinite.
    """
    assert job.config.epochs is not None
    start, progress, callbacks = time.perf_counter(), job.progress, job.callbacks
    for callback in callbacks:
        callback.stopped = None
        callback.on_start(job.model, job.config.epochs - progress.epoch, len(job.loader))
        if earlier is not None:
            callback.on_resume(earlier)
    saver = Saver(job, run_dir)
    with saver.rescuing():
        saver.save()  # A run that is ended early can be done again from here.
        reasons = _train_epochs(job, saver)
    job.step.pull()  # Afterwards nothing is left on the device that could come over the best weights.
    if progress.best_weights:
        job.module.load_canonical(progress.best_weights)
    with stage("testing the best model"):
        valid, test = _judged(job, progress.best_epoch, job.task.judge, "valid", "test")
    result = RunResult(
        model=job.model.eval(),
        backend=job.backend.name,
        device=job.device.name,
        dataset=job.graph.name,
        metric=job.task.metric,
        higher_is_better=job.task.higher_is_better,
        best_epoch=progress.best_epoch,
        history=progress.history,
        valid=valid,
        test=test,
        seconds=time.perf_counter() - start,
        run_dir=run_dir,
        memory=job.device.memory(),
        compile_seconds=job.device.compile_seconds(),
        nondeterministic=job.nondeterministic if job.config.deterministic else None,
        stopped=reasons[0] if reasons else None,
    )
    job.module.float()  # After float64: features that users hold are float32.
    return result


def _train_epochs(job: Job, saver: Saver) -> List[str]:
    """Train until the epochs or the patience are at an end; returns why listeners have stopped it."""
    progress, callbacks = job.progress, job.callbacks
    assert job.config.epochs is not None
    reasons: List[str] = []
    last = progress.epoch if progress.is_stuck else job.config.epochs  # An earlier attempt may have come so far.
    for epoch in range(progress.epoch + 1, last + 1):
        record = _run_epoch(job, epoch, saver)
        with _as_evaluated(job):
            with saver.changes.under_way:
                is_best = progress.update(record, job.module)
                saver.end()
            for callback in callbacks:
                callback.on_epoch(record)
                if is_best:
                    callback.on_best(job.model, record)
        reasons = job.world.from_first(partial(_reasons, callbacks), f"the end of epoch {epoch}")
        is_stopped = bool(reasons) and record.valid_metric is not None
        is_last = progress.is_stuck or is_stopped or epoch == job.config.epochs
        if is_last or (job.keeper is not None and job.keeper.is_due()):
            saver.save()
        if is_last:
            break
    return reasons


def _run_epoch(job: Job, epoch: int, saver: Saver) -> EpochRecord:
    start = time.perf_counter() - job.device.compile_seconds()
    lr, position = job.progress.schedule.lr, job.progress.position
    before = (0.0, 0) if position is None else (position.loss, position.num_targets)
    losses = Losses(epoch, job.module, job.step, lr, before)
    saver.begin(losses)
    done = 0 if position is None else position.batches
    for index, batch in enumerate(_batches(job.loader, epoch, position), start=done):
        with saver.changes.under_way:
            with held_generator():
                job.device.seed(step_seed(job.seed, epoch, index, job.world.rank))
                result = job.step(batch)
            loss = losses.add(index, result)
            saver.batch_done(index, batch.key)
        for callback in job.callbacks:
            callback.on_batch(index)
            if loss is not None:
                callback.on_loss(loss)
                callback.on_outputs(partial(batch_metric, job.task, result.outputs, batch.targets))
        saver.save_if_due()
    with saver.changes.under_way:
        if job.config.accumulate > 1:
            assert isinstance(job.step, UpdatingStep), "the device declares that it accumulates"
            job.step.finish()
        job.device.synchronize()
        saver.settle()
    seconds = time.perf_counter() - job.device.compile_seconds() - start
    train_loss = losses.mean()
    evaluated = epoch % job.config.eval_every == 0 or epoch == job.config.epochs
    if evaluated:
        job.step.pull()
    check_weights(job.module, epoch, lr)
    valid_loss, valid_metric = None, None
    if evaluated:
        with _as_evaluated(job):
            valid_loss, valid_metric = _evaluate(job, epoch)
    speed, norm = losses.num_targets / seconds, losses.gradient_norm
    return EpochRecord(epoch, train_loss, seconds, speed, lr, valid_loss, valid_metric, norm)


def _batches(loader: Loader, epoch: int, position: Optional[Position]) -> Iterator[Batch]:
    """The batches of an epoch that are still to be done."""
    if position is None:
        yield from loader.epoch(epoch)
        return
    # The last one may have been a part of a batch that was too large, with others behind it.
    for batch in loader.epoch(epoch, range(position.number, len(loader))):
        if (batch.key.number, batch.key.part) > (position.number, position.part):
            yield batch


def _as_evaluated(job: Job) -> ContextManager[None]:
    """A context in which the model has the weights that are evaluated and kept: their average, where there is one."""
    if job.config.average is None:
        return nullcontext()
    assert isinstance(job.step, UpdatingStep), "the device declares that it averages"
    return job.step.averaged()


def _evaluate(job: Job, epoch: int) -> Tuple[float, float]:
    """Loss and metric on the validation nodes."""

    def judge(scores: Tensor, targets: Targets) -> Tuple[float, float]:
        loss = float(job.task.validation_loss(scores, targets))
        if not math.isfinite(loss):
            raise diverged(
                f"the loss of the validation nodes is {loss} after epoch {epoch}", job.module, job.progress.schedule.lr
            )
        return loss, job.task.judge(scores, targets)[job.task.metric]

    return _judged(job, epoch, judge, "valid")[0]


def _judged(job: Job, epoch: int, judge: Callable[[Tensor, Targets], T], *splits: str) -> List[T]:
    """What the first process makes of scores and targets of the items of each split, for all processes."""

    def report(done: int, total: int) -> None:
        for callback in job.callbacks:
            callback.on_evaluation(done, total)

    job.step.pull()
    task, graph = job.task, job.labelled
    judged = {split: task.judged(graph, split) for split in splits}
    lists = {split: each.nodes for split, each in judged.items()}
    if task.needs_training_outputs:
        lists = {"train": graph.splits["train"], **lists}
    found: Dict[str, Tensor] = {}
    for inference in dict.fromkeys(job.inferences[split] for split in lists):
        names = [split for split in lists if job.inferences[split] is inference]
        found.update(zip(names, inference.outputs_of_each([lists[split] for split in names], report)))
    targets = {split: each.targets for split, each in judged.items()}

    def scores() -> List[T]:
        for split, outputs in found.items():
            check_outputs(outputs, split, job.module, epoch, job.progress.schedule.lr)
        if not task.needs_training_outputs:
            return [judge(head_outputs(job.module, found[each], targets[each]), targets[each]) for each in splits]
        assert graph.y is not None
        read = task.readout(found["train"], graph.y[lists["train"]])
        return [judge(read(found[split]), targets[split]) for split in splits]

    return job.world.from_first(scores, f"the judgement of epoch {epoch}")


def _reasons(callbacks: Sequence[Callback]) -> List[str]:
    """Why listeners have asked the training to stop."""
    return [callback.stopped for callback in callbacks if callback.stopped is not None]


def step_seed(seed: int, epoch: int, batch: int, rank: int = 0) -> int:
    """Seed of the dropout of one step: the same wherever a run is resumed, another in every process."""
    key = f"{seed}/{epoch}/{batch}" + (f"/{rank}" if rank else "")
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
