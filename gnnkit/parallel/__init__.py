"""Several processes that train or compute together: their shares, their sums, and what they have in common.

torchrun starts them, torch.distributed carries what they tell each other.
"""

from gnnkit.parallel.sharing import complete, made_once, shared_table
from gnnkit.parallel.world import ALONE, World, join_world, leave_world
from gnnkit.place import Place, launched_place

__all__ = [
    "ALONE",
    "Place",
    "World",
    "complete",
    "join_world",
    "launched_place",
    "leave_world",
    "made_once",
    "shared_table",
]
