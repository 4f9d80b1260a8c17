"""What must hold for a run to be used: its data are named, features are those it reads, and numbers are finite."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.data.check import row_chunks
from gnnkit.errors import CheckpointError, ConfigError, DataError
from gnnkit.nn import GNN, check_edge_features, check_node_inputs
from gnnkit.paths import is_file
from gnnkit.runs import Learned, recorded_config
from gnnkit.runs.learned import match_graph
from gnnkit.runs.run_folder import CONFIG
from gnnkit.studies import SUMMARY

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
        DataError: Nodes have no features, or a category is none that the model knows.
    """
    found, notes = match_graph(graph, learned, model.spec.out_channels)
    found = _with_categories(model, found, learned)
    check_node_inputs(model.spec, found)
    check_edge_features(model.spec, found)
    for note in notes:
        _LOG.warning("%s: %s.", graph.name, note)
    return found, notes


def _with_categories(model: GNN, graph: Graph, learned: Learned) -> Graph:
    """A graph whose columns have the categories that the model knows, where its own are as many columns and fit."""
    known = {"x": tuple(model.spec.node_categories)}
    if model.spec.reads_edges:
        known["edge_attr"] = learned.edge_categories
    for field, sizes in known.items():
        codes: Optional[Tensor] = getattr(graph, field)
        mine = graph.node_categories if field == "x" else graph.edge_categories
        if codes is None or mine == sizes:
            continue
        if len(mine) != len(sizes):
            expected, has = (f"{len(each)} columns of categories" if each else "numbers" for each in (sizes, mine))
            raise ConfigError(
                f"Graph {graph.name!r} has {has} in {field}, and the model reads {expected}. Give data with the "
                "features of the training, prepared in the same way."
            )
        _check_codes(graph, field, codes, sizes)
        graph = replace(graph, node_categories=sizes) if field == "x" else replace(graph, edge_categories=sizes)
    return graph


def _check_codes(graph: Graph, field: str, codes: Tensor, sizes: Sequence[int]) -> None:
    most = torch.tensor(sizes)
    for start, chunk in row_chunks(codes):
        beyond = chunk >= most
        if not bool(beyond.any()):
            continue
        row, column = beyond.nonzero()[0].tolist()
        code, row = int(chunk[row, column]), start + row
        node = row if field == "x" else int(graph.dst[row])
        named = f" ({graph.feature_names[column]!r})" if field == "x" and graph.feature_names else ""
        raise DataError(
            field,
            f"column {column}{named} is {code} in {_home(graph, node)}, and the model knows 0 to {sizes[column] - 1} "
            "there.",
            row=row,
            fix="Leave such graphs out, or train anew on data that have the category.",
        )


def _home(graph: Graph, node: int) -> str:
    """The graph of a node, in words."""
    if graph.graph_ptr is None:
        return f"graph {graph.name!r}"
    number = int(torch.searchsorted(graph.graph_ptr, node, right=True)) - 1
    return f"graph {number}" + (f" ({graph.graph_names[number]!r})" if graph.graph_names else "")


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


def check_values(values: Tensor, items: Tensor, what: str, kind: str = "node") -> None:
    """Refuse results that are NaN or infinite.

    Args:
        values: Shape [M, width].
        items: Whose they are: nodes or graphs [M], or pairs of nodes [M, 2].
        what: What messages call them.
        kind: What an item is.

    Raises:
        ConfigError: One is; the message names the node, the graph or the pair.
    """
    for start, part in row_chunks(values):
        broken = ~part.isfinite().all(dim=1)
        if bool(broken.any()):
            item = items[start + int(broken.nonzero()[0])].tolist()
            of = f"{kind} {item}" if isinstance(item, int) else f"the pair ({item[0]}, {item[1]})"
            raise ConfigError(
                f"The model's {what} are not finite, first for {of}. Look for very large features or edge "
                "weights, or compute in another precision."
            )


def check_single(path: Path) -> None:
    """Refuse the folder of several runs.

    Args:
        path: What is taken for a run folder.

    Raises:
        ConfigError: It is one.
    """
    if is_file(path / SUMMARY):
        some = sorted(each.name for each in path.iterdir() if (each / CONFIG).is_file())
        hint = f" such as {path / some[0]}" if some else ""
        raise ConfigError(f"{path} is the summary of several runs. Give one of them{hint}.")


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
