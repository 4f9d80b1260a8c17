"""Training: configuration, the Trainer, inference, checkpoints, the run folder."""

from gnnkit.train.benchmark import Measurement, measure
from gnnkit.train.callbacks import Callback, ProgressBar, TensorBoard
from gnnkit.train.checkpoint import load_model, read_learned, read_weights, save_weights
from gnnkit.train.comparison import BackendReport, Comparison, compare
from gnnkit.train.config import DatasetConfig, ModelConfig, RunConfig, load_config, train_config
from gnnkit.train.conversion import Conversion, convert_weights
from gnnkit.train.history import EpochRecord, RunResult
from gnnkit.train.inference import FullGraphInference, Inference, LayerwiseInference, SampledInference
from gnnkit.train.learned import Learned
from gnnkit.train.reproduce import Verdict, compare_curves
from gnnkit.train.run_folder import RunFolder, RunRecord, new_run_dir, read_run, recorded_config
from gnnkit.train.settings import TrainConfig
from gnnkit.train.state import TrainState, read_state, save_state
from gnnkit.train.state_files import read_state_dict
from gnnkit.train.trainer import Trainer

__all__ = [
    "BackendReport",
    "Callback",
    "Comparison",
    "Conversion",
    "DatasetConfig",
    "EpochRecord",
    "FullGraphInference",
    "Inference",
    "LayerwiseInference",
    "Learned",
    "Measurement",
    "ModelConfig",
    "ProgressBar",
    "RunConfig",
    "RunFolder",
    "RunRecord",
    "RunResult",
    "SampledInference",
    "TensorBoard",
    "TrainConfig",
    "TrainState",
    "Trainer",
    "Verdict",
    "compare",
    "compare_curves",
    "convert_weights",
    "load_config",
    "load_model",
    "measure",
    "new_run_dir",
    "read_learned",
    "read_run",
    "read_state",
    "read_state_dict",
    "read_weights",
    "recorded_config",
    "save_state",
    "save_weights",
    "train_config",
]
