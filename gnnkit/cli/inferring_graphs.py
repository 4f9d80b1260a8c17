"""``gnnkit predict`` and ``gnnkit embed`` for runs about graphs: which graphs are meant, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional

from gnnkit.cli.inferring import Asked, Work, notes_about
from gnnkit.errors import ConfigError
from gnnkit.options import whole_numbers

if TYPE_CHECKING:
    from gnnkit.inference import TrainedRun

_MOST_LISTED = 20


def refuse_graphs(asked: Asked, manifest: Mapping[str, Any]) -> None:
    """Refuse options about graphs for a run that is not about graphs."""
    given = {
        "--graphs": asked.graphs is not None,
        "--split": asked.split is not None,
        "--smiles": bool(asked.smiles),
        "--smiles-column": asked.smiles_column is not None,
        "--skip-invalid": asked.skip_invalid,
    }
    _refuse(given, manifest, "is for runs about whole graphs")


def open_graphs(asked: Asked, manifest: Mapping[str, Any], of_nodes: Mapping[str, bool], start: float) -> Work:
    """Open a run about graphs.

    Args:
        asked: The options.
        manifest: The run's.
        of_nodes: Options of the command that are about nodes or pairs, and whether they are given.
        start: When work began.
    """
    from gnnkit.inference import NodeIds, open_run
    from gnnkit.inference.graphs import Asked as GraphsAsked
    from gnnkit.inference.molecules import read_smiles
    from gnnkit.parallel import join_world

    given = {
        "--nodes": asked.nodes is not None,
        "--method": asked.method is not None,
        "--fanouts": asked.fanouts is not None,
        "--new-nodes": asked.new_nodes is not None,
        "--new-edges": asked.new_edges is not None,
        "--undirected": asked.undirected,
        **of_nodes,
    }
    _refuse(given, manifest, "is for runs about nodes or pairs of nodes")
    _check_together(asked)
    where: Dict[str, Any] = {"backend": asked.backend, "device": asked.device, "world": join_world()}
    if asked.smiles:
        smiles = read_smiles(asked.smiles, asked.smiles_column)
        opened = _open_for_molecules(asked.run, manifest, where)
        wanted = GraphsAsked(smiles=smiles, skip_invalid=asked.skip_invalid, batch_size=asked.batch_size)
        differences: List[str] = []
    else:
        opened = open_run(asked.run, dataset=asked.dataset, data_dir=asked.data_dir, **where)
        wanted = GraphsAsked(graphs=_chosen(asked, opened), batch_size=asked.batch_size)
        differences = opened.differences
    notes = notes_about(opened) if not asked.smiles else []
    return Work(opened, NodeIds(0), None, {}, differences, list(opened.notes), notes, start, wanted)


def tell_skipped(work: Work, skipped: Mapping[int, str]) -> Dict[str, Any]:
    """Say which SMILES were left out; gives them for the report, if some were."""
    if not skipped:
        return {}
    assert work.graphs is not None and work.graphs.smiles is not None
    print(f"{len(skipped):,} of {len(work.graphs.smiles):,} SMILES cannot be read and are left out.", file=sys.stderr)
    shown = "; ".join(f"row {row}: {problem}" for row, problem in list(skipped.items())[:_MOST_LISTED])
    more = f"; and {len(skipped) - _MOST_LISTED:,} more" if len(skipped) > _MOST_LISTED else ""
    work.notes.append(f"left out, rows counted from 0: {shown}{more}")
    return {"skipped": {str(row): problem for row, problem in skipped.items()}}


def _refuse(given: Mapping[str, bool], manifest: Mapping[str, Any], why: str) -> None:
    for option, is_given in given.items():
        if is_given:
            task = manifest.get("task", "node_classification")
            raise ConfigError(f"{option} {why}, and this one was trained for the task {task!r}. Leave it out.")


def _check_together(asked: Asked) -> None:
    chosen = {"--graphs": asked.graphs, "--split": asked.split}
    if asked.smiles:
        chosen.update({"--dataset": asked.dataset, "--data-dir": asked.data_dir})
        for option, value in chosen.items():
            if value is not None:
                raise ConfigError(f"--smiles says which graphs are meant. Leave out {option}.")
        return
    if asked.graphs is not None and asked.split is not None:
        raise ConfigError("--graphs and --split exclude each other: both say which graphs are meant.")
    for option, is_given in {"--smiles-column": asked.smiles_column, "--skip-invalid": asked.skip_invalid}.items():
        if is_given:
            raise ConfigError(f"{option} is for molecules. Give them with --smiles, or leave it out.")


def _open_for_molecules(run: str, manifest: Mapping[str, Any], where: Mapping[str, Any]) -> TrainedRun:
    """The run on a molecule, so that its own data need not be there."""
    from gnnkit.datasets.smiles import from_smiles
    from gnnkit.inference import open_run
    from gnnkit.inference.molecules import check_molecules

    check_molecules(Path(run), manifest)
    return open_run(run, graph=from_smiles(["C"], name="SMILES"), **where)


def _chosen(asked: Asked, opened: TrainedRun) -> Optional[Any]:
    """Numbers of the graphs that are asked for; None for all."""
    import torch

    if asked.graphs is not None:
        wanted = whole_numbers(asked.graphs, "--graphs")
        beyond = [number for number in wanted if not 0 <= number < opened.graph.num_graphs]
        if beyond:
            raise ConfigError(
                f"--graphs: there is no graph {beyond[0]}, expected numbers from 0 to {opened.graph.num_graphs - 1}."
            )
        return torch.tensor(wanted)
    if asked.split is None:
        return None
    splits = opened.graph.graph_splits
    if asked.split not in splits:
        known = ", ".join(splits) or "none"
        raise ConfigError(f"--split is {asked.split!r}, and the splits of {opened.graph.name!r} are: {known}.")
    return splits[asked.split]
