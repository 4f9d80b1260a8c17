"""Sides that take turns: A B C, C B A, A B C, ... Each round gives one ratio for every pair.

Rules: one side works at a time, the others wait for a command with nothing under way. Comparing within a round makes a
machine that grows slower or faster harmless; the median of rounds makes a disturbed round harmless.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

from benchmarks.process import NotMeasuredError, Participant
from benchmarks.work import SideSpec, Work

LOSS_TOLERANCE = 0.05
WORK_TOLERANCE = 0.03


@dataclass
class SideResult:
    """What one side did.

    Attributes:
        label: What tables call it.
        seconds: Per batch (per epoch on the full graph), one of every round.
        losses: Mean loss of every round's turn; None for a side without a model.
        batch: What a batch holds, see :meth:`benchmarks.sides.base.Side.count`.
        same_work: Whether that must agree with gnnkit's.
        peak: Largest resident memory of the process in bytes.
        gpu_waits: Share of a turn in which the CUDA device computed nothing.
    """

    label: str
    same_work: bool
    seconds: List[float] = field(default_factory=list)
    losses: List[Optional[float]] = field(default_factory=list)
    batch: Dict[str, float] = field(default_factory=dict)
    peak: int = 0
    gpu_waits: Optional[float] = None

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return asdict(self)


Outcome = Union[SideResult, NotMeasuredError]


def run_contest(
    work: Work, sides: Mapping[str, SideSpec], *, rounds: int, say: Callable[[str], None]
) -> Dict[str, Outcome]:
    """Let sides take turns.

    Args:
        work: The work of all sides that have none of their own.
        sides: By a short key.
        rounds: Counted rounds; one uncounted comes before them, in which kernels are compiled and caches filled.
        say: Called with lines about what is going on.

    Returns:
        What each side did, or why it did not.
    """
    outcomes: Dict[str, Outcome] = {key: SideResult(side.label, side.same_work) for key, side in sides.items()}
    with ExitStack() as stack:
        say(f"  starting {', '.join(side.label for side in sides.values())}")
        own = {key: side for key, side in sides.items() if side.within is None}
        active = {key: stack.enter_context(Participant(work, side)) for key, side in own.items()}
        for key, side in own.items():
            try:
                active[key].ready()
            except NotMeasuredError as error:
                outcomes[key] = error
                del active[key]
                say(f"  without {side.label}: {error}")

        def ask(key: str, command: Dict[str, Any]) -> Dict[str, Any]:
            """Ask one side; one that fails leaves the contest."""
            if key not in active:
                return {}
            try:
                return active[key].ask(command)
            except NotMeasuredError as error:
                say(f"  {sides[key].label} failed: {error}")
                outcomes[key] = error
                del active[key]
                return {}

        for number in range(rounds + 1):
            told = []
            for key in list(active) if number % 2 else list(reversed(active)):
                answer = ask(key, {"do": "turn"})
                if not number or not answer:
                    continue
                for done, measured in ((key, answer), *answer.get("within", {}).items()):
                    result = outcomes[done]
                    assert isinstance(result, SideResult), "it has answered"
                    result.seconds.append(measured["seconds"] / (sides[done].work or work).batches)
                    # Trainings on other data have other losses.
                    result.losses.append(measured["loss"] if sides[done].work is None else None)
                    told.append(f"{result.label} {result.seconds[-1] * 1000:.4g} ms")
            say(f"  round {number} of {rounds}: {', '.join(told)}" if number else "  warmed up")
        for key in list(active):
            _finish(key, sides[key].work or work, ask, outcomes)
    for key, side in sides.items():
        result, host = outcomes[key], outcomes[side.within or key]
        if isinstance(result, SideResult) and isinstance(host, SideResult):
            result.batch, result.peak = host.batch, host.peak
        else:
            outcomes[key] = host
    return outcomes


def _finish(
    key: str, work: Work, ask: Callable[[str, Dict[str, Any]], Dict[str, Any]], outcomes: Dict[str, Outcome]
) -> None:
    """What is asked once, after the rounds."""
    peak, batch = ask(key, {"do": "memory"}), ask(key, {"do": "count"})
    profile = ask(key, {"do": "turn", "profile": True}) if work.device == "cuda" else {}
    result = outcomes[key]
    if isinstance(result, SideResult):
        result.batch, result.peak, result.gpu_waits = batch, peak["peak"], profile.get("gpu_waits")


@dataclass
class Ratio:
    """A comparison of two sides.

    Attributes:
        median: Of the ratios of all rounds.
        low: The smallest of them.
        high: The largest of them.
        problem: Why the sides did not do the same work; empty if they did.
    """

    median: float
    low: float
    high: float
    problem: str = ""


def ratio(numerator: SideResult, denominator: SideResult) -> Ratio:
    """The first side's seconds over the second's, round by round."""
    values = [a / b for a, b in zip(numerator.seconds, denominator.seconds)]
    return Ratio(statistics.median(values), min(values), max(values), difference(numerator, denominator))


def difference(one: SideResult, other: SideResult) -> str:
    """Why two sides did not do the same work; empty if they did.

    They start from the same weights, so the mean losses of the last turn must be near each other; samples and dropout
    differ. Where both draw neighbours in the same way, batches must hold as many nodes and edges.
    """
    a, b = one.losses[-1], other.losses[-1]
    if a is not None and b is not None and abs(a - b) > LOSS_TOLERANCE * max(a, b) + 0.02:
        return f"losses differ: {a:.4f} and {b:.4f}"
    if one.same_work and other.same_work:
        for name in set(one.batch) & set(other.batch):
            c, d = one.batch[name], other.batch[name]
            if abs(c - d) > WORK_TOLERANCE * max(c, d):
                return f"{name} a batch differ: {c:.0f} and {d:.0f}"
    return ""
