"""What a run about graphs says of graphs: of those of its data, of another record, or of molecules given as SMILES.

Rules: a graph is computed whole, with others in a batch. Only batches, the record and the result are in memory; of many
SMILES some are read at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gnnkit.data import Graph, graph_items
from gnnkit.devices import StepOptions
from gnnkit.engine.graphs import GraphInference, PooledLayers
from gnnkit.engine.inference import Report, quiet
from gnnkit.errors import ConfigError, DataError, UnknownNameError
from gnnkit.inference.checks import check_values
from gnnkit.inference.molecules import check_molecules
from gnnkit.inference.predictions import GraphPredictions
from gnnkit.runs.learned import GRAPHS
from gnnkit.tasks import LossModule, NodeClassification, task_class, task_options
from gnnkit.tasks.base import LABELS, NUMBERS
from gnnkit.tasks.node_regression import numbers_of
from gnnkit.train.loaders import computed_graph
from gnnkit.train.settings import TrainConfig

if TYPE_CHECKING:
    from gnnkit.inference.run import TrainedRun

Graphs = Union[Tensor, ArrayLike, None]
"""Numbers of graphs in a record; None means all of them."""

POOLED = "pooled"
"""What an embedding is called that the head reads; others are called by their layers."""

Embeddings = Dict[Union[int, str], Tensor]

_AT_A_TIME = 1 << 15
"""SMILES that are graphs in memory at a time."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Which graphs are meant, and how they are computed.

    Attributes:
        graphs: Numbers of graphs, in the order wanted. Shape [M], integers. None: all.
        graph: A record to take them from. None: the run's data.
        smiles: Molecules instead.
        skip_invalid: Whether to leave out SMILES that cannot be read.
        batch_size: Graphs per batch. None: the run's.
    """

    graphs: Graphs = None
    graph: Optional[Graph] = None
    smiles: Optional[Sequence[str]] = None
    skip_invalid: bool = False
    batch_size: Optional[int] = None

    @property
    def is_given(self) -> bool:
        """Whether anything says which graphs are meant."""
        return self.graphs is not None or self.graph is not None or self.smiles is not None


@dataclass(frozen=True, eq=False)
class GraphEmbeddings:
    """Pooled features of graphs.

    Attributes:
        graphs: Numbers of the graphs, in the order asked for; of SMILES their rows. Shape [M], int64.
        values: By layer, or under "pooled" what the head reads. Each of shape [M, width].
        names: A name for each graph. Empty if they have none.
        skipped: What is wrong with SMILES that were left out, by row.
    """

    graphs: Tensor
    values: Embeddings
    names: Tuple[str, ...] = ()
    skipped: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of graphs."""
        return self.graphs.numel()


@dataclass(frozen=True, eq=False)
class _Part:
    """Graphs of one record: the run on it, their numbers there, and those by which the caller knows them."""

    run: TrainedRun
    ids: Tensor
    numbers: Tensor

    @property
    def names(self) -> Tuple[str, ...]:
        """A name for each."""
        names = self.run.graph.graph_names
        return tuple(names[i] for i in self.ids.tolist()) if names else ()


def predict_graphs(run: TrainedRun, asked: Asked, report: Report = quiet) -> GraphPredictions:
    """Outputs for graphs; see :meth:`TrainedRun.predict`."""
    said: List[GraphPredictions] = []
    skipped: Dict[int, str] = {}
    for part in _parts(run, asked, skipped):
        config = _settings(run, asked.batch_size)
        outputs = _computed(part, LossModule(run.model, NodeClassification()), config, report)
        outputs = part.run.head_outputs(outputs)
        check_values(outputs, part.numbers, "outputs", "graph")
        if run.learned.units is not None:
            outputs = run.learned.units.to_data(outputs)
            check_values(outputs, part.numbers, "predictions in the data's units", "graph")
        said.append(
            GraphPredictions(
                part.numbers,
                outputs,
                run.learned.outputs == LABELS,
                run.class_names,
                run.learned.outputs == NUMBERS,
                part.names,
                _true(part),
                _splits(part),
            )
        )
    first = said[0]
    if len(said) > 1:
        first = replace(
            first,
            nodes=torch.cat([each.nodes for each in said]),
            outputs=torch.cat([each.outputs for each in said]),
            names=tuple(name for each in said for name in each.names),
        )
    return replace(first, skipped=skipped)


