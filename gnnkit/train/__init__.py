"""Training: configuration, the Trainer, inference, checkpoints, the run folder."""

from gnnkit.train.callbacks import Callback, ProgressBar, TensorBoard
from gnnkit.train.checkpoint import load_model, read_weights, save_weights
from gnnkit.train.compare import BackendReport, Comparison, compare
from gnnkit.train.config import DatasetConfig, ModelConfig, RunConfig, TrainConfig, load_config, train_config
from gnnkit.train.history import EpochRecord, RunResult
from gnnkit.train.inference import FullGraphInference, Inference, LayerwiseInference, SampledInference
from gnnkit.train.run_folder import RunFolder, new_run_dir
from gnnkit.train.trainer import Trainer

__all__ = [
    "Callback",
    "DatasetConfig",
    "EpochRecord",
    "FullGraphInference",
    "Inference",
    "LayerwiseInference",
    "ModelConfig",
    "ProgressBar",
    "RunConfig",
    "RunFolder",
    "RunResult",
    "SampledInference",
    "TensorBoard",
    "TrainConfig",
    "Trainer",
    "load_config",
    "load_model",
    "new_run_dir",
    "read_weights",
    "save_weights",
    "train_config",
]
