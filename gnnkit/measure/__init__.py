"""What a training takes before it is begun, where its time goes, and how fast it could be at best."""

from gnnkit.measure.batch_size import FoundBatchSize, SizeTried, find_batch_size
from gnnkit.measure.dry_runs import DryRun, MemoryEstimate, dry_run
from gnnkit.measure.layer_sizes import LayerSize
from gnnkit.measure.learning_rate import LearningRates, find_lr
from gnnkit.measure.measured import Measured
from gnnkit.measure.stages import Measurement, measure

__all__ = [
    "DryRun",
    "FoundBatchSize",
    "LayerSize",
    "LearningRates",
    "Measured",
    "Measurement",
    "MemoryEstimate",
    "SizeTried",
    "dry_run",
    "find_batch_size",
    "find_lr",
    "measure",
]