def embed_graphs(
    run: TrainedRun, asked: Asked, layers: Optional[Sequence[int]] = None, report: Report = quiet
) -> GraphEmbeddings:
    """Pooled features of graphs, by layer; see :meth:`TrainedRun.embed`.

    Raises:
        ConfigError: As :meth:`TrainedRun.embed`.
        DataError: As :meth:`TrainedRun.embed`.
    """
    spec = run.model.spec
    wanted = None if layers is None else run.wanted_layers(layers)
    if wanted is not None and spec.pooling == "attention":
        raise ConfigError(
            "The model pools by attention, which was learnt for what the head reads and not for single layers. Leave "
            "out layers."
        )
    parts: List[_Part] = []
    found: List[Tensor] = []
    skipped: Dict[int, str] = {}
    for part in _parts(run, asked, skipped):
        found.append(_computed(part, PooledLayers(run.model, wanted), _settings(run, asked.batch_size), report))
        check_values(found[-1], part.numbers, "embeddings", "graph")
        parts.append(part)
    joined = found[0] if len(found) == 1 else torch.cat(found)
    values: Embeddings = {POOLED: joined}
    if wanted is not None:
        widths = [spec.conv_spec(layer - 1).out_width for layer in wanted]
        values = dict(zip(wanted, torch.split(joined, widths, dim=1)))
    numbers = torch.cat([part.numbers for part in parts])
    return GraphEmbeddings(numbers, values, tuple(name for part in parts for name in part.names), skipped)


def graph_outputs(run: TrainedRun, ids: Tensor, config: TrainConfig, report: Report) -> Tensor:
    """The encoder's outputs for graphs of the run's data.

    Args:
        run: The run.
        ids: Numbers of graphs. Shape [M], int64.
        config: How they are computed.
        report: Told how many batches are done, and how many there are.
    """
    module = LossModule(run.model, NodeClassification())
    return _computed(_Part(run, ids, ids), module, _settings(run, config.eval_batch_size), report)


def check_asked(run: TrainedRun, asked: Asked, others: Mapping[str, Any]) -> bool:
    """Whether graphs are meant; what does not go with the run is refused.

    Args:
        run: The run.
        asked: What is said of graphs.
        others: What is said of nodes, by name; None for what is not.

    Raises:
        ConfigError: Graphs are asked of a run about nodes or pairs, or nodes of one about graphs.
    """
    if run.learned.level != GRAPHS:
        if asked.is_given or asked.skip_invalid:
            raise ConfigError(
                f"The run was trained for the task {run.config.task!r}, which is not about whole graphs. Leave out "
                "graphs, graph and smiles."
            )
        return False
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise ConfigError(
            f"{given[0]} is for runs about nodes or pairs, and this one was trained for the task {run.config.task!r}: "
            "every graph is computed whole. Leave it out; graphs= says which graphs are meant."
        )
    if isinstance(asked.smiles, str):
        raise ConfigError(f"smiles is the text {asked.smiles!r}, expected a list of SMILES.")
    if asked.smiles is not None and (asked.graph is not None or asked.graphs is not None):
        raise ConfigError("smiles says which graphs are meant. Leave out graph and graphs.")
    if asked.skip_invalid and asked.smiles is None:
        raise ConfigError("skip_invalid is for SMILES that cannot be read. Give smiles, or leave it out.")
    return True


def _parts(run: TrainedRun, asked: Asked, skipped: Dict[int, str]) -> Iterator[_Part]:
    """The graphs that are meant, record by record; SMILES that are left out are noted by row."""
    if asked.smiles is not None:
        yield from _molecules(run, list(asked.smiles), asked.skip_invalid, skipped)
        return
    used = run if asked.graph is None else run.on(asked.graph)
    ids = _ids(asked.graphs, used.graph.num_graphs)
    yield _Part(used, ids, ids)


