"""What a report computes of a run about whole graphs: scores, errors of single graphs, a map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Optional

import torch

from gnnkit.errors import ConfigError
from gnnkit.inference import GraphPredictions, TrainedRun
from gnnkit.loading import graph_sizes
from gnnkit.report.graph_scores import score_graphs
from gnnkit.report.scores import score_classes, score_numbers

if TYPE_CHECKING:
    from gnnkit.report.collect import RunFacts


def score_predicted_graphs(run: RunFacts, trained: TrainedRun) -> None:
    """Put scores on a run, of the test graphs; without labelled ones of the validation or training graphs.

    Raises:
        ConfigError: No graph of a split has a label.
    """
    graph = trained.graph
    for split in ("test", "valid", "train"):
        ids = graph.graph_splits.get(split)
        if ids is None or not ids.numel():
            continue
        said = trained.predict(graphs=ids)
        assert isinstance(said, GraphPredictions)
        run.graph_scores = score_graphs(said, graph_sizes(graph)[ids.numpy(), 0], split)
        if run.graph_scores is not None:
            _score_all(run, said, split)
            return
    raise ConfigError("No graph of a split has a label of the model's kind, so predictions cannot be judged.")


def _score_all(run: RunFacts, said: GraphPredictions, split: str) -> None:
    true = said.true
    assert true is not None, "something is known"
    if said.are_numbers:
        numbers = score_numbers(said.outputs, true, said.class_names, split)
        run.number_scores = None if numbers is None else replace(numbers, items="graphs")
        return
    known: Optional[torch.Tensor] = torch.where(true.isnan(), -100.0, true) if said.is_multi_label else true
    assert known is not None
    scores = score_classes(said.outputs, known, split)
    run.scores = None if scores is None else replace(scores, items="graphs")
