"""What is done with a trained model: predictions, embeddings, exported programs."""

from gnnkit.inference.export import Exported, export_program, program_inputs
from gnnkit.inference.ids import NodeIds, read_nodes
from gnnkit.inference.new_nodes import read_new_nodes
from gnnkit.inference.predictions import Predictions
from gnnkit.inference.run import TrainedRun, open_run
from gnnkit.inference.writing import write_embeddings, write_predictions

__all__ = [
    "Exported",
    "NodeIds",
    "Predictions",
    "TrainedRun",
    "export_program",
    "open_run",
    "program_inputs",
    "read_new_nodes",
    "read_nodes",
    "write_embeddings",
    "write_predictions",
]