def _molecules(run: TrainedRun, smiles: List[str], skip_invalid: bool, skipped: Dict[int, str]) -> Iterator[_Part]:
    from gnnkit.datasets.smiles import join_molecules, read_molecules

    check_molecules(run.path, run.record.manifest)
    if not smiles:
        raise ConfigError("No SMILES: there is nothing to predict. Give at least one.")
    for start in range(0, len(smiles), _AT_A_TIME):
        some = smiles[start : start + _AT_A_TIME]
        molecules = read_molecules(some)
        for row, problem in molecules.problems.items():
            if not skip_invalid:
                fix = "Fix it, or leave out such rows (--skip-invalid, skip_invalid=True)."
                raise DataError("smiles", f"{some[row]!r} {problem}.", row=start + row, fix=fix)
            skipped[start + row] = f"{some[row]!r} {problem}"
        kept = [row for row in range(len(some)) if row not in molecules.problems]
        if kept:
            graph = join_molecules(molecules, [some[row] for row in kept], name="SMILES")
            yield _Part(run.on(graph), torch.arange(len(kept)), start + torch.tensor(kept))
    if len(skipped) == len(smiles):
        raise DataError("smiles", f"none of {len(smiles)} can be read; the first: {skipped[0]}.")


def _ids(graphs: Graphs, num_graphs: int) -> Tensor:
    if graphs is None:
        return torch.arange(num_graphs)
    array = np.asarray(graphs)
    if array.size == 0:
        raise ConfigError("No graphs: there is nothing to compute. Give at least one number of a graph.")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        received = f"received {array.dtype} of shape {list(array.shape)}"
        raise DataError("graphs", f"{received}, expected integer numbers of graphs [M].")
    outside = (array < 0) | (array >= num_graphs)
    if outside.any():
        row = int(outside.argmax())
        raise DataError("graphs", f"there is no graph {array[row]}, expected 0 to {num_graphs - 1}.", row=row)
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))


def _settings(run: TrainedRun, batch_size: Optional[int]) -> TrainConfig:
    """The recorded settings, with the batch size that is asked for."""
    recorded = run.config.train
    if batch_size is not None:
        if batch_size < 1:
            raise ConfigError(f"The batch size is {batch_size}, expected at least 1.")
        recorded = replace(recorded, eval_batch_size=batch_size)
    static = run.device.capabilities.static_shapes
    return recorded.resolved(run.model.num_layers, static_shapes=static, level=GRAPHS)


def _computed(part: _Part, module: nn.Module, config: TrainConfig, report: Report) -> Tensor:
    """What a module makes of graphs, in the order of ``part.ids``. Shape [M, width]."""
    run = part.run
    graph = computed_graph(run.graph, run.prepared, run.model.spec, config.precision)
    step = run.device.prepare(module, None, StepOptions(config.precision))
    assert config.eval_batch_size is not None
    memory = config.eval_memory * 1e9
    inference = GraphInference(step, run.model, graph, run.device, config.eval_batch_size, memory, run.world)
    return inference.outputs(part.ids, report)


def _splits(part: _Part) -> Tuple[str, ...]:
    """The split of each graph, "" for none. Empty if the data have none."""
    splits = part.run.graph.graph_splits
    if not splits:
        return ()
    names = np.full(part.run.graph.num_graphs, "", dtype=object)
    for name, ids in splits.items():
        names[ids.numpy()] = name
    return tuple(names[part.ids.numpy()].tolist())


def _true(part: _Part) -> Optional[Tensor]:
    """What is true of each graph, as :class:`GraphPredictions` has it; None where the data do not say it."""
    y = true_of(part.run)
    return None if y is None else y[part.ids]


def true_of(run: TrainedRun) -> Optional[Tensor]:
    """What is true of all graphs of a run's data: classes [G], labels [G, C], or numbers in the data's units [G, T].

    Labels and numbers are floating point, NaN where one is missing; a missing class is -100. None where the data do
    not say it.
    """
    items = graph_items(run.graph)
    if run.learned.units is None:
        y = items.y
        if y is None or y.ndim == 1:
            return y
        return torch.where(y < 0, float("nan"), y)
    options = task_options(task_class(run.config.task), run.config.task_options)
    try:
        values, _ = numbers_of(items, getattr(options, "targets", None))
    except (DataError, UnknownNameError):
        return None
    return values if values.shape[1] == len(run.learned.units.names) else None
