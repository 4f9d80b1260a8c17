"""Training: configuration, the Trainer and what it reports to."""

from gnnkit.runs import Callback, EpochRecord, RunResult
from gnnkit.train.config import DatasetConfig, RunConfig, load_config, train_config
from gnnkit.train.heuristics import HeuristicResult, judge_heuristic
from gnnkit.train.model_config import ModelConfig
from gnnkit.train.progress_bar import ProgressBar
from gnnkit.train.settings import TrainConfig
from gnnkit.train.trackers import MLflow, TensorBoard, WandB
from gnnkit.train.trainer import Trainer

__all__ = [
    "Callback",
    "DatasetConfig",
    "EpochRecord",
    "HeuristicResult",
    "MLflow",
    "ModelConfig",
    "ProgressBar",
    "RunConfig",
    "RunResult",
    "TensorBoard",
    "TrainConfig",
    "Trainer",
    "WandB",
    "judge_heuristic",
    "load_config",
    "train_config",
]
