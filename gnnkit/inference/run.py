"""What a trained run can be asked: predictions, explanations, scores of pairs, recommendations, embeddings.

Rules: what a run cannot be asked, because it learned about something else, is refused with what it can be.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Dict, List, Optional, Sequence, Union

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.engine import LayerwiseInference
from gnnkit.engine.inference import JoinedLayers, Report, quiet
from gnnkit.errors import ConfigError
from gnnkit.explain import Explanation, explain_nodes
from gnnkit.inference.checks import check_values
from gnnkit.inference.graphs import Asked, Embeddings, Graphs, check_asked, embed_graphs, predict_graphs
from gnnkit.inference.judging import judge_split
from gnnkit.inference.opened import Nodes, OpenedRun
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
from gnnkit.nn import CustomModel
from gnnkit.runs.learned import EDGES
from gnnkit.sampling.known_answers import known_answers, questions_of
from gnnkit.tasks import (
    KnowledgeGraph,
    Metrics,
    PairHead,
    TripleHead,
    task_class,
)
from gnnkit.tasks.base import CLASSES, EMBEDDINGS, LABELS, NUMBERS, SCORES
from gnnkit.tasks.triple_ranking import rank_answers


class TrainedRun(OpenedRun):
    """A trained model with its data. Made by :func:`open_run`.

    Attributes are those of :class:`OpenedRun`.
    """

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
        outputs = self.head_outputs(self.encoded(ids, self._settings(method, fanouts, batch_size), report))
        check_values(outputs, ids, "outputs")
        if self.learned.units is not None:
            outputs = self.learned.units.to_data(outputs)
            check_values(outputs, ids, "predictions in the data's units")
        kind = self.learned.outputs
        return Predictions(ids, outputs, kind == LABELS, self.class_names, kind == NUMBERS)

    def evaluate(
        self,
        split: str = "test",
        *,
        metrics: Optional[Metrics] = None,
        method: Optional[str] = None,
        fanouts: Optional[Sequence[int]] = None,
        batch_size: Optional[int] = None,
        report: Report = quiet,
    ) -> Dict[str, float]:
        """Compute metrics on a split, as at the end of the training.

        Args:
            split: Which nodes, pairs or graphs, by the name of their split.
            metrics: Instead of the task's, as for :class:`gnnkit.Trainer`.
            method: As for :meth:`predict`. None: as the run was evaluated.
            fanouts: As for :meth:`predict`.
            batch_size: As for :meth:`predict`.
            report: As for :meth:`predict`.

        Returns:
            Metrics by name, in the data's units where they have some.

        Raises:
            ConfigError: There is no such split, or outputs are not finite; or as :meth:`predict`.
            DataError: The graph lacks labels or splits that the task needs.

        Example:
            >>> import tempfile, gnnkit
            >>> graph = gnnkit.load_dataset("karate")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=folder, progress=False)
            ...     result = trainer.fit(gnnkit.build_model("gcn", graph), graph)
            ...     found = gnnkit.open_run(folder, graph=graph).evaluate("test")
            >>> sorted(found), found == result.test
            (['accuracy', 'macro_f1'], True)
        """
        method = self.config.train.evaluation if method is None else method
        return judge_split(self, split, metrics, self._settings(method, fanouts, batch_size), report)

    def explain(
        self, nodes: Nodes, *, method: str = "gnn_explainer", output: Optional[int] = None, num_edges: int = 10
    ) -> List[Explanation]:
        """Say which edges and features matter for what the model says of nodes.

        Args:
            nodes: Node ids. Shape [M], integers.
            method: As for :func:`gnnkit.explain.explain_nodes`, which says what is raised besides.
            output: Likewise.
            num_edges: Likewise.

        Raises:
            ConfigError: The run learned about pairs or graphs.
        """
        if task_class(self.config.task).level != "nodes":
            raise ConfigError(f"The task of the run is {self.config.task!r}; only what is said of nodes is explained.")
        return explain_nodes(
            self.model,
            self.graph,
            self._ids(nodes).tolist(),
            method,
            output=output,
            is_class=self.learned.outputs == CLASSES,
            num_edges=num_edges,
            seed=self.config.seed,
        )

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
        h = self.encoded(nodes, self._settings(method, fanouts, batch_size), report)
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

    def rank_triples(self, pairs: Tensor, relations: Tensor) -> Tensor:
        """Rank the tails and the heads of triples among all nodes of their types, without other known answers.

        Args:
            pairs: Head and tail of each. Shape [n, 2], int64.
            relations: Positions in the schema. Shape [n], int64.

        Returns:
            Ranks of tails and of heads, from 1; of equal scores, the middle. Shape [n, 2], float64.

        Raises:
            ConfigError: The run did not learn triples.
        """
        head, graph = self.pair_head, self.graph
        if not isinstance(head, TripleHead) or graph.typed is None:
            raise ConfigError(f"The run was trained for the task {self.config.task!r}, which is not about triples.")
        everyone = torch.arange(graph.num_nodes)
        h = self.encoded(everyone, self._settings(None, None, None), quiet)
        asked = questions_of(pairs, relations, len(graph.typed.schema.relations))
        found = rank_answers(head.to(h.dtype), h, asked, known_answers(graph), graph.typed)
        return found[:, :2].mean(dim=1).reshape(2, -1).T

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
        h = self.encoded(everyone, self._settings(method, fanouts, batch_size), report)
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
