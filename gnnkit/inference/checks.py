"""What must hold for a run to be used: its data are named, features are those it reads, and numbers are finite."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Tuple

from torch import Tensor

from gnnkit.data import Graph
from gnnkit.data.check import row_chunks
from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.nn import GNN, check_edge_features, check_node_inputs
from gnnkit.runs import Learned, recorded_config
from gnnkit.runs.learned import match_graph

_LOG = logging.getLogger(__name__)


def matched(model: GNN, graph: Graph, learned: Learned) -> Tuple[Graph, Tuple[str, ...]]:
    """A graph as a model knows it, and notes about what was dropped or not checked, which are logged as well.

    Args:
        model: The model.
        graph: Data at hand, not prepared.
        learned: What the model has learned.

    Raises:
        ConfigError: Features of nodes or edges are missing or have another width, or nodes are not those whose
            embeddings the model has.
        DataError: Nodes have no features.
    """
    found, notes = match_graph(graph, learned, model.spec.out_channels)
    check_node_inputs(model.spec, found)
    check_edge_features(model.spec, found)
    for note in notes:
        _LOG.warning("%s: %s.", graph.name, note)
    return found, notes


def check_weights(model: GNN, file: Path) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        CheckpointError: One is; the message names the file and the parameter.
    """
    for name, value in model.parameters_by_name().items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(
                f"{file} holds numbers that are not finite ({name}): the training diverged. Train again, with a lower "
                "learning rate (--lr) or train.clip_norm."
            )


def check_values(values: Tensor, items: Tensor, what: str) -> None:
    """Refuse results that are NaN or infinite.

    Args:
        values: Shape [M, width].
        items: Whose they are: nodes [M], or pairs of nodes [M, 2].
        what: What messages call them.

    Raises:
        ConfigError: One is; the message names the node or the pair.
    """
    for start, part in row_chunks(values):
        broken = ~part.isfinite().all(dim=1)
        if bool(broken.any()):
            item = items[start + int(broken.nonzero()[0])].tolist()
            of = f"node {item}" if isinstance(item, int) else f"the pair ({item[0]}, {item[1]})"
            raise ConfigError(
                f"The model's {what} are not finite, first for {of}. Look for very large features or edge "
                "weights, or compute in another precision."
            )


def check_dataset(path: Path) -> None:
    """Refuse a run that does not say which data it had.

    Args:
        path: Its folder.

    Raises:
        ConfigError: It was made from a graph in memory.
    """
    if "dataset" not in recorded_config(path):
        raise ConfigError(
            f"The run {path} was made from a graph in memory and does not say where that came from. Give the graph: "
            "gnnkit.inference.open_run(run, graph=...)."
        )
