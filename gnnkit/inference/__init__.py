"""What is done with a trained model: predictions, embeddings, exported programs."""

from gnnkit.inference.export import Exported, export_program
from gnnkit.inference.graphs import GraphEmbeddings
from gnnkit.inference.ids import NodeIds, read_nodes, read_pairs
from gnnkit.inference.new_nodes import read_new_nodes
from gnnkit.inference.opening import open_run
from gnnkit.inference.predictions import GraphPredictions, PairPredictions, Predictions, Recommendations
from gnnkit.inference.programs import program_inputs
from gnnkit.inference.run import TrainedRun
from gnnkit.inference.writing import write_embeddings, write_graph_embeddings, write_predictions, write_recommendations

__all__ = [
    "Exported",
    "GraphEmbeddings",
    "GraphPredictions",
    "NodeIds",
    "PairPredictions",
    "Predictions",
    "Recommendations",
    "TrainedRun",
    "export_program",
    "open_run",
    "program_inputs",
    "read_new_nodes",
    "read_nodes",
    "read_pairs",
    "write_embeddings",
    "write_graph_embeddings",
    "write_predictions",
    "write_recommendations",
]
