"""Does the fast path learn as well as the peer's loop? Whole trainings of both, judged by the same few lines.

Rules: both sides see the same nodes in the same number of epochs and start from the same weights, which differ from
seed to seed; the test nodes are the same. Differences are in percentage points, mean over seeds.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Union

from benchmarks.contests import Contest, Row, ours
from benchmarks.graphs import prepare
from benchmarks.process import NotMeasuredError, Participant
from benchmarks.rows import ARXIV, DGL, FUSED, SAGE, quick
from benchmarks.work import SideSpec, Work

EPOCHS = 5
WITHIN = 0.3
# More noise than elsewhere, so that not every node is classified correctly. With much more, two trainings of one side
# differ by a point from seed to seed, and a difference of a few tenths cannot be told from chance.
CONTEST = Contest(
    f"SAGE 3 x 256, fan-outs 5,10,15, {EPOCHS} epochs over all training nodes",
    replace(SAGE, graph=replace(ARXIV, noise=8.0), fanouts=(5, 10, 15), batches=0),
    {
        "dgl": DGL,
        "ours-pyg": ours("pyg"),
        "ours-pyg-bf16": ours("pyg", ", bfloat16, fused", **FUSED),
    },
    [
        Row("accuracy", "accuracy, float32, `pyg`", DGL.label, "ours-pyg", "dgl"),
        Row("accuracy-bf16", "accuracy, bfloat16, fused, `pyg`", DGL.label, "ours-pyg-bf16", "dgl"),
    ],
)


@dataclass
class Difference:
    """Accuracy of ours and theirs.

    Attributes:
        points: Ours less theirs, in percentage points, mean over seeds.
        error: Standard error of that mean: what chance alone may do. 0 for one seed.
        all_points: The difference for every seed.
        ours: Mean accuracy of our side.
        theirs: Mean accuracy of the other.
    """

    points: float
    error: float
    all_points: List[float]
    ours: float
    theirs: float


def measure(
    contest: Contest, seeds: int, is_quick: bool, say: Callable[[str], None]
) -> Dict[str, Union[Difference, NotMeasuredError]]:
    """Train every side with every seed.

    Args:
        contest: ``CONTEST``, or what is selected of it.
        seeds: How many.
        is_quick: Whether tiny sizes will do.
        say: Called with lines about what is going on.

    Returns:
        The difference of every row by its name, or why there is none.
    """
    contest = quick(contest) if is_quick else contest
    prepare(contest.work.graph)
    reached: Dict[str, Union[List[float], NotMeasuredError]] = {}
    for key, side in contest.sides.items():
        try:
            reached[key] = [
                _train(replace(contest.work, seed=seed), side, 1 if is_quick else EPOCHS) for seed in range(seeds)
            ]
        except NotMeasuredError as error:
            reached[key] = error
        say(f"  {side.label}: {reached[key]}")
    return {row.name: _difference(reached[row.ours], reached[row.theirs]) for row in contest.rows}


def _train(work: Work, side: SideSpec, epochs: int) -> float:
    """Train one side with one seed and return its accuracy."""
    with Participant(work, side) as participant:
        participant.ready()
        for _ in range(epochs):
            participant.ask({"do": "turn"})
        accuracy: float = participant.ask({"do": "accuracy"})["accuracy"]
        return accuracy


def _difference(
    mine: Union[List[float], NotMeasuredError], theirs: Union[List[float], NotMeasuredError]
) -> Union[Difference, NotMeasuredError]:
    for side in (mine, theirs):
        if isinstance(side, NotMeasuredError):
            return side
    assert isinstance(mine, list) and isinstance(theirs, list)
    points = [100 * (a - b) for a, b in zip(mine, theirs)]
    error = statistics.stdev(points) / len(points) ** 0.5 if len(points) > 1 else 0.0
    return Difference(statistics.mean(points), error, points, statistics.mean(mine), statistics.mean(theirs))
