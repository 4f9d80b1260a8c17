"""What is measured: a piece of work, and the sides that do it.

Rules: everything here is plain values, because it travels to the worker processes as JSON. All sides of a contest do
the same work, unless a side has a work of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Optional, Tuple

from benchmarks.graphs import GraphSpec


@dataclass(frozen=True)
class Work:
    """One training, described in the same way for every side.

    Attributes:
        graph: Which graph.
        conv: "sage" (mean), "gcn", "gin" or "rgcn".
        hidden: Width of the hidden layers.
        layers: Number of layers.
        dropout: Dropout between layers; before the first one too for "gcn", as in the paper.
        fanouts: Neighbours per layer, seeds first, of each relation where there are several; empty for the full graph.
        batch_size: Nodes, pairs or graphs to learn per batch.
        batches: Batches in a turn, or epochs in a turn on the full graph. 0: all training nodes or pairs.
        lr: Learning rate of Adam.
        weight_decay: Of Adam.
        seed: Of the initial weights, which all sides share, and of order and samples.
        device: "cpu" or "cuda".
        task: "node_classification", "link_prediction", "ranking" or "graph_classification". In the second, items are
            pairs, each with one negative that is drawn uniformly for its source, scored by dot products. In the third,
            nothing is trained: pairs are ranked among all nodes, ``batch_size`` at a time. In the last, items are whole
            graphs, whose nodes are added up after the last layer.
        out: Width of the outputs. 0: the number of classes.
        relational: How the outputs of one convolution for each relation become one; "none" for a single one.
        num_bases: Of "rgcn". 0: a matrix for each relation.
    """

    graph: GraphSpec
    conv: str = "sage"
    hidden: int = 256
    layers: int = 3
    dropout: float = 0.0
    fanouts: Tuple[int, ...] = ()
    batch_size: int = 1024
    batches: int = 20
    lr: float = 0.003
    weight_decay: float = 0.0
    seed: int = 0
    device: str = "cpu"
    task: str = "node_classification"
    out: int = 0
    relational: str = "none"
    num_bases: int = 0

    @property
    def is_links(self) -> bool:
        """Whether pairs are learnt or ranked."""
        return self.task in ("link_prediction", "ranking")

    @property
    def is_graphs(self) -> bool:
        """Whether whole graphs are learnt."""
        return self.task == "graph_classification"

    @property
    def is_full(self) -> bool:
        """Whether the full graph is trained on."""
        return not self.fanouts and self.task == "node_classification"

    @property
    def table(self) -> str:
        """The section of docs/benchmarks.md that shows it."""
        if self.is_graphs:
            return "graphs"
        if self.graph.is_typed:
            return "typed"
        return "links" if self.is_links else self.device

    @classmethod
    def from_dict(cls, values: Dict[str, Any]) -> Work:
        """The inverse of :func:`dataclasses.asdict`."""
        return cls(**{**values, "graph": GraphSpec(**values["graph"]), "fanouts": tuple(values["fanouts"])})


@dataclass(frozen=True)
class SideSpec:
    """One side.

    Attributes:
        runs: Which class does the work; a key of ``benchmarks.worker.SIDES``.
        label: What tables call it.
        settings: For gnnkit: "backend", and fields of the Trainer. For others: what the class says.
        keep_memory: Tell glibc to keep freed memory, before anything is imported. gnnkit's own setting is another.
        cores: Processor cores that the process may use. None: all that the harness has.
        work: A work of its own. None: that of the contest.
        same_work: Whether it samples as gnnkit does, so that nodes and edges of a batch must agree.
        within: Key of the side whose process does this one's work as well, a batch of each by turns. For work so short
            that two processes, which never have the same pages of memory, differ by more than what is asked. None: it
            has a process of its own.
    """

    runs: str
    label: str
    settings: Dict[str, Any] = field(default_factory=dict)
    keep_memory: bool = False
    cores: Optional[int] = None
    work: Optional[Work] = None
    same_work: bool = True
    within: Optional[str] = None


def to_message(work: Work, side: SideSpec) -> Dict[str, Any]:
    """What a worker process is started with."""
    return {"work": asdict(side.work or work), "side": {**asdict(side), "work": None}}
