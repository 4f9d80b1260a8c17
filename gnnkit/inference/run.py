"""A trained run, opened: its best model with the data, on any backend and device.

Rules: weights are canonical, so the backend is free. Data are those that the run's configuration names, or a graph that
the caller has; whether they are the run's own is said, not enforced, because new nodes are other data. Their features
and classes are matched to the model's by name; what outputs mean is said by the run alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gnnkit.data import Graph, Targets, check_graph, data_differences, describe_data, message_graph
from gnnkit.data.check import MOST_CHECKED
from gnnkit.datasets import NodeNames
from gnnkit.devices import Device, StepOptions
from gnnkit.engine import LayerwiseInference
from gnnkit.engine.inference import Inference, JoinedLayers, Report, make_inference, quiet
from gnnkit.errors import ConfigError
from gnnkit.inference.checks import check_values, matched
from gnnkit.inference.evaluating import evaluation_settings
from gnnkit.inference.graphs import Asked, Embeddings, Graphs, check_asked, embed_graphs, predict_graphs
from gnnkit.inference.pairs import best_destinations, check_recommending, pairs_of, read_pair_head, score_pairs
from gnnkit.inference.predictions import PairPredictions, Predictions, Recommendations
from gnnkit.inference.triples import (
    Relations,
    answers_of,
    check_without_relations,
    named_relations,
    relations_of,
    score_triples,
)
from gnnkit.nn import GNN, CustomModel
from gnnkit.parallel import ALONE, World, made_once
from gnnkit.runs import Learned, RunRecord
from gnnkit.runs.checkpoint import BEST, checkpoint_file, read_head
from gnnkit.runs.learned import EDGES
from gnnkit.sampling.neighbor import check_node_ids
from gnnkit.tasks import (
    KnowledgeGraph,
    LossModule,
    NodeClassification,
    PairHead,
    Task,
    TripleHead,
    make_task,
    task_class,
)
from gnnkit.tasks.base import EMBEDDINGS, LABELS, NUMBERS, SCORES
from gnnkit.train import RunConfig
from gnnkit.train.judging import head_outputs
from gnnkit.train.loaders import computed_graph, input_reduction, make_sampler
from gnnkit.train.settings import TrainConfig

Nodes = Union[Tensor, ArrayLike, None]
"""Node ids; None means all nodes."""


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained model with its data. Made by :func:`open_run`.

    Attributes:
        path: The run folder.
        model: With the best weights, in evaluation mode.
        graph: Not prepared, with splits; features in the model's order, labels by the numbers of the model's classes.
        record: What the run folder says: manifest and history.
        learned: What outputs mean, and which features the model reads.
        config: The recorded configuration.
        device: Where the model runs.
        names: Reads what the data's files call nodes and features; nothing, for a graph that the caller gave.
        notes: What was dropped from the data to match them to the model, and what could not be checked.
        world: The processes that share what is computed.
    """

    path: Path
    model: GNN
    graph: Graph
    record: RunRecord
    learned: Learned
    config: RunConfig
    device: Device
    names: Callable[[], NodeNames] = NodeNames
    notes: Tuple[str, ...] = ()
    world: World = ALONE

    @cached_property
    def differences(self) -> List[str]:
        """In which parts the graph differs from the data of the run, in words. Empty where they are the same."""
        return data_differences(self.record.manifest["data"], describe_data(self.prepared))

    @property
    def class_names(self) -> Tuple[str, ...]:
        """Names of the model's classes, in the order of its outputs. Empty if they have none."""
        return self.learned.class_names

    @property
    def default_method(self) -> str:
        """How outputs are computed if nothing is said: "layerwise", which gives the exact answer in bounded memory.

        A library layer may look further than to its neighbours, or at all degrees, so that it gives other
        outputs on parts of a graph. Of such a model, outputs are computed as the run was evaluated.
        """
        return "layerwise" if self.model.spec.is_portable else self.config.train.evaluation

    def on(self, graph: Graph) -> TrainedRun:
        """The same model on another graph, for example one with new nodes (:func:`gnnkit.data.add_nodes`).

        Args:
            graph: Not prepared, with the features that the model reads: by name, or where either side has no names, in
                their order. All edges of a graph without links carry messages.

        Raises:
            ConfigError: Features are missing, or have another width.
            DataError: The graph breaks a rule.
        """
        check_graph(graph, most_values=MOST_CHECKED)
        graph, notes = matched(self.model, graph, self.learned)
        return replace(self, graph=graph, notes=notes)

    def predict(
        self,
        nodes: Nodes = None,
        *,
        graphs: Graphs = None,
        graph: Optional[Graph] = None,
        smiles: Optional[Sequence[str]] = None,
        skip_invalid: bool = False,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> Predictions:
        """Compute outputs.

        Args:
            nodes: Node ids. Shape [M], integers. None: all nodes of the graph.
            graphs: For a run about graphs, numbers of graphs. Shape [M], integers. None: all.
            graph: Likewise, a record of graphs, or one graph, to use instead of the data; as for :meth:`on`.
            smiles: For a run about molecules, some as SMILES.
            skip_invalid: Whether SMILES that cannot be read are left out; they are an error otherwise.
            method: "layerwise" (over all neighbours, layer by layer, in bounded memory), "full" (one pass over the
                whole graph) or "sampled". None: :attr:`default_method`.
            fanouts: Neighbours per layer for "sampled", seeds first; -1 takes all. None: those of the run.
            batch_size: Nodes per batch. None: the run's, or 4,096; 1,024 where it sampled nothing. Of a run about
                graphs, graphs per batch; None: the run's.
            report: Told how many batches are done, and how many there are.

        Returns:
            Outputs in the order asked for; of a run about graphs :class:`GraphPredictions`. What is larger than the
            run's ``train.eval_memory`` is mapped from a temporary file, except for "full".

        Raises:
            ConfigError: No such method, fan-outs that do not fit, no nodes, a run that learned no classes or learned
                about pairs, or outputs that are not finite.
            DataError: A node id or a graph that is not there, or a SMILES that cannot be read.
        """
        asked = Asked(graphs, graph, smiles, skip_invalid, batch_size)
        if check_asked(self, asked, {"nodes": nodes, "method": method, "fanouts": fanouts}):
            return predict_graphs(self, asked, report)
        if self.learned.level == EDGES:
            raise ConfigError(
                f"The run was trained for the task {self.config.task!r}, which is about pairs of nodes. Predict pairs "
                "(predict_pairs, --pairs FILE), or embed nodes."
            )
        if self.learned.outputs == EMBEDDINGS:
            task = self.config.task
            raise ConfigError(
                f"The run was trained for the task {task!r}: its outputs are embeddings. Embed nodes instead."
            )
        if self.learned.outputs is None:
            raise ConfigError(
                f"The run {self.path} does not say whether a node has one class or several labels: gnnkit 0.1.0 made "
                "it, and it did not come to its end. Open it with the data that it was trained on."
            )
        ids = self._ids(nodes)
        outputs = self.head_outputs(self._encoded(ids, self._settings(method, fanouts, batch_size), report))
        check_values(outputs, ids, "outputs")
        if self.learned.units is not None:
            outputs = self.learned.units.to_data(outputs)
            check_values(outputs, ids, "predictions in the data's units")
        kind = self.learned.outputs
        return Predictions(ids, outputs, kind == LABELS, self.class_names, kind == NUMBERS)

    def head_outputs(self, h: Tensor) -> Tensor:
        """What the head of the run's task makes of the encoder's outputs."""
        cls = task_class(self.config.task)
        if cls.head is Task.head:
            return h
        module = LossModule(self.model, make_task(cls, self.graph, self.config.task_options))
        module.load_head(read_head(checkpoint_file(self.path, BEST)))
        return head_outputs(module, h, Targets())

    def predict_pairs(
        self,
        pairs: Union[Tensor, ArrayLike],
        *,
        relations: Optional[Relations] = None,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> PairPredictions:
        """Compute what a run about pairs says of pairs of nodes, whether they are edges or not.

        As in testing, the edges of ``links.test_edges`` carry messages where there are some, else the graph's own.

        Args:
            pairs: Source and destination of each. Shape [n, 2], integer node ids.
            relations: For a run about triples, the relation of each pair, by name or position; or one name for all.
            method: How embeddings of their nodes are computed, as for :meth:`predict`.
            fanouts: As for :meth:`predict`.
            batch_size: As for :meth:`predict`.
            report: As for :meth:`predict`.

        Returns:
            Outputs in the order of ``pairs``. Of embeddings, those of the pairs' nodes are kept, as :meth:`predict`
            keeps outputs.

        Raises:
            ConfigError: The run learned about nodes, there are no pairs, or outputs are not finite; or as
                :meth:`predict`.
            DataError: A node id that the graph does not have, or another shape.
        """
        self._check_level("predict_pairs")
        given = pairs_of(pairs, self.graph.num_nodes)
        nodes, rows = torch.unique(given, return_inverse=True)
        head = self.pair_head
        kinds = relations_of(relations, len(given), self.graph) if isinstance(head, TripleHead) else None
        h = self._encoded(nodes, self._settings(method, fanouts, batch_size), report)
        if isinstance(head, TripleHead):
            assert kinds is not None
            outputs = score_triples(head, h, rows, kinds)
        else:
            check_without_relations(relations, self.config.task)
            outputs = score_pairs(head, h, rows)
        check_values(outputs, given, "outputs")
        if self.learned.units is not None:
            outputs = self.learned.units.to_data(outputs)
            check_values(outputs, given, "predictions in the data's units")
        kind = self.learned.outputs
        said = PairPredictions(given, outputs, kind == LABELS, self.class_names, kind == NUMBERS, kind == SCORES)
        return said if kinds is None else replace(said, relations=named_relations(kinds, self.graph))

    def recommend(
        self,
        nodes: Nodes = None,
        k: int = 10,
        *,
        known: str = "leave out",
        relation: Optional[str] = None,
        heads: bool = False,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> Recommendations:
        """Find the destinations that score highest for each node as a source; never the node itself.

        Args:
            nodes: As for :meth:`predict`.
            k: How many for each.
            known: "leave out" those that the node has an edge to, or a pair of any split with; or "keep" them.
            relation: For a run about triples, the relation that is asked about; the node itself may be an answer.
            heads: Likewise, whether nodes are tails and their best heads are wanted.
            method: As for :meth:`predict_pairs`.
            fanouts: As for :meth:`predict`.
            batch_size: As for :meth:`predict`.
            report: As for :meth:`predict`.

        Returns:
            In the order of ``nodes``. Embeddings of all nodes are kept as :meth:`predict` keeps outputs; scores with
            all nodes are there for some sources at a time.

        Raises:
            ConfigError: The run did not learn which pairs are edges, ``k`` is not above 0, or no such ``known``; or as
                :meth:`predict`.
            DataError: As :meth:`predict`.
        """
        self._check_level("recommend", SCORES)
        sources = self._ids(nodes)
        check_recommending(k, known)
        head = self.pair_head
        if isinstance(head, TripleHead):
            relations_of(relation, len(sources), self.graph)
        else:
            check_without_relations(relation or heads or None, self.config.task)
        everyone = torch.arange(self.graph.num_nodes)
        h = self._encoded(everyone, self._settings(method, fanouts, batch_size), report)
        check_values(h, everyone, "embeddings")
        if isinstance(head, TripleHead):
            assert relation is not None
            how = {"heads": heads, "keep_known": known == "keep"}
            return answers_of(head, h, sources, relation, k, self.graph, **how)
        return best_destinations(head, h, sources, k, self.graph if known == "leave out" else None)

    @property
    def is_about_triples(self) -> bool:
        """Whether the run learned triples: pairs with a relation."""
        return issubclass(task_class(self.config.task), KnowledgeGraph)

    @cached_property
    def pair_head(self) -> Union[PairHead, TripleHead]:
        """What scores pairs from the embeddings of their nodes, with the run's weights, in host memory.

        Raises:
            ConfigError: The run learned about nodes.
            CheckpointError: The weights are none of this head.
        """
        self._check_level("pair_head")
        return read_pair_head(self.path, self.config, self.learned, self.record.manifest, self.graph)

    def _check_level(self, what: str, outputs: Optional[str] = None) -> None:
        if self.learned.level != EDGES:
            level = self.learned.level
            raise ConfigError(
                f"The run was trained for the task {self.config.task!r}, which is about {level}; {what} needs one "
                f"about pairs. Predict {level}, or train with --task link_prediction."
            )
        if outputs is not None and self.learned.outputs != outputs:
            raise ConfigError(
                f"The run was trained for the task {self.config.task!r}; {what} needs one that says which pairs are "
                "edges. Predict pairs, or train with --task link_prediction."
            )

    def embed(
        self,
        nodes: Nodes = None,
        *,
        graphs: Graphs = None,
        graph: Optional[Graph] = None,
        smiles: Optional[Sequence[str]] = None,
        layers: Optional[Sequence[int]] = None,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> Embeddings:
        """Compute embeddings: what layers hand on, after normalisation and activation.

        Those of the last layer are the model's outputs, unless a head follows (jumping knowledge). Of a run about
        graphs, features of nodes are pooled to their graphs as the model pools them.

        Args:
            nodes: As for :meth:`predict`.
            graphs: As for :meth:`predict`.
            graph: As for :meth:`predict`.
            smiles: As for :meth:`predict`.
            layers: Which layers, counted from 1 at the input. None: all; of a run about graphs what the head reads,
                under the name "pooled".
            method: As for :meth:`predict`.
            fanouts: As for :meth:`predict`.
            batch_size: As for :meth:`predict`.
            report: As for :meth:`predict`.

        Returns:
            By layer, [M, width] in the order of ``nodes``, of the type of outputs.

        Raises:
            ConfigError: No such layer, or embeddings that are not finite; or as :meth:`predict`.
            DataError: As :meth:`predict`.
        """
        asked = Asked(graphs, graph, smiles, batch_size=batch_size)
        if check_asked(self, asked, {"nodes": nodes, "method": method, "fanouts": fanouts}):
            return embed_graphs(self, asked, layers, report).values
        ids = self._ids(nodes)
        if isinstance(self.model, CustomModel):
            raise ConfigError(f"{self.model.spec.conv} is a custom module: only its outputs can be had. Predict.")
        wanted = self.wanted_layers(layers)
        config = self._settings(method, fanouts, batch_size)
        module = JoinedLayers(self.model, wanted)
        inference = self._inference(config, module)
        if isinstance(inference, LayerwiseInference):
            found = inference.layers(ids, wanted, report)
        else:
            widths = [self.model.spec.conv_spec(layer - 1).out_width for layer in wanted]
            found = dict(zip(wanted, torch.split(inference.outputs(ids, report), widths, dim=1)))
        for layer, values in found.items():
            check_values(values, ids, f"embeddings in layer {layer}")
        return dict(found.items())

    def close(self) -> None:
        """Release the device."""
        self.device.close()

    @cached_property
    def prepared(self) -> Graph:
        """The graph with what the convolution asks for."""
        return self.model.spec.prepare(self.graph)

    def _ids(self, nodes: Nodes) -> Tensor:
        if nodes is None:
            return torch.arange(self.graph.num_nodes)
        return torch.from_numpy(check_node_ids(nodes, self.graph.num_nodes, "nodes"))

    def wanted_layers(self, layers: Optional[Sequence[int]]) -> List[int]:
        """Layers in their order, each once; None are all. Unknown ones are a :class:`ConfigError`."""
        known = range(1, self.model.num_layers + 1)
        wanted = sorted(set(known if layers is None else layers))
        unknown = [layer for layer in wanted if layer not in known]
        if unknown or not wanted:
            received = f"layer {unknown[0]}" if unknown else "no layer"
            raise ConfigError(f"Received {received}; the model has layers 1 to {self.model.num_layers}.")
        return wanted

    def _settings(
        self, method: Optional[str], fanouts: Optional[Sequence[int]], batch_size: Optional[int]
    ) -> TrainConfig:
        """The recorded settings, with evaluation as it is asked for."""
        return evaluation_settings(
            self.config.train,
            self.model.num_layers,
            method=self.default_method if method is None else method,
            fanouts=fanouts,
            batch_size=batch_size,
            static_shapes=self.device.capabilities.static_shapes,
        )

    def _encoded(self, nodes: Tensor, config: TrainConfig, report: Report) -> Tensor:
        """The encoder's outputs. The batches have no targets: no head and no loss is computed with them."""
        return self._inference(config, LossModule(self.model, NodeClassification())).outputs(nodes, report)

    def _inference(self, config: TrainConfig, module: Union[LossModule, JoinedLayers]) -> Inference:
        spec, is_sampled = self.model.spec, config.evaluation == "sampled"

        def make() -> Graph:
            messages = message_graph(self.graph, "test")
            prepared = self.prepared if messages is self.graph else spec.prepare(messages)
            return computed_graph(messages, prepared, spec, config.precision)

        graph = made_once(self.world, make, "the data to be prepared")
        sampler = None
        if is_sampled:
            sampler = make_sampler(graph, spec, config, config.eval_fanouts, self.config.seed)
        return make_inference(
            config.evaluation,
            module,
            graph,
            self.device,
            StepOptions(config.precision),
            batch_size=config.eval_batch_size or 0,
            memory=config.eval_memory * 1e9,
            sampler=sampler,
            reduction=input_reduction(spec, config.fuse_first_layer) if is_sampled else None,
            world=self.world,
        )
