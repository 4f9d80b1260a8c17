"""Scores of triples and answers to questions, from a run that learned a knowledge graph."""

from __future__ import annotations

from collections import Counter
from typing import Optional, Sequence, Tuple, Union

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gnnkit.data import Graph, Targets, Typed
from gnnkit.data.check import check_ids
from gnnkit.errors import ConfigError, DataError
from gnnkit.inference.predictions import Recommendations
from gnnkit.sampling.known_answers import known_answers
from gnnkit.tasks import TripleHead
from gnnkit.tasks.triple_ranking import best_answers

Relations = Union[Tensor, ArrayLike, Sequence[str], str]
"""Positions in the schema, or names; one name stands for all."""


def relations_of(relations: Optional[Relations], num: int, graph: Graph) -> Tensor:
    """Relations as positions in the schema.

    Args:
        relations: What was received.
        num: How many there are to be.
        graph: With types.

    Returns:
        Shape [num], int64.

    Raises:
        ConfigError: There are none.
        DataError: They are not ``num`` integers or names, or out of range.
        UnknownNameError: There is no relation of a name.
    """
    schema = _typed(graph).schema
    if relations is None:
        names = ", ".join(map(str, schema.relations[:5]))
        raise ConfigError(
            "The run learned triples, and pairs say nothing of relations. Give relations (a column 'relation', "
            f"--relation NAME): {names}{', ...' if len(schema.relations) > 5 else ''}."
        )
    if isinstance(relations, str):
        return torch.full((num,), schema.relation(relations))
    array = np.asarray(relations)
    if array.dtype.kind in "UO":
        numbers = {name: schema.relation(name) for name in {str(each) for each in array.tolist()}}
        array = np.array([numbers[str(each)] for each in array.tolist()], dtype=np.int64)
    if array.shape != (num,) or array.dtype.kind not in "iu":
        problem = f"received {array.dtype} of shape {list(array.shape)}, expected a relation for each of {num} pairs."
        raise DataError("relations", problem)
    found = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    check_ids(found, "relations", "relation", len(schema.relations))
    return found


@torch.no_grad()
def score_triples(head: TripleHead, h: Tensor, rows: Tensor, relations: Tensor) -> Tensor:
    """Scores of triples, as answers to questions for their tails.

    Args:
        head: In host memory.
        h: Embeddings. Shape [M, D].
        rows: Positions of each triple's head and tail among them. Shape [n, 2], int64.
        relations: Shape [n], int64.

    Returns:
        Shape [n, 1], of the type of embeddings.
    """
    head = head.to(h.dtype)
    parts = [
        head(h, Targets(of, {"src": pairs[:, 0], "dst": pairs[:, 1]}))
        for pairs, of in zip(rows.split(1 << 14), relations.split(1 << 14))
    ]
    return torch.cat(parts)


def answers_of(
    head: TripleHead, h: Tensor, nodes: Tensor, relation: str, k: int, graph: Graph, *, heads: bool, keep_known: bool
) -> Recommendations:
    """The best answers to questions with one relation.

    Args:
        head: In host memory.
        h: Embeddings of all nodes. Shape [N, D].
        nodes: Who is asked about. Shape [n], int64.
        relation: Its name.
        k: How many answers are wanted.
        graph: The data.
        heads: Whether heads are asked for, and ``nodes`` are tails.
        keep_known: Whether answers that the data know are among them.

    Raises:
        UnknownNameError: There is no such relation.
        DataError: A node is not of the type that the relation begins or ends with.
    """
    typed = _typed(graph)
    number = typed.schema.relation(relation)
    kind = typed.schema.relations[number]
    name = kind.dst if heads else kind.src
    wrong = (typed.node_type[nodes] != typed.schema.node_type(name)).nonzero()[:, 0]
    if len(wrong):
        what = "ends" if heads else "begins"
        row, theirs = int(wrong[0]), typed.schema.node_types[int(typed.node_type[nodes[wrong[0]]])]
        problem = f"node {int(nodes[row])} is of type {theirs!r}, and relation {kind} {what} with {name!r}."
        raise DataError("nodes", problem, row=row, fix=f"Give nodes of type {name!r}.")
    known = known_answers(graph) if graph.links is not None else None
    question = number + (len(typed.schema.relations) if heads else 0)
    ids, scores = best_answers(head.to(h.dtype), h, nodes, question, k, None if keep_known else known, typed)
    return Recommendations(nodes, ids, scores)


def check_without_relations(relations: object, task: str) -> None:
    """Refuse relations where a run has no use for them.

    Raises:
        ConfigError: There are some.
    """
    if relations is not None:
        raise ConfigError(f"The run was trained for the task {task!r}, which reads no relations. Leave them out.")


def named_relations(relations: Tensor, graph: Graph) -> Tuple[str, ...]:
    """Names of relations: their own where only one has it, else with the types.

    Args:
        relations: Positions in the schema. Shape [n], int64.
        graph: With types.
    """
    schema = _typed(graph).schema
    counts = Counter(each.name for each in schema.relations)
    names = [each.name if counts[each.name] == 1 else str(each) for each in schema.relations]
    return tuple(names[number] for number in relations.tolist())


def _typed(graph: Graph) -> Typed:
    if graph.typed is None:
        raise DataError("typed", "the graph has no relations, and the run learned triples.")
    return graph.typed
