"""Does the fast path learn as well as the peer's loop? Whole trainings of both, judged by the same few lines.

Rules: both sides see the same nodes in the same number of epochs and start from the same weights, which differ from
seed to seed; the test nodes are the same. Differences are in percentage points, mean over seeds.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List

from benchmarks.graphs import prepare
from benchmarks.process import Participant
from benchmarks.rows import ARXIV, DGL, FUSED, SAGE, Contest, Row, ours, quick

EPOCHS = 5
WITHIN = 0.3
# More noise than elsewhere, so that not every node is classified correctly.
CONTEST = Contest(
    f"SAGE 3 x 256, fan-outs 5,10,15, {EPOCHS} epochs over all training nodes",
    replace(SAGE, graph=replace(ARXIV, noise=12.0), fanouts=(5, 10, 15), batches=0),
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
        all_points: The same for every seed.
        ours: Mean accuracy of our side.
        theirs: Mean accuracy of the other.
    """

    points: float
    all_points: List[float]
    ours: float
    theirs: float


def measure(contest: Contest, seeds: int, is_quick: bool, say: Callable[[str], None]) -> Dict[str, Difference]:
    """Train every side with every seed.

    Args:
        contest: ``CONTEST``, or what is selected of it.
        seeds: How many.
        is_quick: Whether tiny sizes will do.
        say: Called with lines about what is going on.

    Returns:
        The difference of every row, by its name.

    Raises:
        NotMeasuredError: A side cannot take part, or failed.
    """
    contest = quick(contest) if is_quick else contest
    prepare(contest.work.graph)
    reached: Dict[str, List[float]] = {key: [] for key in contest.sides}
    for seed in range(seeds):
        for key, side in contest.sides.items():
            with Participant(replace(contest.work, seed=seed), side) as participant:
                participant.ready()
                for _ in range(1 if is_quick else EPOCHS):
                    participant.ask({"do": "turn"})
                answer: Dict[str, Any] = participant.ask({"do": "accuracy"})
            reached[key].append(answer["accuracy"])
            say(f"  seed {seed}, {side.label}: accuracy {answer['accuracy']:.4f}")
    return {row.name: _difference(reached[row.ours], reached[row.theirs]) for row in contest.rows}


def _difference(ours_: List[float], theirs: List[float]) -> Difference:
    points = [100 * (a - b) for a, b in zip(ours_, theirs)]
    return Difference(statistics.mean(points), points, statistics.mean(ours_), statistics.mean(theirs))
