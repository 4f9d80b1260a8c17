"""What a run is on disk and in memory: its folder, history, state and weights, and who listens to it."""

from gnnkit.runs.callback import Callback
from gnnkit.runs.checkpoint import load_model, read_learned, read_weights, save_weights
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.judged_links import read_links
from gnnkit.runs.learned import Learned
from gnnkit.runs.run_folder import RunFolder, RunRecord, new_run_dir, read_run, recorded_config
from gnnkit.runs.state import TrainState, read_state, save_state

__all__ = [
    "Callback",
    "EpochRecord",
    "Learned",
    "RunFolder",
    "RunRecord",
    "RunResult",
    "TrainState",
    "load_model",
    "new_run_dir",
    "read_learned",
    "read_links",
    "read_run",
    "read_state",
    "read_weights",
    "recorded_config",
    "save_state",
    "save_weights",
]
