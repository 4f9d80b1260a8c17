"""Scores of pairs of nodes, from embeddings and a run's head, in host memory.

Rules: nothing here holds more scores or gathered embeddings at a time than a bounded number, besides what is returned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional, Union

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gnnkit.data import Graph, Targets
from gnnkit.data.check import check_ids
from gnnkit.errors import CheckpointError, ConfigError, DataError
from gnnkit.inference.predictions import Recommendations
from gnnkit.runs import Learned
from gnnkit.runs.checkpoint import BEST, checkpoint_file, read_head
from gnnkit.sampling.known_pairs import KnownPairs, known_pairs
from gnnkit.tasks import KnowledgeGraph, PairHead, PairTask, TripleHead, make_task, task_class, task_options
from gnnkit.tasks.knowledge_graph import num_relations
from gnnkit.tasks.pairs import score_targets
from gnnkit.tasks.ranking import top_k
from gnnkit.train import RunConfig

KNOWN = ("leave out", "keep")
"""What becomes of known destinations in a recommendation."""


def pairs_of(pairs: Union[Tensor, ArrayLike], num_nodes: int) -> Tensor:
    """Check pairs of nodes.

    Args:
        pairs: What was received.
        num_nodes: Number of nodes of the graph.

    Returns:
        Shape [n, 2], int64.

    Raises:
        ConfigError: There are none.
        DataError: They are not integers, of another shape, or out of range.
    """
    array = np.asarray(pairs)
    if array.size == 0:
        raise ConfigError("No pairs: there is nothing to score. Give at least one pair of node ids.")
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        problem = f"received {array.dtype} of shape {list(array.shape)}, expected integer node ids [n, 2]."
        raise DataError("pairs", problem)
    given = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    for end, what in enumerate(("source", "destination")):
        check_ids(given[:, end], "pairs", what, num_nodes)
    return given


def read_pair_head(
    run: Path, config: RunConfig, learned: Learned, manifest: Mapping[str, Any], graph: Graph
) -> Union[PairHead, TripleHead]:
    """The head of a run about pairs, with the weights of its best epoch.

    Args:
        run: The run folder.
        config: The run's.
        learned: What it learned, which says how many scores a pair has.
        manifest: The run's, which says whether pairs are undirected.
        graph: Data at hand, for tasks with a head of their own.

    Raises:
        CheckpointError: The weights are none of this head.
    """
    cls, width = task_class(config.task), int(manifest["model"]["out_channels"])
    if issubclass(cls, PairTask) and cls.head is PairTask.head:
        options, symmetric = task_options(cls, config.task_options), manifest["data"]["links"]["undirected"]
        head: Union[PairHead, TripleHead] = options.make_head(width, learned.num_scores or 1, symmetric=symmetric)
    elif issubclass(cls, KnowledgeGraph):
        head = task_options(cls, config.task_options).make_head(width, num_relations(graph))
    else:
        made = make_task(cls, graph, config.task_options).head(width)
        if not isinstance(made, PairHead):
            raise ConfigError(f"The head of task {config.task!r} scores no pairs: it is no gnnkit.tasks.PairHead.")
        head = made
    file = checkpoint_file(run, BEST)
    try:
        head.load_state_dict(read_head(file))
    except RuntimeError as error:
        raise CheckpointError(f"{file} has no weights of the head of task {config.task!r}: {error}") from error
    return head.eval()


@torch.no_grad()
def score_pairs(head: PairHead, h: Tensor, rows: Tensor) -> Tensor:
    """Scores of pairs.

    Args:
        head: In host memory.
        h: Embeddings. Shape [M, D].
        rows: Positions of each pair's nodes among them. Shape [n, 2], int64.

    Returns:
        Shape [n, C], of the type of embeddings.
    """
    return score_targets(head.to(h.dtype), h, Targets(rows={"src": rows[:, 0], "dst": rows[:, 1]}))


def check_recommending(k: int, known: str) -> None:
    """Refuse recommendations that cannot be made.

    Raises:
        ConfigError: ``k`` is no number above 0, or ``known`` is no key of ``KNOWN``.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ConfigError(f"k is {k!r}, expected how many destinations to recommend: a whole number above 0.")
    if known not in KNOWN:
        raise ConfigError(f"known is {known!r}, expected {' or '.join(map(repr, KNOWN))}.")


def best_destinations(head: PairHead, h: Tensor, sources: Tensor, k: int, graph: Optional[Graph]) -> Recommendations:
    """The destinations that score highest for each source.

    Args:
        head: In host memory.
        h: Embeddings of all nodes. Shape [N, D].
        sources: Node ids. Shape [n], int64.
        k: How many destinations are wanted.
        graph: Its edges and pairs are left out. None: nothing is but the sources themselves.
    """
    nothing = np.zeros(len(h) + 1, dtype=np.int64)
    known = KnownPairs(nothing, nothing[:0]) if graph is None else known_pairs(graph)
    ids, scores = top_k(head.to(h.dtype).table, h, sources, k, known)
    return Recommendations(sources, ids, scores)
