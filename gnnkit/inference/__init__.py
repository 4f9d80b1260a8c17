"""What is done with a trained model: predictions, embeddings, exported programs."""

from gnnkit.inference.predictions import Predictions
from gnnkit.inference.run import TrainedRun, open_run

__all__ = ["Predictions", "TrainedRun", "open_run"]
